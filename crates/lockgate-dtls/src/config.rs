//! Options and bounds of the engine, each with its default.

use core::fmt;
use core::time::Duration;

use crate::association::Role;
use crate::bytes::ShortBytes;
#[cfg(feature = "certificates")]
use crate::bytes::ShortList;
#[cfg(feature = "certificates")]
use crate::certificate::{CertificateTypes, ClientAuth};
use crate::crypto::Provider;
#[cfg(feature = "certificates")]
use crate::crypto::{NamedGroup, SignatureScheme};
use crate::suite::{CipherSuite, KeyExchangeAlgorithm, SuiteList};
use crate::wire::{MAX_PLAINTEXT_LEN, MaxFragmentLength};
#[cfg(feature = "certificates")]
use crate::wire::{Writer, names};

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
/// Longest `Certificate` message that is taken, in bytes, unless [`Config::max_certificate_list`] says otherwise.
#[cfg(feature = "certificates")]
pub const MAX_CERTIFICATE_LIST_LEN: u16 = 8192;
/// Longest name of a peer's that a session keeps for its resumption, in bytes.
pub const MAX_PEER_NAME_LEN: usize = MAX_PSK_IDENTITY_LEN;
/// Longest list of application protocols, in bytes: each name and a byte of length before it.
#[cfg(feature = "certificates")]
pub const MAX_PROTOCOLS_LEN: usize = 64;
/// How many `HelloVerifyRequest`s a client answers in one handshake.
pub const MAX_COOKIE_ROUNDS: u8 = 3;
/// Smallest handshake datagram we fall back to, in bytes of UDP payload.
pub const MIN_MTU: usize = 256;
/// Widest anti-replay window in records.
pub const MAX_REPLAY_WINDOW: u16 = crate::record::MAX_REPLAY_WINDOW;
/// Scratch memory of a handshake where both sides show certificates and the options of the endpoint do not say, in bytes:
/// a chain of [`MAX_CERTIFICATE_LIST_LEN`] each way, and the transcript of both.
#[cfg(feature = "endpoint")]
const SCRATCH_FOR_TWO_CHAINS: usize = 40 * 1024;
/// The same where one side does.
#[cfg(feature = "endpoint")]
const SCRATCH_FOR_ONE_CHAIN: usize = 20 * 1024;
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

/// Groups in order of preference.
#[cfg(feature = "certificates")]
pub type GroupList = ShortList<NamedGroup, 4>;

/// Signature schemes in order of preference.
#[cfg(feature = "certificates")]
pub type SchemeList = ShortList<SignatureScheme, 12>;

/// Application protocols in order of preference (RFC 7301).
#[cfg(feature = "certificates")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtocolList {
    /// Each name behind a byte of length.
    names: ShortBytes<MAX_PROTOCOLS_LEN>,
}

#[cfg(feature = "certificates")]
impl ProtocolList {
    /// The list of `names`; `None` when one is empty, or all together are longer than [`MAX_PROTOCOLS_LEN`].
    pub fn new(names: &[&[u8]]) -> Option<Self> {
        let mut bytes = [0; MAX_PROTOCOLS_LEN];
        let mut writer = Writer::new(&mut bytes);
        for name in names {
            if name.is_empty() {
                return None;
            }
            writer.vec8(|w| w.put(name)).ok()?;
        }
        Some(Self {
            names: ShortBytes::new(writer.written())?,
        })
    }

    /// The names in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        names(self.names.as_slice())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// As the extension lists them.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.names.as_slice()
    }
}

/// What both ends of one handshake and the session after it go by.
#[derive(Clone, Copy, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "options that are on or off, each independent of the others"
)]
pub struct Config {
    /// Suites in order of preference; a server takes its own first that the client offers. Default
    /// [`SuiteList::default`]; those that the provider lacks are passed over.
    pub cipher_suites: SuiteList,
    /// Take part in pre-shared key suites. Default on.
    pub psk: bool,
    /// What we can show: servers with none serve PSK alone, clients with none answer a request with an empty list. Default
    /// none. The caller is asked which it shall be ([`Event::CredentialRequested`](crate::Event::CredentialRequested)).
    #[cfg(feature = "certificates")]
    pub own_certificate_types: CertificateTypes,
    /// What we take of the peer, best first: a client with none uses PSK alone. Default none. The caller is asked for its
    /// verdict ([`Event::PeerCertificate`](crate::Event::PeerCertificate)).
    #[cfg(feature = "certificates")]
    pub peer_certificate_types: CertificateTypes,
    /// Servers: whether clients are asked for a certificate or raw public key. Default no.
    #[cfg(feature = "certificates")]
    pub client_auth: ClientAuth,
    /// Groups for ephemeral key exchange. Default X25519, P-256, P-384.
    #[cfg(feature = "certificates")]
    pub groups: GroupList,
    /// Signature schemes that we take of the peer. Default all that the provider has.
    #[cfg(feature = "certificates")]
    pub signature_schemes: SchemeList,
    /// Longest `Certificate` message that we take, in bytes. Default [`MAX_CERTIFICATE_LIST_LEN`].
    #[cfg(feature = "certificates")]
    pub max_certificate_list: u16,
    /// Application protocols to offer or to choose from; a server with any refuses clients that offer others. Default none:
    /// the extension is passed over.
    #[cfg(feature = "certificates")]
    pub protocols: ProtocolList,
    /// Clients: also take an application protocol that we did not offer. Default off, as RFC 7301 §3.2 wants it.
    #[cfg(feature = "certificates")]
    pub take_unoffered_protocol: bool,
    /// Servers: answer `server_name` with an empty one when it was looked at (RFC 6066 §3). Default on.
    #[cfg(feature = "certificates")]
    pub acknowledge_server_name: bool,
    /// Take part in resumption: a client asks for tickets and offers sessions, a server takes and gives them. Default off.
    /// The caller is asked before a session goes on
    /// ([`Event::ResumptionRequested`](crate::Event::ResumptionRequested)).
    #[cfg(feature = "resumption")]
    pub resumption: bool,
    /// Servers with resumption on: give tickets to clients that can take them (RFC 5077); others get a session ID. Default
    /// on.
    #[cfg(feature = "resumption")]
    pub tickets: bool,
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
    /// How soon after our flight went out a repeat of the peer's is answered with a repeat of ours: not so soon that an
    /// echo of the network would multiply. Default 250 ms.
    pub repeat_interval: Duration,
    /// Longest retransmission time-out. Default 60 s.
    pub max_timeout: Duration,
    /// How often a flight is sent again before the handshake fails. Default 5: the last goes out
    /// after 31 s.
    pub max_retransmits: u8,
    /// How long a handshake may take altogether. Default 60 s.
    pub handshake_timeout: Duration,
    /// How long the last flight may be asked for again: twice the maximum segment lifetime. Default 240 s.
    pub settle_time: Duration,
    /// Width of the anti-replay window in records, 64 to [`MAX_REPLAY_WINDOW`]. Default 64 (RFC 6347 §4.1.2.6).
    pub replay_window: u16,
    /// When a session follows its peer to another address.
    pub address_policy: AddressPolicy,
    /// Padding of records with a connection ID.
    pub padding: Padding,
    /// How much one key may protect.
    pub aead_limits: AeadLimits,
    /// Hand out `Event::KeyLog` when keys are made. Default off. Needs feature `key-log`.
    pub key_log: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cipher_suites: SuiteList::default(),
            psk: true,
            #[cfg(feature = "certificates")]
            own_certificate_types: CertificateTypes::EMPTY,
            #[cfg(feature = "certificates")]
            peer_certificate_types: CertificateTypes::EMPTY,
            #[cfg(feature = "certificates")]
            client_auth: ClientAuth::None,
            #[cfg(feature = "certificates")]
            groups: GroupList::new(&[
                NamedGroup::X25519,
                NamedGroup::SECP256R1,
                NamedGroup::SECP384R1,
            ]),
            #[cfg(feature = "certificates")]
            signature_schemes: SchemeList::new(&SignatureScheme::ALL),
            #[cfg(feature = "certificates")]
            max_certificate_list: MAX_CERTIFICATE_LIST_LEN,
            #[cfg(feature = "certificates")]
            protocols: ProtocolList::default(),
            #[cfg(feature = "certificates")]
            take_unoffered_protocol: false,
            #[cfg(feature = "certificates")]
            acknowledge_server_name: true,
            #[cfg(feature = "resumption")]
            resumption: false,
            #[cfg(feature = "resumption")]
            tickets: true,
            cid: CidConfig::Length(8),
            require_extended_master_secret: true,
            reveal_unknown_identity: false,
            psk_identity_hint: ShortBytes::EMPTY,
            max_fragment_length: None,
            record_size_limit: None,
            mtu: 1200,
            initial_timeout: Duration::from_secs(1),
            repeat_interval: Duration::from_millis(250),
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
        if !(64..=MAX_REPLAY_WINDOW).contains(&self.replay_window) {
            return Err(ConfigError::ReplayWindow);
        }
        if !self.cipher_suites.iter().any(|suite| {
            self.usable(provider, suite, Role::Client) || self.usable(provider, suite, Role::Server)
        }) {
            return Err(ConfigError::NoCipherSuite);
        }
        Ok(())
    }

    /// Whether `suite` is switched on, known, served by `provider`, and something that this end can prove or check.
    pub(crate) fn usable<P: Provider>(&self, provider: &P, suite: CipherSuite, role: Role) -> bool {
        self.cipher_suites.iter().any(|s| s == suite)
            && suite.parameters().is_some_and(|p| {
                provider.supports_aead(p.aead)
                    && provider.supports_hash(p.hash)
                    && self.can_exchange(provider, p.key_exchange, role)
            })
    }

    #[cfg(not(feature = "certificates"))]
    #[allow(clippy::unused_self, reason = "the same call with certificates")]
    fn can_exchange<P: Provider>(
        &self,
        _: &P,
        key_exchange: KeyExchangeAlgorithm,
        _: Role,
    ) -> bool {
        self.psk && key_exchange == KeyExchangeAlgorithm::Psk
    }

    #[cfg(feature = "certificates")]
    fn can_exchange<P: Provider>(
        &self,
        provider: &P,
        key_exchange: KeyExchangeAlgorithm,
        role: Role,
    ) -> bool {
        if key_exchange.is_ephemeral() && self.usable_groups(provider).next().is_none() {
            return false;
        }
        if key_exchange.uses_psk() {
            return self.psk;
        }
        let types = match role {
            Role::Client => &self.peer_certificate_types,
            Role::Server => &self.own_certificate_types,
        };
        let is_rsa = key_exchange == KeyExchangeAlgorithm::EcdheRsa;
        // A server signs with a key that the caller holds; a client must be able to check.
        !types.is_empty()
            && (role == Role::Server
                || self
                    .usable_schemes(provider)
                    .any(|scheme| scheme.is_rsa() == is_rsa))
    }

    /// The groups that are switched on and served by `provider`.
    #[cfg(feature = "certificates")]
    pub(crate) fn usable_groups<'a, P: Provider>(
        &'a self,
        provider: &'a P,
    ) -> impl Iterator<Item = NamedGroup> + 'a {
        self.groups
            .iter()
            .filter(|&group| provider.supports_group(group))
    }

    /// The schemes that we take of the peer and `provider` can check.
    #[cfg(feature = "certificates")]
    pub(crate) fn usable_schemes<'a, P: Provider>(
        &'a self,
        provider: &'a P,
    ) -> impl Iterator<Item = SignatureScheme> + 'a {
        self.signature_schemes
            .iter()
            .filter(|&scheme| provider.supports_scheme(scheme))
    }

    /// Whether the messages of a handshake must be kept for a client's signature over them.
    #[cfg(feature = "certificates")]
    pub(crate) fn keeps_transcript(&self, role: Role) -> bool {
        match role {
            Role::Client => !self.own_certificate_types.is_empty(),
            Role::Server => self.client_auth != ClientAuth::None,
        }
    }

    /// How much scratch memory a server's handshakes get when the options of its endpoint do not say, in bytes.
    #[cfg(feature = "endpoint")]
    pub(crate) fn default_scratch_len(&self) -> usize {
        let shows = !self.own_certificate_types.is_empty();
        let takes = !self.peer_certificate_types.is_empty();
        if shows && takes {
            SCRATCH_FOR_TWO_CHAINS
        } else if shows || takes {
            SCRATCH_FOR_ONE_CHAIN
        } else if self.resumption {
            2048
        } else {
            1024
        }
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
    /// [`Config::replay_window`]: 64 to [`MAX_REPLAY_WINDOW`].
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
            Self::ReplayWindow => {
                return write!(
                    f,
                    "the replay window is 64 to {MAX_REPLAY_WINDOW} records wide"
                );
            }
            Self::NoCipherSuite => "no cipher suite is left that the crypto provider has",
            Self::ScratchLen => "the scratch memory of a handshake is too small",
            Self::Placement => "the worker is out of range",
            Self::Crypto(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for ConfigError {}
