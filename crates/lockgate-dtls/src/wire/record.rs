//! The record header of RFC 6347 §4.1, with the connection ID of RFC 9146 §4.

use super::{BufferTooSmall, Malformed, Reader, Writer};

/// Length of a record header without connection ID, in bytes.
pub const RECORD_HEADER_LEN: usize = 13;

/// What a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentType(pub u8);

impl ContentType {
    /// `change_cipher_spec`
    pub const CHANGE_CIPHER_SPEC: Self = Self(20);
    /// `alert`
    pub const ALERT: Self = Self(21);
    /// `handshake`
    pub const HANDSHAKE: Self = Self(22);
    /// `application_data`
    pub const APPLICATION_DATA: Self = Self(23);
    /// `tls12_cid` (RFC 9146): the true type is inside the encryption
    pub const TLS12_CID: Self = Self(25);
}

/// The header of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Outer content type.
    pub content_type: ContentType,
    /// Record version; carries no negotiation.
    pub version: u16,
    /// Key epoch: 0 is clear text.
    pub epoch: u16,
    /// 48-bit record sequence number.
    pub sequence: u64,
    /// Length of the connection ID in bytes, 0 without one.
    pub cid_len: u8,
    /// Length of what follows the header, in bytes.
    pub length: u16,
}

impl RecordHeader {
    /// Offset of the connection ID in the header, in bytes.
    pub const CID_OFFSET: usize = 11;

    /// Reads the header at the start of `bytes`. A `tls12_cid` record is taken to carry a connection ID of
    /// `own_cid_len` bytes, the length that this side gives out.
    ///
    /// # Errors
    /// [`Malformed`] when the header, or the body it announces, is cut short, and for a `tls12_cid` record where
    /// this side gives out no connection IDs.
    pub fn parse(bytes: &[u8], own_cid_len: u8) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let content_type = ContentType(reader.u8()?);
        let version = reader.u16()?;
        let epoch = reader.u16()?;
        let sequence = reader.u48()?;
        let cid_len = if content_type == ContentType::TLS12_CID {
            if own_cid_len == 0 {
                return Err(Malformed);
            }
            own_cid_len
        } else {
            0
        };
        reader.take(usize::from(cid_len))?;
        let length = reader.u16()?;
        reader.take(usize::from(length))?;
        Ok(Self {
            content_type,
            version,
            epoch,
            sequence,
            cid_len,
            length,
        })
    }

    /// Length of the header in bytes.
    pub fn header_len(&self) -> usize {
        RECORD_HEADER_LEN + usize::from(self.cid_len)
    }

    /// Length of the whole record in bytes.
    pub fn record_len(&self) -> usize {
        self.header_len() + usize::from(self.length)
    }

    /// Writes the header; `cid` is `cid_len` bytes.
    pub fn emit(&self, cid: &[u8], out: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        let mut fixed = [0; Self::CID_OFFSET];
        fixed[0] = self.content_type.0;
        fixed[1..3].copy_from_slice(&self.version.to_be_bytes());
        fixed[3..5].copy_from_slice(&self.epoch.to_be_bytes());
        fixed[5..].copy_from_slice(&self.sequence.to_be_bytes()[2..]);
        out.put(&fixed)?;
        out.put(cid)?;
        out.u16(self.length)
    }
}
