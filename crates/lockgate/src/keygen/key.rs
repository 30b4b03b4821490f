//! Private keys and the two ways to write things down.

use std::path::Path;

use aws_lc_rs::signature::Ed25519KeyPair;
use pem_rfc7468::LineEnding;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    PublicKeyData as _, RsaKeySize,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use zeroize::Zeroizing;

use super::files;
use crate::Failure;

/// What kind of key to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Algorithm {
    P256,
    P384,
    Ed25519,
    Rsa2048,
    Rsa3072,
    Rsa4096,
}

#[derive(clap::Args)]
pub(super) struct KeyArgs {
    /// The kind of key to make
    #[arg(long, value_enum, default_value = "p256")]
    pub(super) algorithm: Algorithm,
}

#[derive(clap::Args)]
pub(super) struct DerArgs {
    /// Write DER instead of PEM, with the ending .der; a certificate then comes without its chain
    #[arg(long)]
    pub(super) der: bool,
}

/// How a file is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Textual encoding, RFC 7468.
    Pem,
    Der,
}

impl DerArgs {
    pub(super) fn form(&self) -> Form {
        if self.der { Form::Der } else { Form::Pem }
    }
}

impl Form {
    /// The end of a file's name.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Pem => "pem",
            Self::Der => "der",
        }
    }

    /// `der` under a label such as `CERTIFICATE`.
    pub(super) fn write(self, label: &str, der: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut bytes = Zeroizing::new(Vec::new());
        match self {
            Self::Der => bytes.extend_from_slice(der),
            Self::Pem => {
                let wrong = |e: pem_rfc7468::Error| format!("cannot write PEM: {e}");
                // The whole length at once: a vector that grows leaves copies behind unwiped.
                let len = pem_rfc7468::encoded_len(label, LineEnding::LF, der).map_err(wrong)?;
                bytes.resize(len, 0);
                let used = pem_rfc7468::encode(label, LineEnding::LF, der, &mut bytes)
                    .map_err(wrong)?
                    .len();
                bytes.truncate(used);
            }
        }
        Ok(bytes)
    }

    /// A private key in PKCS#8 (RFC 5208).
    pub(super) fn write_key(self, key: &KeyPair) -> Result<Zeroizing<Vec<u8>>, Failure> {
        self.write("PRIVATE KEY", key.serialized_der())
    }

    /// A certificate and, in PEM, those above it.
    pub(super) fn write_chain(
        self,
        leaf: &[u8],
        above: &[CertificateDer<'_>],
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut bytes = self.write("CERTIFICATE", leaf)?;
        if self == Self::Pem {
            for certificate in above {
                bytes.extend_from_slice(&self.write("CERTIFICATE", certificate)?);
            }
        }
        Ok(bytes)
    }

    /// A public key as `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7, RFC 7250 §3).
    pub(super) fn write_public(self, key: &KeyPair) -> Result<Zeroizing<Vec<u8>>, Failure> {
        self.write("PUBLIC KEY", &key.subject_public_key_info())
    }
}

impl Algorithm {
    /// A new random key.
    pub(super) fn generate(self) -> Result<Zeroizing<KeyPair>, Failure> {
        let made = match self {
            Self::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Self::Ed25519 => return ed25519(),
            Self::Rsa2048 => rsa(RsaKeySize::_2048),
            Self::Rsa3072 => rsa(RsaKeySize::_3072),
            Self::Rsa4096 => rsa(RsaKeySize::_4096),
        };
        made.map(Zeroizing::new).map_err(cannot_make)
    }
}

fn cannot_make(error: impl std::fmt::Display) -> Failure {
    format!("cannot make a key: {error}")
}

fn rsa(size: RsaKeySize) -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size)
}

/// In version 1 of PKCS#8. rcgen would write version 2 (RFC 5958), which OpenSSL 3.0 cannot read.
fn ed25519() -> Result<Zeroizing<KeyPair>, Failure> {
    let key = Ed25519KeyPair::generate().map_err(cannot_make)?;
    // This one wipes itself.
    let pkcs8 = key.to_pkcs8v1().map_err(cannot_make)?;
    let pkcs8 = PrivatePkcs8KeyDer::from(pkcs8.as_ref());
    KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ED25519)
        .map(Zeroizing::new)
        .map_err(cannot_make)
}

fn is_pem(bytes: &[u8]) -> bool {
    contains(bytes, b"-----BEGIN ")
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// A private key, PEM or DER, in PKCS#8, SEC 1 or PKCS#1.
pub(super) fn read_key(path: &Path) -> Result<Zeroizing<KeyPair>, Failure> {
    let bytes = files::read(path)?;
    let wrong = |what: &str| format!("{}: {what}", path.display());
    let key = if is_pem(&bytes) {
        if contains(&bytes, b"ENCRYPTED") {
            return Err(wrong(
                "the key is encrypted; write it without a password first (openssl pkey)",
            ));
        }
        let key = PrivateKeyDer::from_pem_slice(&bytes)
            .map_err(|_| wrong("holds no private key in PEM"))?;
        let key = Zeroizing::new(key);
        KeyPair::try_from(&*key)
    } else {
        KeyPair::try_from(bytes.as_slice())
    };
    key.map(Zeroizing::new)
        .map_err(|_| wrong("is no private key of a known kind (P-256, P-384, P-521, Ed25519, RSA)"))
}

/// One or more certificates, PEM or DER.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let bytes = files::read(path)?;
    if !is_pem(&bytes) {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{}: holds no certificate", path.display())),
        Err(_) => Err(format!("{}: is broken PEM", path.display())),
    }
}
