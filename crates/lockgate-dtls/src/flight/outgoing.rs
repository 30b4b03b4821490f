//! Our flight: whole messages, kept until they are answered, cut into fragments each time they are sent.

use crate::wire::{BufferTooSmall, HandshakeType, Writer};

/// Under which keys a piece goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Epoch 0.
    ClearText,
    /// Epoch 1.
    Protected,
}

/// What stands in one entry of the flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Message {
        protection: Protection,
        msg_type: HandshakeType,
        message_seq: u16,
    },
    ChangeCipherSpec,
}

/// Bytes before each message of a flight in its memory.
pub(crate) const ENTRY_HEADER_LEN: usize = 6;

/// The flight in the scratch memory that it was lent: a row of entries.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    used: u16,
    /// The entry that is to be sent next, and how much of it has been.
    cursor: u16,
    fragment_offset: u16,
    pending: bool,
}

/// The next thing to put into a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A handshake fragment: `rest` is what has not been sent of a body of `length` bytes, from `offset`.
    Fragment {
        protection: Protection,
        msg_type: HandshakeType,
        message_seq: u16,
        length: u16,
        offset: u16,
        rest: &'a [u8],
    },
    ChangeCipherSpec,
}

impl Outgoing {
    /// Forgets the flight.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds a message whose body `content` writes, and returns the body.
    pub(crate) fn message<'a>(
        &mut self,
        scratch: &'a mut [u8],
        protection: Protection,
        msg_type: HandshakeType,
        message_seq: u16,
        content: impl FnOnce(&mut Writer<'_>) -> Result<(), BufferTooSmall>,
    ) -> Result<&'a [u8], BufferTooSmall> {
        let entry = scratch
            .get_mut(usize::from(self.used)..)
            .ok_or(BufferTooSmall)?;
        let (header, body) = entry
            .split_at_mut_checked(ENTRY_HEADER_LEN)
            .ok_or(BufferTooSmall)?;
        let mut writer = Writer::new(body);
        content(&mut writer)?;
        let len = writer.len();
        let total = u16::try_from(ENTRY_HEADER_LEN + len).map_err(|_| BufferTooSmall)?;
        header[0] = match protection {
            Protection::ClearText => 0,
            Protection::Protected => 1,
        };
        header[1] = msg_type.0;
        header[2..4].copy_from_slice(&message_seq.to_be_bytes());
        header[4..6].copy_from_slice(&(len as u16).to_be_bytes());
        self.used = self.used.checked_add(total).ok_or(BufferTooSmall)?;
        self.pending = true;
        Ok(&body[..len])
    }

    /// Adds a `ChangeCipherSpec`.
    pub(crate) fn change_cipher_spec(&mut self, scratch: &mut [u8]) -> Result<(), BufferTooSmall> {
        let at = usize::from(self.used);
        let header = scratch
            .get_mut(at..at + ENTRY_HEADER_LEN)
            .ok_or(BufferTooSmall)?;
        header.fill(0);
        header[0] = 2;
        self.used = self
            .used
            .checked_add(ENTRY_HEADER_LEN as u16)
            .ok_or(BufferTooSmall)?;
        self.pending = true;
        Ok(())
    }

    /// How many bytes of the scratch memory the flight takes.
    pub(crate) const fn len(&self) -> usize {
        self.used as usize
    }

    /// Exchanges the vector with a length of one byte at `at` in the only message, which becomes number
    /// `message_seq` and is to be sent from its start.
    pub(crate) fn replace_in_first(
        &mut self,
        scratch: &mut [u8],
        message_seq: u16,
        at: usize,
        content: &[u8],
    ) -> Result<(), BufferTooSmall> {
        let start = ENTRY_HEADER_LEN + at + 1;
        let end = usize::from(self.used);
        let old = *scratch.get(start - 1).ok_or(BufferTooSmall)?;
        let tail = start + usize::from(old)..end;
        let new_tail = start + content.len();
        let new_end = new_tail + tail.len();
        if new_end > scratch.len() || tail.end < tail.start {
            return Err(BufferTooSmall);
        }
        scratch.copy_within(tail, new_tail);
        scratch[start - 1] = u8::try_from(content.len()).map_err(|_| BufferTooSmall)?;
        scratch[start..new_tail].copy_from_slice(content);
        scratch[2..4].copy_from_slice(&message_seq.to_be_bytes());
        let body = (new_end - ENTRY_HEADER_LEN) as u16;
        scratch[4..6].copy_from_slice(&body.to_be_bytes());
        self.used = new_end as u16;
        self.rewind();
        Ok(())
    }

    /// The body of the first message; a client reads its own `ClientHello` back.
    pub(crate) fn first_message<'a>(&self, scratch: &'a [u8]) -> Option<&'a [u8]> {
        let (_, body) = self.entry(scratch, 0)?;
        Some(body)
    }

    /// Leaves off sending; the flight is kept, for [`Outgoing::rewind`].
    #[cfg(feature = "resumption")]
    pub(crate) const fn hold(&mut self) {
        self.pending = false;
    }

    /// Starts to send everything again.
    pub(crate) fn rewind(&mut self) {
        self.cursor = 0;
        self.fragment_offset = 0;
        self.pending = self.used > 0;
    }

    /// Whether something is left to send.
    pub(crate) const fn is_pending(&self) -> bool {
        self.pending
    }

    /// What is to be sent next.
    pub(crate) fn peek<'a>(&self, scratch: &'a [u8]) -> Option<Piece<'a>> {
        if !self.pending {
            return None;
        }
        let (entry, body) = self.entry(scratch, usize::from(self.cursor))?;
        Some(match entry {
            Entry::ChangeCipherSpec => Piece::ChangeCipherSpec,
            Entry::Message {
                protection,
                msg_type,
                message_seq,
            } => Piece::Fragment {
                protection,
                msg_type,
                message_seq,
                length: body.len() as u16,
                offset: self.fragment_offset,
                rest: body.get(usize::from(self.fragment_offset)..)?,
            },
        })
    }

    /// `len` bytes of the body that [`Outgoing::peek`] showed have been sent.
    pub(crate) fn advance(&mut self, scratch: &[u8], len: usize) {
        let Some((_, body)) = self.entry(scratch, usize::from(self.cursor)) else {
            self.pending = false;
            return;
        };
        let sent = usize::from(self.fragment_offset) + len;
        if sent < body.len() {
            self.fragment_offset = sent as u16;
        } else {
            self.cursor += (ENTRY_HEADER_LEN + body.len()) as u16;
            self.fragment_offset = 0;
            self.pending = self.cursor < self.used;
        }
    }

    fn entry<'a>(&self, scratch: &'a [u8], at: usize) -> Option<(Entry, &'a [u8])> {
        let used = scratch.get(..usize::from(self.used))?;
        let (header, rest) = used.get(at..)?.split_at_checked(ENTRY_HEADER_LEN)?;
        let message_seq = u16::from_be_bytes([header[2], header[3]]);
        let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let msg_type = HandshakeType(header[1]);
        let entry = match header[0] {
            0 => Entry::Message {
                protection: Protection::ClearText,
                msg_type,
                message_seq,
            },
            1 => Entry::Message {
                protection: Protection::Protected,
                msg_type,
                message_seq,
            },
            _ => Entry::ChangeCipherSpec,
        };
        Some((entry, rest.get(..len)?))
    }
}
