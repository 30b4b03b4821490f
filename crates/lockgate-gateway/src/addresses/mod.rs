//! Addresses that stand for devices, so that a plain server behind the proxy sees who is who.
//!
//! - [`PoolNet`] is the network that they are of.
//! - A table gives those of an IPv4 network out, and remembers whose they are: hashed, four million addresses
//!   would collide long before there are 100,000 devices.
//! - Those of an IPv6 network are made from a hash of the identity.

use lockgate_webpki::KeyHash;

mod error;
mod net;
mod store;
mod table;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use self::store::SLOW;
pub(crate) use self::table::{AddressTable, Assigned};
pub use self::{error::PoolError, net::PoolNet};

/// The SHA-256 of who a device is, under a tag of its own. Parts of it are what addresses go by. Nobody can make two
/// identities that share the 128 bits of a [`TableKey`]; to make two that share the 64 of an IPv6 address takes some four
/// thousand million tries, so the second of two that are connected is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdentityHash(pub(crate) [u8; 32]);

/// What the table knows an identity by. Sixteen bytes, because there may be millions.
pub(crate) type TableKey = [u8; 16];

/// What is hashed before an identity.
const TAG: &[u8] = b"lockgate upstream pool\0";

impl IdentityHash {
    /// Of a name of some `kind`; names of different kinds are different identities.
    pub(crate) fn of(kind: u8, name: &[u8]) -> Self {
        Self(KeyHash::of(&[TAG, &[kind], name].concat()).0)
    }

    pub(crate) fn table_key(&self) -> TableKey {
        let (key, _) = self.0.split_first_chunk().expect("32 bytes hold 16");
        *key
    }

    /// The last 64 bits of its IPv6 address: the first 64 of the hash. All zeros, the routers' address (RFC 4291,
    /// section 2.6.1), is nobody's.
    pub(crate) fn interface(&self) -> u64 {
        let (first, _) = self.0.split_first_chunk().expect("32 bytes hold 8");
        u64::from_be_bytes(*first).max(1)
    }
}
