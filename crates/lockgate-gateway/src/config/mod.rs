//! The options of `lockgate proxy`.
//!
//! [`ProxyArgs`] is what stands on the command line, [`ProxyOptions`] what the proxy works with:
//! complete and checked. Between them comes the file of `--config`, which has the same names; what
//! the command line says wins, and a list there replaces the file's list.

mod args;
mod build;
mod error;
mod file;
mod log;
mod suites;
#[cfg(test)]
mod tests;
mod values;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use self::{
    args::ProxyArgs,
    error::{ConfigError, one_line},
    log::{LogArgs, LogFormat, LogOptions},
    suites::{default_suites, parse_suite, suite_name},
    values::{HiddenText, HostPort, parse_duration, parse_psk},
};
use crate::{addresses::PoolNet, certificates::CertificateOptions, keys::KeyOptions};

/// The port that `--bind` has by default, as the proxy that this one replaces.
pub const DEFAULT_PORT: u16 = 14881;
/// How long a session may be silent by default.
///
/// This is the default lifetime of a registration in `LwM2M` (86,400 s): a device that was silent for
/// longer is one that its own server has forgotten too. Sessions are worth keeping that long,
/// because devices sleep for hours, and cheap enough.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_hours(24);
/// The time for one handshake by default.
///
/// Retransmission waits 1, 2, 4, 8, 16 and 32 s, so this gives five repetitions a chance.
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_mins(1);
/// How many handshakes run at once by default.
pub const DEFAULT_MAX_HALF_OPEN: u32 = 10_000;
/// How many of them may come from one IPv4 address or IPv6 /64 by default. Many, because a
/// carrier's NAT puts a whole town behind one address.
pub const DEFAULT_MAX_HALF_OPEN_PER_ADDRESS: u32 = 1_024;
/// The length of our connection IDs in bytes by default: exactly the routing information.
pub const DEFAULT_CID_LENGTH: u8 = 8;
/// The UDP payload in bytes that the handshake fills by default: with IPv6 headers it stays within the 1,280
/// bytes that every IPv6 link carries.
pub const DEFAULT_MTU: u16 = 1200;
/// How many sessions are kept for resumption by ID by default, a few hundred bytes each.
pub const DEFAULT_SESSION_CACHE: usize = 20_000;
/// How long a session can be resumed by default: the longest that RFC 5246 (F.1.4) suggests.
pub const DEFAULT_SESSION_LIFETIME: Duration = Duration::from_hours(24);
/// The most sessions that `--max-sessions` may ask for: a connection ID has 24 bits for them.
pub const MAX_SESSIONS: u32 = 1 << 24;

/// Everything that `lockgate proxy` works with. `Debug` shows no secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "options that are on or off, each independent of the others"
)]
pub struct ProxyOptions {
    /// Where devices connect to (`--bind`); at least one.
    pub bind: Vec<SocketAddr>,
    /// The plain UDP backend (`--connect`), not resolved yet.
    pub connect: HostPort,
    /// The network that devices have addresses of (`--upstream-pool`); `None`: a socket for each session.
    pub upstream_pool: Option<PoolNet>,
    /// Where it is remembered who has which (`--upstream-pool-table`); `None`: in memory, until the proxy ends.
    pub upstream_pool_table: Option<PathBuf>,
    /// The key sources; [`crate::keys::open`] opens them.
    pub keys: KeyOptions,
    /// Whether clients with pre-shared keys are served. The command line says so by naming a key source.
    pub psk: bool,
    /// Our certificates, and whose we take; [`crate::proxy`] opens them.
    pub certificates: CertificateOptions,
    /// After this much silence a session ends (`--idle-timeout`); `None`: never.
    pub idle_timeout: Option<Duration>,
    /// How many sessions there may be (`--max-sessions`); `None`: as many as
    /// [`crate::limits`] finds room for.
    pub max_sessions: Option<u32>,
    /// How many handshakes may run at once (`--max-half-open`).
    pub max_half_open: u32,
    /// How many of them from one IPv4 address or IPv6 /64 (`--max-half-open-per-address`).
    pub max_half_open_per_address: u32,
    /// The time for one handshake, from the first `ClientHello` with a valid cookie
    /// (`--handshake-timeout`).
    pub handshake_timeout: Duration,
    /// Whether a finished handshake ends the older session of the same identity
    /// (`--replace-same-identity`).
    pub replace_same_identity: bool,
    /// Whether devices may go on with an earlier session in a shorter handshake (`--resumption`).
    pub resumption: bool,
    /// How many sessions are kept for that, of devices without tickets (`--session-cache`).
    pub session_cache: usize,
    /// How long a session can be gone on with (`--session-lifetime`).
    pub session_lifetime: Duration,
    /// The length of our connection IDs in bytes (`--cid-length`): 0 (none) or 8 to 20.
    pub cid_length: u8,
    /// IANA numbers of the cipher suites on offer, the most preferred first (`--cipher-suites`).
    pub cipher_suites: Vec<u16>,
    /// The largest UDP payload of a handshake in bytes (`--mtu`).
    pub mtu: u16,
    /// Whether clients without the extended master secret (RFC 7627) are refused
    /// (`--require-extended-master-secret`).
    pub require_extended_master_secret: bool,
    /// Whether an unknown identity is told so (`--reveal-unknown-identity`) instead of failing as a
    /// wrong key does.
    pub reveal_unknown_identity: bool,
    /// Where session secrets are written for Wireshark (`--keylog`).
    pub keylog: Option<PathBuf>,
    /// How to log.
    pub log: LogOptions,
}

impl ProxyOptions {
    /// The defaults, for a backend; without any key.
    pub fn new(connect: HostPort) -> Self {
        Self {
            bind: vec![SocketAddr::new(
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                DEFAULT_PORT,
            )],
            connect,
            upstream_pool: None,
            upstream_pool_table: None,
            keys: KeyOptions::default(),
            psk: true,
            certificates: CertificateOptions::default(),
            idle_timeout: Some(DEFAULT_IDLE_TIMEOUT),
            max_sessions: None,
            max_half_open: DEFAULT_MAX_HALF_OPEN,
            max_half_open_per_address: DEFAULT_MAX_HALF_OPEN_PER_ADDRESS,
            handshake_timeout: DEFAULT_HANDSHAKE_TIMEOUT,
            replace_same_identity: true,
            resumption: true,
            session_cache: DEFAULT_SESSION_CACHE,
            session_lifetime: DEFAULT_SESSION_LIFETIME,
            cid_length: DEFAULT_CID_LENGTH,
            cipher_suites: default_suites(),
            mtu: DEFAULT_MTU,
            require_extended_master_secret: true,
            reveal_unknown_identity: false,
            keylog: None,
            log: LogOptions::default(),
        }
    }
}
