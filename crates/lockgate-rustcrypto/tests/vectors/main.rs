//! `RustCrypto` against published vectors by the hundred. Takes all AEADs.
#![cfg(all(
    feature = "ccm",
    feature = "gcm",
    feature = "chacha20poly1305",
    feature = "aes256"
))]

mod aead;
mod cavp;

use lockgate_dtls::crypto::CryptoError;
use lockgate_rustcrypto::{RandomSource, RustCrypto};

/// No vector needs any.
struct NoRandom;

impl RandomSource for NoRandom {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), CryptoError> {
        Err(CryptoError::NoRandomness)
    }
}

#[test]
fn nist_aes_ccm() {
    aead::nist_aes_ccm(&RustCrypto::new(NoRandom));
}

#[test]
fn wycheproof_aeads() {
    aead::wycheproof(&RustCrypto::new(NoRandom));
}
