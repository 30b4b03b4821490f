//! Private keys from files, and what they sign.

mod der;
mod error;

pub use self::error::PrivateKeyError;

use std::fmt;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair,
};
use lockgate_dtls::certificate::parse_public_key;
use lockgate_dtls::crypto::{CryptoError, KeyType, PublicKey, SignatureScheme, SigningKey};
use rustls_pki_types::pem::{self, PemObject as _, SectionKind};
use zeroize::Zeroizing;

use self::der::Form;

/// A private key that signs handshakes: ECDSA on P-256 or P-384, Ed25519, or RSA of 2,048 to 8,192 bits.
///
/// ```
/// use lockgate_aws_lc::PrivateKey;
/// use lockgate_dtls::crypto::{CryptoError, KeyType, SignatureScheme, SigningKey as _};
///
/// let key = PrivateKey::generate(KeyType::EcdsaP256)?;
/// let mut signature = [0; 72];
/// let len = key.sign(SignatureScheme::ECDSA_SECP256R1_SHA256, b"message", &mut signature)?;
/// assert!(len <= 72);
/// # Ok::<(), CryptoError>(())
/// ```
///
/// ```
/// use lockgate_aws_lc::{PrivateKey, PrivateKeyError};
///
/// // Of a server's files, say.
/// let pem = b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
/// assert_eq!(PrivateKey::from_pem(pem).err(), Some(PrivateKeyError::NoKey));
/// ```
#[derive(Clone)]
pub struct PrivateKey {
    pair: Pair,
    /// The DER of our `SubjectPublicKeyInfo`.
    info: Box<[u8]>,
}

/// AWS-LC counts references to a key, so a clone is cheap.
#[derive(Clone)]
enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl PrivateKey {
    /// The first private key in `pem`, under one of the labels `PRIVATE KEY` (PKCS#8), `EC PRIVATE KEY` (SEC1) and
    /// `RSA PRIVATE KEY` (PKCS#1). Certificates, parameters and text around it are passed over.
    pub fn from_pem(pem: &[u8]) -> Result<Self, PrivateKeyError> {
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
            let (kind, der) = section.map_err(|error| why_no_key(pem, &error))?;
            let der = Zeroizing::new(der);
            if matches!(
                kind,
                SectionKind::PrivateKey | SectionKind::EcPrivateKey | SectionKind::RsaPrivateKey
            ) {
                return Self::from_der(&der);
            }
        }
        Err(why_no_key(pem, &pem::Error::NoItemsFound))
    }

    /// A key from the DER of PKCS#8 (RFC 5958), SEC1 (RFC 5915) or PKCS#1 (RFC 8017): which one, it says itself.
    pub fn from_der(der: &[u8]) -> Result<Self, PrivateKeyError> {
        match der::form(der)? {
            Form::Pkcs8(KeyType::EcdsaP256) | Form::Sec1(KeyType::EcdsaP256) => {
                Self::ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, der, Pair::P256)
            }
            Form::Pkcs8(KeyType::EcdsaP384) | Form::Sec1(KeyType::EcdsaP384) => {
                Self::ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, der, Pair::P384)
            }
            Form::Pkcs8(KeyType::Ed25519) => {
                Ok(Self::new(Pair::Ed25519(Ed25519KeyPair::from_pkcs8(der)?))?)
            }
            Form::Pkcs8(KeyType::Rsa) => Ok(Self::new(Pair::Rsa(RsaKeyPair::from_pkcs8(der)?))?),
            Form::Pkcs1 => Ok(Self::new(Pair::Rsa(RsaKeyPair::from_der(der)?))?),
            Form::Sec1(_) => Err(PrivateKeyError::Unsupported),
        }
    }

    /// A new key; of RSA one of 2,048 bits, which takes a good part of a second.
    ///
    /// # Errors
    /// [`CryptoError::NoRandomness`] when the generator failed.
    pub fn generate(key_type: KeyType) -> Result<Self, CryptoError> {
        let ecdsa = |algorithm| EcdsaKeyPair::generate(algorithm);
        let pair = match key_type {
            KeyType::EcdsaP256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Pair::P256),
            KeyType::EcdsaP384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING).map(Pair::P384),
            KeyType::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed25519),
            KeyType::Rsa => RsaKeyPair::generate(KeySize::Rsa2048).map(Pair::Rsa),
        };
        pair.and_then(Self::new)
            .map_err(|_| CryptoError::NoRandomness)
    }

    /// The key as unencrypted PKCS#8, wiped when it is dropped.
    ///
    /// # Panics
    /// When there is no memory for it.
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        let der = match &self.pair {
            Pair::P256(pair) | Pair::P384(pair) => pair.to_pkcs8v1().map(|der| der.as_ref().into()),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().map(|der| der.as_ref().into()),
            Pair::Rsa(pair) => pair.as_der().map(|der: Pkcs8V1Der<'_>| der.as_ref().into()),
        };
        Zeroizing::new(der.expect("a whole key can be written, but for want of memory"))
    }

    /// Our public key.
    pub fn public_key(&self) -> PublicKey<'_> {
        let bytes = match &self.pair {
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
            Pair::Rsa(pair) => pair.public_key().as_ref(),
        };
        PublicKey {
            key_type: self.key_type(),
            bytes,
        }
    }

    /// Whether `key`, a certificate's, is this key's other half. A server asks at its start, not in a handshake.
    ///
    /// ```
    /// use lockgate_aws_lc::PrivateKey;
    /// use lockgate_dtls::certificate::parse_public_key;
    /// use lockgate_dtls::crypto::{KeyType, SigningKey as _};
    ///
    /// let (ours, other) = (PrivateKey::generate(KeyType::Ed25519)?, PrivateKey::generate(KeyType::Ed25519)?);
    /// let key = parse_public_key(ours.public_key_info())?.ok_or("a key of another kind")?;
    /// assert!(ours.matches(&key));
    /// assert!(!other.matches(&key));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn matches(&self, key: &PublicKey<'_>) -> bool {
        self.public_key() == *key
    }

    /// As [`PrivateKey::matches`], of the DER of a `SubjectPublicKeyInfo`.
    pub fn matches_info(&self, info: &[u8]) -> bool {
        matches!(parse_public_key(info), Ok(Some(key)) if self.matches(&key))
    }

    fn ecdsa(
        algorithm: &'static EcdsaSigningAlgorithm,
        der: &[u8],
        pair: fn(EcdsaKeyPair) -> Pair,
    ) -> Result<Self, PrivateKeyError> {
        let key = EcdsaKeyPair::from_private_key_der(algorithm, der)?;
        Ok(Self::new(pair(key))?)
    }

    fn new(pair: Pair) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let info: PublicKeyX509Der<'_> = match &pair {
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_der()?,
            Pair::Ed25519(pair) => pair.public_key().as_der()?,
            Pair::Rsa(pair) => pair.public_key().as_der()?,
        };
        let info = info.as_ref().into();
        Ok(Self { pair, info })
    }
}

impl SigningKey for PrivateKey {
    fn key_type(&self) -> KeyType {
        match &self.pair {
            Pair::P256(_) => KeyType::EcdsaP256,
            Pair::P384(_) => KeyType::EcdsaP384,
            Pair::Ed25519(_) => KeyType::Ed25519,
            Pair::Rsa(_) => KeyType::Rsa,
        }
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        use SignatureScheme as S;
        if !self.supports(scheme) {
            return Err(CryptoError::Unsupported);
        }
        // What can fail below is the random generator; its argument is there for ring's sake and not used.
        let random = SystemRandom::new();
        let signature = match (&self.pair, scheme) {
            (Pair::P256(pair), S::ECDSA_SECP256R1_SHA256)
            | (Pair::P384(pair), S::ECDSA_SECP384R1_SHA384) => pair.sign(&random, message),
            (Pair::P256(pair), _) => pair.sign_digest(&sha384_for_p256(message)),
            (Pair::P384(pair), _) => pair.sign_digest(&sha256_for_p384(message)),
            (Pair::Ed25519(pair), _) => Ok(pair.sign(message)),
            (Pair::Rsa(pair), _) => {
                let padding = rsa_padding(scheme).ok_or(CryptoError::Unsupported)?;
                let len = pair.public_modulus_len();
                let out = out.get_mut(..len).ok_or(CryptoError::BadLength)?;
                pair.sign(padding, &random, message, out)
                    .map_err(|_| CryptoError::NoRandomness)?;
                return Ok(len);
            }
        };
        let signature = signature.map_err(|_| CryptoError::NoRandomness)?;
        let signature = signature.as_ref();
        out.get_mut(..signature.len())
            .ok_or(CryptoError::BadLength)?
            .copy_from_slice(signature);
        Ok(signature.len())
    }

    fn public_key_info(&self) -> &[u8] {
        &self.info
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("key_type", &self.key_type())
            .finish_non_exhaustive()
    }
}

/// ECDSA on P-256 takes the first 256 bits of a longer digest (FIPS 186-5 §6.4.1), so the first half of SHA-384's stands
/// where a SHA-256 would: `aws-lc-rs` names no signing algorithm for the pair.
fn sha384_for_p256(message: &[u8]) -> Digest {
    let digest = digest::digest(&digest::SHA384, message);
    Digest::import_less_safe(&digest.as_ref()[..32], &digest::SHA256)
        .expect("32 bytes are as long as a SHA-256")
}

/// ECDSA takes a digest for a big-endian number, so zeros before a SHA-256 make it as long as a SHA-384.
fn sha256_for_p384(message: &[u8]) -> Digest {
    let mut padded = [0; 48];
    padded[16..].copy_from_slice(digest::digest(&digest::SHA256, message).as_ref());
    Digest::import_less_safe(&padded, &digest::SHA384).expect("48 bytes are as long as a SHA-384")
}

fn rsa_padding(scheme: SignatureScheme) -> Option<&'static dyn RsaEncoding> {
    use SignatureScheme as S;
    Some(match scheme {
        S::RSA_PKCS1_SHA256 => &signature::RSA_PKCS1_SHA256,
        S::RSA_PKCS1_SHA384 => &signature::RSA_PKCS1_SHA384,
        S::RSA_PKCS1_SHA512 => &signature::RSA_PKCS1_SHA512,
        S::RSA_PSS_RSAE_SHA256 => &signature::RSA_PSS_SHA256,
        S::RSA_PSS_RSAE_SHA384 => &signature::RSA_PSS_SHA384,
        S::RSA_PSS_RSAE_SHA512 => &signature::RSA_PSS_SHA512,
        _ => return None,
    })
}

/// What a person did wrong who gave us PEM without a key that we can read.
fn why_no_key(pem: &[u8], error: &pem::Error) -> PrivateKeyError {
    let has = |text: &str| pem.windows(text.len()).any(|part| part == text.as_bytes());
    if has("-----BEGIN ENCRYPTED PRIVATE KEY-----") || has("Proc-Type: 4,ENCRYPTED") {
        PrivateKeyError::Encrypted
    } else if has("-----BEGIN OPENSSH PRIVATE KEY-----") {
        PrivateKeyError::OpenSsh
    } else if has("-----BEGIN DSA PRIVATE KEY-----") {
        PrivateKeyError::Unsupported
    } else if matches!(error, pem::Error::NoItemsFound) {
        PrivateKeyError::NoKey
    } else {
        PrivateKeyError::BadPem
    }
}
