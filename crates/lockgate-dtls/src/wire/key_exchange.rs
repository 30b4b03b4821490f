//! Key exchange messages: plain PSK (RFC 4279 §2), ECDHE (RFC 8422 §5.4, §5.7) and `ECDHE_PSK` (RFC 5489 §2).

use super::{BufferTooSmall, Malformed, Reader, Writer};
use crate::crypto::{NamedGroup, SignatureScheme};

/// `ServerKeyExchange` of plain PSK, sent only when there is a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PskServerKeyExchange<'a> {
    /// Helps the client to choose its identity.
    pub identity_hint: &'a [u8],
}

impl<'a> PskServerKeyExchange<'a> {
    /// Reads the message body.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        only_vec16(body).map(|identity_hint| Self { identity_hint })
    }

    /// Writes the message body.
    pub fn emit(&self, out: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        out.vec16(|w| w.put(self.identity_hint))
    }
}

/// `ClientKeyExchange` of plain PSK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PskClientKeyExchange<'a> {
    /// Names the key.
    pub identity: &'a [u8],
}

impl<'a> PskClientKeyExchange<'a> {
    /// Reads the message body.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        only_vec16(body).map(|identity| Self { identity })
    }

    /// Writes the message body.
    pub fn emit(&self, out: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        out.vec16(|w| w.put(self.identity))
    }
}

fn only_vec16(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(body);
    let content = reader.vec16()?;
    reader.end()?;
    Ok(content)
}

/// Curve parameters that name their group (RFC 8422 §5.4).
const NAMED_CURVE: u8 = 3;

/// The server's ephemeral public value: `ServerECDHParams`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EcdheParams<'a> {
    /// The group.
    pub group: NamedGroup,
    /// The public value in that group.
    pub public_value: &'a [u8],
}

impl<'a> EcdheParams<'a> {
    /// Reads from the front of `reader`.
    pub fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        if reader.u8()? != NAMED_CURVE {
            return Err(Malformed);
        }
        let group = NamedGroup(reader.u16()?);
        let public_value = reader.vec8()?;
        if public_value.is_empty() {
            return Err(Malformed);
        }
        Ok(Self {
            group,
            public_value,
        })
    }

    /// Writes the parameters.
    pub fn emit(&self, out: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        out.u8(NAMED_CURVE)?;
        out.u16(self.group.0)?;
        out.vec8(|w| w.put(self.public_value))
    }
}

/// A signature with its scheme: `DigitallySigned` (RFC 5246 §4.7), in `ServerKeyExchange` and `CertificateVerify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    /// Hash and signature algorithm.
    pub scheme: SignatureScheme,
    /// The signature.
    pub signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Reads all that is left.
    pub fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let scheme = SignatureScheme(reader.u16()?);
        let signature = reader.vec16()?;
        reader.end()?;
        Ok(Self { scheme, signature })
    }

    /// Writes scheme and signature.
    pub fn emit(&self, out: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        out.u16(self.scheme.0)?;
        out.vec16(|w| w.put(self.signature))
    }
}

/// `ClientKeyExchange` of ECDHE, or of `ECDHE_PSK` with an identity before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EcdheClientKeyExchange<'a> {
    /// Names the key, in `ECDHE_PSK`.
    pub identity: Option<&'a [u8]>,
    /// The client's ephemeral public value.
    pub public_value: &'a [u8],
}

impl<'a> EcdheClientKeyExchange<'a> {
    /// Reads the message body.
    pub fn parse(body: &'a [u8], with_psk: bool) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let identity = if with_psk {
            Some(reader.vec16()?)
        } else {
            None
        };
        let public_value = reader.vec8()?;
        reader.end()?;
        Ok(Self {
            identity,
            public_value,
        })
    }

    /// Writes the message body.
    pub fn emit(&self, out: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        if let Some(identity) = self.identity {
            out.vec16(|w| w.put(identity))?;
        }
        out.vec8(|w| w.put(self.public_value))
    }
}
