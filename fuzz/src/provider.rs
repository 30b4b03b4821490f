//! A crypto provider that repeats itself, so that an input always does the same.

use lockgate_dtls::crypto::{
    self, AeadAlgorithm, CryptoError, Hash as _, HashAlgorithm, HashOutput, MAX_SHARED_SECRET_LEN,
    NONCE_LEN, NamedGroup, Provider, PublicKey, SignatureScheme,
};
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

/// What a provider lets pass that no real one would, so that the fuzzer gets where otherwise only a peer with the keys gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lenient {
    /// Every protected record opens.
    pub records: bool,
    /// Every signature verifies, and every public value leads to a secret.
    pub keys: bool,
    /// Every MAC is zeros: cookies and `Finished` can be guessed.
    pub macs: bool,
}

impl Lenient {
    /// Whether nothing is let pass.
    pub const fn is_strict(self) -> bool {
        !self.records && !self.keys && !self.macs
    }
}

/// The device provider with a seeded generator. Records and MACs are real unless it is [`Lenient`]. Key exchange and
/// signatures are play: quick, and out of reach for a fuzzer, which is all that is asked of them here.
pub struct FuzzProvider {
    inner: RustCrypto<Seeded>,
    lenient: Lenient,
}

impl FuzzProvider {
    /// One that draws its random numbers from `seed`.
    pub const fn new(seed: u64, lenient: Lenient) -> Self {
        Self {
            inner: RustCrypto::new(Seeded::new(seed)),
            lenient,
        }
    }
}

/// Length of public values of every group, in bytes.
const PUBLIC_LEN: usize = 32;

fn new_hash() -> rustcrypto::Hash {
    let provider = RustCrypto::new(Seeded::new(0));
    provider.hash(HashAlgorithm::Sha256).expect("SHA-256")
}

/// The play signature: a hash of the public key, the scheme and the message.
pub fn sign(key: &[u8], scheme: SignatureScheme, message: &[u8]) -> HashOutput {
    let mut hash = new_hash();
    hash.update(key);
    hash.update(&scheme.0.to_be_bytes());
    hash.update(message);
    hash.finish()
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = new_hash();
    hash.update(bytes);
    *hash.finish().as_ref().first_chunk().expect("32 bytes")
}

/// A play key exchange: what both ends said, added up.
pub struct KeyExchange {
    public: [u8; PUBLIC_LEN],
    lenient: bool,
}

impl crypto::KeyExchange for KeyExchange {
    fn public_value(&self) -> &[u8] {
        &self.public
    }

    fn agree(
        self,
        peer: &[u8],
        out: &mut [u8; MAX_SHARED_SECRET_LEN],
    ) -> Result<usize, CryptoError> {
        if !self.lenient && (peer.len() != PUBLIC_LEN || peer.iter().all(|b| *b == 0)) {
            return Err(CryptoError::BadPublicValue);
        }
        for (i, (out, own)) in out.iter_mut().zip(self.public).enumerate() {
            *out = own ^ peer.get(i).copied().unwrap_or_default();
        }
        Ok(PUBLIC_LEN)
    }
}

/// A MAC key.
pub enum Hmac {
    /// As it should be.
    Strict(rustcrypto::Hmac),
    /// Zeros of this length.
    Lenient(usize),
}

impl crypto::Hmac for Hmac {
    fn sign(&self, parts: &[&[u8]]) -> HashOutput {
        match self {
            Self::Strict(key) => key.sign(parts),
            Self::Lenient(len) => HashOutput::new(&[0; 48][..*len]),
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
    type Hmac = Hmac;
    type Mask = rustcrypto::Mask;
    type KeyExchange = KeyExchange;

    fn supports_aead(&self, algorithm: AeadAlgorithm) -> bool {
        self.inner.supports_aead(algorithm)
    }

    fn supports_hash(&self, algorithm: HashAlgorithm) -> bool {
        self.inner.supports_hash(algorithm)
    }

    fn aead_key(&self, algorithm: AeadAlgorithm, key: &[u8]) -> Result<AeadKey, CryptoError> {
        if self.lenient.records {
            return Ok(AeadKey::Lenient(algorithm.tag_len()));
        }
        let key = self.inner.aead_key(algorithm, key)?;
        Ok(AeadKey::Strict(Box::new(key)))
    }

    fn hash(&self, algorithm: HashAlgorithm) -> Result<Self::Hash, CryptoError> {
        self.inner.hash(algorithm)
    }

    fn hmac(&self, algorithm: HashAlgorithm, key: &[u8]) -> Result<Self::Hmac, CryptoError> {
        if self.lenient.macs {
            return Ok(Hmac::Lenient(algorithm.output_len()));
        }
        self.inner.hmac(algorithm, key).map(Hmac::Strict)
    }

    fn mask(&self, key: &[u8; 16]) -> Result<Self::Mask, CryptoError> {
        self.inner.mask(key)
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        self.inner.random(out)
    }

    fn supports_group(&self, group: NamedGroup) -> bool {
        matches!(group, NamedGroup::X25519 | NamedGroup::SECP256R1)
    }

    fn key_exchange(&mut self, _: NamedGroup) -> Result<KeyExchange, CryptoError> {
        let mut public = [0; PUBLIC_LEN];
        self.random(&mut public)?;
        Ok(KeyExchange {
            public,
            lenient: self.lenient.keys,
        })
    }

    fn supports_scheme(&self, scheme: SignatureScheme) -> bool {
        matches!(
            scheme,
            SignatureScheme::ECDSA_SECP256R1_SHA256 | SignatureScheme::ED25519
        )
    }

    fn verify(
        &self,
        scheme: SignatureScheme,
        key: PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        if self.lenient.keys || sign(key.bytes, scheme, message).as_ref() == signature {
            Ok(())
        } else {
            Err(CryptoError::BadSignature)
        }
    }
}
