//! Expanded keys of the sessions that were busy last. An idle session keeps only its bare keys.
//!
//! A full cache takes newcomers in on trial, a few at a time: who is heard once and answered once leaves again, and only
//! who goes on takes the place of another; and one in sixteen, so that in the end those are in who come again and again. So a hundred thousand sessions that speak one after the other do not drive out
//! those that speak all the time, and the memory that their keys pass through stays in the processor's caches.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::crypto::CryptoError;
use crate::record::KeyPair;

/// Names no entry.
pub(crate) const NOT_CACHED: u32 = u32::MAX;

/// How many are on trial at most; in a small cache an eighth of it.
const ON_TRIAL: usize = 64;
/// Who has been asked for so often since coming in has passed: a handshake's end, a record and its answer are not enough.
const PASSED: u8 = 3;
/// Of so many who have not, one stays all the same.
const LUCKY: u8 = 16;

struct Entry<K> {
    owner: u32,
    /// How often it was asked for since it came in, or since the clock's hand last passed; at most [`PASSED`].
    uses: u8,
    keys: KeyPair<K>,
}

/// A cache of bounded size. Those on trial leave in the order in which they came, the others by the second-chance
/// ("clock") policy: a hit costs one index and no order is kept.
pub(crate) struct KeyCache<K> {
    entries: Vec<Option<Entry<K>>>,
    free: Vec<u32>,
    /// The places of those on trial and their owners, oldest first.
    trial: VecDeque<(u32, u32)>,
    /// How many have not passed since the last lucky one.
    failed: u8,
    capacity: usize,
    hand: usize,
}

impl<K> KeyCache<K> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            trial: VecDeque::with_capacity(Self::on_trial(capacity) + 1),
            failed: 0,
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
        let known = self.holds(owner, *place);
        if !known {
            let keys = expand()?;
            *place = self.insert(owner, keys);
        }
        let entry = self
            .entries
            .get_mut(*place as usize)
            .and_then(Option::as_mut)
            .ok_or(CryptoError::Unsupported)?;
        if known {
            entry.uses = PASSED.min(entry.uses + 1);
        }
        Ok(&entry.keys)
    }

    fn on_trial(capacity: usize) -> usize {
        ON_TRIAL.min(capacity / 8).max(1)
    }

    /// Takes keys in and returns their place.
    pub(crate) fn insert(&mut self, owner: u32, keys: KeyPair<K>) -> u32 {
        let place = self.reserve();
        if self.entries.len() == self.capacity {
            if self.trial.len() >= Self::on_trial(self.capacity) {
                self.trial.pop_front(); // A place was free: the oldest stays.
            }
            self.trial.push_back((place, owner));
        }
        self.entries[place as usize] = Some(Entry {
            owner,
            uses: 0,
            keys,
        });
        place
    }

    /// A place that may be filled: a free one, a new one, that of the longest on trial if it has not passed, or that of
    /// the first entry without a second chance.
    fn reserve(&mut self) -> u32 {
        if let Some(place) = self.free.pop() {
            return place;
        }
        if self.entries.len() < self.capacity {
            self.entries.push(None);
            return self.entries.len() as u32 - 1;
        }
        while self.trial.len() >= Self::on_trial(self.capacity)
            && let Some((place, owner)) = self.trial.pop_front()
        {
            // Its place may have become another's meanwhile.
            if let Some(Some(entry)) = self.entries.get_mut(place as usize)
                && entry.owner == owner
                && entry.uses < PASSED
            {
                self.failed += 1;
                if self.failed == LUCKY {
                    self.failed = 0;
                    break;
                }
                self.entries[place as usize] = None;
                return place;
            }
        }
        // Ends after at most so many turns as there are chances, which take them all away.
        while let Some(entry) = self.entries[self.hand].as_mut()
            && entry.uses > 0
        {
            entry.uses -= 1;
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

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    /// A cache of keys that are nothing, and who is in it.
    struct World {
        cache: KeyCache<()>,
        places: Vec<u32>,
        expanded: usize,
    }

    impl World {
        fn new(capacity: usize, owners: usize) -> Self {
            Self {
                cache: KeyCache::new(capacity),
                places: vec![NOT_CACHED; owners],
                expanded: 0,
            }
        }

        fn ask(&mut self, owner: u32) {
            let expanded = &mut self.expanded;
            let expand = || {
                *expanded += 1;
                Ok(KeyPair {
                    write: (),
                    read: (),
                })
            };
            let place = &mut self.places[owner as usize];
            self.cache.get(owner, place, expand).unwrap();
        }
    }

    #[test]
    fn who_speaks_all_the_time_is_not_driven_out_by_those_who_speak_once() {
        let mut world = World::new(100, 10_100);
        for _ in 0..3 {
            (0..80).for_each(|owner| world.ask(owner));
        }
        assert_eq!(world.expanded, 80);
        for passer_by in 100..10_100 {
            world.ask(passer_by);
            world.ask(passer_by);
            world.ask(passer_by % 80);
        }
        // Each of the others once; of the eighty, some for those who were lucky.
        let again = world.expanded - 80 - 10_000;
        assert!(again < 100, "{again}");
    }

    #[test]
    fn who_goes_on_takes_the_place_of_who_does_not() {
        let mut world = World::new(16, 64);
        (0..16).for_each(|owner| world.ask(owner));
        for _ in 0..8 {
            (32..40).for_each(|owner| {
                for _ in 0..4 {
                    world.ask(owner);
                }
            });
        }
        assert_eq!(world.expanded, 16 + 8);
        assert!(world.cache.entries.len() <= 16);
    }

    #[test]
    fn those_who_come_again_and_again_are_in_at_last() {
        let mut world = World::new(100, 300);
        // Once busy, and silent from now on.
        for _ in 0..8 {
            (0..100).for_each(|owner| world.ask(owner));
        }
        for _ in 0..100 {
            (200..280).for_each(|owner| world.ask(owner));
        }
        let before = world.expanded;
        (200..280).for_each(|owner| world.ask(owner));
        assert!(world.expanded - before < 8, "{}", world.expanded - before);
    }

    #[test]
    fn a_place_that_was_given_up_is_taken_again_and_never_two_at_once() {
        let mut world = World::new(8, 1000);
        for round in 0..1000_u32 {
            world.ask(round);
            if round % 3 == 0 {
                let place = world.places[round as usize];
                world.cache.remove(round, place);
            }
            assert!(world.cache.entries.len() <= 8);
            assert!(world.cache.trial.len() <= 8);
        }
        assert_eq!(world.expanded, 1000);
    }
}
