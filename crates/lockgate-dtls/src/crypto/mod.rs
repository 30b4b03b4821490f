//! What the engine asks of cryptography: the traits that a provider implements.
//!
//! A provider is a type parameter, never a trait object, so a device links only what it names.
//! The engine derives and keeps bare keys; an expanded key ([`Provider::AeadKey`]) is made when it is
//! needed and may be dropped at any time.

mod exchange;
mod signature;

use core::fmt;

pub use exchange::{
    KeyExchange, MAX_PUBLIC_VALUE_LEN, MAX_SHARED_SECRET_LEN, NamedGroup, NoKeyExchange,
};
pub use signature::{KeyType, MAX_SIGNATURE_LEN, PublicKey, SignatureScheme, SigningKey};

/// Length of the nonce of every AEAD that TLS uses, in bytes (RFC 5116).
pub const NONCE_LEN: usize = 12;

/// Longest authentication tag in bytes.
pub const MAX_TAG_LEN: usize = 16;

/// Longest traffic key in bytes.
pub const MAX_KEY_LEN: usize = 32;

/// Longest hash output in bytes (SHA-384).
pub const MAX_HASH_LEN: usize = 48;

/// The AEAD algorithms that a cipher suite can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AeadAlgorithm {
    /// `AEAD_AES_128_GCM` (RFC 5288)
    Aes128Gcm = 1,
    /// `AEAD_AES_256_GCM` (RFC 5288)
    Aes256Gcm = 2,
    /// `AEAD_AES_128_CCM` with a 16-byte tag (RFC 6655)
    Aes128Ccm = 3,
    /// `AEAD_AES_256_CCM` with a 16-byte tag (RFC 6655)
    Aes256Ccm = 4,
    /// `AEAD_AES_128_CCM_8` with an 8-byte tag (RFC 6655)
    Aes128Ccm8 = 5,
    /// `AEAD_AES_256_CCM_8` with an 8-byte tag (RFC 6655)
    Aes256Ccm8 = 6,
    /// `AEAD_CHACHA20_POLY1305` (RFC 7905)
    ChaCha20Poly1305 = 7,
}

impl AeadAlgorithm {
    /// Key length in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes128Ccm | Self::Aes128Ccm8 => 16,
            Self::Aes256Gcm | Self::Aes256Ccm | Self::Aes256Ccm8 | Self::ChaCha20Poly1305 => 32,
        }
    }

    /// Tag length in bytes.
    pub const fn tag_len(self) -> usize {
        match self {
            Self::Aes128Ccm8 | Self::Aes256Ccm8 => 8,
            _ => 16,
        }
    }

    /// The algorithm with this number in an exported association, if there is one.
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Aes128Gcm,
            2 => Self::Aes256Gcm,
            3 => Self::Aes128Ccm,
            4 => Self::Aes256Ccm,
            5 => Self::Aes128Ccm8,
            6 => Self::Aes256Ccm8,
            7 => Self::ChaCha20Poly1305,
            _ => return None,
        })
    }
}

/// The hash functions that a cipher suite can name for its PRF and transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
}

impl HashAlgorithm {
    /// Output length in bytes.
    pub const fn output_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }
}

/// A digest or MAC value of up to [`MAX_HASH_LEN`] bytes.
#[derive(Clone, Copy)]
pub struct HashOutput {
    bytes: [u8; MAX_HASH_LEN],
    len: u8,
}

impl HashOutput {
    /// Copies `digest`; bytes beyond [`MAX_HASH_LEN`] are a provider's mistake and are left out.
    pub fn new(digest: &[u8]) -> Self {
        let mut bytes = [0; MAX_HASH_LEN];
        let len = digest.len().min(MAX_HASH_LEN);
        bytes[..len].copy_from_slice(&digest[..len]);
        Self {
            bytes,
            len: len as u8,
        }
    }
}

impl AsRef<[u8]> for HashOutput {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl zeroize::Zeroize for HashOutput {
    fn zeroize(&mut self) {
        self.bytes.zeroize();
        self.len = 0;
    }
}

impl fmt::Debug for HashOutput {
    // A MAC may be a secret, and the type cannot tell it from a digest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashOutput").finish_non_exhaustive()
    }
}

/// Why a provider could not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CryptoError {
    /// The provider does not have this algorithm.
    Unsupported,
    /// A key, nonce or buffer has a length that the algorithm does not take.
    BadLength,
    /// The tag did not verify.
    Unauthenticated,
    /// The random generator failed or has not been seeded.
    NoRandomness,
    /// A public value of the peer's that is no point of its group, or leads to a secret of zeros.
    BadPublicValue,
    /// The signature does not verify, or the key is not one that its scheme takes.
    BadSignature,
}

impl fmt::Display for CryptoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsupported => "the crypto provider does not have this algorithm",
            Self::BadLength => "a length does not fit the algorithm",
            Self::Unauthenticated => "the authentication tag does not verify",
            Self::NoRandomness => "no random numbers can be had",
            Self::BadPublicValue => "the peer's public value is not valid in its group",
            Self::BadSignature => "the signature does not verify",
        })
    }
}

impl core::error::Error for CryptoError {}

/// A set of algorithms behind one type.
pub trait Provider {
    /// An expanded AEAD key, for either direction.
    type AeadKey: AeadKey;
    /// A running hash.
    type Hash: Hash;
    /// A MAC key, expanded once and used often.
    type Hmac: Hmac;
    /// A keyed function of 16-byte samples.
    type Mask: Mask;
    /// An ephemeral private key; [`NoKeyExchange`] where there is none.
    type KeyExchange: KeyExchange;

    /// Whether [`Provider::aead_key`] can make a key for `algorithm`. Suites without support are not offered.
    fn supports_aead(&self, algorithm: AeadAlgorithm) -> bool;

    /// Whether hashes and MACs on `algorithm` can be made.
    fn supports_hash(&self, algorithm: HashAlgorithm) -> bool;

    /// Expands `key`, which is [`AeadAlgorithm::key_len`] bytes long.
    fn aead_key(&self, algorithm: AeadAlgorithm, key: &[u8]) -> Result<Self::AeadKey, CryptoError>;

    /// Starts a hash.
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Self::Hash, CryptoError>;

    /// Expands an HMAC key of any length (RFC 2104).
    fn hmac(&self, algorithm: HashAlgorithm, key: &[u8]) -> Result<Self::Hmac, CryptoError>;

    /// Expands a 16-byte AES-128 key for [`Mask::mask`].
    fn mask(&self, key: &[u8; 16]) -> Result<Self::Mask, CryptoError>;

    /// Fills `out` with bytes from a cryptographic random generator.
    fn random(&mut self, out: &mut [u8]) -> Result<(), CryptoError>;

    /// Whether [`Provider::key_exchange`] knows `group`. Groups without support are not offered. None is, unless a
    /// provider says otherwise.
    fn supports_group(&self, _group: NamedGroup) -> bool {
        false
    }

    /// Makes an ephemeral key pair in `group`.
    fn key_exchange(&mut self, _group: NamedGroup) -> Result<Self::KeyExchange, CryptoError> {
        Err(CryptoError::Unsupported)
    }

    /// Whether [`Provider::verify`] knows `scheme`. Schemes without support are not offered. None is, unless a provider
    /// says otherwise.
    fn supports_scheme(&self, _scheme: SignatureScheme) -> bool {
        false
    }

    /// Checks `signature` of `message` under the peer's key.
    ///
    /// # Errors
    /// [`CryptoError::BadSignature`] also for a key of another type than the scheme's, or one that cannot be decoded.
    fn verify(
        &self,
        _scheme: SignatureScheme,
        _key: PublicKey<'_>,
        _message: &[u8],
        _signature: &[u8],
    ) -> Result<(), CryptoError> {
        Err(CryptoError::Unsupported)
    }
}

/// An expanded AEAD key. Implementations must not keep anything of what they protect.
pub trait AeadKey {
    /// Encrypts in place. `in_out` is the plaintext followed by room for the tag, which is written there.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] when `in_out` is shorter than the tag or too long for the algorithm.
    fn seal_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<(), CryptoError>;

    /// Decrypts in place. `in_out` is ciphertext followed by tag; afterwards the plaintext stands where the
    /// ciphertext was, and the tag's bytes are unspecified.
    ///
    /// # Errors
    /// [`CryptoError::Unauthenticated`]: `in_out` then holds unspecified bytes, never unverified plaintext that
    /// a caller might use.
    fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<(), CryptoError>;
}

/// A running hash. `Clone` forks it, so that a transcript can be read without ending it.
pub trait Hash: Clone {
    /// Adds `data`.
    fn update(&mut self, data: &[u8]);
    /// The digest of everything added.
    fn finish(self) -> HashOutput;
}

/// An expanded HMAC key (RFC 2104).
pub trait Hmac {
    /// The MAC of the concatenation of `parts`.
    fn sign(&self, parts: &[&[u8]]) -> HashOutput;
}

/// AES-128 on one block, cut to 5 bytes: the record-number mask of RFC 9147 §4.2.3, and the round function that
/// Lockgate's connection IDs are permuted with.
pub trait Mask {
    /// The first 5 bytes of AES-128-ECB of `sample`.
    fn mask(&self, sample: &[u8; 16]) -> [u8; 5];
}
