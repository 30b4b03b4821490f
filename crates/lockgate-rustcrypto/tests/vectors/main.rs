//! `RustCrypto` against published vectors by the hundred: of all AEADs, and of all public keys if they are compiled in.
#![cfg(all(
    feature = "ccm",
    feature = "gcm",
    feature = "chacha20poly1305",
    feature = "aes256",
))]

mod aead;
mod cavp;
#[cfg(all(
    feature = "p256",
    feature = "p384",
    feature = "x25519",
    feature = "ed25519"
))]
mod public_key;

use lockgate_dtls::crypto::CryptoError;
use lockgate_rustcrypto::{RandomSource, RustCrypto};

/// "Random" bytes for one draw: a vector's private key.
pub(crate) struct Known<'a>(pub(crate) &'a [u8]);

impl RandomSource for Known<'_> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        if out.len() != self.0.len() {
            return Err(CryptoError::NoRandomness);
        }
        out.copy_from_slice(self.0);
        self.0 = &[];
        Ok(())
    }
}

const NOTHING_RANDOM: RustCrypto<Known<'_>> = RustCrypto::new(Known(&[]));

#[test]
fn nist_aes_ccm() {
    aead::nist_aes_ccm(&NOTHING_RANDOM);
}

#[test]
fn wycheproof_aeads() {
    aead::wycheproof(&NOTHING_RANDOM);
}
