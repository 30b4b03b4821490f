//! GCM and ChaCha20-Poly1305 of AWS-LC, CCM of this crate.

use std::fmt;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use lockgate_dtls::crypto::{self, AeadAlgorithm, CryptoError, NONCE_LEN};

use crate::ccm;

/// An expanded AEAD key.
pub struct AeadKey(Cipher);

enum Cipher {
    /// GCM or ChaCha20-Poly1305; the schedule is on the C heap.
    AwsLc(LessSafeKey),
    Ccm(ccm::Key),
}

/// Every algorithm of AWS-LC that is used here has a tag of this length.
const TAG_LEN: usize = 16;

impl AeadKey {
    pub(crate) fn new(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Self, CryptoError> {
        let aws_lc = match algorithm {
            AeadAlgorithm::Aes128Gcm => &aead::AES_128_GCM,
            AeadAlgorithm::Aes256Gcm => &aead::AES_256_GCM,
            AeadAlgorithm::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
            AeadAlgorithm::Aes128Ccm
            | AeadAlgorithm::Aes256Ccm
            | AeadAlgorithm::Aes128Ccm8
            | AeadAlgorithm::Aes256Ccm8 => {
                return Ok(Self(Cipher::Ccm(ccm::Key::new(algorithm, key)?)));
            }
        };
        let key = UnboundKey::new(aws_lc, key).map_err(|_| CryptoError::BadLength)?;
        Ok(Self(Cipher::AwsLc(LessSafeKey::new(key))))
    }
}

impl crypto::AeadKey for AeadKey {
    fn seal_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<(), CryptoError> {
        let key = match &self.0 {
            Cipher::AwsLc(key) => key,
            Cipher::Ccm(key) => return key.seal_in_place(nonce, aad, in_out),
        };
        let (text, room) = in_out
            .split_last_chunk_mut::<TAG_LEN>()
            .ok_or(CryptoError::BadLength)?;
        // Given a nonce and a key, the one thing left to refuse is a text beyond the mode's limit.
        let tag = key
            .seal_in_place_separate_tag(nonce.into(), Aad::from(aad), text)
            .map_err(|_| CryptoError::BadLength)?;
        room.copy_from_slice(tag.as_ref());
        Ok(())
    }

    fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<(), CryptoError> {
        let key = match &self.0 {
            Cipher::AwsLc(key) => key,
            Cipher::Ccm(key) => return key.open_in_place(nonce, aad, in_out),
        };
        if in_out.len() < TAG_LEN {
            return Err(CryptoError::BadLength);
        }
        key.open_in_place(Nonce::from(nonce), Aad::from(aad), in_out)
            .map(|_| ())
            .map_err(|_| CryptoError::Unauthenticated)
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AeadKey").finish_non_exhaustive()
    }
}
