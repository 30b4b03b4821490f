//! `HelloVerifyRequest`: RFC 6347 §4.2.1.

use super::{BufferTooSmall, Malformed, Reader, Writer};

/// A `HelloVerifyRequest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloVerifyRequest<'a> {
    /// Not a negotiation: servers write DTLS 1.0 or 1.2.
    pub version: u16,
    /// What the client is to repeat.
    pub cookie: &'a [u8],
}

impl<'a> HelloVerifyRequest<'a> {
    /// Reads the message body.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let cookie = reader.vec8()?;
        reader.end()?;
        Ok(Self { version, cookie })
    }

    /// Writes the message body.
    pub fn emit(&self, out: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        out.u16(self.version)?;
        out.vec8(|w| w.put(self.cookie))
    }
}
