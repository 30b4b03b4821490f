//! Why handshakes fail and sessions end, in an operator's words and in a closed list that is counted.

use std::fmt;

use lockgate_dtls::{
    CloseReason, HandshakeError, PeerIncompatible, PeerMisbehaved, Timeout, WaitingFor,
};

/// Why a handshake did not become a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FailureReason {
    /// No key source knows the identity.
    UnknownIdentity,
    /// A key source failed, so that nobody can say whether the identity has a key.
    KeyServiceFailed,
    /// The client's `Finished` did not open: the keys differ, or somebody tries identities out.
    WrongKeyLikely,
    /// The client offers no cipher suite that is switched on.
    NoCommonCipherSuite,
    /// The client lacks extended master secret, which is required.
    NoExtendedMasterSecret,
    /// The client and we do not share something else.
    Incompatible,
    /// The client broke the protocol.
    Misbehaved,
    /// The client gave up and said so.
    PeerGaveUp,
    /// The client fell silent.
    Timeout,
    /// The client began again before it had finished.
    Restarted,
    /// A limit on one handshake was reached.
    Limit,
    /// Cryptography or the machine failed on our side.
    Internal,
    /// We are going down.
    Shutdown,
    /// The client's certificate or raw public key was refused, or is missing.
    CertificateRefused,
    /// We have no certificate that the client takes.
    NoCredential,
}

impl FailureReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::UnknownIdentity,
        Self::KeyServiceFailed,
        Self::WrongKeyLikely,
        Self::NoCommonCipherSuite,
        Self::NoExtendedMasterSecret,
        Self::Incompatible,
        Self::Misbehaved,
        Self::PeerGaveUp,
        Self::Timeout,
        Self::Restarted,
        Self::Limit,
        Self::Internal,
        Self::Shutdown,
        Self::CertificateRefused,
        Self::NoCredential,
    ];

    /// A name for metrics: lower case with underscores.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownIdentity => "unknown_identity",
            Self::KeyServiceFailed => "key_service_failed",
            Self::WrongKeyLikely => "wrong_key_likely",
            Self::NoCommonCipherSuite => "no_common_cipher_suite",
            Self::NoExtendedMasterSecret => "no_extended_master_secret",
            Self::Incompatible => "incompatible",
            Self::Misbehaved => "misbehaved",
            Self::PeerGaveUp => "peer_gave_up",
            Self::Timeout => "timeout",
            Self::Restarted => "restarted",
            Self::Limit => "limit",
            Self::Internal => "internal",
            Self::Shutdown => "shutdown",
            Self::CertificateRefused => "certificate_refused",
            Self::NoCredential => "no_credential",
        }
    }
}

impl From<HandshakeError> for FailureReason {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::PeerMisbehaved(PeerMisbehaved::IncorrectFinished) => {
                Self::WrongKeyLikely
            }
            HandshakeError::PeerMisbehaved(_) => Self::Misbehaved,
            HandshakeError::PeerIncompatible(PeerIncompatible::NoCommonCipherSuite) => {
                Self::NoCommonCipherSuite
            }
            HandshakeError::PeerIncompatible(PeerIncompatible::ExtendedMasterSecretRequired) => {
                Self::NoExtendedMasterSecret
            }
            HandshakeError::PeerIncompatible(_) => Self::Incompatible,
            HandshakeError::PeerAlert(_) => Self::PeerGaveUp,
            HandshakeError::Timeout(Timeout {
                waiting_for: WaitingFor::Finished,
                undecryptable: 1..,
            }) => Self::WrongKeyLikely,
            HandshakeError::Timeout(Timeout {
                waiting_for: WaitingFor::Psk,
                ..
            })
            | HandshakeError::NoPskAnswer => Self::KeyServiceFailed,
            HandshakeError::Timeout(_) => Self::Timeout,
            HandshakeError::UnknownPskIdentity { .. } => Self::UnknownIdentity,
            HandshakeError::Limit(_) => Self::Limit,
            HandshakeError::Certificate(_) => Self::CertificateRefused,
            HandshakeError::NoCredential => Self::NoCredential,
            HandshakeError::Aborted(_) | HandshakeError::Canceled => Self::Shutdown,
            HandshakeError::Restarted => Self::Restarted,
            HandshakeError::Crypto(_) => Self::Internal,
        }
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EndReason {
    /// The device said goodbye.
    ClosedByPeer,
    /// The device ended it with an alert.
    PeerAlert,
    /// The device was silent for longer than the idle time-out.
    Idle,
    /// The same identity, or the same address, has a newer session.
    Replaced,
    /// No socket to the backend could be made.
    NoUpstream,
    /// There are as many sessions as there may be.
    TooManySessions,
    /// A key has protected as much as it may, or too many forgeries came.
    KeyLimit,
    /// We are going down.
    Shutdown,
    /// The device broke the protocol.
    Misbehaved,
    /// The pool of addresses had none for it.
    NoAddress,
}

impl EndReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::ClosedByPeer,
        Self::PeerAlert,
        Self::Idle,
        Self::Replaced,
        Self::NoUpstream,
        Self::TooManySessions,
        Self::KeyLimit,
        Self::Shutdown,
        Self::Misbehaved,
        Self::NoAddress,
    ];

    /// A name for metrics: lower case with underscores.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClosedByPeer => "closed_by_peer",
            Self::PeerAlert => "peer_alert",
            Self::Idle => "idle",
            Self::Replaced => "replaced",
            Self::NoUpstream => "no_upstream",
            Self::TooManySessions => "too_many_sessions",
            Self::KeyLimit => "key_limit",
            Self::Shutdown => "shutdown",
            Self::Misbehaved => "misbehaved",
            Self::NoAddress => "no_address",
        }
    }
}

impl From<CloseReason> for EndReason {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::PeerClosed => Self::ClosedByPeer,
            CloseReason::PeerAlert(_) => Self::PeerAlert,
            CloseReason::Replaced => Self::Replaced,
            CloseReason::Limit(_) => Self::KeyLimit,
            // Whoever closes on our side says why; at the end nobody does.
            CloseReason::Local | CloseReason::Aborted(_) | CloseReason::HandshakeFailed(_) => {
                Self::Shutdown
            }
            CloseReason::PeerMisbehaved(_) => Self::Misbehaved,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClosedByPeer => "closed by the device",
            Self::PeerAlert => "ended by the device with an alert",
            Self::Idle => "silent for too long",
            Self::Replaced => "replaced by a newer session",
            Self::NoUpstream => "no socket to the backend",
            Self::TooManySessions => "too many sessions",
            Self::KeyLimit => "the keys are used up",
            Self::Shutdown => "the proxy stops",
            Self::Misbehaved => "the device broke the protocol",
            Self::NoAddress => "no address in the pool",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_in_the_lists() {
        for (i, reason) in FailureReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
        }
        for (i, reason) in EndReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
        }
    }

    #[test]
    fn silence_after_records_that_do_not_open_is_a_wrong_key() {
        let timeout = |undecryptable| {
            FailureReason::from(HandshakeError::Timeout(Timeout {
                waiting_for: WaitingFor::Finished,
                undecryptable,
            }))
        };
        assert_eq!(timeout(0), FailureReason::Timeout);
        assert_eq!(timeout(3), FailureReason::WrongKeyLikely);
    }
}
