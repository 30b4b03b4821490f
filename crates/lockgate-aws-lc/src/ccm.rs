//! AES-CCM and AES-CCM\_8 (RFC 6655): on the processor's AES instructions where it has them, else that of
//! `lockgate-rustcrypto`.

#[cfg(target_arch = "x86_64")]
mod aes_ni;
#[cfg(test)]
mod tests;
#[cfg(all(test, target_arch = "x86_64"))]
mod vectors;

use lockgate_dtls::crypto::{AeadAlgorithm, AeadKey as _, CryptoError, NONCE_LEN};

/// Longest text in bytes: the nonce leaves three bytes for its length (RFC 6655 §3).
const MAX_TEXT_LEN: usize = (1 << 24) - 1;

/// An expanded key. Boxed, so that a cache of keys is not sized for it where GCM is spoken.
pub(crate) struct Key {
    schedule: Schedule,
    tag_len: u8,
}

enum Schedule {
    #[cfg(target_arch = "x86_64")]
    Aes128(Box<aes_ni::Key<{ aes_ni::AES_128 }>>),
    #[cfg(target_arch = "x86_64")]
    Aes256(Box<aes_ni::Key<{ aes_ni::AES_256 }>>),
    Portable(Box<lockgate_rustcrypto::AeadKey>),
}

impl Key {
    /// Expands `key` for `algorithm`, an AES-CCM, in the fastest way that this processor has.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] when `key` has not the length of the algorithm.
    pub(crate) fn new(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Self, CryptoError> {
        #[cfg(target_arch = "x86_64")]
        if let Some(key) = Self::with_aes_ni(algorithm, key)? {
            return Ok(key);
        }
        Self::portable(algorithm, key)
    }

    /// `None` when the processor lacks the instructions.
    #[cfg(target_arch = "x86_64")]
    fn with_aes_ni(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Option<Self>, CryptoError> {
        if key.len() != algorithm.key_len() {
            return Err(CryptoError::BadLength);
        }
        let schedule = if let Some(key) = key.as_array::<16>() {
            aes_ni::Key::<{ aes_ni::AES_128 }>::new(key).map(Schedule::Aes128)
        } else if let Some(key) = key.as_array::<32>() {
            aes_ni::Key::<{ aes_ni::AES_256 }>::new(key).map(Schedule::Aes256)
        } else {
            None
        };
        let tag_len = algorithm.tag_len() as u8;
        Ok(schedule.map(|schedule| Self { schedule, tag_len }))
    }

    /// Expands `key` for any processor.
    fn portable(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Self, CryptoError> {
        let key = lockgate_rustcrypto::AeadKey::new(algorithm, key)?;
        Ok(Self {
            schedule: Schedule::Portable(Box::new(key)),
            tag_len: algorithm.tag_len() as u8,
        })
    }

    /// Refuses what is shorter than the tag, or longer than the longest text and the tag.
    fn check_len(&self, in_out: &[u8]) -> Result<(), CryptoError> {
        match in_out.len().checked_sub(self.tag_len.into()) {
            Some(..=MAX_TEXT_LEN) => Ok(()),
            _ => Err(CryptoError::BadLength),
        }
    }

    /// See [`lockgate_dtls::crypto::AeadKey::seal_in_place`].
    pub(crate) fn seal_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<(), CryptoError> {
        self.check_len(in_out)?;
        match &self.schedule {
            #[cfg(target_arch = "x86_64")]
            Schedule::Aes128(key) => key.seal(nonce, aad, in_out, self.tag_len),
            #[cfg(target_arch = "x86_64")]
            Schedule::Aes256(key) => key.seal(nonce, aad, in_out, self.tag_len),
            Schedule::Portable(key) => key.seal_in_place(nonce, aad, in_out)?,
        }
        Ok(())
    }

    /// See [`lockgate_dtls::crypto::AeadKey::open_in_place`].
    pub(crate) fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<(), CryptoError> {
        self.check_len(in_out)?;
        match &self.schedule {
            #[cfg(target_arch = "x86_64")]
            Schedule::Aes128(key) => key.open(nonce, aad, in_out, self.tag_len),
            #[cfg(target_arch = "x86_64")]
            Schedule::Aes256(key) => key.open(nonce, aad, in_out, self.tag_len),
            Schedule::Portable(key) => key.open_in_place(nonce, aad, in_out),
        }
    }
}
