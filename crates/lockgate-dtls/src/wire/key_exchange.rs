//! Key exchange messages of plain PSK: RFC 4279 §2.

use super::{BufferTooSmall, Malformed, Reader, Writer};

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
