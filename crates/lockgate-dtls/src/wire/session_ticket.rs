//! `NewSessionTicket`: RFC 5077 §3.3.

use super::{BufferTooSmall, Malformed, Reader, Writer};

/// A ticket from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewSessionTicket<'a> {
    /// How long it holds, in seconds; 0 when the server does not say.
    pub lifetime_hint: u32,
    /// The ticket, which only the server can read; empty when it changed its mind.
    pub ticket: &'a [u8],
}

impl<'a> NewSessionTicket<'a> {
    /// Reads the message body.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let lifetime_hint = u32::from_be_bytes(*reader.array()?);
        let ticket = reader.vec16()?;
        reader.end()?;
        Ok(Self {
            lifetime_hint,
            ticket,
        })
    }

    /// Writes the message body.
    pub fn emit(&self, out: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        out.put(&self.lifetime_hint.to_be_bytes())?;
        out.vec16(|w| w.put(self.ticket))
    }
}
