//! SHA-2 and HMAC over it.

use core::fmt;

use hmac::Mac;
use lockgate_dtls::crypto::{self, CryptoError, HashAlgorithm, HashOutput};
#[cfg(feature = "sha384")]
use sha2::Sha384;
use sha2::{Digest, Sha256};

/// A running SHA-256 or SHA-384.
#[derive(Clone)]
pub struct Hash(HashState);

#[derive(Clone)]
enum HashState {
    Sha256(Sha256),
    #[cfg(feature = "sha384")]
    Sha384(Sha384),
}

impl Hash {
    /// Whether `algorithm` is compiled in.
    pub(crate) const fn supports(algorithm: HashAlgorithm) -> bool {
        match algorithm {
            HashAlgorithm::Sha256 => true,
            HashAlgorithm::Sha384 => cfg!(feature = "sha384"),
        }
    }

    #[cfg_attr(
        feature = "sha384",
        allow(clippy::unnecessary_wraps, reason = "without `sha384` it can fail")
    )]
    pub(crate) fn new(algorithm: HashAlgorithm) -> Result<Self, CryptoError> {
        Ok(Self(match algorithm {
            HashAlgorithm::Sha256 => HashState::Sha256(Sha256::new()),
            #[cfg(feature = "sha384")]
            HashAlgorithm::Sha384 => HashState::Sha384(Sha384::new()),
            #[cfg(not(feature = "sha384"))]
            HashAlgorithm::Sha384 => return Err(CryptoError::Unsupported),
        }))
    }
}

impl crypto::Hash for Hash {
    fn update(&mut self, data: &[u8]) {
        match &mut self.0 {
            HashState::Sha256(state) => state.update(data),
            #[cfg(feature = "sha384")]
            HashState::Sha384(state) => state.update(data),
        }
    }

    fn finish(self) -> HashOutput {
        match self.0 {
            HashState::Sha256(state) => HashOutput::new(&state.finalize()),
            #[cfg(feature = "sha384")]
            HashState::Sha384(state) => HashOutput::new(&state.finalize()),
        }
    }
}

impl fmt::Debug for Hash {
    // What was hashed may be a secret, and the state gives short inputs away.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hash").finish_non_exhaustive()
    }
}

/// An HMAC key whose inner and outer block are hashed already; each MAC starts from a clone of them.
pub struct Hmac(HmacState);

enum HmacState {
    Sha256(hmac::Hmac<Sha256>),
    #[cfg(feature = "sha384")]
    Sha384(hmac::Hmac<Sha384>),
}

impl Hmac {
    pub(crate) fn new(algorithm: HashAlgorithm, key: &[u8]) -> Result<Self, CryptoError> {
        Ok(Self(match algorithm {
            HashAlgorithm::Sha256 => HmacState::Sha256(expand(key)?),
            #[cfg(feature = "sha384")]
            HashAlgorithm::Sha384 => HmacState::Sha384(expand(key)?),
            #[cfg(not(feature = "sha384"))]
            HashAlgorithm::Sha384 => return Err(CryptoError::Unsupported),
        }))
    }
}

fn expand<M: Mac + hmac::digest::KeyInit>(key: &[u8]) -> Result<M, CryptoError> {
    // HMAC takes keys of every length, so the error never shows.
    <M as Mac>::new_from_slice(key).map_err(|_| CryptoError::BadLength)
}

fn sign<M: Mac + Clone>(key: &M, parts: &[&[u8]]) -> HashOutput {
    let mut mac = key.clone();
    for part in parts {
        mac.update(part);
    }
    HashOutput::new(&mac.finalize().into_bytes())
}

impl crypto::Hmac for Hmac {
    fn sign(&self, parts: &[&[u8]]) -> HashOutput {
        match &self.0 {
            HmacState::Sha256(key) => sign(key, parts),
            #[cfg(feature = "sha384")]
            HmacState::Sha384(key) => sign(key, parts),
        }
    }
}

impl fmt::Debug for Hmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hmac").finish_non_exhaustive()
    }
}
