//! Options and bounds of the engine, each with its default.

use core::fmt;
use core::time::Duration;

use crate::bytes::ShortBytes;
use crate::crypto::Provider;
use crate::suite::{CipherSuite, SuiteList};
use crate::wire::{MAX_PLAINTEXT_LEN, MaxFragmentLength};

/// Longest connection ID that we give out, in bytes.
pub const MAX_OWN_CID_LEN: usize = 20;
/// Shortest connection ID that we give out, in bytes: routing needs 64 bits.
pub const MIN_OWN_CID_LEN: usize = 8;
/// Longest connection ID of a peer's that we take, in bytes.
pub const MAX_PEER_CID_LEN: usize = 32;
/// Longest pre-shared key in bytes (RFC 4279 §5.3 asks for 64).
pub const MAX_PSK_LEN: usize = 64;
/// Longest PSK identity in bytes (RFC 4279 §5.3 asks for 128).
pub const MAX_PSK_IDENTITY_LEN: usize = 128;
/// How many `HelloVerifyRequest`s a client answers in one handshake.
pub const MAX_COOKIE_ROUNDS: u8 = 3;
/// Smallest handshake datagram we fall back to, in bytes of UDP payload.
pub const MIN_MTU: usize = 256;
/// How many bytes a buffer needs before an application payload that is sealed in place: record header, the longest
/// connection ID, explicit nonce.
pub const MAX_HEADROOM: usize = 13 + MAX_PEER_CID_LEN + 8;
/// How many bytes a buffer needs behind an application payload that is sealed in place, without padding: inner
/// content type and tag.
pub const MAX_TAILROOM: usize = 1 + 16;

/// How many records one key may protect and how many forgeries it survives (RFC 9147 §4.5.3).
///
/// Reaching either closes that session with [`Limit::Seals`](crate::Limit::Seals) or
/// [`Limit::FailedOpens`](crate::Limit::FailedOpens).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AeadLimits {
    /// Records sealed under one key, where that is less than the algorithm's own limit. Default 2^48: no less.
    pub seals: u64,
    /// Failed opens for CCM with 8-byte tags. Default 2^20: a literal 2^7 would let forgers end any session.
    pub ccm_8_failed_opens: u64,
}

impl Default for AeadLimits {
    fn default() -> Self {
        Self {
            seals: 1 << 48,
            ccm_8_failed_opens: 1 << 20,
        }
    }
}

/// When an authenticated record from another address moves the session there (RFC 9146 §6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressPolicy {
    /// On a record that is newer than every record before it.
    #[default]
    NewestRecord,
    /// Never; records from other addresses are still delivered.
    NeverMove,
}

/// How protected records with a connection ID are padded (RFC 9146 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// Not at all.
    #[default]
    None,
    /// Content and type are filled up to a multiple of so many bytes, as far as the record limit lets.
    Multiple(core::num::NonZeroU8),
}

/// Whether and how connection IDs are negotiated (RFC 9146).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CidConfig {
    /// The extension is neither offered nor answered.
    Off,
    /// We receive with connection IDs of so many bytes, 0 or 8 to 20; 0 means that we send with the peer's and want
    /// none ourselves.
    Length(u8),
}

impl CidConfig {
    pub(crate) const fn own_len(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::Length(len) => len,
        }
    }
}

/// What both ends of one handshake and the session after it go by.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Suites in order of preference; a server takes its own first that the client offers. Default
    /// [`SuiteList::default`]; those that the provider lacks are passed over.
    pub cipher_suites: SuiteList,
    /// Connection IDs. Default 8 bytes.
    pub cid: CidConfig,
    /// Refuse peers without extended master secret (RFC 7627). Default on.
    pub require_extended_master_secret: bool,
    /// Answer an unknown PSK identity with `unknown_psk_identity` instead of running on with a random key. Default
    /// off: it tells who exists (RFC 4279 §2).
    pub reveal_unknown_identity: bool,
    /// Servers: sent as `psk_identity_hint` when not empty. Default empty.
    pub psk_identity_hint: ShortBytes<MAX_PSK_IDENTITY_LEN>,
    /// Clients: `max_fragment_length` to ask for (RFC 6066). Default none.
    pub max_fragment_length: Option<MaxFragmentLength>,
    /// The longest protected record content that we take, offered or answered as `record_size_limit` (RFC 8449), 64
    /// to 2^14 bytes. Default none: not offered, and a client's offer is answered with 2^14.
    pub record_size_limit: Option<u16>,
    /// UDP payload that handshake flights are cut to, in bytes. Default 1,200; falls back after lost flights, never
    /// below [`MIN_MTU`].
    pub mtu: usize,
    /// First retransmission time-out; doubles with each try (RFC 6347 §4.2.4.1). Default 1 s.
    pub initial_timeout: Duration,
    /// Longest retransmission time-out. Default 60 s.
    pub max_timeout: Duration,
    /// How often a flight is sent again before the handshake fails. Default 5: the last goes out
    /// after 31 s.
    pub max_retransmits: u8,
    /// How long a handshake may take altogether. Default 60 s.
    pub handshake_timeout: Duration,
    /// How long the last flight may be asked for again: twice the maximum segment lifetime. Default 240 s.
    pub settle_time: Duration,
    /// Width of the anti-replay window in records, 64 to 128. Default 64 (RFC 6347 §4.1.2.6).
    pub replay_window: u8,
    /// When a session follows its peer to another address.
    pub address_policy: AddressPolicy,
    /// Padding of records with a connection ID.
    pub padding: Padding,
    /// How much one key may protect.
    pub aead_limits: AeadLimits,
    /// Hand out [`Event::KeyLog`](crate::Event::KeyLog) when keys are made. Default off. Needs feature `key-log`.
    pub key_log: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cipher_suites: SuiteList::default(),
            cid: CidConfig::Length(8),
            require_extended_master_secret: true,
            reveal_unknown_identity: false,
            psk_identity_hint: ShortBytes::EMPTY,
            max_fragment_length: None,
            record_size_limit: None,
            mtu: 1200,
            initial_timeout: Duration::from_secs(1),
            max_timeout: Duration::from_mins(1),
            max_retransmits: 5,
            handshake_timeout: Duration::from_mins(1),
            settle_time: Duration::from_mins(4),
            replay_window: 64,
            address_policy: AddressPolicy::default(),
            padding: Padding::default(),
            aead_limits: AeadLimits::default(),
            key_log: false,
        }
    }
}

impl Config {
    /// Checks every option that has a range, and that `provider` has a suite.
    pub fn validate<P: Provider>(&self, provider: &P) -> Result<(), ConfigError> {
        if let CidConfig::Length(len) = self.cid
            && len != 0
            && !(MIN_OWN_CID_LEN..=MAX_OWN_CID_LEN).contains(&usize::from(len))
        {
            return Err(ConfigError::CidLength);
        }
        if !(MIN_MTU..=MAX_PLAINTEXT_LEN).contains(&self.mtu) {
            return Err(ConfigError::Mtu);
        }
        if self
            .record_size_limit
            .is_some_and(|l| l < 64 || usize::from(l) > MAX_PLAINTEXT_LEN)
        {
            return Err(ConfigError::RecordSizeLimit);
        }
        if !(64..=128).contains(&self.replay_window) {
            return Err(ConfigError::ReplayWindow);
        }
        if !self
            .cipher_suites
            .iter()
            .any(|suite| self.usable(provider, suite))
        {
            return Err(ConfigError::NoCipherSuite);
        }
        Ok(())
    }

    /// Whether `suite` is switched on, known and served by `provider`.
    pub(crate) fn usable<P: Provider>(&self, provider: &P, suite: CipherSuite) -> bool {
        self.cipher_suites.iter().any(|s| s == suite)
            && suite
                .parameters()
                .is_some_and(|p| provider.supports_aead(p.aead) && provider.supports_hash(p.hash))
    }
}

/// Which option is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// [`Config::cid`]: 0 or 8 to 20.
    CidLength,
    /// [`Config::mtu`]: [`MIN_MTU`] to 2^14.
    Mtu,
    /// [`Config::record_size_limit`]: 64 to 2^14.
    RecordSizeLimit,
    /// [`Config::replay_window`]: 64 to 128.
    ReplayWindow,
    /// [`Config::cipher_suites`]: none that the provider has.
    NoCipherSuite,
    /// The scratch memory of a handshake: at least [`MIN_SCRATCH_LEN`](crate::MIN_SCRATCH_LEN).
    ScratchLen,
    /// The endpoint's place among its nodes and workers does not fit the connection ID.
    Placement,
    /// The provider failed.
    Crypto(crate::crypto::CryptoError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CidLength => "a connection ID is 0 or 8 to 20 bytes long",
            Self::Mtu => "the MTU is 256 to 16384 bytes",
            Self::RecordSizeLimit => "the record size limit is 64 to 16384 bytes",
            Self::ReplayWindow => "the replay window is 64 to 128 records wide",
            Self::NoCipherSuite => "no cipher suite is left that the crypto provider has",
            Self::ScratchLen => "the scratch memory of a handshake is too small",
            Self::Placement => "the worker is out of range",
            Self::Crypto(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for ConfigError {}
