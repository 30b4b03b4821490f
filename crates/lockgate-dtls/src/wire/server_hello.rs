//! `ServerHello`: RFC 5246 §7.4.1.3 with the extensions that Lockgate reads and writes.

use super::extension::{emit, only_vec8, parse_record_size_limit};
use super::{
    BufferTooSmall, ExtensionType, Extensions, MAX_SESSION_ID_LEN, Malformed, MaxFragmentLength,
    RANDOM_LEN, Reader, Writer,
};
use crate::suite::CipherSuite;

/// A `ServerHello`, as parsed or to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerHello<'a> {
    /// Chosen version.
    pub version: u16,
    /// Server random.
    pub random: &'a [u8; RANDOM_LEN],
    /// Session, or empty when it cannot be resumed.
    pub session_id: &'a [u8],
    /// Chosen suite.
    pub cipher_suite: CipherSuite,
    /// Chosen compression method, 0.
    pub compression_method: u8,
    /// `extended_master_secret` is agreed.
    pub extended_master_secret: bool,
    /// The body of `renegotiation_info`, empty in a first handshake.
    pub renegotiation_info: Option<&'a [u8]>,
    /// The connection ID that the server wants to receive.
    pub connection_id: Option<&'a [u8]>,
    /// `max_fragment_length`, an echo.
    pub max_fragment_length: Option<MaxFragmentLength>,
    /// `record_size_limit` in bytes.
    pub record_size_limit: Option<u16>,
    /// `server_name` is acknowledged.
    pub server_name: bool,
    /// The first extension that is none of the above: a client never offered it.
    pub unsolicited: Option<ExtensionType>,
}

impl<'a> ServerHello<'a> {
    /// Reads the message body.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        let session_id = reader.vec8()?;
        let cipher_suite = CipherSuite(reader.u16()?);
        let compression_method = reader.u8()?;
        let extensions = Extensions::parse(&mut reader)?;
        reader.end()?;
        if session_id.len() > MAX_SESSION_ID_LEN {
            return Err(Malformed);
        }
        let mut hello = Self {
            version,
            random,
            session_id,
            cipher_suite,
            compression_method,
            extended_master_secret: false,
            renegotiation_info: None,
            connection_id: None,
            max_fragment_length: None,
            record_size_limit: None,
            server_name: false,
            unsolicited: None,
        };
        for extension in extensions.iter() {
            let data = extension.data;
            match extension.extension_type {
                ExtensionType::EXTENDED_MASTER_SECRET => {
                    Reader::new(data).end()?;
                    hello.extended_master_secret = true;
                }
                ExtensionType::RENEGOTIATION_INFO => {
                    hello.renegotiation_info = Some(only_vec8(data)?);
                }
                ExtensionType::CONNECTION_ID => hello.connection_id = Some(only_vec8(data)?),
                ExtensionType::MAX_FRAGMENT_LENGTH => {
                    hello.max_fragment_length = Some(MaxFragmentLength::parse(data)?);
                }
                ExtensionType::RECORD_SIZE_LIMIT => {
                    hello.record_size_limit = Some(parse_record_size_limit(data)?);
                }
                ExtensionType::SERVER_NAME => {
                    Reader::new(data).end()?;
                    hello.server_name = true;
                }
                other => {
                    hello.unsolicited.get_or_insert(other);
                }
            }
        }
        Ok(hello)
    }

    /// Writes the message body.
    pub fn emit(&self, out: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        out.u16(self.version)?;
        out.put(self.random)?;
        out.vec8(|w| w.put(self.session_id))?;
        out.u16(self.cipher_suite.0)?;
        out.u8(self.compression_method)?;
        if !self.has_extensions() {
            // An empty block is legal, but a client without extensions may not know what a block is.
            return Ok(());
        }
        out.vec16(|w| {
            if self.server_name {
                emit(w, ExtensionType::SERVER_NAME, |_| Ok(()))?;
            }
            if let Some(length) = self.max_fragment_length {
                emit(w, ExtensionType::MAX_FRAGMENT_LENGTH, |w| {
                    w.u8(length as u8)
                })?;
            }
            if self.extended_master_secret {
                emit(w, ExtensionType::EXTENDED_MASTER_SECRET, |_| Ok(()))?;
            }
            if let Some(limit) = self.record_size_limit {
                emit(w, ExtensionType::RECORD_SIZE_LIMIT, |w| w.u16(limit))?;
            }
            if let Some(cid) = self.connection_id {
                emit(w, ExtensionType::CONNECTION_ID, |w| w.vec8(|w| w.put(cid)))?;
            }
            if let Some(info) = self.renegotiation_info {
                emit(w, ExtensionType::RENEGOTIATION_INFO, |w| {
                    w.vec8(|w| w.put(info))
                })?;
            }
            Ok(())
        })
    }

    fn has_extensions(&self) -> bool {
        self.server_name
            || self.extended_master_secret
            || self.max_fragment_length.is_some()
            || self.record_size_limit.is_some()
            || self.connection_id.is_some()
            || self.renegotiation_info.is_some()
    }
}
