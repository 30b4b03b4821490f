//! `RustCrypto` as a provider.

mod common;

use lockgate_dtls::crypto::{CryptoError, HashAlgorithm, Provider};
use lockgate_rustcrypto::{AeadKey, RandomSource, RustCrypto};

/// Counts, so that it shows who was asked.
struct Counter(u8);

impl RandomSource for Counter {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        for byte in out {
            self.0 = self.0.checked_add(1).ok_or(CryptoError::NoRandomness)?;
            *byte = self.0;
        }
        Ok(())
    }
}

#[test]
fn does_what_every_provider_must() {
    common::check(&mut RustCrypto::new(Counter(0)));
}

#[test]
fn supports_what_is_compiled_in() {
    let provider = RustCrypto::new(Counter(0));
    for algorithm in common::ALL_AEADS {
        let name = format!("{algorithm:?}");
        let family = (name.contains("Gcm") && cfg!(feature = "gcm"))
            || (name.contains("Ccm") && cfg!(feature = "ccm"))
            || (name.contains("ChaCha") && cfg!(feature = "chacha20poly1305"));
        let size = !name.contains("256") || cfg!(feature = "aes256");
        assert_eq!(provider.supports_aead(algorithm), family && size, "{name}");
    }
    assert!(provider.supports_hash(HashAlgorithm::Sha256));
    let sha384 = cfg!(feature = "sha384");
    assert_eq!(provider.supports_hash(HashAlgorithm::Sha384), sha384);
    let unsupported = (!sha384).then_some(CryptoError::Unsupported);
    assert_eq!(provider.hash(HashAlgorithm::Sha384).err(), unsupported);
    assert_eq!(
        provider.hmac(HashAlgorithm::Sha384, b"key").err(),
        unsupported
    );
}

#[test]
fn random_numbers_come_from_the_source_and_so_do_its_errors() {
    let mut source = Counter(250);
    let mut provider = RustCrypto::new(&mut source);
    let mut out = [0; 4];
    assert_eq!(provider.random(&mut out), Ok(()));
    assert_eq!(out, [251, 252, 253, 254]);
    assert_eq!(provider.random(&mut out), Err(CryptoError::NoRandomness));
    assert_eq!(source.0, 255);
}

#[cfg(feature = "getrandom")]
#[test]
fn the_operating_system_has_random_numbers() {
    let mut provider = RustCrypto::new(lockgate_rustcrypto::OsRandom);
    let (mut a, mut b) = ([0; 32], [0; 32]);
    provider.random(&mut a).unwrap();
    provider.random(&mut b).unwrap();
    assert_ne!(a, b);
    assert_ne!(a, [0; 32]);
}

/// What the documentation of `AeadKey` promises.
#[test]
fn a_single_algorithm_has_no_overhead() {
    if cfg!(not(any(feature = "ccm", feature = "gcm"))) {
        assert_eq!(size_of::<AeadKey>(), 32);
    }
}

#[test]
fn debug_does_not_print_the_source() {
    assert_eq!(
        format!("{:?}", RustCrypto::new(Counter(0))),
        "RustCrypto { .. }"
    );
}
