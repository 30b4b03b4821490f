//! Hello extensions: RFC 5246 §7.4.1.4 and the registry.

use super::{BufferTooSmall, Malformed, Reader, Writer};

/// The type of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionType(pub u16);

impl ExtensionType {
    /// `server_name` (RFC 6066)
    pub const SERVER_NAME: Self = Self(0);
    /// `max_fragment_length` (RFC 6066)
    pub const MAX_FRAGMENT_LENGTH: Self = Self(1);
    /// `supported_groups` (RFC 8422)
    pub const SUPPORTED_GROUPS: Self = Self(10);
    /// `ec_point_formats` (RFC 8422)
    pub const EC_POINT_FORMATS: Self = Self(11);
    /// `signature_algorithms` (RFC 5246)
    pub const SIGNATURE_ALGORITHMS: Self = Self(13);
    /// `application_layer_protocol_negotiation` (RFC 7301)
    pub const ALPN: Self = Self(16);
    /// `client_certificate_type` (RFC 7250)
    pub const CLIENT_CERTIFICATE_TYPE: Self = Self(19);
    /// `server_certificate_type` (RFC 7250)
    pub const SERVER_CERTIFICATE_TYPE: Self = Self(20);
    /// `extended_master_secret` (RFC 7627)
    pub const EXTENDED_MASTER_SECRET: Self = Self(23);
    /// `record_size_limit` (RFC 8449)
    pub const RECORD_SIZE_LIMIT: Self = Self(28);
    /// `session_ticket` (RFC 5077)
    pub const SESSION_TICKET: Self = Self(35);
    /// `supported_versions` (RFC 8446)
    pub const SUPPORTED_VERSIONS: Self = Self(43);
    /// `certificate_authorities` (RFC 8446)
    pub const CERTIFICATE_AUTHORITIES: Self = Self(47);
    /// `connection_id` (RFC 9146)
    pub const CONNECTION_ID: Self = Self(54);
    /// `renegotiation_info` (RFC 5746)
    pub const RENEGOTIATION_INFO: Self = Self(0xFF01);

    /// A bit of its own for each type that is read here and for others of small numbers, none for the rest.
    const fn bit(self) -> u64 {
        match self.0 {
            number @ 0..63 => 1 << number,
            0xFF01 => 1 << 63,
            _ => 0,
        }
    }
}

/// How many extensions of types without a bit of their own a hello may have.
#[cfg(feature = "endpoint")]
pub(super) const MAX_UNKNOWN_EXTENSIONS: usize = 32;

/// One extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Its type.
    pub extension_type: ExtensionType,
    /// Its body, not yet parsed.
    pub data: &'a [u8],
}

/// The extensions of a hello, checked to be well framed, and each that means something here to be there once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions<'a> {
    bytes: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// Reads an extension block up to the end of the message; a message that ends here has none.
    ///
    /// # Errors
    /// [`Malformed`] also when a type stands twice (RFC 5246 §7.4.1.4), or when there are more than 32 types of high
    /// numbers that are passed over: to compare them costs the square of their number. A client alone does not compare
    /// these: one is enough for it to refuse the hello.
    pub fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        if reader.is_empty() {
            return Ok(Self::default());
        }
        let all = Self {
            bytes: reader.vec16()?,
        };
        let mut rest = Reader::new(all.bytes);
        let mut seen = 0;
        #[cfg(feature = "endpoint")]
        let (mut unknown, mut unknown_len) = ([0u16; MAX_UNKNOWN_EXTENSIONS], 0);
        while !rest.is_empty() {
            let extension_type = ExtensionType(rest.u16()?);
            rest.vec16()?;
            let bit = extension_type.bit();
            if seen & bit != 0 {
                return Err(Malformed);
            }
            seen |= bit;
            #[cfg(feature = "endpoint")]
            if bit == 0 {
                let (before, free) = unknown.split_at_mut(unknown_len);
                if before.contains(&extension_type.0) {
                    return Err(Malformed);
                }
                *free.first_mut().ok_or(Malformed)? = extension_type.0;
                unknown_len += 1;
            }
        }
        Ok(all)
    }

    /// All extensions in order.
    pub fn iter(self) -> impl Iterator<Item = Extension<'a>> {
        let mut reader = Reader::new(self.bytes);
        core::iter::from_fn(move || {
            let extension_type = ExtensionType(reader.u16().ok()?);
            let data = reader.vec16().ok()?;
            Some(Extension {
                extension_type,
                data,
            })
        })
    }

    /// The body of the extension of this type, if it is there.
    pub fn get(self, extension_type: ExtensionType) -> Option<&'a [u8]> {
        self.iter()
            .find(|e| e.extension_type == extension_type)
            .map(|e| e.data)
    }
}

/// What of a hello cannot be decoded: this extension, or with `None` the message itself.
pub type MalformedHello = Option<ExtensionType>;

/// Appends an extension whose body `content` writes.
pub(super) fn emit(
    out: &mut Writer<'_>,
    extension_type: ExtensionType,
    content: impl FnOnce(&mut Writer<'_>) -> Result<(), BufferTooSmall>,
) -> Result<(), BufferTooSmall> {
    out.u16(extension_type.0)?;
    out.vec16(content)
}

/// A vector with a length of one byte that is all of `data` (`connection_id`, `renegotiation_info`).
pub(super) fn only_vec8(data: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(data);
    let content = reader.vec8()?;
    reader.end()?;
    Ok(content)
}

/// The value of `max_fragment_length` (RFC 6066 §4): the longest plaintext either side sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxFragmentLength {
    /// 512 bytes
    Bytes512 = 1,
    /// 1,024 bytes
    Bytes1024 = 2,
    /// 2,048 bytes
    Bytes2048 = 3,
    /// 4,096 bytes
    Bytes4096 = 4,
}

impl MaxFragmentLength {
    /// Reads the extension's body.
    pub fn parse(data: &[u8]) -> Result<Self, Malformed> {
        match data {
            [1] => Ok(Self::Bytes512),
            [2] => Ok(Self::Bytes1024),
            [3] => Ok(Self::Bytes2048),
            [4] => Ok(Self::Bytes4096),
            _ => Err(Malformed),
        }
    }

    /// The limit in bytes.
    pub const fn bytes(self) -> u16 {
        256 << self as u16
    }
}

/// The host name of `server_name` (RFC 6066 §3); other name types are passed over.
pub(super) fn parse_server_name(data: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let mut reader = Reader::new(data);
    let mut list = Reader::new(reader.vec16()?);
    reader.end()?;
    let mut host = None;
    if list.is_empty() {
        return Err(Malformed);
    }
    while !list.is_empty() {
        let name_type = list.u8()?;
        let name = list.vec16()?;
        if name_type == 0 {
            if name.is_empty() || name.contains(&0) || host.is_some() {
                return Err(Malformed);
            }
            host = Some(name);
        }
    }
    Ok(host)
}

/// The body of `record_size_limit` (RFC 8449 §4): at least 64.
pub(super) fn parse_record_size_limit(data: &[u8]) -> Result<u16, Malformed> {
    let mut reader = Reader::new(data);
    let limit = reader.u16()?;
    reader.end()?;
    if limit < 64 {
        Err(Malformed)
    } else {
        Ok(limit)
    }
}

/// A vector with a length of two bytes that is all of `data` and holds 16-bit values, at least one
/// (`supported_groups`, `signature_algorithms`).
pub(super) fn only_values16(data: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(data);
    let values = reader.vec16()?;
    reader.end()?;
    if values.is_empty() || values.len() % 2 != 0 {
        return Err(Malformed);
    }
    Ok(values)
}

/// The names of ALPN, each behind a byte of length and none empty (RFC 7301 §3.1).
pub(super) fn parse_protocols(data: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(data);
    let names = reader.vec16()?;
    reader.end()?;
    let mut list = Reader::new(names);
    if list.is_empty() {
        return Err(Malformed);
    }
    while !list.is_empty() {
        if list.vec8()?.is_empty() {
            return Err(Malformed);
        }
    }
    Ok(names)
}

/// The big-endian 16-bit values of `bytes`.
pub(crate) fn pairs(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

/// The names of a checked ALPN list.
#[cfg(feature = "certificates")]
pub(crate) fn names(list: &[u8]) -> impl Iterator<Item = &[u8]> + '_ {
    let mut reader = Reader::new(list);
    core::iter::from_fn(move || reader.vec8().ok())
}
