//! Ephemeral Diffie-Hellman: RFC 8422.

use core::fmt;

use super::CryptoError;

/// Longest public value in bytes: an uncompressed point of P-384.
pub const MAX_PUBLIC_VALUE_LEN: usize = 97;

/// Longest shared secret in bytes: a coordinate of P-384.
pub const MAX_SHARED_SECRET_LEN: usize = 48;

/// A group by its number in the TLS registry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NamedGroup(pub u16);

impl NamedGroup {
    /// `secp256r1`, P-256 (RFC 8422)
    pub const SECP256R1: Self = Self(23);
    /// `secp384r1`, P-384 (RFC 8422)
    pub const SECP384R1: Self = Self(24);
    /// `x25519` (RFC 8422)
    pub const X25519: Self = Self(29);

    /// The registry's name, or `None` for a group that the engine does not know.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::SECP256R1 => "secp256r1",
            Self::SECP384R1 => "secp384r1",
            Self::X25519 => "x25519",
            _ => return None,
        })
    }
}

impl fmt::Debug for NamedGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NamedGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:04X}", self.0),
        }
    }
}

/// An ephemeral private key, used once. Implementations wipe it when it is dropped.
pub trait KeyExchange {
    /// Our public value as it stands in the key exchange messages: an uncompressed point, or 32 bytes of X25519.
    fn public_value(&self) -> &[u8];

    /// Writes the shared secret to the front of `out` and returns its length: the x coordinate of P-256 and P-384, or
    /// 32 bytes of X25519.
    ///
    /// # Errors
    /// [`CryptoError::BadPublicValue`] when `peer` is no point of the group in its uncompressed form, or the secret
    /// would be all zeros (RFC 7748 §6.1).
    fn agree(
        self,
        peer: &[u8],
        out: &mut [u8; MAX_SHARED_SECRET_LEN],
    ) -> Result<usize, CryptoError>;
}

/// The key exchange of a provider that has none. It cannot be made.
#[derive(Clone, Copy, Debug)]
pub enum NoKeyExchange {}

impl KeyExchange for NoKeyExchange {
    fn public_value(&self) -> &[u8] {
        match *self {}
    }

    fn agree(self, _: &[u8], _: &mut [u8; MAX_SHARED_SECRET_LEN]) -> Result<usize, CryptoError> {
        match self {}
    }
}
