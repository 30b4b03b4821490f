//! Sessions by their ID, for devices that cannot keep a ticket themselves.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use lockgate_dtls::{Instant, Session};

/// Holds so many sessions for so long. The one that was not asked for the longest goes first.
pub(super) struct SessionCache {
    capacity: usize,
    lifetime: Duration,
    entries: HashMap<Box<[u8]>, Entry>,
    /// IDs by when they were last asked for.
    order: BTreeMap<u64, Box<[u8]>>,
    uses: u64,
}

struct Entry {
    session: Session,
    expires: Instant,
    used: u64,
}

impl SessionCache {
    pub(super) fn new(capacity: usize, lifetime: Duration) -> Self {
        Self {
            capacity,
            lifetime,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            uses: 0,
        }
    }

    /// Keeps a session; nothing when it has no ID.
    pub(super) fn insert(&mut self, now: Instant, session: Session) {
        if session.id().is_empty() || self.capacity == 0 {
            return;
        }
        let id: Box<[u8]> = session.id().into();
        self.remove(&id);
        while self.entries.len() >= self.capacity
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.uses += 1;
        self.order.insert(self.uses, id.clone());
        let entry = Entry {
            session,
            expires: now + self.lifetime,
            used: self.uses,
        };
        self.entries.insert(id, entry);
    }

    /// The session of this ID.
    pub(super) fn get(&mut self, now: Instant, id: &[u8]) -> Option<Session> {
        if self.entries.get(id)?.expires <= now {
            self.remove(id);
            return None;
        }
        let entry = self.entries.get_mut(id)?;
        self.uses += 1;
        self.order.remove(&entry.used);
        self.order.insert(self.uses, id.into());
        entry.used = self.uses;
        Some(entry.session.clone())
    }

    /// Forgets a session.
    pub(super) fn remove(&mut self, id: &[u8]) {
        if let Some(entry) = self.entries.remove(id) {
            self.order.remove(&entry.used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a session as the engine writes them, with this ID.
    fn session(id: u8) -> Session {
        let mut bytes = vec![1, 0, 0xA8, 1];
        bytes.extend([0x55; 48]);
        bytes.extend([1, id]);
        // No host name; nobody; no name; no hash; no lifetime; no ticket.
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        Session::from_bytes(&bytes).expect("the engine's form")
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn has(cache: &mut SessionCache, seconds: u64, id: u8) -> bool {
        cache
            .get(at(seconds), &[id])
            .is_some_and(|session| session.id() == [id])
    }

    #[test]
    fn what_is_not_asked_for_goes_first() {
        let mut cache = SessionCache::new(2, Duration::from_mins(1));
        cache.insert(at(0), session(1));
        cache.insert(at(0), session(2));
        assert!(has(&mut cache, 1, 1));
        cache.insert(at(2), session(3));
        assert!(!has(&mut cache, 3, 2));
        assert!(has(&mut cache, 3, 1) && has(&mut cache, 3, 3));
        cache.insert(at(4), session(3));
        cache.remove(&[1]);
        assert!(has(&mut cache, 5, 3) && !has(&mut cache, 5, 1));
        assert_eq!((cache.entries.len(), cache.order.len()), (1, 1));
    }

    #[test]
    fn sessions_end() {
        let mut cache = SessionCache::new(2, Duration::from_mins(1));
        cache.insert(at(0), session(1));
        assert!(has(&mut cache, 59, 1));
        assert!(!has(&mut cache, 60, 1), "being asked for prolongs nothing");
        assert_eq!((cache.entries.len(), cache.order.len()), (0, 0));
        let mut none = SessionCache::new(0, Duration::from_mins(1));
        none.insert(at(0), session(1));
        assert!(!has(&mut none, 0, 1));
    }
}
