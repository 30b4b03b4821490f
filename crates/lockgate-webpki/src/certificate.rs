//! The fields of a certificate (RFC 5280 §4.1) that are shown, compared or searched.

use lockgate_dtls::wire::Malformed;

use crate::der;
use crate::time::Validity;

const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1D, 0x11];
const KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x0F];
const EXT_KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x25];

/// As much as is needed here; what is not valid in what is not read goes unnoticed.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    /// What its issuer has signed: all else that is here.
    #[cfg(feature = "alloc")]
    pub(crate) signed: Signed<'a>,
    /// Two's complement, big-endian.
    pub(crate) serial: &'a [u8],
    /// The DER of the `Name`.
    pub(crate) issuer: &'a [u8],
    pub(crate) validity: Validity,
    /// The DER of the `Name`.
    pub(crate) subject: &'a [u8],
    /// The DER of the `SubjectPublicKeyInfo`.
    pub(crate) public_key_info: &'a [u8],
    /// The bits of keyUsage, the first one on top.
    pub(crate) key_usage: Option<u8>,
    /// The `GeneralName`s of subjectAltName.
    pub(crate) alternative_names: Option<&'a [u8]>,
    /// The object identifiers of extKeyUsage.
    pub(crate) extended_key_usage: Option<&'a [u8]>,
}

/// A signature and what it is over.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy)]
pub(crate) struct Signed<'a> {
    pub(crate) message: &'a [u8],
    /// The contents of the `AlgorithmIdentifier`.
    pub(crate) algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn parse(certificate: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = der::Reader::new(certificate);
        let mut certificate = outer.nested(der::SEQUENCE)?;
        outer.end()?;
        let tbs = certificate.expect(der::SEQUENCE)?;
        let algorithm = certificate.expect(der::SEQUENCE)?;
        let signature = der::whole_bytes(certificate.expect(der::BIT_STRING)?)?;
        certificate.end()?;
        #[cfg(not(feature = "alloc"))]
        let _ = (algorithm, signature);

        let mut reader = der::Reader::new(tbs.contents);
        reader.optional(der::context_constructed(0))?; // version
        let mut fields = Self {
            #[cfg(feature = "alloc")]
            signed: Signed {
                message: tbs.whole,
                algorithm: algorithm.contents,
                signature,
            },
            serial: reader.expect(der::INTEGER)?.contents,
            issuer: {
                reader.expect(der::SEQUENCE)?; // signature
                reader.expect(der::SEQUENCE)?.whole
            },
            validity: Validity::parse(reader.expect(der::SEQUENCE)?.contents)?,
            subject: reader.expect(der::SEQUENCE)?.whole,
            public_key_info: reader.expect(der::SEQUENCE)?.whole,
            key_usage: None,
            alternative_names: None,
            extended_key_usage: None,
        };
        reader.optional(der::context_primitive(1))?; // issuerUniqueID
        reader.optional(der::context_primitive(2))?; // subjectUniqueID
        if let Some(extensions) = reader.optional(der::context_constructed(3))? {
            let mut wrapper = der::Reader::new(extensions.contents);
            let mut list = wrapper.nested(der::SEQUENCE)?;
            wrapper.end()?;
            while !list.is_empty() {
                fields.extension(list.nested(der::SEQUENCE)?)?;
            }
        }
        reader.end()?;
        Ok(fields)
    }

    fn extension(&mut self, mut extension: der::Reader<'a>) -> Result<(), Malformed> {
        let id = extension.expect(der::OBJECT_IDENTIFIER)?.contents;
        extension.optional(der::BOOLEAN)?; // critical
        let mut value = der::Reader::new(extension.expect(der::OCTET_STRING)?.contents);
        extension.end()?;
        if id == KEY_USAGE {
            let bits = value.expect(der::BIT_STRING)?.contents;
            value.end()?;
            // The first byte says how many bits of the last are unused; there may be a ninth bit behind.
            let [_, first, ..] = bits else {
                return Err(Malformed);
            };
            return match self.key_usage.replace(*first) {
                None => Ok(()),
                Some(_) => Err(Malformed),
            };
        }
        let field = match id {
            SUBJECT_ALT_NAME => &mut self.alternative_names,
            EXT_KEY_USAGE => &mut self.extended_key_usage,
            _ => return Ok(()),
        };
        let list = value.expect(der::SEQUENCE)?.contents;
        value.end()?;
        match field.replace(list) {
            None => Ok(()),
            // RFC 5280 §4.2: no extension twice.
            Some(_) => Err(Malformed),
        }
    }

    /// Whether it names itself as its issuer.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// Whether the key may sign handshakes: keyUsage says so, or there is none (RFC 5246 §7.4.2).
    pub(crate) fn may_sign(&self) -> bool {
        const DIGITAL_SIGNATURE: u8 = 0x80;
        self.key_usage
            .is_none_or(|usage| usage & DIGITAL_SIGNATURE != 0)
    }

    /// Whether extKeyUsage has this purpose; `None` without extKeyUsage.
    pub(crate) fn has_purpose(&self, purpose: &[u8]) -> Result<Option<bool>, Malformed> {
        let Some(list) = self.extended_key_usage else {
            return Ok(None);
        };
        let mut list = der::Reader::new(list);
        let mut found = false;
        while !list.is_empty() {
            found |= list.expect(der::OBJECT_IDENTIFIER)?.contents == purpose;
        }
        Ok(Some(found))
    }
}
