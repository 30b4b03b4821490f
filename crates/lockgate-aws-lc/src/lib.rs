//! Crypto provider for [`lockgate_dtls`] on AWS-LC, for servers and gateways.
//!
//! ```
//! use lockgate_aws_lc::AwsLc;
//! use lockgate_dtls::crypto::{AeadAlgorithm, AeadKey as _, CryptoError, Provider as _};
//!
//! let mut provider = AwsLc;
//! let mut bare_key = [0; 16];
//! provider.random(&mut bare_key)?;
//! let key = provider.aead_key(AeadAlgorithm::Aes128Gcm, &bare_key)?;
//!
//! let mut record = *b"21.5 C\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"; // the plaintext and room for the tag
//! key.seal_in_place(&[0; 12], b"header", &mut record)?;
//! key.open_in_place(&[0; 12], b"header", &mut record)?;
//! assert_eq!(&record[..6], b"21.5 C");
//! # Ok::<(), CryptoError>(())
//! ```
//!
//! AES-CCM, which `aws-lc-rs` does not have and constrained devices speak little else than, is made
//! here of the AES instructions of x86-64; on other processors it comes from `lockgate-rustcrypto`.
//!
//! # What it costs
//!
//! Building needs a C compiler and nothing else on the common targets: no `cmake`, `bindgen` or
//! `nasm`. Of the default features of `aws-lc-rs` only the library itself is on; the others serve
//! ring's signature interface.
//!
//! Expanding an AEAD key allocates once: some 600 bytes on the C heap for GCM and
//! ChaCha20-Poly1305, 176 or 240 bytes for CCM (1 KB without AES instructions). Sealing, opening, masks, random numbers and MACs allocate
//! nothing. A hash allocates when it is started and when it is forked, which only handshakes do.
//!
//! AWS-LC wipes its key schedules and hash states when they are freed, as this crate does those of
//! CCM, and it makes no copy of a bare key.
#![deny(unsafe_code)]

mod aead;
mod ccm;
mod hash;
mod mask;

pub use self::aead::AeadKey;
pub use self::hash::{Hash, Hmac};
pub use self::mask::Mask;

use lockgate_dtls::crypto::{AeadAlgorithm, CryptoError, HashAlgorithm, NoKeyExchange, Provider};

/// The provider: AWS-LC's algorithms and its random generator.
///
/// It has no state of its own, so every worker can have one. The generator behind it is AWS-LC's,
/// seeded from the operating system, one per thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

impl Provider for AwsLc {
    type AeadKey = AeadKey;
    type Hash = Hash;
    type Hmac = Hmac;
    type Mask = Mask;
    type KeyExchange = NoKeyExchange;

    fn supports_aead(&self, _: AeadAlgorithm) -> bool {
        true
    }

    fn supports_hash(&self, _: HashAlgorithm) -> bool {
        true
    }

    fn aead_key(&self, algorithm: AeadAlgorithm, key: &[u8]) -> Result<AeadKey, CryptoError> {
        AeadKey::new(algorithm, key)
    }

    fn hash(&self, algorithm: HashAlgorithm) -> Result<Hash, CryptoError> {
        Ok(Hash::new(algorithm))
    }

    fn hmac(&self, algorithm: HashAlgorithm, key: &[u8]) -> Result<Hmac, CryptoError> {
        Ok(Hmac::new(algorithm, key))
    }

    fn mask(&self, key: &[u8; 16]) -> Result<Mask, CryptoError> {
        Mask::new(key)
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        aws_lc_rs::rand::fill(out).map_err(|_| CryptoError::NoRandomness)
    }
}
