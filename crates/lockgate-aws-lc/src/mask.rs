//! AES-128 of one block.

use std::fmt;

use aws_lc_rs::aead::quic::{AES_128, HeaderProtectionKey};
use lockgate_dtls::crypto::{self, CryptoError};

/// An expanded AES-128 key for record-number masks and connection IDs.
///
/// QUIC's header protection with AES is the same function as DTLS's (RFC 9001 §5.4.3, RFC 9147
/// §4.2.3), and its key lies inline: neither expanding nor masking allocates.
pub struct Mask(HeaderProtectionKey);

impl Mask {
    pub(crate) fn new(key: &[u8; 16]) -> Result<Self, CryptoError> {
        match HeaderProtectionKey::new(&AES_128, key) {
            Ok(key) => Ok(Self(key)),
            Err(_) => Err(CryptoError::BadLength),
        }
    }
}

impl crypto::Mask for Mask {
    fn mask(&self, sample: &[u8; 16]) -> [u8; 5] {
        // A wrong sample length is its only error, and made-up bytes would not be a safer answer.
        self.0.new_mask(sample).expect("AES-128 takes any 16 bytes")
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mask").finish_non_exhaustive()
    }
}
