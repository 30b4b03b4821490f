//! `ClientHello`: RFC 6347 §4.2.1 with the extensions that Lockgate reads and writes.

use super::extension::{
    emit, only_values16, only_vec8, pairs, parse_protocols, parse_record_size_limit,
    parse_server_name,
};
use super::{
    BufferTooSmall, Extension, ExtensionType, Extensions, MAX_SESSION_ID_LEN, Malformed,
    MalformedHello, MaxFragmentLength, RANDOM_LEN, Reader, Writer,
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
    /// The groups of `supported_groups`, two bytes each.
    pub supported_groups: Option<&'a [u8]>,
    /// The formats of `ec_point_formats`, one byte each.
    pub ec_point_formats: Option<&'a [u8]>,
    /// The schemes of `signature_algorithms`, two bytes each.
    pub signature_algorithms: Option<&'a [u8]>,
    /// The names of `application_layer_protocol_negotiation`, each behind a byte of length.
    pub protocols: Option<&'a [u8]>,
    /// The types of `client_certificate_type`, one byte each.
    pub client_certificate_types: Option<&'a [u8]>,
    /// The types of `server_certificate_type`, one byte each.
    pub server_certificate_types: Option<&'a [u8]>,
    /// The names of `certificate_authorities`, each behind two bytes of length (RFC 8446 §4.2.4).
    pub certificate_authorities: Option<&'a [u8]>,
    /// The body of `session_ticket`: a ticket, or empty to ask for one.
    pub session_ticket: Option<&'a [u8]>,
}

impl<'a> ClientHello<'a> {
    /// A hello that offers nothing.
    pub const fn new(version: u16, random: &'a [u8; RANDOM_LEN]) -> Self {
        Self {
            version,
            random,
            session_id: &[],
            cookie: &[],
            cipher_suites: &[],
            compression_methods: &[0],
            extended_master_secret: false,
            renegotiation_info: false,
            connection_id: None,
            max_fragment_length: None,
            record_size_limit: None,
            server_name: None,
            supported_versions: None,
            supported_groups: None,
            ec_point_formats: None,
            signature_algorithms: None,
            protocols: None,
            client_certificate_types: None,
            server_certificate_types: None,
            certificate_authorities: None,
            session_ticket: None,
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
            session_id,
            cookie,
            cipher_suites,
            compression_methods,
            ..Self::new(version, random)
        };
        hello.renegotiation_info = hello.suites().any(|s| s.0 == EMPTY_RENEGOTIATION_INFO_SCSV);
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
            ExtensionType::SUPPORTED_GROUPS => {
                hello.supported_groups = Some(only_values16(data)?);
            }
            ExtensionType::EC_POINT_FORMATS => hello.ec_point_formats = Some(only_vec8(data)?),
            ExtensionType::SIGNATURE_ALGORITHMS => {
                hello.signature_algorithms = Some(only_values16(data)?);
            }
            ExtensionType::ALPN => hello.protocols = Some(parse_protocols(data)?),
            ExtensionType::CLIENT_CERTIFICATE_TYPE => {
                hello.client_certificate_types = Some(certificate_types(data)?);
            }
            ExtensionType::SERVER_CERTIFICATE_TYPE => {
                hello.server_certificate_types = Some(certificate_types(data)?);
            }
            ExtensionType::CERTIFICATE_AUTHORITIES => {
                hello.certificate_authorities = Some(parse_names16(data)?);
            }
            ExtensionType::SESSION_TICKET => hello.session_ticket = Some(data),
            _ => {}
        }
        Ok(())
    }

    /// The cipher suites in the client's order.
    pub fn suites(&self) -> impl Iterator<Item = CipherSuite> + 'a {
        pairs(self.cipher_suites).map(CipherSuite)
    }

    /// Whether the client accepts `version`, by `supported_versions` where there is one, else by the legacy field.
    pub fn offers_version(&self, version: u16) -> bool {
        match self.supported_versions {
            Some(list) => pairs(list).any(|v| v == version),
            // DTLS versions count down: 1.2 is 0xFEFD, 1.0 is 0xFEFF. A client that names a newer one speaks the older too
            // (RFC 5246 appendix E.1).
            None => self.version <= version,
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
            #[cfg(feature = "certificates")]
            self.emit_for_public_keys(w)?;
            #[cfg(feature = "resumption")]
            if let Some(ticket) = self.session_ticket {
                emit(w, ExtensionType::SESSION_TICKET, |w| w.put(ticket))?;
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

    #[cfg(feature = "certificates")]
    fn emit_for_public_keys(&self, out: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        let lists16 = [
            (ExtensionType::SUPPORTED_GROUPS, self.supported_groups),
            (
                ExtensionType::SIGNATURE_ALGORITHMS,
                self.signature_algorithms,
            ),
            (ExtensionType::ALPN, self.protocols),
        ];
        for (extension_type, list) in lists16 {
            if let Some(list) = list {
                emit(out, extension_type, |w| w.vec16(|w| w.put(list)))?;
            }
        }
        let lists8 = [
            (ExtensionType::EC_POINT_FORMATS, self.ec_point_formats),
            (
                ExtensionType::CLIENT_CERTIFICATE_TYPE,
                self.client_certificate_types,
            ),
            (
                ExtensionType::SERVER_CERTIFICATE_TYPE,
                self.server_certificate_types,
            ),
        ];
        for (extension_type, list) in lists8 {
            if let Some(list) = list {
                emit(out, extension_type, |w| w.vec8(|w| w.put(list)))?;
            }
        }
        Ok(())
    }
}

/// A vector of vectors, both with lengths of two bytes.
fn parse_names16(data: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(data);
    let names = reader.vec16()?;
    reader.end()?;
    let mut list = Reader::new(names);
    while !list.is_empty() {
        list.vec16()?;
    }
    Ok(names)
}

/// The types of RFC 7250 §4.1: at least one.
fn certificate_types(data: &[u8]) -> Result<&[u8], Malformed> {
    let types = only_vec8(data)?;
    if types.is_empty() {
        Err(Malformed)
    } else {
        Ok(types)
    }
}
