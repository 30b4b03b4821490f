//! Our errors in words that `config.json` maps to the runner's.
//!
//! The runner looks for a text in what we print, so every fault has a code in brackets that is part of no other.

use std::borrow::Cow;
use std::fmt;

use lockgate_dtls::certificate::CertificateError;
use lockgate_dtls::wire::HandshakeType;
use lockgate_dtls::{
    ApiError, CloseReason, DropReason, HandshakeError, Limit, PeerIncompatible, PeerMisbehaved,
    SendError,
};

/// Why the shim does not exit with 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The test asks for what we do not have (yet).
    NotImplemented(String),
    /// Something went wrong, as the test may well want.
    Fault {
        /// The code, without its brackets.
        code: Cow<'static, str>,
        /// What went wrong, for people.
        text: String,
    },
}

impl Failure {
    /// A fault of this code.
    pub(crate) fn new(code: impl Into<Cow<'static, str>>, text: impl fmt::Display) -> Self {
        Self::Fault {
            code: code.into(),
            text: text.to_string(),
        }
    }

    /// The runner expected something that is not so.
    pub(crate) fn expectation(text: impl fmt::Display) -> Self {
        Self::new("expectation", text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotImplemented(what) => write!(f, "not implemented: {what}"),
            Self::Fault { code, text } => write!(f, "[{code}] {text}"),
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::new("api-misuse", error)
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        Self::new("send", error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new("runner-connection", error)
    }
}

impl From<CloseReason> for Failure {
    fn from(reason: CloseReason) -> Self {
        Self::new(code_of(reason), reason)
    }
}

fn code_of(reason: CloseReason) -> Cow<'static, str> {
    use {CloseReason as C, HandshakeError as H};
    let code = match reason {
        C::HandshakeFailed(H::PeerAlert(alert)) | C::PeerAlert(alert) => {
            return format!("peer-alert-{}", alert.0).into();
        }
        C::HandshakeFailed(H::PeerMisbehaved(fault)) | C::PeerMisbehaved(fault) => {
            return code_of_misbehaviour(fault);
        }
        C::HandshakeFailed(H::PeerIncompatible(lack)) => code_of_lack(lack),
        C::HandshakeFailed(H::Certificate(CertificateError::Refused(_))) => "certificate-refused",
        C::HandshakeFailed(H::Certificate(CertificateError::Missing)) => "certificate-missing",
        C::HandshakeFailed(H::Certificate(_)) => "certificate",
        C::HandshakeFailed(H::NoCredential) => "no-credential",
        C::HandshakeFailed(H::Timeout(_)) => "handshake-timeout",
        C::HandshakeFailed(H::UnknownPskIdentity { .. } | H::NoPskAnswer) => "no-psk",
        C::HandshakeFailed(H::Limit(Limit::CertificateList)) => "message-too-long",
        C::HandshakeFailed(H::Limit(_)) | C::Limit(_) => "limit",
        C::HandshakeFailed(H::Canceled | H::Aborted(_)) | C::Local | C::Aborted(_) => {
            "closed-by-us"
        }
        C::HandshakeFailed(H::Restarted) | C::Replaced => "restarted",
        C::HandshakeFailed(H::Crypto(_)) => "crypto",
        C::PeerClosed => "closed-by-peer",
    };
    code.into()
}

fn code_of_misbehaviour(fault: PeerMisbehaved) -> Cow<'static, str> {
    use PeerMisbehaved as M;
    let code = match fault {
        M::Malformed(HandshakeType::CLIENT_HELLO) => "malformed-client-hello",
        M::Malformed(_) => "malformed-message",
        M::MalformedExtension(extension) => {
            return format!("malformed-extension-{extension}").into();
        }
        M::Unexpected(_) => "unexpected-message",
        M::FinishedInClearText => "clear-text-finished",
        M::IncorrectFinished => "incorrect-finished",
        M::UnsolicitedExtension(_) => "unsolicited-extension",
        M::IllegalChoice => "illegal-choice",
        M::IllegalCipherSuite => "illegal-suite",
        M::IllegalGroup => "illegal-group",
        M::IllegalSignatureScheme => "illegal-signature-scheme",
        M::IllegalProtocol => "illegal-protocol",
        M::WrongCertificateType => "wrong-certificate-type",
        M::BadPublicValue => "bad-public-value",
        M::BadSignature => "bad-signature",
        M::ResumptionMismatch => "resumption-mismatch",
        M::UnknownAlertLevel => "unknown-alert-level",
        M::MalformedAlert => "malformed-alert",
        M::MessageAfterFinished => "message-after-finished",
        M::ExcessHandshakeData => "excess-handshake-data",
        M::RecordOverflow => "record-too-long",
        M::TooManyCookies => "too-many-cookies",
        M::RenegotiationInfo => "renegotiation-info",
    };
    code.into()
}

const fn code_of_lack(lack: PeerIncompatible) -> &'static str {
    use PeerIncompatible as I;
    match lack {
        I::NoCommonCipherSuite => "no-common-suite",
        I::NoCommonVersion => "no-common-version",
        I::ExtendedMasterSecretRequired => "no-extended-master-secret",
        I::ConnectionIdTooLong => "connection-id-too-long",
        I::NullCompressionRequired => "no-null-compression",
        I::NoCommonGroup => "no-common-group",
        I::NoCommonSignatureScheme => "no-common-signature-scheme",
        I::NoCommonCertificateType => "no-credential-of-type",
        I::NoCommonProtocol => "no-common-protocol",
    }
}

/// The fault that a dropped record shows while a handshake is under way, where the runner wants one to end there.
///
/// What anybody can send in clear text ends no handshake of ours: the engine drops it, and names the reason. These tests
/// want to see that the fault was noticed, and by its name; the shim ends the connection in the engine's stead.
pub(crate) fn of_drop(reason: DropReason) -> Option<Failure> {
    let code = match reason {
        DropReason::ClearTextApplicationData => "clear-text-application-data",
        DropReason::MalformedAlert => "malformed-alert",
        DropReason::MalformedChangeCipherSpec => "malformed-change-cipher-spec",
        DropReason::MalformedHandshakeRecord => "malformed-handshake-record",
        DropReason::FragmentMismatch => "fragment-mismatch",
        DropReason::MixedEpochs => "mixed-epochs",
        _ => return None,
    };
    Some(Failure::new(
        code,
        format_args!("a record was dropped: {reason}"),
    ))
}
