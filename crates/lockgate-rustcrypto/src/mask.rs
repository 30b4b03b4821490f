//! AES-128 of one block.

use core::fmt;

use aes::Aes128Enc;
use aes::cipher::{BlockEncrypt, KeyInit};
use lockgate_dtls::crypto;

/// An expanded AES-128 key for record-number masks and connection IDs.
///
/// There is no `ChaCha20` form of it: the engine's trait asks for AES-128 only.
pub struct Mask(Aes128Enc);

impl Mask {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self(Aes128Enc::new(key.into()))
    }
}

impl crypto::Mask for Mask {
    fn mask(&self, sample: &[u8; 16]) -> [u8; 5] {
        let mut block = (*sample).into();
        self.0.encrypt_block(&mut block);
        [block[0], block[1], block[2], block[3], block[4]]
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mask").finish_non_exhaustive()
    }
}
