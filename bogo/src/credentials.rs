//! Certificates and keys from the runner's files, and which of them to show.

use std::path::Path;

use lockgate_aws_lc::PrivateKey;
use lockgate_dtls::certificate::CertificateType;
use lockgate_dtls::crypto::{KeyType, NamedGroup, SignatureScheme, SigningKey as _};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::faults::Failure;
use crate::options::{CredentialKind, CredentialOptions, Options};

/// The number of the credential that the runner gives none.
pub(crate) const DEFAULT: i32 = -1;

/// A credential, read from its files.
pub(crate) struct OwnCredential {
    pub(crate) certificate_type: CertificateType,
    /// The DER of each certificate, or of the one public key.
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) key: PrivateKey,
    signing_prefs: Vec<SignatureScheme>,
    /// The names of those who issued the chain, when the peer must know one of them.
    issuers: Option<Vec<Vec<u8>>>,
}

impl OwnCredential {
    fn load(options: &CredentialOptions) -> Result<Self, Failure> {
        let path = options
            .key
            .as_deref()
            .ok_or_else(|| Failure::new("options", "a credential lacks its -key-file"))?;
        let key = PrivateKey::from_pem(&read(path)?).map_err(|e| fault(path, e))?;
        let (certificate_type, chain) = match (options.kind, options.chain.as_deref()) {
            (CredentialKind::RawPublicKey, _) => (
                CertificateType::RawPublicKey,
                vec![key.public_key_info().to_vec()],
            ),
            (_, Some(path)) => (CertificateType::X509, load_chain(path)?),
            (_, None) => {
                return Err(Failure::new("options", "a credential lacks its -cert-file"));
            }
        };
        let issuers = options.must_match_issuer.then(|| {
            let issuers = chain.iter().filter_map(|der| issuer(der));
            issuers.map(<[u8]>::to_vec).collect()
        });
        Ok(Self {
            certificate_type,
            chain,
            key,
            signing_prefs: options
                .signing_prefs
                .iter()
                .map(|&s| SignatureScheme(s))
                .collect(),
            issuers,
        })
    }

    /// The scheme to sign with, or why the peer does not take this credential.
    fn fits(&self, wanted: &Wanted) -> Result<SignatureScheme, Failure> {
        let key_type = self.key.key_type();
        if !wanted.certificate_types.contains(&self.certificate_type) {
            return Err(misfit(
                "no-credential-of-type",
                "the peer takes no such certificate type",
            ));
        }
        if !wanted.takes(key_type) {
            return Err(if wanted.server {
                misfit(
                    "no-common-suite",
                    "no suite of the client's is for this key",
                )
            } else {
                misfit(
                    "no-credential-of-type",
                    "the server takes no key of this type",
                )
            });
        }
        let curve = match key_type {
            KeyType::EcdsaP256 => Some(NamedGroup::SECP256R1),
            KeyType::EcdsaP384 => Some(NamedGroup::SECP384R1),
            KeyType::Ed25519 | KeyType::Rsa => None,
        };
        if let (Some(groups), Some(curve)) = (&wanted.groups, curve)
            && !groups.contains(&curve)
        {
            return Err(misfit(
                "wrong-curve",
                "the client does not take the key's curve",
            ));
        }
        let scheme = if self.signing_prefs.is_empty() {
            wanted.schemes.iter().copied().find(|s| s.fits(key_type))
        } else {
            let usable = |s: &SignatureScheme| s.fits(key_type) && wanted.schemes.contains(s);
            self.signing_prefs.iter().copied().find(usable)
        };
        let Some(scheme) = scheme else {
            return Err(if wanted.server {
                // A suite with a signature that nobody can make is none.
                misfit(
                    "no-common-suite",
                    "the client takes no signature of this key's",
                )
            } else {
                misfit(
                    "no-common-signature-scheme",
                    "the server takes no signature of this key's",
                )
            });
        };
        if let Some(issuers) = &self.issuers
            && !wanted.authorities.iter().any(|name| issuers.contains(name))
        {
            return Err(misfit(
                "no-matching-issuer",
                "the peer names none who issued this chain",
            ));
        }
        Ok(scheme)
    }
}

fn misfit(code: &'static str, text: &str) -> Failure {
    Failure::new(code, text)
}

/// What the peer takes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) server: bool,
    pub(crate) certificate_types: Vec<CertificateType>,
    /// RSA keys, and all others.
    pub(crate) key_types: (bool, bool),
    /// `None` for any.
    pub(crate) groups: Option<Vec<NamedGroup>>,
    pub(crate) schemes: Vec<SignatureScheme>,
    pub(crate) authorities: Vec<Vec<u8>>,
}

impl Wanted {
    fn takes(&self, key_type: KeyType) -> bool {
        if key_type.is_rsa() {
            self.key_types.0
        } else {
            self.key_types.1
        }
    }
}

/// All credentials of a connection.
#[derive(Default)]
pub(crate) struct Keyring {
    /// By their numbers; a place is empty where DTLS 1.2 cannot use what was given.
    numbered: Vec<Option<OwnCredential>>,
    default: Option<OwnCredential>,
}

impl Keyring {
    pub(crate) fn load(options: &Options) -> Result<Self, Failure> {
        let numbered = options.more_credentials.iter().map(|c| match c.kind {
            CredentialKind::ImportedPsk => Ok(None),
            _ => OwnCredential::load(c).map(Some),
        });
        Ok(Self {
            numbered: numbered.collect::<Result<_, _>>()?,
            default: options
                .credential
                .as_ref()
                .map(OwnCredential::load)
                .transpose()?,
        })
    }

    /// Those with numbers first, each with its number, then the default.
    fn iter(&self) -> impl Iterator<Item = (i32, &OwnCredential)> {
        let numbered = (0..).zip(&self.numbered);
        numbered
            .filter_map(|(number, c)| Some((number, c.as_ref()?)))
            .chain(self.default.as_ref().map(|c| (DEFAULT, c)))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The certificate types of all, in order, each once.
    pub(crate) fn certificate_types(&self) -> Vec<CertificateType> {
        let mut types = Vec::new();
        for (_, credential) in self.iter() {
            if !types.contains(&credential.certificate_type) {
                types.push(credential.certificate_type);
            }
        }
        types
    }

    /// The credential of this number.
    pub(crate) fn get(&self, number: i32) -> Option<&OwnCredential> {
        self.iter().find(|(n, _)| *n == number).map(|(_, c)| c)
    }

    /// The first that the peer takes, and what to sign with; or why it does not take the last.
    pub(crate) fn choose(&self, wanted: &Wanted) -> Result<(i32, SignatureScheme), Failure> {
        let mut why = Failure::new("no-credential", "there is no certificate or key to show");
        for (number, credential) in self.iter() {
            match credential.fits(wanted) {
                Ok(scheme) => return Ok((number, scheme)),
                Err(failure) => why = failure,
            }
        }
        Err(why)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| fault(path, e))
}

fn fault(path: &Path, what: impl std::fmt::Display) -> Failure {
    Failure::new("file", format_args!("{}: {what}", path.display()))
}

fn load_chain(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem)
        .map(|der| der.map(|der| der.to_vec()))
        .collect();
    let chain = chain.map_err(|e| fault(path, e))?;
    if chain.is_empty() {
        return Err(fault(path, "no certificate in it"));
    }
    Ok(chain)
}

/// One element of DER.
struct Element<'a> {
    tag: u8,
    contents: &'a [u8],
    /// All of it.
    whole: &'a [u8],
    /// What follows it.
    rest: &'a [u8],
}

fn element(der: &[u8]) -> Option<Element<'_>> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f).min(4))?;
        (bytes.iter().fold(0, |n, &b| n << 8 | usize::from(b)), rest)
    };
    let (contents, rest) = rest.split_at_checked(len)?;
    Some(Element {
        tag,
        contents,
        whole: der.get(..der.len() - rest.len())?,
        rest,
    })
}

/// The DER of the name of a certificate's issuer (RFC 5280 §4.1).
fn issuer(certificate: &[u8]) -> Option<&[u8]> {
    let mut fields = element(element(certificate)?.contents)?.contents;
    // The version may be missing; then come serial number and signature algorithm.
    let first = element(fields)?;
    if first.tag == 0xa0 {
        fields = first.rest;
    }
    for _ in 0..2 {
        fields = element(fields)?.rest;
    }
    element(fields).map(|name| name.whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(key_type: KeyType) -> OwnCredential {
        let key = PrivateKey::generate(key_type).expect("a key");
        OwnCredential {
            certificate_type: CertificateType::RawPublicKey,
            chain: vec![key.public_key_info().to_vec()],
            key,
            signing_prefs: Vec::new(),
            issuers: None,
        }
    }

    fn anything(server: bool) -> Wanted {
        Wanted {
            server,
            certificate_types: vec![CertificateType::X509, CertificateType::RawPublicKey],
            key_types: (true, true),
            groups: None,
            schemes: SignatureScheme::ALL.to_vec(),
            authorities: Vec::new(),
        }
    }

    fn code(result: Result<SignatureScheme, Failure>) -> String {
        match result.expect_err("does not fit") {
            Failure::Fault { code, .. } => code.into_owned(),
            other @ Failure::NotImplemented(_) => panic!("{other}"),
        }
    }

    #[test]
    fn each_misfit_has_its_name() {
        let p384 = credential(KeyType::EcdsaP384);
        assert!(p384.fits(&anything(true)).is_ok());
        let types = Wanted {
            certificate_types: vec![CertificateType::X509],
            ..anything(true)
        };
        assert_eq!(code(p384.fits(&types)), "no-credential-of-type");
        let only_rsa = |server| Wanted {
            key_types: (true, false),
            ..anything(server)
        };
        assert_eq!(code(p384.fits(&only_rsa(true))), "no-common-suite");
        assert_eq!(code(p384.fits(&only_rsa(false))), "no-credential-of-type");
        let p256 = Wanted {
            groups: Some(vec![NamedGroup::SECP256R1]),
            ..anything(true)
        };
        assert_eq!(code(p384.fits(&p256)), "wrong-curve");
        assert!(credential(KeyType::Ed25519).fits(&p256).is_ok());
        let ed25519 = |server| Wanted {
            schemes: vec![SignatureScheme::ED25519],
            ..anything(server)
        };
        assert_eq!(code(p384.fits(&ed25519(true))), "no-common-suite");
        assert_eq!(
            code(p384.fits(&ed25519(false))),
            "no-common-signature-scheme"
        );
        let issued = OwnCredential {
            issuers: Some(vec![b"ours".to_vec()]),
            ..p384
        };
        assert_eq!(code(issued.fits(&anything(false))), "no-matching-issuer");
        let knows = Wanted {
            authorities: vec![b"theirs".to_vec(), b"ours".to_vec()],
            ..anything(false)
        };
        assert!(issued.fits(&knows).is_ok());
    }

    #[test]
    fn numbered_credentials_come_before_the_default() {
        let ring = Keyring {
            numbered: vec![None, Some(credential(KeyType::Ed25519))],
            default: Some(credential(KeyType::EcdsaP256)),
        };
        let (number, scheme) = ring.choose(&anything(false)).expect("one");
        assert_eq!((number, scheme), (1, SignatureScheme::ED25519));
        let without = Wanted {
            schemes: vec![SignatureScheme::ECDSA_SECP384R1_SHA384],
            ..anything(false)
        };
        let (number, scheme) = ring.choose(&without).expect("one");
        assert_eq!(
            (number, scheme),
            (DEFAULT, SignatureScheme::ECDSA_SECP384R1_SHA384)
        );
    }

    #[test]
    fn the_issuer_is_found_with_and_without_a_version() {
        let name = [0x30, 2, 5, 0];
        for version in [&[0xa0, 3, 2, 1, 2][..], &[]] {
            let rest = [&[2, 1, 9][..], &[0x30, 2, 6, 0], &name, &[0x30, 0]].concat();
            let fields = [version, &rest].concat();
            let len = u8::try_from(fields.len()).expect("short");
            let der = [&[0x30, 0x82, 0, len + 2, 0x30, len][..], &fields].concat();
            assert_eq!(issuer(&der), Some(&name[..]));
        }
        assert_eq!(issuer(&[0x30, 0x85, 1]), None);
    }
}
