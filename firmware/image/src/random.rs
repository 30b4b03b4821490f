//! Random numbers. The emulated board has no generator, so that the emulator brings a seed; a real board has one, and
//! uses it instead of this.

use lockgate_dtls::crypto::CryptoError;
use lockgate_rustcrypto::RandomSource;
use sha2::{Digest, Sha256};

/// A seed, stirred with what the last start left, and hashed with a counter.
pub struct Seeded {
    state: [u8; 32],
    counter: u32,
}

impl Seeded {
    /// Stirs `seed` with `kept`, which outlives resets, so that no start repeats the numbers of another.
    pub fn new(seed: &[u8], kept: &mut [u8; 32]) -> Self {
        let state: [u8; 32] = Sha256::new()
            .chain_update(seed)
            .chain_update(&kept[..])
            .finalize()
            .into();
        *kept = Sha256::new()
            .chain_update(state)
            .chain_update(b"keep")
            .finalize()
            .into();
        Self { state, counter: 0 }
    }
}

impl RandomSource for Seeded {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        for chunk in out.chunks_mut(32) {
            self.counter += 1;
            let hash = Sha256::new()
                .chain_update(self.state)
                .chain_update(self.counter.to_be_bytes())
                .finalize();
            chunk.copy_from_slice(&hash[..chunk.len()]);
        }
        Ok(())
    }
}
