//! A bounded map whose entries all live equally long.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

/// How many expired entries one call drops at most, so that no caller pays for all of them.
const EXPIRE_AT_ONCE: usize = 64;

/// Because all entries live equally long, the oldest is also the first to expire: one queue gives
/// both the order of expiry and the order of eviction.
pub(super) struct TtlMap<V> {
    ttl: Duration,
    capacity: usize,
    entries: HashMap<Arc<[u8]>, (Instant, V)>,
    /// Every insertion, oldest first. One that was replaced since is told by its other deadline.
    queue: VecDeque<(Instant, Arc<[u8]>)>,
}

impl<V> TtlMap<V> {
    pub(super) fn new(ttl: Duration, capacity: usize) -> Self {
        Self {
            ttl,
            capacity,
            entries: HashMap::new(),
            queue: VecDeque::new(),
        }
    }

    /// The live value of `name`. Expired ones are dropped on the way, a bounded number at a time, so
    /// that expired keys do not stay in memory while anything is asked.
    pub(super) fn get(&mut self, name: &[u8]) -> Option<&V> {
        self.expire();
        let (deadline, value) = self.entries.get(name)?;
        (*deadline > Instant::now()).then_some(value)
    }

    pub(super) fn insert(&mut self, name: &[u8], value: V) {
        if self.ttl.is_zero() || self.capacity == 0 {
            return;
        }
        self.expire();
        while self.queue.len() >= self.capacity {
            self.drop_oldest();
        }
        // A life too long to be expressed is no life: then nothing is cached.
        let Some(deadline) = Instant::now().checked_add(self.ttl) else {
            return;
        };
        let name: Arc<[u8]> = name.into();
        self.queue.push_back((deadline, Arc::clone(&name)));
        self.entries.insert(name, (deadline, value));
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        self.entries.remove(name);
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.queue.clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn expire(&mut self) {
        let now = Instant::now();
        for _ in 0..EXPIRE_AT_ONCE {
            match self.queue.front() {
                Some(&(deadline, _)) if deadline <= now => self.drop_oldest(),
                _ => return,
            }
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((deadline, name)) = self.queue.pop_front()
            && self.entries.get(&name).is_some_and(|&(d, _)| d == deadline)
        {
            self.entries.remove(&name);
        }
    }
}
