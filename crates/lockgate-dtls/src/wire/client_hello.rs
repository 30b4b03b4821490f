//! `ClientHello`: RFC 6347 §4.2.1 with the extensions that Lockgate reads and writes.

use super::extension::{emit, only_vec8, parse_record_size_limit, parse_server_name};
use super::{
    BufferTooSmall, ExtensionType, Extensions, MAX_SESSION_ID_LEN, Malformed, MaxFragmentLength,
    RANDOM_LEN, Reader, Writer,
};
use crate::suite::CipherSuite;

/// Signalling value that stands for an empty `renegotiation_info` (RFC 5746 §3.3).
const EMPTY_RENEGOTIATION_INFO_SCSV: u16 = 0x00FF;

/// A `ClientHello`, as parsed or to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// Highest version of the legacy field.
    pub version: u16,
    /// Client random.
    pub random: &'a [u8; RANDOM_LEN],
    /// Session to resume, or empty.
    pub session_id: &'a [u8],
    /// Cookie of the `HelloVerifyRequest`, or empty.
    pub cookie: &'a [u8],
    /// Cipher suites in the client's order, two bytes each.
    pub cipher_suites: &'a [u8],
    /// Compression methods.
    pub compression_methods: &'a [u8],
    /// `extended_master_secret` is offered.
    pub extended_master_secret: bool,
    /// Secure renegotiation is signalled, by extension or by suite value.
    pub renegotiation_info: bool,
    /// The connection ID that the client wants to receive.
    pub connection_id: Option<&'a [u8]>,
    /// `max_fragment_length`.
    pub max_fragment_length: Option<MaxFragmentLength>,
    /// `record_size_limit` in bytes.
    pub record_size_limit: Option<u16>,
    /// Host name of `server_name`.
    pub server_name: Option<&'a [u8]>,
    /// Body of `supported_versions`' list, two bytes each.
    pub supported_versions: Option<&'a [u8]>,
}

impl<'a> ClientHello<'a> {
    /// Reads the message body.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        let session_id = reader.vec8()?;
        let cookie = reader.vec8()?;
        let cipher_suites = reader.vec16()?;
        let compression_methods = reader.vec8()?;
        let extensions = Extensions::parse(&mut reader)?;
        reader.end()?;
        if session_id.len() > MAX_SESSION_ID_LEN
            || cipher_suites.is_empty()
            || cipher_suites.len() % 2 != 0
            || compression_methods.is_empty()
        {
            return Err(Malformed);
        }
        let mut hello = Self {
            version,
            random,
            session_id,
            cookie,
            cipher_suites,
            compression_methods,
            extended_master_secret: false,
            renegotiation_info: false,
            connection_id: None,
            max_fragment_length: None,
            record_size_limit: None,
            server_name: None,
            supported_versions: None,
        };
        hello.renegotiation_info = hello.suites().any(|s| s.0 == EMPTY_RENEGOTIATION_INFO_SCSV);
        for extension in extensions.iter() {
            let data = extension.data;
            match extension.extension_type {
                ExtensionType::EXTENDED_MASTER_SECRET => {
                    Reader::new(data).end()?;
                    hello.extended_master_secret = true;
                }
                ExtensionType::RENEGOTIATION_INFO => {
                    // Not empty means a renegotiation, which does not exist here.
                    if !only_vec8(data)?.is_empty() {
                        return Err(Malformed);
                    }
                    hello.renegotiation_info = true;
                }
                ExtensionType::CONNECTION_ID => hello.connection_id = Some(only_vec8(data)?),
                ExtensionType::MAX_FRAGMENT_LENGTH => {
                    hello.max_fragment_length = Some(MaxFragmentLength::parse(data)?);
                }
                ExtensionType::RECORD_SIZE_LIMIT => {
                    hello.record_size_limit = Some(parse_record_size_limit(data)?);
                }
                ExtensionType::SERVER_NAME => hello.server_name = parse_server_name(data)?,
                ExtensionType::SUPPORTED_VERSIONS => {
                    let versions = only_vec8(data)?;
                    if versions.is_empty() || versions.len() % 2 != 0 {
                        return Err(Malformed);
                    }
                    hello.supported_versions = Some(versions);
                }
                _ => {}
            }
        }
        Ok(hello)
    }

    /// The cipher suites in the client's order.
    pub fn suites(&self) -> impl Iterator<Item = CipherSuite> + 'a {
        pairs(self.cipher_suites).map(CipherSuite)
    }

    /// Whether the client accepts `version`, by `supported_versions` where there is one, else by the legacy field.
    pub fn offers_version(&self, version: u16) -> bool {
        match self.supported_versions {
            Some(list) => pairs(list).any(|v| v == version),
            // DTLS versions count down: 1.2 is 0xFEFD, 1.0 is 0xFEFF.
            None => self.version >> 8 == 0xFE && self.version <= version,
        }
    }

    /// Writes the message body.
    pub fn emit(&self, out: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        out.u16(self.version)?;
        out.put(self.random)?;
        out.vec8(|w| w.put(self.session_id))?;
        out.vec8(|w| w.put(self.cookie))?;
        out.vec16(|w| w.put(self.cipher_suites))?;
        out.vec8(|w| w.put(self.compression_methods))?;
        out.vec16(|w| {
            if let Some(name) = self.server_name {
                emit(w, ExtensionType::SERVER_NAME, |w| {
                    w.vec16(|w| {
                        w.u8(0)?;
                        w.vec16(|w| w.put(name))
                    })
                })?;
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
            if let Some(versions) = self.supported_versions {
                emit(w, ExtensionType::SUPPORTED_VERSIONS, |w| {
                    w.vec8(|w| w.put(versions))
                })?;
            }
            if let Some(cid) = self.connection_id {
                emit(w, ExtensionType::CONNECTION_ID, |w| w.vec8(|w| w.put(cid)))?;
            }
            if self.renegotiation_info {
                emit(w, ExtensionType::RENEGOTIATION_INFO, |w| w.u8(0))?;
            }
            Ok(())
        })
    }
}

/// The big-endian 16-bit values of `bytes`.
fn pairs(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}
