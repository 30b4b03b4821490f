//! The handshake message header of RFC 6347 §4.2.2.

use super::{BufferTooSmall, Malformed, Reader, Writer};

/// Length of a handshake message header in bytes.
pub const HANDSHAKE_HEADER_LEN: usize = 12;

/// The type of a handshake message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeType(pub u8);

impl HandshakeType {
    /// `hello_request`
    pub const HELLO_REQUEST: Self = Self(0);
    /// `client_hello`
    pub const CLIENT_HELLO: Self = Self(1);
    /// `server_hello`
    pub const SERVER_HELLO: Self = Self(2);
    /// `hello_verify_request`
    pub const HELLO_VERIFY_REQUEST: Self = Self(3);
    /// `new_session_ticket` (RFC 5077)
    pub const NEW_SESSION_TICKET: Self = Self(4);
    /// `certificate`
    pub const CERTIFICATE: Self = Self(11);
    /// `server_key_exchange`
    pub const SERVER_KEY_EXCHANGE: Self = Self(12);
    /// `certificate_request`
    pub const CERTIFICATE_REQUEST: Self = Self(13);
    /// `server_hello_done`
    pub const SERVER_HELLO_DONE: Self = Self(14);
    /// `certificate_verify`
    pub const CERTIFICATE_VERIFY: Self = Self(15);
    /// `client_key_exchange`
    pub const CLIENT_KEY_EXCHANGE: Self = Self(16);
    /// `finished`
    pub const FINISHED: Self = Self(20);
}

/// The header of a handshake message or of a fragment of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeHeader {
    /// Message type.
    pub msg_type: HandshakeType,
    /// Length of the whole message body in bytes, 24 bits.
    pub length: u32,
    /// Message number within the handshake.
    pub message_seq: u16,
    /// Where this fragment begins in the body, in bytes.
    pub fragment_offset: u32,
    /// Length of this fragment in bytes.
    pub fragment_length: u32,
}

impl HandshakeHeader {
    /// The header of a message that is not fragmented.
    pub const fn whole(msg_type: HandshakeType, message_seq: u16, length: u32) -> Self {
        Self {
            msg_type,
            length,
            message_seq,
            fragment_offset: 0,
            fragment_length: length,
        }
    }

    /// Reads a header and its fragment.
    ///
    /// # Errors
    /// [`Malformed`] when bytes are missing or the fragment lies outside its message.
    pub fn parse<'a>(reader: &mut Reader<'a>) -> Result<(Self, &'a [u8]), Malformed> {
        let msg_type = HandshakeType(reader.u8()?);
        let length = reader.u24()?;
        let message_seq = reader.u16()?;
        let fragment_offset = reader.u24()?;
        let fragment_length = reader.u24()?;
        if fragment_offset + fragment_length > length {
            return Err(Malformed);
        }
        let fragment = reader.take(fragment_length as usize)?;
        Ok((
            Self {
                msg_type,
                length,
                message_seq,
                fragment_offset,
                fragment_length,
            },
            fragment,
        ))
    }

    /// Whether the fragment is the whole message.
    pub const fn is_whole(&self) -> bool {
        self.fragment_length == self.length
    }

    /// The header's bytes.
    pub fn to_bytes(self) -> [u8; HANDSHAKE_HEADER_LEN] {
        let mut bytes = [0; HANDSHAKE_HEADER_LEN];
        bytes[0] = self.msg_type.0;
        bytes[1..4].copy_from_slice(&self.length.to_be_bytes()[1..]);
        bytes[4..6].copy_from_slice(&self.message_seq.to_be_bytes());
        bytes[6..9].copy_from_slice(&self.fragment_offset.to_be_bytes()[1..]);
        bytes[9..12].copy_from_slice(&self.fragment_length.to_be_bytes()[1..]);
        bytes
    }

    /// Writes the header.
    pub fn emit(self, out: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        out.put(&self.to_bytes())
    }
}
