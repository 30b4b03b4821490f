//! The AEADs of the cipher suites, one variant per algorithm that is compiled in.

use core::fmt;

#[cfg(feature = "bare-keys")]
use ::aead::KeySizeUser;
use ::aead::generic_array::GenericArray;
use ::aead::generic_array::typenum::{U12, Unsigned};
use ::aead::{AeadInPlace, KeyInit};
use lockgate_dtls::crypto::{self, AeadAlgorithm, CryptoError, NONCE_LEN};

// Round keys for encryption only: CCM and GCM never run AES backwards.
#[cfg(any(feature = "ccm", feature = "gcm"))]
type Aes128 = aes::Aes128Enc;
#[cfg(all(feature = "aes256", any(feature = "ccm", feature = "gcm")))]
type Aes256 = aes::Aes256Enc;

#[cfg(feature = "gcm")]
type Gcm<C> = aes_gcm::AesGcm<C, U12>;

/// 12 bytes of nonce leave 3 for the length (RFC 6655 §3), hence records of up to 16 MiB.
#[cfg(feature = "ccm")]
type Ccm<C> = ccm::Ccm<C, ccm::consts::U16, U12>;
#[cfg(feature = "ccm")]
type Ccm8<C> = ccm::Ccm<C, ccm::consts::U8, U12>;

/// An expanded AEAD key.
///
/// Its size is that of the largest algorithm compiled in; with only one of them compiled in, there
/// is nothing beside that algorithm's key.
pub struct AeadKey(Cipher);

#[allow(
    clippy::large_enum_variant,
    reason = "no heap to box the larger ones on"
)]
enum Cipher {
    #[cfg(feature = "gcm")]
    Aes128Gcm(Stored<Gcm<Aes128>>),
    #[cfg(all(feature = "gcm", feature = "aes256"))]
    Aes256Gcm(Stored<Gcm<Aes256>>),
    #[cfg(feature = "ccm")]
    Aes128Ccm(Stored<Ccm<Aes128>>),
    #[cfg(all(feature = "ccm", feature = "aes256"))]
    Aes256Ccm(Stored<Ccm<Aes256>>),
    #[cfg(feature = "ccm")]
    Aes128Ccm8(Stored<Ccm8<Aes128>>),
    #[cfg(all(feature = "ccm", feature = "aes256"))]
    Aes256Ccm8(Stored<Ccm8<Aes256>>),
    #[cfg(feature = "chacha20poly1305")]
    ChaCha20Poly1305(Stored<chacha20poly1305::ChaCha20Poly1305>),
}

impl AeadKey {
    /// Whether `algorithm` is compiled in.
    pub const fn supports(algorithm: AeadAlgorithm) -> bool {
        match algorithm {
            AeadAlgorithm::Aes128Gcm => cfg!(feature = "gcm"),
            AeadAlgorithm::Aes256Gcm => cfg!(all(feature = "gcm", feature = "aes256")),
            AeadAlgorithm::Aes128Ccm | AeadAlgorithm::Aes128Ccm8 => cfg!(feature = "ccm"),
            AeadAlgorithm::Aes256Ccm | AeadAlgorithm::Aes256Ccm8 => {
                cfg!(all(feature = "ccm", feature = "aes256"))
            }
            AeadAlgorithm::ChaCha20Poly1305 => cfg!(feature = "chacha20poly1305"),
        }
    }

    /// Expands `key`.
    ///
    /// This is [`Provider::aead_key`](crypto::Provider::aead_key) for callers that have no random
    /// source, such as another provider that takes its AES-CCM from here.
    ///
    /// # Errors
    /// [`CryptoError::Unsupported`] when `algorithm` is not compiled in, [`CryptoError::BadLength`]
    /// when `key` is not [`AeadAlgorithm::key_len`] bytes long.
    pub fn new(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Self, CryptoError> {
        Ok(Self(match algorithm {
            #[cfg(feature = "gcm")]
            AeadAlgorithm::Aes128Gcm => Cipher::Aes128Gcm(Stored::new(key)?),
            #[cfg(all(feature = "gcm", feature = "aes256"))]
            AeadAlgorithm::Aes256Gcm => Cipher::Aes256Gcm(Stored::new(key)?),
            #[cfg(feature = "ccm")]
            AeadAlgorithm::Aes128Ccm => Cipher::Aes128Ccm(Stored::new(key)?),
            #[cfg(all(feature = "ccm", feature = "aes256"))]
            AeadAlgorithm::Aes256Ccm => Cipher::Aes256Ccm(Stored::new(key)?),
            #[cfg(feature = "ccm")]
            AeadAlgorithm::Aes128Ccm8 => Cipher::Aes128Ccm8(Stored::new(key)?),
            #[cfg(all(feature = "ccm", feature = "aes256"))]
            AeadAlgorithm::Aes256Ccm8 => Cipher::Aes256Ccm8(Stored::new(key)?),
            #[cfg(feature = "chacha20poly1305")]
            AeadAlgorithm::ChaCha20Poly1305 => Cipher::ChaCha20Poly1305(Stored::new(key)?),
            #[allow(unreachable_patterns, reason = "reached when a feature is off")]
            _ => return Err(CryptoError::Unsupported),
        }))
    }
}

impl crypto::AeadKey for AeadKey {
    fn seal_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<(), CryptoError> {
        match &self.0 {
            #[cfg(feature = "gcm")]
            Cipher::Aes128Gcm(key) => seal(key, nonce, aad, in_out),
            #[cfg(all(feature = "gcm", feature = "aes256"))]
            Cipher::Aes256Gcm(key) => seal(key, nonce, aad, in_out),
            #[cfg(feature = "ccm")]
            Cipher::Aes128Ccm(key) => seal(key, nonce, aad, in_out),
            #[cfg(all(feature = "ccm", feature = "aes256"))]
            Cipher::Aes256Ccm(key) => seal(key, nonce, aad, in_out),
            #[cfg(feature = "ccm")]
            Cipher::Aes128Ccm8(key) => seal(key, nonce, aad, in_out),
            #[cfg(all(feature = "ccm", feature = "aes256"))]
            Cipher::Aes256Ccm8(key) => seal(key, nonce, aad, in_out),
            #[cfg(feature = "chacha20poly1305")]
            Cipher::ChaCha20Poly1305(key) => seal(key, nonce, aad, in_out),
        }
    }

    fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<(), CryptoError> {
        match &self.0 {
            #[cfg(feature = "gcm")]
            Cipher::Aes128Gcm(key) => open(key, nonce, aad, in_out),
            #[cfg(all(feature = "gcm", feature = "aes256"))]
            Cipher::Aes256Gcm(key) => open(key, nonce, aad, in_out),
            #[cfg(feature = "ccm")]
            Cipher::Aes128Ccm(key) => open(key, nonce, aad, in_out),
            #[cfg(all(feature = "ccm", feature = "aes256"))]
            Cipher::Aes256Ccm(key) => open(key, nonce, aad, in_out),
            #[cfg(feature = "ccm")]
            Cipher::Aes128Ccm8(key) => open(key, nonce, aad, in_out),
            #[cfg(all(feature = "ccm", feature = "aes256"))]
            Cipher::Aes256Ccm8(key) => open(key, nonce, aad, in_out),
            #[cfg(feature = "chacha20poly1305")]
            Cipher::ChaCha20Poly1305(key) => open(key, nonce, aad, in_out),
        }
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AeadKey").finish_non_exhaustive()
    }
}

/// How a key is kept: expanded.
#[cfg(not(feature = "bare-keys"))]
struct Stored<K>(K);

#[cfg(not(feature = "bare-keys"))]
impl<K: KeyInit> Stored<K> {
    fn new(key: &[u8]) -> Result<Self, CryptoError> {
        K::new_from_slice(key)
            .map(Self)
            .map_err(|_| CryptoError::BadLength)
    }

    const fn expanded(&self) -> &K {
        &self.0
    }
}

/// How a key is kept: bare, and expanded on the stack for each record.
#[cfg(feature = "bare-keys")]
struct Stored<K: KeySizeUser>(GenericArray<u8, K::KeySize>);

#[cfg(feature = "bare-keys")]
impl<K: KeyInit> Stored<K> {
    fn new(key: &[u8]) -> Result<Self, CryptoError> {
        if key.len() == K::key_size() {
            Ok(Self(GenericArray::clone_from_slice(key)))
        } else {
            Err(CryptoError::BadLength)
        }
    }

    fn expanded(&self) -> K {
        K::new(&self.0)
    }
}

#[cfg(feature = "bare-keys")]
impl<K: KeySizeUser> Drop for Stored<K> {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(self.0.as_mut_slice());
    }
}

/// Where the tag begins.
fn text_len<K: AeadInPlace>(in_out: &[u8]) -> Result<usize, CryptoError> {
    in_out
        .len()
        .checked_sub(K::TagSize::USIZE)
        .ok_or(CryptoError::BadLength)
}

fn seal<K: AeadInPlace<NonceSize = U12> + KeyInit>(
    key: &Stored<K>,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    in_out: &mut [u8],
) -> Result<(), CryptoError> {
    let (text, room) = in_out.split_at_mut(text_len::<K>(in_out)?);
    // The one thing that the modes refuse is a text beyond their limit.
    let tag = key
        .expanded()
        .encrypt_in_place_detached(nonce.into(), aad, text)
        .map_err(|_| CryptoError::BadLength)?;
    room.copy_from_slice(&tag);
    Ok(())
}

/// GCM and ChaCha20-Poly1305 decrypt only after the tag is verified; CCM has to decrypt first, and
/// overwrites the text with zeros when the tag is wrong.
fn open<K: AeadInPlace<NonceSize = U12> + KeyInit>(
    key: &Stored<K>,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    in_out: &mut [u8],
) -> Result<(), CryptoError> {
    let (text, tag) = in_out.split_at_mut(text_len::<K>(in_out)?);
    key.expanded()
        .decrypt_in_place_detached(nonce.into(), aad, text, GenericArray::from_slice(tag))
        .map_err(|_| CryptoError::Unauthenticated)
}
