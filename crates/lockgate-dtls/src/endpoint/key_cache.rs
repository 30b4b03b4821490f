//! Expanded keys of the sessions that were busy last. An idle session keeps only its bare keys.

use alloc::vec::Vec;

use crate::crypto::CryptoError;
use crate::record::KeyPair;

/// Names no entry.
pub(crate) const NOT_CACHED: u32 = u32::MAX;

struct Entry<K> {
    owner: u32,
    /// Asked for since the clock's hand last passed.
    used: bool,
    keys: KeyPair<K>,
}

/// A cache of bounded size with the second-chance ("clock") policy: a hit costs one index and no order is kept.
pub(crate) struct KeyCache<K> {
    entries: Vec<Option<Entry<K>>>,
    free: Vec<u32>,
    capacity: usize,
    hand: usize,
}

impl<K> KeyCache<K> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            capacity: capacity.max(1),
            hand: 0,
        }
    }

    /// The keys of `owner`, whose slot remembered `place`; made by `expand` when they are not here. `place` is updated.
    pub(crate) fn get(
        &mut self,
        owner: u32,
        place: &mut u32,
        expand: impl FnOnce() -> Result<KeyPair<K>, CryptoError>,
    ) -> Result<&KeyPair<K>, CryptoError> {
        if !self.holds(owner, *place) {
            let keys = expand()?;
            *place = self.insert(owner, keys);
        }
        let entry = self
            .entries
            .get_mut(*place as usize)
            .and_then(Option::as_mut)
            .ok_or(CryptoError::Unsupported)?;
        entry.used = true;
        Ok(&entry.keys)
    }

    /// Takes keys in and returns their place.
    pub(crate) fn insert(&mut self, owner: u32, keys: KeyPair<K>) -> u32 {
        let place = self.reserve();
        self.entries[place as usize] = Some(Entry {
            owner,
            used: true,
            keys,
        });
        place
    }

    /// A place that may be filled: a free one, a new one, or that of the first entry without a second chance.
    fn reserve(&mut self) -> u32 {
        if let Some(place) = self.free.pop() {
            return place;
        }
        if self.entries.len() < self.capacity {
            self.entries.push(None);
            return self.entries.len() as u32 - 1;
        }
        // Ends after at most one full turn, which takes every second chance away.
        while self.entries[self.hand]
            .as_mut()
            .is_some_and(|e| core::mem::take(&mut e.used))
        {
            self.hand = (self.hand + 1) % self.entries.len();
        }
        let place = self.hand;
        self.entries[place] = None;
        self.hand = (self.hand + 1) % self.entries.len();
        place as u32
    }

    /// Forgets the keys of a session that is gone.
    pub(crate) fn remove(&mut self, owner: u32, place: u32) {
        if self.holds(owner, place) {
            self.entries[place as usize] = None;
            self.free.push(place);
        }
    }

    fn holds(&self, owner: u32, place: u32) -> bool {
        matches!(self.entries.get(place as usize), Some(Some(entry)) if entry.owner == owner)
    }
}
