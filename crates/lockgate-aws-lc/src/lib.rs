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
//! # Key exchange, signatures and keys
//!
//! Key exchange is on P-256, P-384 and X25519. Peers' signatures are verified in every scheme that the
//! engine knows, under keys of ECDSA on P-256 and P-384 with either hash, Ed25519, and RSA of 2,048 to
//! 8,192 bits. [`PrivateKey`] signs in all of them; it reads PEM and DER.
//!
//! # What it costs
//!
//! Building needs a C compiler and nothing else on the common targets: no `cmake`, `bindgen` or
//! `nasm`. Of the default features of `aws-lc-rs` only the library itself is on; the others serve
//! ring's signature interface.
//!
//! Expanding an AEAD key allocates once: some 600 bytes on the C heap for GCM and
//! ChaCha20-Poly1305, 176 or 240 bytes for CCM (1 KB without AES instructions). Sealing, opening,
//! masks, random numbers and MACs allocate nothing. A hash allocates when it is started and when it
//! is forked, which only handshakes do; key exchange and signatures allocate each time.
//! `cargo test --release -p lockgate-aws-lc --test speed -- --ignored --nocapture` prints how long
//! they take, `cargo bench -p lockgate-aws-lc` what CCM costs.
//!
//! AWS-LC wipes its key schedules, private keys and hash states when they are freed, and this crate
//! does so with those of CCM; it leaves no copy of a bare key behind, but for the base64 of a PEM
//! text.
#![deny(unsafe_code)]

mod aead;
mod ccm;
mod exchange;
mod hash;
mod mask;
mod private_key;
mod verify;

pub use self::aead::AeadKey;
pub use self::exchange::KeyExchange;
pub use self::hash::{Hash, Hmac};
pub use self::mask::Mask;
pub use self::private_key::{PrivateKey, PrivateKeyError};

use lockgate_dtls::crypto::{
    AeadAlgorithm, CryptoError, HashAlgorithm, NamedGroup, Provider, PublicKey, SignatureScheme,
};

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
    type KeyExchange = KeyExchange;

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

    fn supports_group(&self, group: NamedGroup) -> bool {
        exchange::supports(group)
    }

    fn key_exchange(&mut self, group: NamedGroup) -> Result<KeyExchange, CryptoError> {
        KeyExchange::generate(group)
    }

    fn supports_scheme(&self, scheme: SignatureScheme) -> bool {
        verify::supports(scheme)
    }

    fn verify(
        &self,
        scheme: SignatureScheme,
        key: PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        verify::verify(scheme, key, message, signature)
    }
}
