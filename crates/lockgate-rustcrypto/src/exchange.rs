//! Ephemeral Diffie-Hellman.

use core::fmt;

use lockgate_dtls::crypto::{self, CryptoError, MAX_SHARED_SECRET_LEN, NamedGroup};
#[cfg(feature = "x25519")]
use zeroize::Zeroizing;

#[cfg(any(feature = "p256", feature = "p384"))]
use crate::ec;
use crate::random::RandomSource;

/// Longest public value of the groups that are compiled in.
const PUBLIC_LEN: usize = if cfg!(feature = "p384") {
    97
} else if cfg!(feature = "p256") {
    65
} else {
    32
};

/// An ephemeral private key of one of the groups that are compiled in, wiped when it is dropped.
pub struct KeyExchange {
    secret: Secret,
    public: [u8; PUBLIC_LEN],
    public_len: u8,
}

enum Secret {
    #[cfg(feature = "p256")]
    P256(ec::SecretKey<p256::NistP256>),
    #[cfg(feature = "p384")]
    P384(ec::SecretKey<p384::NistP384>),
    #[cfg(feature = "x25519")]
    X25519(Zeroizing<[u8; 32]>),
}

pub(crate) fn supports(group: NamedGroup) -> bool {
    (cfg!(feature = "p256") && group == NamedGroup::SECP256R1)
        || (cfg!(feature = "p384") && group == NamedGroup::SECP384R1)
        || (cfg!(feature = "x25519") && group == NamedGroup::X25519)
}

impl KeyExchange {
    pub(crate) fn generate(
        group: NamedGroup,
        random: &mut impl RandomSource,
    ) -> Result<Self, CryptoError> {
        let mut public = [0; PUBLIC_LEN];
        let (secret, public_len) = match group {
            #[cfg(feature = "p256")]
            NamedGroup::SECP256R1 => {
                let secret = ec::random_secret(random)?;
                let len = ec::write_public(&secret, &mut public);
                (Secret::P256(secret), len)
            }
            #[cfg(feature = "p384")]
            NamedGroup::SECP384R1 => {
                let secret = ec::random_secret(random)?;
                let len = ec::write_public(&secret, &mut public);
                (Secret::P384(secret), len)
            }
            #[cfg(feature = "x25519")]
            NamedGroup::X25519 => {
                let mut secret = Zeroizing::new([0; 32]);
                random.fill(&mut *secret)?;
                // By the same ladder as below: the faster way would link a second curve.
                let base = x25519_dalek::X25519_BASEPOINT_BYTES;
                public[..32].copy_from_slice(&x25519_dalek::x25519(*secret, base));
                (Secret::X25519(secret), 32_usize)
            }
            _ => return Err(CryptoError::Unsupported),
        };
        Ok(Self {
            secret,
            public,
            public_len: public_len as u8,
        })
    }
}

impl crypto::KeyExchange for KeyExchange {
    fn public_value(&self) -> &[u8] {
        &self.public[..usize::from(self.public_len)]
    }

    fn agree(
        self,
        peer: &[u8],
        out: &mut [u8; MAX_SHARED_SECRET_LEN],
    ) -> Result<usize, CryptoError> {
        match &self.secret {
            #[cfg(feature = "p256")]
            Secret::P256(secret) => ec::agree(secret, peer, out),
            #[cfg(feature = "p384")]
            Secret::P384(secret) => ec::agree(secret, peer, out),
            #[cfg(feature = "x25519")]
            Secret::X25519(secret) => {
                let peer = peer.try_into().map_err(|_| CryptoError::BadPublicValue)?;
                let shared = Zeroizing::new(x25519_dalek::x25519(**secret, peer));
                // RFC 7748 §6.1: a point of low order makes zeros, and tells nothing else.
                if shared.iter().fold(0, |all, byte| all | byte) == 0 {
                    return Err(CryptoError::BadPublicValue);
                }
                out[..32].copy_from_slice(&*shared);
                Ok(32)
            }
        }
    }
}

impl fmt::Debug for KeyExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyExchange").finish_non_exhaustive()
    }
}
