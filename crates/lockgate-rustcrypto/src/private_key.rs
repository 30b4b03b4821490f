//! Private keys, and what they sign.

mod der;

use core::fmt;

use lockgate_dtls::certificate::parse_public_key;
use lockgate_dtls::crypto::{CryptoError, KeyType, PublicKey, SignatureScheme, SigningKey};
use zeroize::Zeroizing;

use crate::random::RandomSource;
use crate::verify;

/// Longest private key of the types that are compiled in: a scalar or seed.
const MAX_SECRET_LEN: usize = if cfg!(feature = "p384") { 48 } else { 32 };

/// Longest `SubjectPublicKeyInfo` of the types that are compiled in.
const MAX_INFO_LEN: usize = if cfg!(feature = "p384") {
    120
} else if cfg!(feature = "p256") {
    91
} else {
    44
};

/// A private key that signs handshakes: ECDSA on P-256 or P-384, or Ed25519, as far as they are compiled in. It is wiped
/// when it is dropped.
///
/// Signatures need no random numbers: ECDSA's are those of RFC 6979, made with the hash that belongs to the curve.
///
#[cfg_attr(feature = "p256", doc = "```")]
#[cfg_attr(not(feature = "p256"), doc = "```ignore")]
/// use lockgate_dtls::crypto::{KeyType, SignatureScheme, SigningKey as _};
/// use lockgate_rustcrypto::PrivateKey;
///
/// // From the device's protected memory.
/// let key = PrivateKey::from_secret(KeyType::EcdsaP256, &[7; 32])?;
/// let mut signature = [0; 72];
/// let len = key.sign(SignatureScheme::ECDSA_SECP256R1_SHA256, b"message", &mut signature)?;
/// assert!(len <= 72);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PrivateKey {
    pair: Pair,
    info: [u8; MAX_INFO_LEN],
    info_len: u8,
}

enum Pair {
    #[cfg(feature = "p256")]
    P256(p256::ecdsa::SigningKey),
    #[cfg(feature = "p384")]
    P384(p384::ecdsa::SigningKey),
    #[cfg(feature = "ed25519")]
    Ed25519(ed25519_dalek::SigningKey),
}

impl PrivateKey {
    /// A key from its bare bytes: the scalar of ECDSA as a big-endian number of full length (32 or 48 bytes), or the
    /// 32 bytes of Ed25519's seed.
    ///
    /// # Errors
    /// [`PrivateKeyError::Inconsistent`] for another length, or a number that is out of range.
    pub fn from_secret(key_type: KeyType, secret: &[u8]) -> Result<Self, PrivateKeyError> {
        let inconsistent = PrivateKeyError::Inconsistent;
        match key_type {
            #[cfg(feature = "p256")]
            KeyType::EcdsaP256 if secret.len() == 32 => {
                let pair = p256::ecdsa::SigningKey::from_slice(secret).map_err(|_| inconsistent)?;
                let point = pair.verifying_key().to_encoded_point(false);
                Ok(Self::new(Pair::P256(pair), point.as_bytes()))
            }
            #[cfg(feature = "p384")]
            KeyType::EcdsaP384 if secret.len() == 48 => {
                let pair = p384::ecdsa::SigningKey::from_slice(secret).map_err(|_| inconsistent)?;
                let point = pair.verifying_key().to_encoded_point(false);
                Ok(Self::new(Pair::P384(pair), point.as_bytes()))
            }
            #[cfg(feature = "ed25519")]
            KeyType::Ed25519 => {
                let seed = secret.try_into().map_err(|_| inconsistent)?;
                let pair = ed25519_dalek::SigningKey::from_bytes(seed);
                let public = pair.verifying_key().to_bytes();
                Ok(Self::new(Pair::Ed25519(pair), &public))
            }
            _ if verify::supports_key(key_type) => Err(inconsistent),
            _ => Err(PrivateKeyError::Unsupported),
        }
    }

    /// A key from the DER of PKCS#8 (RFC 5958). Where it holds the public half too, that must be the right one.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, PrivateKeyError> {
        let (key_type, secret, public) = der::pkcs8(der)?;
        let key = Self::from_secret(key_type, secret)?;
        match public {
            Some(public) if public != key.public_key().bytes => Err(PrivateKeyError::Inconsistent),
            _ => Ok(key),
        }
    }

    /// A new key.
    ///
    /// # Errors
    /// [`CryptoError::Unsupported`] for a type that is not compiled in, [`CryptoError::NoRandomness`] when the source
    /// fails or makes no key in two draws.
    pub fn generate(
        key_type: KeyType,
        random: &mut impl RandomSource,
    ) -> Result<Self, CryptoError> {
        if !verify::supports_key(key_type) {
            return Err(CryptoError::Unsupported);
        }
        let len = if key_type == KeyType::EcdsaP384 {
            48
        } else {
            32
        };
        let mut secret = Zeroizing::new([0; MAX_SECRET_LEN]);
        let secret = &mut secret[..len];
        // By rejection, as ephemeral keys.
        for _ in 0..2 {
            random.fill(secret)?;
            if let Ok(key) = Self::from_secret(key_type, secret) {
                return Ok(key);
            }
        }
        Err(CryptoError::NoRandomness)
    }

    /// Our public key.
    pub fn public_key(&self) -> PublicKey<'_> {
        let key_type = self.key_type();
        let prefix = der::info_prefix(key_type).len();
        PublicKey {
            key_type,
            bytes: &self.public_key_info()[prefix..],
        }
    }

    /// Whether `key`, a certificate's, is this key's other half.
    pub fn matches(&self, key: &PublicKey<'_>) -> bool {
        self.public_key() == *key
    }

    /// As [`PrivateKey::matches`], of the DER of a `SubjectPublicKeyInfo`.
    pub fn matches_info(&self, info: &[u8]) -> bool {
        matches!(parse_public_key(info), Ok(Some(key)) if self.matches(&key))
    }

    fn new(pair: Pair, public: &[u8]) -> Self {
        let prefix = der::info_prefix(pair.key_type());
        let len = prefix.len() + public.len();
        let mut info = [0; MAX_INFO_LEN];
        info[..prefix.len()].copy_from_slice(prefix);
        info[prefix.len()..len].copy_from_slice(public);
        Self {
            pair,
            info,
            info_len: len as u8,
        }
    }
}

impl Pair {
    const fn key_type(&self) -> KeyType {
        match self {
            #[cfg(feature = "p256")]
            Self::P256(_) => KeyType::EcdsaP256,
            #[cfg(feature = "p384")]
            Self::P384(_) => KeyType::EcdsaP384,
            #[cfg(feature = "ed25519")]
            Self::Ed25519(_) => KeyType::Ed25519,
        }
    }
}

impl SigningKey for PrivateKey {
    fn key_type(&self) -> KeyType {
        self.pair.key_type()
    }

    fn supports(&self, scheme: SignatureScheme) -> bool {
        verify::supports(scheme) && scheme.fits(self.key_type())
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        if !self.supports(scheme) {
            return Err(CryptoError::Unsupported);
        }
        let mut write = |signature: &[u8]| {
            out.get_mut(..signature.len())
                .ok_or(CryptoError::BadLength)?
                .copy_from_slice(signature);
            Ok(signature.len())
        };
        match &self.pair {
            #[cfg(feature = "p256")]
            Pair::P256(pair) => {
                use p256::ecdsa::{DerSignature, signature::hazmat::PrehashSigner as _};
                let digest = verify::digest(scheme, message)?;
                let signature: Result<DerSignature, _> = pair.sign_prehash(digest.as_ref());
                write(signature.map_err(|_| CryptoError::BadLength)?.as_bytes())
            }
            #[cfg(feature = "p384")]
            Pair::P384(pair) => {
                use p384::ecdsa::{DerSignature, signature::hazmat::PrehashSigner as _};
                let digest = verify::digest(scheme, message)?;
                let signature: Result<DerSignature, _> = pair.sign_prehash(digest.as_ref());
                write(signature.map_err(|_| CryptoError::BadLength)?.as_bytes())
            }
            #[cfg(feature = "ed25519")]
            Pair::Ed25519(pair) => {
                use ed25519_dalek::Signer as _;
                write(&pair.sign(message).to_bytes())
            }
        }
    }

    fn public_key_info(&self) -> &[u8] {
        &self.info[..usize::from(self.info_len)]
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("key_type", &self.key_type())
            .finish_non_exhaustive()
    }
}

/// Why a private key cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrivateKeyError {
    /// The key is encrypted with a passphrase.
    Encrypted,
    /// The DER is no PKCS#8.
    Malformed,
    /// A key of a kind or curve that is not compiled in.
    Unsupported,
    /// The numbers in the key are no key: of a wrong length, out of range, or with the public half of another one.
    Inconsistent,
}

impl fmt::Display for PrivateKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encrypted => "the key is encrypted; write it without a passphrase",
            Self::Malformed => "this is no private key: the DER is not PKCS#8",
            Self::Unsupported => "the key is of a kind that is not compiled in",
            Self::Inconsistent => {
                "the key is damaged: its numbers are out of range or do not belong together"
            }
        })
    }
}

impl core::error::Error for PrivateKeyError {}
