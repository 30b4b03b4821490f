//! Files of certificates, keys and lists: PEM or DER, and errors that name the file.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{Error as PemError, PemObject, SectionKind};
use zeroize::Zeroizing;

use crate::certificate::Fields;
use crate::der;
use crate::name::DistinguishedName;
use crate::time::Date;

/// Most bytes of a file that is read: lists of revoked certificates can be long.
#[cfg(feature = "std")]
pub const MAX_FILE_LEN: u64 = 64 << 20;

/// What a file holds, and what errors call it.
#[derive(Clone)]
pub struct Source {
    name: String,
    /// Wiped, since it may be a private key.
    bytes: Zeroizing<Vec<u8>>,
}

impl Source {
    /// Bytes that came from elsewhere; `name` is what errors begin with.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            bytes: Zeroizing::new(bytes.into()),
        }
    }

    /// Reads a file of certificates, keys or lists.
    #[cfg(feature = "std")]
    pub fn read(path: impl AsRef<std::path::Path>) -> Result<Self, LoadError> {
        use std::io::Read;
        let name = path.as_ref().display().to_string();
        let mut bytes = Zeroizing::new(Vec::new());
        let read = std::fs::File::open(path).and_then(|file| {
            // All at once: memory that is given back on the way would not be wiped.
            let len = file.metadata()?.len().min(MAX_FILE_LEN);
            bytes.reserve_exact(usize::try_from(len).unwrap_or_default() + 64);
            file.take(MAX_FILE_LEN + 1).read_to_end(&mut bytes)
        });
        match read {
            Ok(len) if len as u64 > MAX_FILE_LEN => Err(LoadError {
                name,
                fault: Fault::TooLong,
            }),
            Ok(_) => Ok(Self { name, bytes }),
            Err(error) => Err(LoadError {
                name,
                fault: Fault::Unreadable(error.kind()),
            }),
        }
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it holds.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads a private key in either encoding, by what the key's provider has for each.
    ///
    /// ```
    /// use lockgate_aws_lc::PrivateKey;
    /// use lockgate_webpki::{LoadError, Source};
    ///
    /// fn load() -> Result<PrivateKey, LoadError> {
    ///     Source::read("key.pem")?.private_key(PrivateKey::from_pem, PrivateKey::from_der)
    /// }
    /// # assert!(load().is_err());
    /// ```
    pub fn private_key<K, E: fmt::Display>(
        &self,
        from_pem: impl FnOnce(&[u8]) -> Result<K, E>,
        from_der: impl FnOnce(&[u8]) -> Result<K, E>,
    ) -> Result<K, LoadError> {
        let key = if self.is_pem() {
            from_pem(&self.bytes)
        } else {
            from_der(&self.bytes)
        };
        key.map_err(|error| self.fault(Fault::PrivateKey(error.to_string())))
    }

    pub(crate) fn fault(&self, fault: Fault) -> LoadError {
        LoadError {
            name: self.name.clone(),
            fault,
        }
    }

    pub(crate) fn is_pem(&self) -> bool {
        const BEGIN: &[u8] = b"-----BEGIN ";
        self.bytes
            .windows(BEGIN.len())
            .any(|window| window == BEGIN)
    }

    /// The sections of a PEM file of this kind, or the values of a DER file.
    pub(crate) fn items(&self, kind: SectionKind, what: Item) -> Result<Vec<Vec<u8>>, LoadError> {
        let mut items = Vec::new();
        let mut others = None;
        if self.is_pem() {
            for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&self.bytes) {
                match section.map_err(|error| self.fault(Fault::Pem(PemFault::of(&error))))? {
                    (found, der) if found == kind => items.push(der),
                    (found, der) => {
                        drop(Zeroizing::new(der));
                        others = Some(found);
                    }
                }
            }
        } else {
            let mut reader = der::Reader::new(&self.bytes);
            while !reader.is_empty() {
                match reader.expect(der::SEQUENCE) {
                    Ok(value) => items.push(value.whole.to_owned()),
                    Err(_) => return Err(self.fault(Fault::NeitherPemNorDer)),
                }
            }
        }
        if items.is_empty() {
            return Err(self.fault(Fault::Without {
                what,
                but: others.and_then(Item::of),
            }));
        }
        Ok(items)
    }

    /// The certificates in the file, in its order; each can be decoded.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, LoadError> {
        let items = self.items(SectionKind::Certificate, Item::Certificate)?;
        for (place, item) in items.iter().enumerate() {
            let readable = Fields::parse(item)
                .and_then(|fields| DistinguishedName::parse(fields.subject))
                .is_ok();
            if !readable {
                return Err(self.fault(Fault::MalformedCertificate { place: place + 1 }));
            }
        }
        Ok(items.into_iter().map(CertificateDer::from).collect())
    }
}

impl fmt::Debug for Source {
    // It may be a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What somebody looked for in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// An X.509 certificate
    Certificate,
    /// A public key
    PublicKey,
    /// A private key
    PrivateKey,
    /// A list of revoked certificates
    RevocationList,
    /// A request for a certificate
    Request,
}

impl Item {
    fn of(kind: SectionKind) -> Option<Self> {
        Some(match kind {
            SectionKind::Certificate => Self::Certificate,
            SectionKind::PublicKey => Self::PublicKey,
            SectionKind::RsaPrivateKey | SectionKind::PrivateKey | SectionKind::EcPrivateKey => {
                Self::PrivateKey
            }
            SectionKind::Crl => Self::RevocationList,
            SectionKind::Csr => Self::Request,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::PublicKey => "public key",
            Self::PrivateKey => "private key",
            Self::RevocationList => "list of revoked certificates",
            Self::Request => "request for a certificate",
        }
    }
}

/// What is wrong with a file of certificates, keys or lists. Shown in one line that begins with the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    name: String,
    fault: Fault,
}

impl LoadError {
    /// The name of the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is wrong with it.
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.fault)
    }
}

impl core::error::Error for LoadError {}

/// What is wrong with a file. Places are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The system does not give it to us.
    #[cfg(feature = "std")]
    Unreadable(std::io::ErrorKind),
    /// It is longer than [`MAX_FILE_LEN`].
    #[cfg(feature = "std")]
    TooLong,
    /// It is not encoded in either way.
    NeitherPemNorDer,
    /// Its PEM is broken.
    Pem(PemFault),
    /// It does not hold what it should, but perhaps something else.
    Without {
        /// What it should hold.
        what: Item,
        /// What it does hold.
        but: Option<Item>,
    },
    /// A certificate cannot be decoded.
    MalformedCertificate {
        /// Which one.
        place: usize,
    },
    /// A list of revoked certificates cannot be used.
    RevocationList {
        /// Which one.
        place: usize,
        /// What is the matter with it.
        because: &'static str,
    },
    /// A public key cannot be decoded, or is not of a kind that we know.
    MalformedPublicKey {
        /// Which one.
        place: usize,
    },
    /// A line is no hash of a key.
    NoKeyHash {
        /// Which line.
        line: usize,
    },
    /// A private key cannot be read; this is what its provider says.
    PrivateKey(String),
    /// A certificate of our chain has ended.
    Expired {
        /// Its subject, unless it is our own.
        issuer: Option<String>,
        /// When.
        date: Date,
    },
    /// A certificate of our chain has not begun.
    NotYetValid {
        /// Its subject, unless it is our own.
        issuer: Option<String>,
        /// When it will.
        date: Date,
    },
    /// The private key belongs to none of the certificates.
    OtherKey {
        /// The file of the certificates.
        certificates: String,
    },
    /// A certificate has no place in the chain.
    NotInChain {
        /// Its subject.
        subject: String,
        /// The subject of the last certificate that has one.
        last: String,
        /// Who has issued that.
        issuer: String,
    },
    /// A certificate is not signed by the one that has its issuer's name.
    NotSignedBy {
        /// The subject of the certificate.
        subject: String,
        /// The subject of the other.
        issuer: String,
    },
    /// What a credential is to be chosen by is no name.
    NoName {
        /// It.
        name: String,
    },
    /// There are more certificates than any peer takes.
    TooManyCertificates,
    /// The key is of a kind that we do not know.
    UnsupportedKey,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "std")]
            Self::Unreadable(kind) => write!(f, "the file cannot be read: {kind}"),
            #[cfg(feature = "std")]
            Self::TooLong => write!(f, "the file is longer than {MAX_FILE_LEN} bytes"),
            Self::NeitherPemNorDer => f.write_str("the file is neither PEM nor DER"),
            Self::Pem(fault) => fmt::Display::fmt(fault, f),
            Self::Without { what, but: None } => write!(f, "no {} in it", what.name()),
            Self::Without {
                what,
                but: Some(but),
            } => write!(f, "no {} in it, but a {}", what.name(), but.name()),
            Self::MalformedCertificate { place } => {
                write!(f, "certificate {place} cannot be decoded")
            }
            Self::RevocationList { place, because } => {
                write!(f, "list {place} of revoked certificates {because}")
            }
            Self::MalformedPublicKey { place } => write!(
                f,
                "public key {place} cannot be decoded, or is of a kind that is not supported"
            ),
            Self::NoKeyHash { line } => write!(
                f,
                "line {line} is not the SHA-256 of a public key in 64 hexadecimal digits"
            ),
            Self::PrivateKey(text) => f.write_str(text),
            Self::Expired { issuer: None, date } => write!(f, "the certificate expired on {date}"),
            Self::Expired {
                issuer: Some(issuer),
                date,
            } => write!(
                f,
                "the certificate of its issuer \"{issuer}\" expired on {date}"
            ),
            Self::NotYetValid { issuer: None, date } => {
                write!(f, "the certificate is not valid before {date}")
            }
            Self::NotYetValid {
                issuer: Some(issuer),
                date,
            } => write!(
                f,
                "the certificate of its issuer \"{issuer}\" is not valid before {date}"
            ),
            Self::OtherKey { certificates } => write!(
                f,
                "the private key does not belong to the certificate in {certificates}"
            ),
            Self::NotInChain {
                subject,
                last,
                issuer,
            } => write!(
                f,
                "the certificate of \"{subject}\" is not part of the chain, which ends with \"{last}\", issued by \"{issuer}\""
            ),
            Self::NotSignedBy { subject, issuer } => write!(
                f,
                "the certificate of \"{subject}\" is not signed by the key of \"{issuer}\" in the same file"
            ),
            Self::NoName { name } => write!(
                f,
                "\"{}\" is not a DNS name, nor one with \"*\" for its first label",
                name.escape_default()
            ),
            Self::TooManyCertificates => write!(
                f,
                "there are more than {} certificates in it",
                crate::policy::MAX_CERTIFICATES
            ),
            Self::UnsupportedKey => {
                f.write_str("the certificate's public key is of a kind that is not supported")
            }
        }
    }
}

/// What is wrong with a PEM file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PemFault {
    /// A section has a beginning and no end.
    NoEnd,
    /// A line looks like the beginning of a section and is none.
    BadBeginning,
    /// What is in a section is not base64.
    NotBase64,
    /// A section is too long.
    TooLong,
}

impl PemFault {
    fn of(error: &PemError) -> Self {
        match error {
            PemError::MissingSectionEnd { .. } => Self::NoEnd,
            PemError::IllegalSectionStart { .. } => Self::BadBeginning,
            PemError::SectionTooLarge => Self::TooLong,
            _ => Self::NotBase64,
        }
    }
}

impl fmt::Display for PemFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEnd => "a PEM section has no END line",
            Self::BadBeginning => "a PEM section has a broken BEGIN line",
            Self::NotBase64 => "a PEM section is not in base64",
            Self::TooLong => "a PEM section is too long",
        })
    }
}
