//! The command line of `lockgate proxy`. Only its form; meaning and defaults are given by `build`.

#![expect(clippy::doc_markdown, reason = "the comments are the text of --help")]

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgAction, builder::RangedU64ValueParser};

use super::{
    LogArgs, MAX_SESSIONS,
    suites::parse_suite,
    values::{
        AskClients, HiddenText, HostPort, NamedFiles, parse_bind, parse_duration, parse_on_off,
    },
};
use crate::{addresses::PoolNet, keys::RestFormat};

/// The flags of `lockgate proxy`. All are optional here, so that a file can be merged in.
///
/// [`ProxyOptions::from_matches`](super::ProxyOptions::from_matches) turns what was parsed into
/// options.
// The comments of the fields are the help; the first sentence must do.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ProxyArgs {
    /// Where devices connect to; may be repeated [default: 0.0.0.0:14881]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_bind, help_heading = ADDRESSES)]
    pub(super) bind: Vec<SocketAddr>,

    /// The plain UDP server behind, by name or address
    #[arg(long, value_name = "HOST:PORT", help_heading = ADDRESSES)]
    pub(super) connect: Option<HostPort>,

    /// One socket for all sessions, in which each device has an address of this local network for ever,
    /// for instance 127.64.0.0/10
    #[arg(long, value_name = "NET[:PORT]", help_heading = ADDRESSES)]
    pub(super) upstream_pool: Option<PoolNet>,

    /// File that remembers which device has which address of --upstream-pool; made when missing [default:
    /// upstream-pool.redb in the directory that systemd gives (StateDirectory=), else in memory]
    #[arg(long, allow_hyphen_values = true, value_name = "FILE", help_heading = ADDRESSES)]
    pub(super) upstream_pool_table: Option<PathBuf>,

    /// TOML file with any of these options under the same names; flags win, and paths in it are
    /// relative to it
    #[arg(long, allow_hyphen_values = true, value_name = "FILE", help_heading = ADDRESSES)]
    pub(super) config: Option<PathBuf>,

    /// CSV file with lines of identity,hexkey; read again when it changes
    #[arg(long, allow_hyphen_values = true, value_name = "FILE", help_heading = KEYS)]
    pub(super) psk_csv: Option<PathBuf>,

    /// HTTP service: GET URL?pskId=IDENTITY answers the key, or 404
    #[arg(long, allow_hyphen_values = true, value_name = "URL", help_heading = KEYS)]
    pub(super) psk_rest: Option<HiddenText>,

    /// Program: PATH IDENTITY prints the key in hexadecimal and exits with 0; else the identity is
    /// unknown
    #[arg(long, allow_hyphen_values = true, value_name = "PATH", help_heading = KEYS)]
    pub(super) shell_kms_cmd: Option<PathBuf>,

    /// One key for trying out; may be repeated. Every user of this machine can see it in the list
    /// of processes
    #[arg(long, allow_hyphen_values = true, value_name = "IDENTITY:HEX", help_heading = KEYS)]
    pub(super) psk: Vec<HiddenText>,

    /// Our certificate with those between it and a root, PEM or DER; may be repeated, with one --key each
    #[arg(long, allow_hyphen_values = true, value_name = "FILE", help_heading = CERTIFICATES)]
    pub(super) cert: Vec<PathBuf>,

    /// The private key to the --cert at the same place: PKCS#8, SEC1 or PKCS#1, not encrypted
    #[arg(long, allow_hyphen_values = true, value_name = "FILE", help_heading = CERTIFICATES)]
    pub(super) key: Vec<PathBuf>,

    /// Another certificate for clients that ask for this host name (SNI), "*." for its first label; may
    /// be repeated
    #[arg(long, allow_hyphen_values = true, value_name = "NAME=CERT,KEY", help_heading = CERTIFICATES)]
    pub(super) sni_cert: Vec<NamedFiles>,

    /// Private key whose public half is shown to clients that take raw public keys (RFC 7250); may be
    /// repeated
    #[arg(long, allow_hyphen_values = true, value_name = "KEY", help_heading = CERTIFICATES)]
    pub(super) rpk: Vec<PathBuf>,

    /// Certificates of the authorities that clients' certificates must come from; may be repeated
    #[arg(long, allow_hyphen_values = true, value_name = "FILE", help_heading = CERTIFICATES)]
    pub(super) ca: Vec<PathBuf>,

    /// Lists of revoked certificates. With any, each client's certificate must be covered by one; may be
    /// repeated
    #[arg(long, allow_hyphen_values = true, value_name = "FILE", help_heading = CERTIFICATES)]
    pub(super) crl: Vec<PathBuf>,

    /// Raw public keys of clients: PEM, DER, or lines of SHA-256 and name as lockgate keygen raw prints
    /// them; may be repeated
    #[arg(long, allow_hyphen_values = true, value_name = "FILE", help_heading = CERTIFICATES)]
    pub(super) rpk_allow: Vec<PathBuf>,

    /// Whether clients without a pre-shared key show a certificate or raw public key: none, optional or
    /// required [default: required with --ca or --rpk-allow, else none]
    #[arg(long, value_name = "WHETHER", value_enum, hide_possible_values = true, help_heading = CERTIFICATES)]
    pub(super) client_auth: Option<AskClients>,

    /// How the service writes a key: raw, hex or auto; auto takes 16 to 128 hexadecimal digits (an even number) for
    /// hex and all else for raw [default: auto]
    #[arg(long, value_name = "FORMAT", value_enum, hide_possible_values = true, help_heading = SERVICE)]
    pub(super) psk_rest_format: Option<RestFormat>,

    /// Header for each request to the service; may be repeated
    #[arg(long, allow_hyphen_values = true, value_name = "NAME:VALUE", help_heading = SERVICE)]
    pub(super) rest_headers: Vec<HiddenText>,

    /// PEM file with certificate authorities to trust for https besides the well-known ones
    #[arg(long, allow_hyphen_values = true, value_name = "FILE", help_heading = SERVICE)]
    pub(super) rest_ca: Option<PathBuf>,

    /// Name of the query parameter with the identity [default: pskId]
    #[arg(long, allow_hyphen_values = true, value_name = "NAME", help_heading = SERVICE)]
    pub(super) id_query_key: Option<String>,

    /// Text before the identity in that parameter [default: none]
    #[arg(long, allow_hyphen_values = true, value_name = "TEXT", help_heading = SERVICE)]
    pub(super) id_query_val_prefix: Option<String>,

    /// Time for one answer of the service or program [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = SERVICE)]
    pub(super) kms_timeout: Option<Duration>,

    /// How long an answered key is remembered, 0 for not at all; "unknown" is remembered for at
    /// most 5s [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = SERVICE)]
    pub(super) kms_cache_ttl: Option<Duration>,

    /// How many requests run at once, at the service and at the program each [default: 32]
    #[arg(long, value_name = "NUMBER", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024), help_heading = SERVICE)]
    pub(super) kms_concurrency: Option<usize>,

    /// End a session after this much silence, 0 for never [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = SESSIONS)]
    pub(super) idle_timeout: Option<Duration>,

    /// How many sessions at once [default: what descriptors and ports allow, or --upstream-pool holds]
    #[arg(long, value_name = "NUMBER", value_parser = RangedU64ValueParser::<u32>::new().range(1..=u64::from(MAX_SESSIONS)), help_heading = SESSIONS)]
    pub(super) max_sessions: Option<u32>,

    /// How many handshakes at once [default: 10000]
    #[arg(long, value_name = "NUMBER", value_parser = RangedU64ValueParser::<u32>::new().range(1..), help_heading = SESSIONS)]
    pub(super) max_half_open: Option<u32>,

    /// How many of them from one IPv4 address or IPv6 /64 [default: 1024]
    #[arg(long, value_name = "NUMBER", value_parser = RangedU64ValueParser::<u32>::new().range(1..), help_heading = SESSIONS)]
    pub(super) max_half_open_per_address: Option<u32>,

    /// Time for one handshake [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = SESSIONS)]
    pub(super) handshake_timeout: Option<Duration>,

    /// End the older session when the same identity connects again [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, hide_possible_values = true, help_heading = SESSIONS)]
    pub(super) replace_same_identity: Option<bool>,

    /// Let devices go on with an earlier session in a shorter handshake, if they may still come in: on or
    /// off [default: on]
    #[arg(long, value_name = "ON|OFF", value_parser = parse_on_off, action = ArgAction::Set, help_heading = SESSIONS)]
    pub(super) resumption: Option<bool>,

    /// How many sessions are kept for that, of devices that cannot keep a ticket themselves
    /// [default: 20000]
    #[arg(long, value_name = "NUMBER", value_parser = RangedU64ValueParser::<usize>::new().range(0..=10_000_000), help_heading = SESSIONS)]
    pub(super) session_cache: Option<usize>,

    /// How long a session can be gone on with [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = SESSIONS)]
    pub(super) session_lifetime: Option<Duration>,

    /// Length of our connection IDs in bytes: 8 to 20, or 0 for none [default: 8]
    #[arg(long, value_name = "BYTES", value_parser = parse_cid_length, help_heading = DTLS)]
    pub(super) cid_length: Option<u8>,

    /// Comma-separated IANA names, the most preferred first, TLS_ may be left out [default:
    /// ECDHE_PSK_WITH_AES_128_GCM_SHA256, ECDHE_PSK_WITH_AES_256_GCM_SHA384,
    /// ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, ECDHE_PSK_WITH_AES_128_CCM_SHA256,
    /// PSK_WITH_AES_128_GCM_SHA256, PSK_WITH_AES_256_GCM_SHA384, PSK_WITH_CHACHA20_POLY1305_SHA256,
    /// PSK_WITH_AES_128_CCM, PSK_WITH_AES_256_CCM, ECDHE_PSK_WITH_AES_128_CCM_8_SHA256,
    /// PSK_WITH_AES_128_CCM_8, PSK_WITH_AES_256_CCM_8, ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    /// ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    /// ECDHE_ECDSA_WITH_AES_128_CCM, ECDHE_ECDSA_WITH_AES_256_CCM, ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    /// ECDHE_RSA_WITH_AES_256_GCM_SHA384, ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    /// ECDHE_ECDSA_WITH_AES_128_CCM_8, ECDHE_ECDSA_WITH_AES_256_CCM_8]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse_suite, help_heading = DTLS)]
    pub(super) cipher_suites: Vec<u16>,

    /// Largest UDP payload of the handshake in bytes, 256 to 16384 [default: 1200]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(256..=16384), help_heading = DTLS)]
    pub(super) mtu: Option<u16>,

    /// Refuse clients without the extended master secret (RFC 7627) [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, hide_possible_values = true, help_heading = DTLS)]
    pub(super) require_extended_master_secret: Option<bool>,

    /// Tell a client that its identity is unknown; otherwise that looks like a wrong key, so that
    /// nobody can try out which identities exist [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, hide_possible_values = true, help_heading = DTLS)]
    pub(super) reveal_unknown_identity: Option<bool>,

    /// Append the secrets of all sessions to FILE for Wireshark; the environment variable
    /// SSLKEYLOGFILE is ignored on purpose
    #[arg(long, allow_hyphen_values = true, value_name = "FILE", help_heading = DTLS)]
    pub(super) keylog: Option<PathBuf>,

    #[command(flatten)]
    pub(super) log: LogArgs,
}

const ADDRESSES: &str = "Addresses";
const KEYS: &str =
    "Pre-shared keys (asked in this order: --psk, --psk-csv, --psk-rest, --shell-kms-cmd)";
const CERTIFICATES: &str = "Certificates and raw public keys (read again when they change)";
const SERVICE: &str = "Key service and program";
const SESSIONS: &str = "Sessions";
const DTLS: &str = "DTLS";

/// Shorter connection IDs would not have room for the routing information, longer ones only cost.
fn parse_cid_length(text: &str) -> Result<u8, &'static str> {
    match text.parse() {
        Ok(length @ (0 | 8..=20)) => Ok(length),
        _ => Err("expected 0 or 8 to 20"),
    }
}
