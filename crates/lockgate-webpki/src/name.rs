//! Names in certificates, as people read them.

use core::fmt::{self, Write};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lockgate_dtls::wire::Malformed;

use crate::der;

/// The longest name that is shown whole, in relative distinguished names.
const MAX_SHOWN: usize = 32;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Attribute types with short names: RFC 4514 §3, and those that certificates of devices carry besides.
const SHORT_NAMES: [(&[u8], &str); 14] = [
    (COMMON_NAME, "CN"),
    (&[0x55, 0x04, 0x04], "SN"),
    (&[0x55, 0x04, 0x05], "serialNumber"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x09], "STREET"),
    (&[0x55, 0x04, 0x0A], "O"),
    (&[0x55, 0x04, 0x0B], "OU"),
    (&[0x55, 0x04, 0x0C], "title"),
    (&[0x55, 0x04, 0x2A], "GN"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 0x01, 0x19],
        "DC",
    ),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 0x01, 0x01],
        "UID",
    ),
    (
        &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x01],
        "emailAddress",
    ),
];

/// A `Name` (RFC 5280 §4.1.2.4). Shown as RFC 4514 has it, the most specific part first: `CN=device-1,O=Example,C=DE`.
/// Whatever could garble a log is shown as `\` and two hexadecimal digits per byte.
#[derive(Clone, Copy)]
pub struct DistinguishedName<'a> {
    /// The DER, which has been read once.
    der: &'a [u8],
}

impl<'a> DistinguishedName<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = der::Reader::new(der);
        let mut parts = outer.nested(der::SEQUENCE)?;
        outer.end()?;
        while !parts.is_empty() {
            let mut part = parts.nested(der::SET)?;
            while !part.is_empty() {
                Attribute::read(&mut part)?;
            }
        }
        Ok(Self { der })
    }

    /// The DER.
    pub const fn der(&self) -> &'a [u8] {
        self.der
    }

    /// Whether it names nothing: the subject of a certificate whose names are all alternative ones.
    pub fn is_empty(&self) -> bool {
        self.parts().next().is_none()
    }

    /// The last `commonName`, which is the most specific one, unless it is empty.
    pub fn common_name(&self) -> Option<Text<'a>> {
        self.parts()
            .flat_map(attributes)
            .filter(|attribute| attribute.id == COMMON_NAME && !attribute.value.contents.is_empty())
            .filter_map(|attribute| Text::of(attribute.value))
            .last()
    }

    /// The relative distinguished names as they are encoded: the least specific one first.
    fn parts(&self) -> impl Iterator<Item = der::Reader<'a>> + use<'a> {
        let mut outer = der::Reader::new(self.der);
        let mut parts = outer.nested(der::SEQUENCE).ok();
        core::iter::from_fn(move || parts.as_mut()?.nested(der::SET).ok())
    }
}

impl fmt::Display for DistinguishedName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = [der::Reader::new(&[]); MAX_SHOWN];
        let mut count = 0;
        // The last ones are the most specific.
        for part in self.parts() {
            shown[count % MAX_SHOWN] = part;
            count += 1;
        }
        for place in 0..count.min(MAX_SHOWN) {
            if place > 0 {
                f.write_char(',')?;
            }
            for (place, attribute) in attributes(shown[(count - 1 - place) % MAX_SHOWN]).enumerate()
            {
                if place > 0 {
                    f.write_char('+')?;
                }
                fmt::Display::fmt(&attribute, f)?;
            }
        }
        if count > MAX_SHOWN {
            f.write_str(",...")?;
        }
        Ok(())
    }
}

impl fmt::Debug for DistinguishedName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An `AttributeTypeAndValue`.
struct Attribute<'a> {
    id: &'a [u8],
    value: der::Value<'a>,
}

impl<'a> Attribute<'a> {
    fn read(part: &mut der::Reader<'a>) -> Result<Self, Malformed> {
        let mut attribute = part.nested(der::SEQUENCE)?;
        let id = attribute.expect(der::OBJECT_IDENTIFIER)?.contents;
        let value = attribute.any()?;
        attribute.end()?;
        Ok(Self { id, value })
    }
}

fn attributes(mut part: der::Reader<'_>) -> impl Iterator<Item = Attribute<'_>> {
    core::iter::from_fn(move || Attribute::read(&mut part).ok())
}

impl fmt::Display for Attribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SHORT_NAMES.iter().find(|(id, _)| *id == self.id) {
            Some((_, name)) => f.write_str(name)?,
            None => write_object_identifier(f, self.id)?,
        }
        f.write_char('=')?;
        if let Some(text) = Text::of(self.value) {
            fmt::Display::fmt(&text, f)
        } else {
            f.write_char('#')?;
            write_hex(f, self.value.whole)
        }
    }
}

fn write_object_identifier(f: &mut fmt::Formatter<'_>, id: &[u8]) -> fmt::Result {
    let mut number = 0_u64;
    let mut first = true;
    for byte in id {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7F);
        if byte & 0x80 != 0 {
            continue;
        }
        if first {
            let root = (number / 40).min(2);
            write!(f, "{root}.{}", number - root * 40)?;
            first = false;
        } else {
            write!(f, ".{number}")?;
        }
        number = 0;
    }
    Ok(())
}

pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// A string of a certificate, in whichever of ASN.1's encodings. Shown escaped, as in a [`DistinguishedName`].
#[derive(Clone, Copy)]
pub struct Text<'a> {
    encoding: Encoding,
    bytes: &'a [u8],
}

#[derive(Clone, Copy)]
enum Encoding {
    Utf8,
    /// What T.61 is taken for by everybody, and what ASCII is a part of.
    Latin1,
    Utf16,
    Utf32,
}

impl<'a> Text<'a> {
    fn of(value: der::Value<'a>) -> Option<Self> {
        let encoding = match value.tag {
            0x0C => Encoding::Utf8,
            // NumericString, PrintableString, TeletexString, IA5String, VisibleString
            0x12 | 0x13 | 0x14 | 0x16 | 0x1A => Encoding::Latin1,
            0x1C => Encoding::Utf32,
            0x1E => Encoding::Utf16,
            _ => return None,
        };
        Some(Self {
            encoding,
            bytes: value.contents,
        })
    }

    const fn ascii(text: &'a str) -> Self {
        Self {
            encoding: Encoding::Utf8,
            bytes: text.as_bytes(),
        }
    }

    /// Its characters; U+FFFD for what is none.
    pub fn chars(&self) -> impl Iterator<Item = char> + use<'a> {
        let (mut utf8, mut latin1, mut utf16, mut utf32) = (&[][..], &[][..], &[][..], &[][..]);
        match self.encoding {
            Encoding::Utf8 => utf8 = self.bytes,
            Encoding::Latin1 => latin1 = self.bytes,
            Encoding::Utf16 => utf16 = self.bytes,
            Encoding::Utf32 => utf32 = self.bytes,
        }
        let utf8 = utf8.utf8_chunks().flat_map(|chunk| {
            let invalid = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
            chunk.valid().chars().chain(invalid)
        });
        let latin1 = latin1.iter().map(|byte| char::from(*byte));
        let units = utf16.chunks(2).map(|unit| match unit {
            [high, low] => u16::from_be_bytes([*high, *low]),
            // Half a unit: an unpaired surrogate is shown as what is no character.
            _ => 0xD800,
        });
        let utf16 =
            char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER));
        let utf32 = utf32.chunks(4).map(|unit| {
            unit.try_into()
                .ok()
                .and_then(|unit| char::from_u32(u32::from_be_bytes(unit)))
                .unwrap_or(char::REPLACEMENT_CHARACTER)
        });
        utf8.chain(latin1).chain(utf16).chain(utf32)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.chars().peekable();
        let mut first = true;
        while let Some(c) = chars.next() {
            let outermost = first || chars.peek().is_none();
            match c {
                // RFC 4514 §2.4
                '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(f, "\\{c}")?,
                ' ' if outermost => f.write_str("\\ ")?,
                '#' if first => f.write_str("\\#")?,
                c if garbles(c) => {
                    let mut bytes = [0; 4];
                    for byte in c.encode_utf8(&mut bytes).bytes() {
                        write!(f, "\\{byte:02x}")?;
                    }
                }
                c => f.write_char(c)?,
            }
            first = false;
        }
        Ok(())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a log would not show this character for what it is: control characters, and those that turn the direction
/// of writing or cannot be seen.
fn garbles(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{AD}' | '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{E0000}'..='\u{E007F}')
}

/// A subject's alternative name (RFC 5280 §4.2.1.6), of those kinds that matter here. Shown as `dns:device-1.example`,
/// `ip:192.0.2.1`, `uri:urn:dev:mac:0024befffe804ff1` and `email:device@example.com`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlternativeName<'a> {
    /// `dNSName`, perhaps with a wildcard
    Dns(&'a str),
    /// `iPAddress`
    Ip(IpAddr),
    /// `uniformResourceIdentifier`
    Uri(&'a str),
    /// `rfc822Name`
    Email(&'a str),
}

impl fmt::Display for AlternativeName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, text) = match self {
            Self::Ip(address) => return write!(f, "ip:{address}"),
            Self::Dns(text) => ("dns", text),
            Self::Uri(text) => ("uri", text),
            Self::Email(text) => ("email", text),
        };
        write!(f, "{kind}:{}", Text::ascii(text))
    }
}

/// The names in `list`, which holds `GeneralName`s; those of other kinds, and those that are no ASCII, are left out.
pub(crate) fn alternative_names(list: &[u8]) -> impl Iterator<Item = AlternativeName<'_>> + Clone {
    let mut list = der::Reader::new(list);
    core::iter::repeat_with(move || list.any().ok())
        .map_while(|value| value)
        .filter_map(|value| {
            let text = || {
                core::str::from_utf8(value.contents)
                    .ok()
                    .filter(|text| text.is_ascii() && !text.is_empty())
            };
            Some(match value.tag {
                0x81 => AlternativeName::Email(text()?),
                0x82 => AlternativeName::Dns(text()?),
                0x86 => AlternativeName::Uri(text()?),
                0x87 => AlternativeName::Ip(match value.contents.len() {
                    4 => Ipv4Addr::from(<[u8; 4]>::try_from(value.contents).ok()?).into(),
                    16 => Ipv6Addr::from(<[u8; 16]>::try_from(value.contents).ok()?).into(),
                    _ => return None,
                }),
                _ => return None,
            })
        })
}

/// The name of a server as a client knows it: what its certificate has to be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerName<'a>(pub(crate) ServerNameKind<'a>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerNameKind<'a> {
    Dns(&'a str),
    Ip(IpAddr),
}

impl<'a> ServerName<'a> {
    /// A DNS name such as `gateway.example`, or an IP address such as `192.0.2.1` or `2001:db8::1`, without brackets.
    /// `None` when it is neither.
    pub fn parse(text: &'a str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self(ServerNameKind::Ip(address)));
        }
        crate::chain::is_dns_name(text).then_some(Self(ServerNameKind::Dns(text)))
    }
}

impl From<IpAddr> for ServerName<'_> {
    fn from(address: IpAddr) -> Self {
        Self(ServerNameKind::Ip(address))
    }
}

impl fmt::Display for ServerName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ServerNameKind::Dns(name) => f.write_str(name),
            ServerNameKind::Ip(address) => fmt::Display::fmt(&address, f),
        }
    }
}
