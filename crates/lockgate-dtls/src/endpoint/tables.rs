//! From addresses to slots. Only slot numbers are stored; the address itself stands in the slot.

use core::hash::{BuildHasher, Hasher};

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use crate::address::{Address, MAX_ADDRESS_LEN};
use crate::crypto::{CryptoError, Provider};

/// How much of an address is hashed, in bytes: all of a UDP peer's, and not our own end.
const HASHED_LEN: usize = 24;

/// A keyed hash: nobody outside can aim at one bucket.
#[derive(Clone, Copy)]
pub(crate) struct KeyedHasher {
    key: [u8; 16],
}

impl KeyedHasher {
    pub(crate) fn new<P: Provider>(provider: &mut P) -> Result<Self, CryptoError> {
        let mut key = [0; 16];
        provider.random(&mut key)?;
        Ok(Self { key })
    }

    pub(crate) fn hash_address<A: Address>(&self, address: &A) -> u64 {
        let mut bytes = [0; MAX_ADDRESS_LEN];
        let len = address.write(&mut bytes);
        let mut hasher = self.build_hasher();
        hasher.write(bytes.get(..len.min(HASHED_LEN)).unwrap_or_default());
        hasher.finish()
    }
}

impl BuildHasher for KeyedHasher {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.key)
    }
}

/// Which slot speaks with an address.
#[derive(Default)]
pub(crate) struct PathTable {
    slots: HashTable<u32>,
}

impl PathTable {
    /// The slot for a hash, among those for which `is_it` says yes.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        self.slots.find(hash, |&slot| is_it(slot)).copied()
    }

    pub(crate) fn insert(&mut self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64) {
        self.slots.insert_unique(hash, slot, |&slot| hash_of(slot));
    }

    pub(crate) fn remove(&mut self, hash: u64, slot: u32) {
        if let Ok(entry) = self.slots.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
    }
}
