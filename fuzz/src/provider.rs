//! A crypto provider that repeats itself, so that an input always does the same.

use lockgate_dtls::crypto::{self, AeadAlgorithm, CryptoError, HashAlgorithm, NONCE_LEN, Provider};
use lockgate_rustcrypto::{self as rustcrypto, RandomSource, RustCrypto};

/// A xorshift generator: not for secrets, but the same each time.
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// A stream of its own for each `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }
}

impl RandomSource for Seeded {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        for chunk in out.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let bytes = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

/// The device provider with a seeded generator. A lenient one opens every record, so that the fuzzer gets behind the
/// encryption, where otherwise only a peer with the keys gets.
pub struct FuzzProvider {
    inner: RustCrypto<Seeded>,
    lenient: bool,
}

impl FuzzProvider {
    /// One that draws its random numbers from `seed`.
    pub const fn new(seed: u64, lenient: bool) -> Self {
        Self {
            inner: RustCrypto::new(Seeded::new(seed)),
            lenient,
        }
    }
}

/// An expanded key.
pub enum AeadKey {
    /// As it should be.
    Strict(Box<rustcrypto::AeadKey>),
    /// Encrypts nothing and takes any tag of this length.
    Lenient(usize),
}

impl crypto::AeadKey for AeadKey {
    fn seal_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<(), CryptoError> {
        match self {
            Self::Strict(key) => key.seal_in_place(nonce, aad, in_out),
            Self::Lenient(tag) => {
                let at = in_out
                    .len()
                    .checked_sub(*tag)
                    .ok_or(CryptoError::BadLength)?;
                in_out[at..].fill(0);
                Ok(())
            }
        }
    }

    fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<(), CryptoError> {
        match self {
            Self::Strict(key) => key.open_in_place(nonce, aad, in_out),
            Self::Lenient(tag) if in_out.len() < *tag => Err(CryptoError::BadLength),
            Self::Lenient(_) => Ok(()),
        }
    }
}

impl Provider for FuzzProvider {
    type AeadKey = AeadKey;
    type Hash = rustcrypto::Hash;
    type Hmac = rustcrypto::Hmac;
    type Mask = rustcrypto::Mask;
    type KeyExchange = lockgate_dtls::crypto::NoKeyExchange;

    fn supports_aead(&self, algorithm: AeadAlgorithm) -> bool {
        self.inner.supports_aead(algorithm)
    }

    fn supports_hash(&self, algorithm: HashAlgorithm) -> bool {
        self.inner.supports_hash(algorithm)
    }

    fn aead_key(&self, algorithm: AeadAlgorithm, key: &[u8]) -> Result<AeadKey, CryptoError> {
        if self.lenient {
            return Ok(AeadKey::Lenient(algorithm.tag_len()));
        }
        let key = self.inner.aead_key(algorithm, key)?;
        Ok(AeadKey::Strict(Box::new(key)))
    }

    fn hash(&self, algorithm: HashAlgorithm) -> Result<Self::Hash, CryptoError> {
        self.inner.hash(algorithm)
    }

    fn hmac(&self, algorithm: HashAlgorithm, key: &[u8]) -> Result<Self::Hmac, CryptoError> {
        self.inner.hmac(algorithm, key)
    }

    fn mask(&self, key: &[u8; 16]) -> Result<Self::Mask, CryptoError> {
        self.inner.mask(key)
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        self.inner.random(out)
    }
}
