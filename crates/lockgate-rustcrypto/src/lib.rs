//! Crypto provider for [`lockgate_dtls`] in pure Rust, for devices.
//!
//! No `std`, no heap, no `unsafe`, no assembler: it builds wherever `core` does, and on a device the
//! only thing to bring along is a source of randomness ([`RandomSource`]).
//!
//! ```
//! use lockgate_dtls::crypto::{AeadAlgorithm, AeadKey as _, CryptoError, Provider as _};
//! use lockgate_rustcrypto::{RandomSource, RustCrypto};
//!
//! /// Stands for the chip's generator.
//! struct Trng;
//!
//! impl RandomSource for Trng {
//!     fn fill(&mut self, _out: &mut [u8]) -> Result<(), CryptoError> {
//!         Err(CryptoError::NoRandomness)
//!     }
//! }
//!
//! let provider = RustCrypto::new(Trng);
//! let key = provider.aead_key(AeadAlgorithm::Aes128Ccm8, &[7; 16])?;
//! let mut record = *b"21.5 C\0\0\0\0\0\0\0\0"; // the plaintext and room for the tag
//! key.seal_in_place(&[0; 12], b"header", &mut record)?;
//! key.open_in_place(&[0; 12], b"header", &mut record)?;
//! assert_eq!(&record[..6], b"21.5 C");
//! # Ok::<(), CryptoError>(())
//! ```
//!
//! # Why one generation back
//!
//! The `RustCrypto` crates used here (`aes` 0.8, `ccm` 0.5, `aes-gcm` 0.10, `chacha20poly1305` 0.10,
//! `sha2` 0.10, `hmac` 0.12, `p256` and `p384` 0.13) are not the newest ones. They compute the same and link to far less
//! flash on thumb targets. Nothing of theirs shows in this crate's API, so that they can be
//! exchanged without breaking anybody.
//!
//! # Features
//!
//! AEADs and hashes are on by default; a device switches off what its suites never name. The rest is off by default:
//! a device with pre-shared keys needs none of it.
//!
//! | feature | brings |
//! |---|---|
//! | `ccm` | AES-CCM and AES-CCM\_8 |
//! | `gcm` | AES-GCM |
//! | `chacha20poly1305` | ChaCha20-Poly1305 |
//! | `aes256` | the 256-bit form of both AES families; without it an expanded AES key is a quarter smaller |
//! | `sha384` | SHA-384 and its HMAC |
//! | `p256` | key exchange and ECDSA on P-256 |
//! | `p384` | key exchange and ECDSA on P-384, and `sha384` |
//! | `x25519` | key exchange on X25519 |
//! | `ed25519` | signatures on Ed25519 |
//! | `bare-keys` | AEAD keys kept bare and expanded on the stack for each record: a pair of AES-128 keys takes 34 bytes instead of 704, a record some thousand instructions more |
//! | `getrandom` | `OsRandom`, for targets with an operating system |
//!
//! An algorithm that is switched off is [`CryptoError::Unsupported`], and
//! [`Provider::supports_aead`] says so, so that its suites are never offered; with groups and signature
//! schemes it is the same.
//!
//! On a Cortex-M4, built for size, key exchange on P-256 adds some 8 KB of flash, with verifying 16 KB and with signing
//! 20 KB; X25519 adds 5 KB and Ed25519 24 to 30 KB. P-384 adds 120 KB, since the arithmetic of its crate is unrolled:
//! that is for bigger machines.
//!
//! There is no RSA here, neither to sign nor to verify, since the `rsa` crate needs a heap: a device talks to servers
//! whose certificates have keys of ECDSA or Ed25519, all the way up.
//!
//! In TLS 1.2 ECDSA's hash does not name the curve. P-256 verifies and signs with SHA-384 too when `sha384` is on,
//! and P-384 with SHA-256.
//!
//! # What is wiped, and what is not
//!
//! Expanded AES and `ChaCha20` keys are overwritten when they are dropped, and no bare key is copied.
//! So is GCM's hash key on devices; on a processor with carry-less multiplication, `polyval` picks
//! its backend at run time and leaves it.
//! Private keys of all kinds are, ephemeral ones too, and so are shared secrets; what arithmetic left of them on the
//! stack is not.
//! The states of hashes and HMAC keys are **not** wiped: the crates of this generation have no way
//! to do it, and none can be added from outside without `unsafe`. They hold no record key, but an
//! HMAC key made from a secret stays in memory until something else is written there.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(any(feature = "ccm", feature = "gcm", feature = "chacha20poly1305")))]
compile_error!("DTLS needs an AEAD: turn on `ccm`, `gcm` or `chacha20poly1305`");

mod aead;
#[cfg(any(feature = "p256", feature = "p384"))]
mod ec;
#[cfg(any(feature = "p256", feature = "p384", feature = "x25519"))]
mod exchange;
mod hash;
mod mask;
#[cfg(any(feature = "p256", feature = "p384", feature = "ed25519"))]
mod private_key;
mod random;
#[cfg(any(feature = "p256", feature = "p384", feature = "ed25519"))]
mod verify;

pub use self::aead::AeadKey;
#[cfg(any(feature = "p256", feature = "p384", feature = "x25519"))]
pub use self::exchange::KeyExchange;
pub use self::hash::{Hash, Hmac};
pub use self::mask::Mask;
#[cfg(any(feature = "p256", feature = "p384", feature = "ed25519"))]
pub use self::private_key::{PrivateKey, PrivateKeyError};
#[cfg(feature = "getrandom")]
pub use self::random::OsRandom;
pub use self::random::RandomSource;

use core::fmt;

#[cfg(any(feature = "p256", feature = "p384", feature = "x25519"))]
use lockgate_dtls::crypto::NamedGroup;
#[cfg(not(any(feature = "p256", feature = "p384", feature = "x25519")))]
use lockgate_dtls::crypto::NoKeyExchange as KeyExchange;
use lockgate_dtls::crypto::{AeadAlgorithm, CryptoError, HashAlgorithm, Provider};
#[cfg(any(feature = "p256", feature = "p384", feature = "ed25519"))]
use lockgate_dtls::crypto::{PublicKey, SignatureScheme};

/// The provider: the algorithms of the `RustCrypto` project and the random source `R`.
#[derive(Clone, Copy, Default)]
pub struct RustCrypto<R> {
    random: R,
}

impl<R> RustCrypto<R> {
    /// A provider that draws its random numbers from `random`.
    pub const fn new(random: R) -> Self {
        Self { random }
    }
}

impl<R> fmt::Debug for RustCrypto<R> {
    // The source may be a generator whose state must not be printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RustCrypto").finish_non_exhaustive()
    }
}

impl<R: RandomSource> Provider for RustCrypto<R> {
    type AeadKey = AeadKey;
    type Hash = Hash;
    type Hmac = Hmac;
    type Mask = Mask;
    type KeyExchange = KeyExchange;

    fn supports_aead(&self, algorithm: AeadAlgorithm) -> bool {
        AeadKey::supports(algorithm)
    }

    fn supports_hash(&self, algorithm: HashAlgorithm) -> bool {
        Hash::supports(algorithm)
    }

    fn aead_key(&self, algorithm: AeadAlgorithm, key: &[u8]) -> Result<AeadKey, CryptoError> {
        AeadKey::new(algorithm, key)
    }

    fn hash(&self, algorithm: HashAlgorithm) -> Result<Hash, CryptoError> {
        Hash::new(algorithm)
    }

    fn hmac(&self, algorithm: HashAlgorithm, key: &[u8]) -> Result<Hmac, CryptoError> {
        Hmac::new(algorithm, key)
    }

    fn mask(&self, key: &[u8; 16]) -> Result<Mask, CryptoError> {
        Ok(Mask::new(key))
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        self.random.fill(out)
    }

    #[cfg(any(feature = "p256", feature = "p384", feature = "x25519"))]
    fn supports_group(&self, group: NamedGroup) -> bool {
        exchange::supports(group)
    }

    #[cfg(any(feature = "p256", feature = "p384", feature = "x25519"))]
    fn key_exchange(&mut self, group: NamedGroup) -> Result<KeyExchange, CryptoError> {
        KeyExchange::generate(group, &mut self.random)
    }

    #[cfg(any(feature = "p256", feature = "p384", feature = "ed25519"))]
    fn supports_scheme(&self, scheme: SignatureScheme) -> bool {
        verify::supports(scheme)
    }

    #[cfg(any(feature = "p256", feature = "p384", feature = "ed25519"))]
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
