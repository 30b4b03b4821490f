//! What can go wrong, by whose fault it is.
//!
//! Nothing here is an `Err` of taking a datagram in: a peer's fault ends that peer's handshake or session, as an
//! event with a [`CloseReason`], and a datagram that leads nowhere has a [`DropReason`](crate::DropReason).

use core::fmt;

use crate::certificate::CertificateError;
use crate::crypto::CryptoError;
use crate::wire::{AlertDescription, HandshakeType};

/// Why a handshake did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// The peer broke the protocol.
    PeerMisbehaved(PeerMisbehaved),
    /// The peer and we share no option.
    PeerIncompatible(PeerIncompatible),
    /// The peer gave up and said why.
    PeerAlert(AlertDescription),
    /// The peer fell silent.
    Timeout(Timeout),
    /// The caller has no key for the client's PSK identity.
    UnknownPskIdentity {
        /// The client was told. Otherwise the handshake ran on with a random key until it timed out.
        revealed: bool,
    },
    /// The peer's certificate or raw public key was refused.
    Certificate(CertificateError),
    /// The caller has nothing to show that the peer takes.
    NoCredential,
    /// The caller could not find out whether there is a key for the client's PSK identity.
    NoPskAnswer,
    /// A limit of ours was reached.
    Limit(Limit),
    /// The caller ended it.
    Canceled,
    /// The caller ended it and told the peer this alert.
    Aborted(AlertDescription),
    /// Another handshake from the same address took its place.
    Restarted,
    /// The provider failed.
    Crypto(CryptoError),
}

/// How the peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerMisbehaved {
    /// A message that cannot be decoded.
    Malformed(HandshakeType),
    /// A `ClientHello` or `ServerHello` with an extension that cannot be decoded.
    MalformedExtension(u16),
    /// A message that does not belong at this point.
    Unexpected(HandshakeType),
    /// `Finished` in clear text.
    FinishedInClearText,
    /// `Finished` does not match the transcript.
    IncorrectFinished,
    /// An extension that we did not offer.
    UnsolicitedExtension(u16),
    /// A choice that we did not offer.
    IllegalChoice,
    /// A cipher suite that we did not offer.
    IllegalCipherSuite,
    /// A group that we did not offer.
    IllegalGroup,
    /// A signature scheme that we did not offer, or that does not fit the key.
    IllegalSignatureScheme,
    /// An application protocol that we did not offer.
    IllegalProtocol,
    /// A certificate that does not fit the suite.
    WrongCertificateType,
    /// A public value that is not in its group.
    BadPublicValue,
    /// A signature over the handshake that does not verify.
    BadSignature,
    /// A resumed session with other parameters than it was made with.
    ResumptionMismatch,
    /// An alert that is not two bytes long.
    MalformedAlert,
    /// An alert of a level that does not exist.
    UnknownAlertLevel,
    /// A handshake message when the handshake was over.
    MessageAfterFinished,
    /// More handshake messages together with, or ahead of, the last one.
    ExcessHandshakeData,
    /// Authenticated content that is longer than a record may be.
    RecordOverflow,
    /// A second `HelloVerifyRequest` after its cookie was returned, beyond [`MAX_COOKIE_ROUNDS`].
    ///
    /// [`MAX_COOKIE_ROUNDS`]: crate::config::MAX_COOKIE_ROUNDS
    TooManyCookies,
    /// `renegotiation_info` is not empty in a first handshake (RFC 5746 §3.4).
    RenegotiationInfo,
}

/// What the peer and we do not share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerIncompatible {
    /// No cipher suite that both have.
    NoCommonCipherSuite,
    /// No protocol version that both have.
    NoCommonVersion,
    /// The peer does not do extended master secret, and we require it (RFC 7627).
    ExtendedMasterSecretRequired,
    /// The peer's connection ID is longer than [`MAX_PEER_CID_LEN`](crate::config::MAX_PEER_CID_LEN).
    ConnectionIdTooLong,
    /// The peer offers no null compression.
    NullCompressionRequired,
    /// No group that both have.
    NoCommonGroup,
    /// No signature scheme that both have and that fits the key.
    NoCommonSignatureScheme,
    /// No certificate type that both have (RFC 7250 §4.2).
    NoCommonCertificateType,
    /// No application protocol that both have (RFC 7301 §3.2).
    NoCommonProtocol,
}

/// A limit of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The handshake's scratch memory.
    Scratch,
    /// A `Certificate` message longer than [`Config::max_certificate_list`](crate::Config::max_certificate_list).
    CertificateList,
    /// A PSK identity longer than [`MAX_PSK_IDENTITY_LEN`](crate::config::MAX_PSK_IDENTITY_LEN).
    PskIdentity,
    /// Records sealed under one key (RFC 9147 §4.5.3).
    Seals,
    /// Records that failed to open under one key (RFC 9147 §4.5.3).
    FailedOpens,
}

/// How the peer fell silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// What was waited for.
    pub waiting_for: WaitingFor,
    /// Protected handshake records that did not open. With PSK these mean that the keys differ: "wrong key likely".
    pub undecryptable: u32,
}

/// What a handshake waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitingFor {
    /// The peer's first answer.
    Hello,
    /// The rest of the server's flight.
    ServerHelloDone,
    /// The client's key exchange.
    ClientKeyExchange,
    /// The caller's answer to [`Event::PskRequested`](crate::Event::PskRequested).
    Psk,
    /// The caller's answer to an event about certificates or resumption.
    Caller,
    /// The client's certificate, or the proof that it holds the key.
    ClientCertificate,
    /// The server's ticket, and its `Finished`.
    NewSessionTicket,
    /// The peer's `Finished`.
    Finished,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The handshake did not complete.
    HandshakeFailed(HandshakeError),
    /// The caller closed it.
    Local,
    /// The caller ended it and told the peer this alert.
    Aborted(AlertDescription),
    /// The peer sent `close_notify`.
    PeerClosed,
    /// The peer broke the protocol.
    PeerMisbehaved(PeerMisbehaved),
    /// The peer sent a fatal alert.
    PeerAlert(AlertDescription),
    /// A newer handshake from the same address completed. Sessions with a connection ID are not found by their address,
    /// so they stay: the caller, who knows identities, closes them.
    Replaced,
    /// A limit of ours was reached.
    Limit(Limit),
}

impl HandshakeError {
    /// The alert that tells the peer, or `None` when there is nobody or nothing to tell.
    pub const fn alert(self) -> Option<AlertDescription> {
        use {AlertDescription as A, PeerIncompatible as I};
        Some(match self {
            Self::PeerMisbehaved(what) => what.alert(),
            Self::PeerIncompatible(I::NoCommonVersion) => A::PROTOCOL_VERSION,
            Self::UnknownPskIdentity { revealed: true } => A::UNKNOWN_PSK_IDENTITY,
            Self::PeerIncompatible(I::NoCommonProtocol) => A::NO_APPLICATION_PROTOCOL,
            Self::PeerIncompatible(I::NoCommonCertificateType) => A::UNSUPPORTED_CERTIFICATE,
            Self::Certificate(error) => error.alert(),
            Self::Aborted(alert) => alert,
            Self::PeerIncompatible(_)
            | Self::NoCredential
            // A wrong key shows as silence; the same answer as for an unknown identity.
            | Self::UnknownPskIdentity { revealed: false }
            | Self::Timeout(Timeout { waiting_for: WaitingFor::Finished, .. }) => A::HANDSHAKE_FAILURE,
            Self::NoPskAnswer | Self::Limit(_) | Self::Crypto(_) => A::INTERNAL_ERROR,
            Self::Canceled => A::USER_CANCELED,
            Self::PeerAlert(_) | Self::Timeout(_) | Self::Restarted => return None,
        })
    }
}

impl PeerMisbehaved {
    /// The alert that tells the peer.
    pub const fn alert(self) -> AlertDescription {
        use AlertDescription as A;
        match self {
            Self::Malformed(_) | Self::MalformedExtension(_) | Self::MalformedAlert => {
                A::DECODE_ERROR
            }
            Self::Unexpected(_)
            | Self::FinishedInClearText
            | Self::TooManyCookies
            | Self::MessageAfterFinished
            | Self::ExcessHandshakeData => A::UNEXPECTED_MESSAGE,
            Self::IncorrectFinished | Self::BadSignature => A::DECRYPT_ERROR,
            Self::UnsolicitedExtension(_) => A::UNSUPPORTED_EXTENSION,
            Self::IllegalChoice
            | Self::IllegalCipherSuite
            | Self::IllegalGroup
            | Self::IllegalSignatureScheme
            | Self::IllegalProtocol
            | Self::BadPublicValue
            | Self::ResumptionMismatch
            | Self::UnknownAlertLevel => A::ILLEGAL_PARAMETER,
            Self::WrongCertificateType => A::UNSUPPORTED_CERTIFICATE,
            Self::RenegotiationInfo => A::HANDSHAKE_FAILURE,
            Self::RecordOverflow => A::RECORD_OVERFLOW,
        }
    }
}

impl From<CryptoError> for HandshakeError {
    fn from(error: CryptoError) -> Self {
        match error {
            // What the peer sent is the peer's fault.
            CryptoError::BadPublicValue => Self::PeerMisbehaved(PeerMisbehaved::BadPublicValue),
            CryptoError::BadSignature => Self::PeerMisbehaved(PeerMisbehaved::BadSignature),
            other => Self::Crypto(other),
        }
    }
}

impl From<CertificateError> for HandshakeError {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error)
    }
}

impl From<PeerMisbehaved> for HandshakeError {
    fn from(error: PeerMisbehaved) -> Self {
        Self::PeerMisbehaved(error)
    }
}

impl From<PeerIncompatible> for HandshakeError {
    fn from(error: PeerIncompatible) -> Self {
        Self::PeerIncompatible(error)
    }
}

impl From<Limit> for HandshakeError {
    fn from(error: Limit) -> Self {
        Self::Limit(error)
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerMisbehaved(what) => what.fmt(f),
            Self::PeerIncompatible(what) => what.fmt(f),
            Self::PeerAlert(description) => write!(f, "the peer gave up: {description}"),
            Self::Timeout(timeout) => timeout.fmt(f),
            Self::UnknownPskIdentity { .. } => f.write_str("unknown PSK identity"),
            Self::Certificate(error) => error.fmt(f),
            Self::NoCredential => f.write_str("we have no certificate or key that the peer takes"),
            Self::Aborted(alert) => write!(f, "ended on our side: {alert}"),
            Self::NoPskAnswer => f.write_str("the key of the PSK identity could not be looked up"),
            Self::Limit(limit) => limit.fmt(f),
            Self::Canceled => f.write_str("ended on our side"),
            Self::Restarted => f.write_str("the peer began again"),
            Self::Crypto(error) => write!(f, "cryptography failed on our side: {error}"),
        }
    }
}

impl fmt::Display for PeerMisbehaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(t) => write!(f, "malformed handshake message of type {}", t.0),
            Self::MalformedExtension(t) => write!(f, "malformed hello extension {t}"),
            Self::Unexpected(t) => write!(f, "unexpected handshake message of type {}", t.0),
            Self::FinishedInClearText => f.write_str("Finished in clear text"),
            Self::IncorrectFinished => f.write_str("Finished does not match the transcript"),
            Self::UnsolicitedExtension(t) => write!(f, "extension {t} was not offered"),
            Self::IllegalChoice => f.write_str("the peer chose what was not offered"),
            Self::IllegalCipherSuite => {
                f.write_str("the peer chose a cipher suite that was not offered")
            }
            Self::IllegalGroup => f.write_str("the peer chose a group that was not offered"),
            Self::IllegalSignatureScheme => {
                f.write_str("the peer signed with a scheme that was not offered")
            }
            Self::IllegalProtocol => {
                f.write_str("the peer chose an application protocol that was not offered")
            }
            Self::WrongCertificateType => {
                f.write_str("the peer's certificate does not fit the cipher suite")
            }
            Self::BadPublicValue => f.write_str("the peer's public value is not in its group"),
            Self::BadSignature => {
                f.write_str("the peer's signature over the handshake does not verify")
            }
            Self::ResumptionMismatch => {
                f.write_str("the peer resumed a session with other parameters")
            }
            Self::MalformedAlert => f.write_str("an alert that is not two bytes long"),
            Self::UnknownAlertLevel => f.write_str("an alert of unknown level"),
            Self::MessageAfterFinished => {
                f.write_str("a handshake message after the handshake was over")
            }
            Self::ExcessHandshakeData => {
                f.write_str("handshake messages beyond the end of the handshake")
            }
            Self::RecordOverflow => f.write_str("a record with too much content"),
            Self::TooManyCookies => f.write_str("the server keeps asking for cookies"),
            Self::RenegotiationInfo => f.write_str("renegotiation_info is not empty"),
        }
    }
}

impl fmt::Display for PeerIncompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCommonCipherSuite => "no common cipher suite",
            Self::NoCommonVersion => "no common protocol version",
            Self::ExtendedMasterSecretRequired => "the peer does not offer extended master secret",
            Self::ConnectionIdTooLong => "the peer's connection ID is too long",
            Self::NullCompressionRequired => "the peer insists on compression",
            Self::NoCommonGroup => "no common group",
            Self::NoCommonSignatureScheme => "no common signature scheme",
            Self::NoCommonCertificateType => "no common certificate type",
            Self::NoCommonProtocol => "no common application protocol",
        })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scratch => "a handshake flight does not fit the scratch memory",
            Self::CertificateList => "the peer's certificate chain is too long",
            Self::PskIdentity => "the PSK identity is too long",
            Self::Seals => "as many records were sealed as one key may protect",
            Self::FailedOpens => "too many forged records under one key",
        })
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.waiting_for {
            WaitingFor::Hello => "no answer from the peer",
            WaitingFor::ServerHelloDone => "the server's flight did not arrive whole",
            WaitingFor::ClientKeyExchange => "timeout: the client fell silent after ServerHello",
            WaitingFor::Caller => "timeout: no answer to the handshake's question in time",
            WaitingFor::ClientCertificate => "timeout: the client fell silent before its proof",
            WaitingFor::Psk => "timeout: no key was provided in time",
            WaitingFor::NewSessionTicket | WaitingFor::Finished if self.undecryptable > 0 => {
                "timeout: wrong key likely"
            }
            WaitingFor::NewSessionTicket | WaitingFor::Finished => {
                "timeout: no Finished from the peer"
            }
        };
        f.write_str(what)?;
        if self.undecryptable > 0 {
            write!(f, " ({} records did not open)", self.undecryptable)?;
        }
        Ok(())
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandshakeFailed(error) => error.fmt(f),
            Self::Local => f.write_str("closed on our side"),
            Self::Aborted(alert) => write!(f, "closed on our side: {alert}"),
            Self::PeerClosed => f.write_str("closed by the peer"),
            Self::PeerMisbehaved(what) => what.fmt(f),
            Self::PeerAlert(description) => write!(f, "ended by the peer: {description}"),
            Self::Replaced => f.write_str("replaced by a newer handshake"),
            Self::Limit(limit) => limit.fmt(f),
        }
    }
}

impl core::error::Error for HandshakeError {}
impl core::error::Error for CloseReason {}

/// Why an application datagram could not be sealed: misuse or a limit, never the peer's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The handshake has not completed, or the connection is over.
    NotConnected,
    /// The payload is longer than the peer takes, or than a record holds.
    TooLarge {
        /// The longest payload in bytes.
        limit: usize,
    },
    /// The buffer has no room for the record.
    BufferTooSmall {
        /// The bytes needed before the payload and after it.
        needed: usize,
    },
    /// The sequence numbers claimed from the lease store are used up: claim more
    /// ([`LeaseStore`](crate::lease::LeaseStore)).
    LeaseExhausted,
    /// The key has protected as many records as it may; the connection closes.
    KeyExhausted,
    /// The provider failed.
    Crypto(CryptoError),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("the connection is not established"),
            Self::TooLarge { limit } => write!(
                f,
                "the payload is longer than the {limit} bytes the peer takes"
            ),
            Self::BufferTooSmall { needed } => {
                write!(f, "the buffer lacks room: {needed} bytes are needed")
            }
            Self::LeaseExhausted => f.write_str("the claimed sequence numbers are used up"),
            Self::KeyExhausted => f.write_str("the key has protected as many records as it may"),
            Self::Crypto(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SendError {}

/// The caller asked for what cannot be at this point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// No such connection, or not any more.
    UnknownConnection,
    /// Not what the handshake waits for.
    NotRequested,
    /// A credential that the peer does not take: of a type, a key or a scheme that it did not offer.
    UnusableCredential,
    /// A session that cannot be read, or does not fit the handshake.
    BadSession,
    /// A PSK that is empty or longer than [`MAX_PSK_LEN`](crate::config::MAX_PSK_LEN), or an identity longer than
    /// [`MAX_PSK_IDENTITY_LEN`](crate::config::MAX_PSK_IDENTITY_LEN).
    BadLength,
    /// An option is out of range.
    Config(crate::config::ConfigError),
    /// The scratch memory lent for a handshake is too small.
    ScratchTooSmall {
        /// What is needed, in bytes.
        needed: usize,
    },
    /// The table of connections is full.
    TableFull,
    /// A handshake with this address is under way: until it is over, a second one could not be told from it.
    PathBusy,
    /// The provider failed.
    Crypto(CryptoError),
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownConnection => f.write_str("no such connection"),
            Self::NotRequested => f.write_str("the handshake does not wait for this"),
            Self::UnusableCredential => {
                f.write_str("the peer does not take this certificate or key")
            }
            Self::BadSession => f.write_str("not a session that can be resumed here"),
            Self::BadLength => f.write_str("a key or identity has a length that cannot be"),
            Self::Config(error) => error.fmt(f),
            Self::ScratchTooSmall { needed } => {
                write!(f, "a handshake needs {needed} bytes of scratch memory")
            }
            Self::TableFull => f.write_str("the table of connections is full"),
            Self::PathBusy => f.write_str("a handshake with this address is under way"),
            Self::Crypto(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ApiError {}

impl From<CryptoError> for ApiError {
    fn from(error: CryptoError) -> Self {
        Self::Crypto(error)
    }
}
