//! Who a peer is, for logs and for whoever decides by names.

use core::fmt;

use lockgate_dtls::certificate::CertificateType;
use lockgate_dtls::wire::Malformed;
use sha2::{Digest, Sha256};

use crate::certificate::Fields;
use crate::name::{AlternativeName, DistinguishedName, Text, alternative_names, write_hex};
use crate::time::Validity;

/// The SHA-256 of a `SubjectPublicKeyInfo`: what a key is known by. Shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The hash of this DER.
    pub fn of(public_key_info: &[u8]) -> Self {
        Self(Sha256::digest(public_key_info).into())
    }

    /// Reads 64 hexadecimal digits, with or without colons between the bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = text.bytes().filter(|digit| *digit != b':');
        let mut hash = [0; 32];
        for byte in &mut hash {
            for _ in 0..2 {
                let digit = char::from(digits.next()?).to_digit(16)?;
                *byte = *byte << 4 | digit as u8;
            }
        }
        digits.next().is_none().then_some(Self(hash))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who a peer is by its certificate or raw public key. It borrows from what the peer sent.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    key: KeyHash,
    certificate: Option<(Fields<'a>, DistinguishedName<'a>)>,
}

impl<'a> Identity<'a> {
    /// Reads a certificate, without checking anything.
    pub fn of_certificate(certificate: &'a [u8]) -> Result<Self, Malformed> {
        Self::of_fields(Fields::parse(certificate)?)
    }

    pub(crate) fn of_fields(fields: Fields<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            key: KeyHash::of(fields.public_key_info),
            certificate: Some((fields, DistinguishedName::parse(fields.subject)?)),
        })
    }

    /// A raw public key: the DER of a `SubjectPublicKeyInfo`.
    pub fn of_public_key(public_key_info: &[u8]) -> Self {
        Self {
            key: KeyHash::of(public_key_info),
            certificate: None,
        }
    }

    /// Which of the two it is.
    pub const fn certificate_type(&self) -> CertificateType {
        match self.certificate {
            Some(_) => CertificateType::X509,
            None => CertificateType::RawPublicKey,
        }
    }

    /// The hash of the public key, of a certificate as well.
    pub const fn key_hash(&self) -> KeyHash {
        self.key
    }

    /// The certificate's subject, which may be empty.
    pub fn subject(&self) -> Option<DistinguishedName<'a>> {
        self.certificate.map(|(_, subject)| subject)
    }

    /// The subject's `commonName`.
    pub fn common_name(&self) -> Option<Text<'a>> {
        self.subject()?.common_name()
    }

    /// The alternative names of the subject.
    pub fn alternative_names(&self) -> impl Iterator<Item = AlternativeName<'a>> + Clone + use<'a> {
        let list = self
            .certificate
            .and_then(|(fields, _)| fields.alternative_names);
        alternative_names(list.unwrap_or_default())
    }

    /// The certificate's serial number: two's complement, big-endian, as DER has it.
    pub fn serial(&self) -> Option<&'a [u8]> {
        self.certificate.map(|(fields, _)| fields.serial)
    }

    /// From when until when the certificate is valid.
    pub fn validity(&self) -> Option<Validity> {
        self.certificate.map(|(fields, _)| fields.validity)
    }

    /// The best name there is: the `commonName`, or the first alternative name, or `spki:` and the hash of the key.
    /// For people; who decides by a name takes care which kind it is of.
    pub fn name(&self) -> impl fmt::Display + use<'a> {
        struct Name<'a>(Identity<'a>);
        impl fmt::Display for Name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if let Some(name) = self.0.common_name() {
                    fmt::Display::fmt(&name, f)
                } else if let Some(name) = self.0.alternative_names().next() {
                    fmt::Display::fmt(&name, f)
                } else {
                    write!(f, "spki:{}", self.0.key)
                }
            }
        }
        Name(*self)
    }

    /// The same on the heap.
    #[cfg(feature = "alloc")]
    pub fn to_owned(&self) -> OwnedIdentity {
        use alloc::string::ToString;
        OwnedIdentity {
            name: self.name().to_string(),
            subject: self.subject().map(|subject| subject.to_string()),
            common_name: self
                .common_name()
                .map(|common_name| common_name.chars().collect()),
            alternative_names: self
                .alternative_names()
                .map(|name| name.to_string())
                .collect(),
            key_hash: self.key,
            serial: self.serial().map(Into::into),
            validity: self.validity(),
        }
    }
}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Identity");
        if let Some(subject) = self.subject() {
            out.field("subject", &subject);
        }
        out.field("key", &self.key).finish_non_exhaustive()
    }
}

/// An [`Identity`] that outlives the handshake.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedIdentity {
    /// As [`Identity::name`] shows it, escaped.
    pub name: alloc::string::String,
    /// The subject of a certificate as it is shown, escaped.
    pub subject: Option<alloc::string::String>,
    /// The `commonName` as it is, not escaped: for comparing.
    pub common_name: Option<alloc::string::String>,
    /// The alternative names as they are shown: `dns:device-1.example`.
    pub alternative_names: alloc::vec::Vec<alloc::string::String>,
    /// The hash of the public key.
    pub key_hash: KeyHash,
    /// The serial number of a certificate: two's complement, big-endian.
    pub serial: Option<alloc::boxed::Box<[u8]>>,
    /// From when until when a certificate is valid.
    pub validity: Option<Validity>,
}
