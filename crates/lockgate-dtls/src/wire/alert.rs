//! Alerts: RFC 5246 §7.2 and its successors.

use core::fmt;

use super::{Malformed, Reader};

/// How serious an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertLevel {
    /// The connection may go on.
    Warning,
    /// The connection is over.
    Fatal,
}

/// What an alert says.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AlertDescription(pub u8);

impl AlertDescription {
    /// `close_notify`: the peer will send no more.
    pub const CLOSE_NOTIFY: Self = Self(0);
    /// `unexpected_message`: a message that does not belong here.
    pub const UNEXPECTED_MESSAGE: Self = Self(10);
    /// `bad_record_mac`: a record that does not open.
    pub const BAD_RECORD_MAC: Self = Self(20);
    /// `record_overflow`: a record over the limit.
    pub const RECORD_OVERFLOW: Self = Self(22);
    /// `handshake_failure`: no acceptable set of parameters.
    pub const HANDSHAKE_FAILURE: Self = Self(40);
    /// `bad_certificate`: a certificate that is corrupt, or whose signatures do not verify.
    pub const BAD_CERTIFICATE: Self = Self(42);
    /// `unsupported_certificate`: a certificate of a type that is not supported.
    pub const UNSUPPORTED_CERTIFICATE: Self = Self(43);
    /// `certificate_revoked`: a certificate that its authority has withdrawn.
    pub const CERTIFICATE_REVOKED: Self = Self(44);
    /// `certificate_expired`: a certificate out of its time.
    pub const CERTIFICATE_EXPIRED: Self = Self(45);
    /// `certificate_unknown`: a certificate that is not acceptable for another reason.
    pub const CERTIFICATE_UNKNOWN: Self = Self(46);
    /// `illegal_parameter`: a field out of range or inconsistent with others.
    pub const ILLEGAL_PARAMETER: Self = Self(47);
    /// `unknown_ca`: a certificate from an authority that is not known.
    pub const UNKNOWN_CA: Self = Self(48);
    /// `access_denied`: a valid certificate whose owner may not come in.
    pub const ACCESS_DENIED: Self = Self(49);
    /// `decode_error`: a message that cannot be decoded.
    pub const DECODE_ERROR: Self = Self(50);
    /// `decrypt_error`: a cryptographic check of the handshake failed.
    pub const DECRYPT_ERROR: Self = Self(51);
    /// `protocol_version`: no common protocol version.
    pub const PROTOCOL_VERSION: Self = Self(70);
    /// `insufficient_security`: the parameters are too weak.
    pub const INSUFFICIENT_SECURITY: Self = Self(71);
    /// `internal_error`: a fault on our own side.
    pub const INTERNAL_ERROR: Self = Self(80);
    /// `user_canceled`: the user gave up.
    pub const USER_CANCELED: Self = Self(90);
    /// `no_renegotiation`: no renegotiation here.
    pub const NO_RENEGOTIATION: Self = Self(100);
    /// `unsupported_extension`: an extension that was not offered.
    pub const UNSUPPORTED_EXTENSION: Self = Self(110);
    /// `unrecognized_name`: no such host name here (RFC 6066).
    pub const UNRECOGNIZED_NAME: Self = Self(112);
    /// `unknown_psk_identity`: no key for this PSK identity (RFC 4279).
    pub const UNKNOWN_PSK_IDENTITY: Self = Self(115);
    /// `no_application_protocol`: no common application protocol (RFC 7301).
    pub const NO_APPLICATION_PROTOCOL: Self = Self(120);

    /// The registry's name, or `None` for an unknown description.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::CLOSE_NOTIFY => "close_notify",
            Self::UNEXPECTED_MESSAGE => "unexpected_message",
            Self::BAD_RECORD_MAC => "bad_record_mac",
            Self::RECORD_OVERFLOW => "record_overflow",
            Self::HANDSHAKE_FAILURE => "handshake_failure",
            Self::BAD_CERTIFICATE => "bad_certificate",
            Self::UNSUPPORTED_CERTIFICATE => "unsupported_certificate",
            Self::CERTIFICATE_REVOKED => "certificate_revoked",
            Self::CERTIFICATE_EXPIRED => "certificate_expired",
            Self::CERTIFICATE_UNKNOWN => "certificate_unknown",
            Self::ILLEGAL_PARAMETER => "illegal_parameter",
            Self::UNKNOWN_CA => "unknown_ca",
            Self::ACCESS_DENIED => "access_denied",
            Self::DECODE_ERROR => "decode_error",
            Self::DECRYPT_ERROR => "decrypt_error",
            Self::PROTOCOL_VERSION => "protocol_version",
            Self::INSUFFICIENT_SECURITY => "insufficient_security",
            Self::INTERNAL_ERROR => "internal_error",
            Self::USER_CANCELED => "user_canceled",
            Self::NO_RENEGOTIATION => "no_renegotiation",
            Self::UNSUPPORTED_EXTENSION => "unsupported_extension",
            Self::UNRECOGNIZED_NAME => "unrecognized_name",
            Self::UNKNOWN_PSK_IDENTITY => "unknown_psk_identity",
            Self::NO_APPLICATION_PROTOCOL => "no_application_protocol",
            _ => return None,
        })
    }
}

impl fmt::Debug for AlertDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for AlertDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "alert {}", self.0),
        }
    }
}

/// An alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// How serious.
    pub level: AlertLevel,
    /// What about.
    pub description: AlertDescription,
}

impl Alert {
    /// The orderly end of a connection.
    pub const CLOSE_NOTIFY: Self = Self {
        level: AlertLevel::Warning,
        description: AlertDescription::CLOSE_NOTIFY,
    };

    /// A fatal alert.
    pub const fn fatal(description: AlertDescription) -> Self {
        Self {
            level: AlertLevel::Fatal,
            description,
        }
    }

    /// Reads an alert; the level of an unknown number counts as fatal.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let level = if reader.u8()? == 1 {
            AlertLevel::Warning
        } else {
            AlertLevel::Fatal
        };
        let description = AlertDescription(reader.u8()?);
        reader.end()?;
        Ok(Self { level, description })
    }

    /// The alert's bytes.
    pub const fn to_bytes(self) -> [u8; 2] {
        let level = match self.level {
            AlertLevel::Warning => 1,
            AlertLevel::Fatal => 2,
        };
        [level, self.description.0]
    }
}
