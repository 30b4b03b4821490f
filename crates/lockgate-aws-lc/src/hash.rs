//! SHA-2 and HMAC over it.

use std::fmt;

use aws_lc_rs::{digest, hmac};
use lockgate_dtls::crypto::{self, HashAlgorithm, HashOutput};

/// A running SHA-256 or SHA-384.
#[derive(Clone)]
pub struct Hash(digest::Context);

impl Hash {
    pub(crate) fn new(algorithm: HashAlgorithm) -> Self {
        Self(digest::Context::new(match algorithm {
            HashAlgorithm::Sha256 => &digest::SHA256,
            HashAlgorithm::Sha384 => &digest::SHA384,
        }))
    }
}

impl crypto::Hash for Hash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finish(self) -> HashOutput {
        HashOutput::new(self.0.finish().as_ref())
    }
}

impl fmt::Debug for Hash {
    // What was hashed may be a secret, and the state gives short inputs away.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hash").finish_non_exhaustive()
    }
}

/// An HMAC key whose inner and outer block are hashed already; each MAC starts from a copy of them.
pub struct Hmac(hmac::Key);

impl Hmac {
    pub(crate) fn new(algorithm: HashAlgorithm, key: &[u8]) -> Self {
        let algorithm = match algorithm {
            HashAlgorithm::Sha256 => hmac::HMAC_SHA256,
            HashAlgorithm::Sha384 => hmac::HMAC_SHA384,
        };
        Self(hmac::Key::new(algorithm, key))
    }
}

impl crypto::Hmac for Hmac {
    fn sign(&self, parts: &[&[u8]]) -> HashOutput {
        let mut mac = hmac::Context::with_key(&self.0);
        for part in parts {
            mac.update(part);
        }
        HashOutput::new(mac.sign().as_ref())
    }
}

impl fmt::Debug for Hmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hmac").finish_non_exhaustive()
    }
}
