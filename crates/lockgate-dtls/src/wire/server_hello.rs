//! `ServerHello`: RFC 5246 §7.4.1.3 with the extensions that Lockgate reads and writes.

use super::extension::{emit, only_vec8, parse_record_size_limit};
#[cfg(feature = "certificates")]
use super::extension::{names, parse_protocols};
use super::{
    BufferTooSmall, Extension, ExtensionType, Extensions, MAX_SESSION_ID_LEN, Malformed,
    MalformedHello, MaxFragmentLength, RANDOM_LEN, Reader, Writer,
};
use crate::suite::CipherSuite;

/// A `ServerHello`, as parsed or to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "extensions that are there or not"
)]
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
    /// `ec_point_formats` is there.
    pub ec_point_formats: bool,
    /// The chosen name of `application_layer_protocol_negotiation`.
    pub protocol: Option<&'a [u8]>,
    /// The chosen `client_certificate_type`.
    pub client_certificate_type: Option<u8>,
    /// The chosen `server_certificate_type`.
    pub server_certificate_type: Option<u8>,
    /// A `NewSessionTicket` will come (RFC 5077).
    pub session_ticket: bool,
    /// The first extension that is none of the above: a client never offered it.
    pub unsolicited: Option<ExtensionType>,
}

impl<'a> ServerHello<'a> {
    /// An answer without extensions.
    pub const fn new(random: &'a [u8; RANDOM_LEN], cipher_suite: CipherSuite) -> Self {
        Self {
            version: super::DTLS_1_2,
            random,
            session_id: &[],
            cipher_suite,
            compression_method: 0,
            extended_master_secret: false,
            renegotiation_info: None,
            connection_id: None,
            max_fragment_length: None,
            record_size_limit: None,
            server_name: false,
            ec_point_formats: false,
            protocol: None,
            client_certificate_type: None,
            server_certificate_type: None,
            session_ticket: false,
            unsolicited: None,
        }
    }

    /// Reads the message body.
    ///
    /// # Errors
    /// Names the extension that cannot be decoded, where it is one.
    pub fn parse(body: &'a [u8]) -> Result<Self, MalformedHello> {
        let (mut hello, extensions) = Self::parse_fixed(body).map_err(|Malformed| None)?;
        for extension in extensions.iter() {
            hello
                .take_extension(extension)
                .map_err(|Malformed| Some(extension.extension_type))?;
        }
        Ok(hello)
    }

    fn parse_fixed(body: &'a [u8]) -> Result<(Self, Extensions<'a>), Malformed> {
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
        let hello = Self {
            version,
            session_id,
            compression_method,
            ..Self::new(random, cipher_suite)
        };
        Ok((hello, extensions))
    }

    fn take_extension(&mut self, extension: Extension<'a>) -> Result<(), Malformed> {
        let hello = self;
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
            #[cfg(feature = "certificates")]
            ExtensionType::EC_POINT_FORMATS => {
                // The uncompressed form is always there (RFC 8422 §5.1.2).
                if !only_vec8(data)?.contains(&0) {
                    return Err(Malformed);
                }
                hello.ec_point_formats = true;
            }
            #[cfg(feature = "certificates")]
            ExtensionType::ALPN => {
                let list = parse_protocols(data)?;
                let name = names(list).next().ok_or(Malformed)?;
                // Exactly one (RFC 7301 §3.1).
                if name.len() + 1 != list.len() {
                    return Err(Malformed);
                }
                hello.protocol = Some(name);
            }
            #[cfg(feature = "certificates")]
            ExtensionType::CLIENT_CERTIFICATE_TYPE => {
                hello.client_certificate_type = Some(only_u8(data)?);
            }
            #[cfg(feature = "certificates")]
            ExtensionType::SERVER_CERTIFICATE_TYPE => {
                hello.server_certificate_type = Some(only_u8(data)?);
            }
            #[cfg(feature = "resumption")]
            ExtensionType::SESSION_TICKET => {
                Reader::new(data).end()?;
                hello.session_ticket = true;
            }
            other => {
                hello.unsolicited.get_or_insert(other);
            }
        }
        Ok(())
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
            #[cfg(feature = "endpoint")]
            self.emit_for_public_keys(w)?;
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

    #[cfg(feature = "endpoint")]
    fn emit_for_public_keys(&self, out: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        if self.ec_point_formats {
            emit(out, ExtensionType::EC_POINT_FORMATS, |w| {
                w.vec8(|w| w.u8(0))
            })?;
        }
        if let Some(name) = self.protocol {
            emit(out, ExtensionType::ALPN, |w| {
                w.vec16(|w| w.vec8(|w| w.put(name)))
            })?;
        }
        if let Some(chosen) = self.client_certificate_type {
            emit(out, ExtensionType::CLIENT_CERTIFICATE_TYPE, |w| {
                w.u8(chosen)
            })?;
        }
        if let Some(chosen) = self.server_certificate_type {
            emit(out, ExtensionType::SERVER_CERTIFICATE_TYPE, |w| {
                w.u8(chosen)
            })?;
        }
        if self.session_ticket {
            emit(out, ExtensionType::SESSION_TICKET, |_| Ok(()))?;
        }
        Ok(())
    }

    fn has_extensions(&self) -> bool {
        self.server_name
            || self.extended_master_secret
            || self.max_fragment_length.is_some()
            || self.record_size_limit.is_some()
            || self.connection_id.is_some()
            || self.renegotiation_info.is_some()
            || self.ec_point_formats
            || self.protocol.is_some()
            || self.client_certificate_type.is_some()
            || self.server_certificate_type.is_some()
            || self.session_ticket
    }
}

#[cfg(feature = "certificates")]
fn only_u8(data: &[u8]) -> Result<u8, Malformed> {
    match data {
        [value] => Ok(*value),
        _ => Err(Malformed),
    }
}
