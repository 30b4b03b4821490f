//! What the workers of a proxy know together: how many sessions there are, and where whose newest one is.
//!
//! Asked when sessions begin and end, never for a datagram.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lockgate_dtls::ConnectionHandle;

use super::identity::Identity;

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) worker: u8,
    pub(super) connection: ConnectionHandle,
}

/// Sessions of all workers.
pub(crate) struct Registry {
    max_sessions: usize,
    /// A new session ends the older one of its identity.
    replaces: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    newest: HashMap<Identity, Place>,
    sessions: usize,
}

impl Registry {
    pub(crate) fn new(max_sessions: usize, replaces: bool) -> Self {
        Self {
            max_sessions,
            replaces,
            state: Mutex::default(),
        }
    }

    /// Takes room for a session of `identity`; `false` when there is none. One that takes an older one's place always has
    /// room, or a device that restarts could not come back.
    pub(super) fn enter(&self, identity: &Identity) -> bool {
        let mut state = self.lock();
        let replaces = self.replaces && state.newest.contains_key(identity);
        let has_room = replaces || state.sessions < self.max_sessions;
        state.sessions += usize::from(has_room);
        has_room
    }

    /// Gives the room back that a session had entered for and that has not begun.
    pub(super) fn leave(&self) {
        self.lock().sessions -= 1;
    }

    /// A session of `identity` has begun, and the identity now means this one. Returns the older one that it replaces.
    pub(super) fn begin(&self, identity: &Identity, place: Place) -> Option<Place> {
        if identity.is_anonymous() {
            return None;
        }
        let older = self.lock().newest.insert(identity.clone(), place);
        older.filter(|_| self.replaces)
    }

    /// The session is over.
    pub(super) fn end(&self, identity: &Identity, place: Place) {
        let mut state = self.lock();
        state.sessions -= 1;
        if state.newest.get(identity) == Some(&place) {
            state.newest.remove(identity);
        }
    }

    /// Where the newest session of the pre-shared key with this name is.
    pub(crate) fn place_of(&self, identity: &[u8]) -> Option<Place> {
        self.lock().newest.get(&Identity::psk(identity)).copied()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done in it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use lockgate_aws_lc::AwsLc;
    use lockgate_dtls::{Endpoint, EndpointConfig, Instant, UdpPath};

    use super::*;

    /// So many different sessions, at one worker after the other.
    fn places<const N: usize>() -> [Place; N] {
        let now = Instant::default();
        let mut endpoint = Endpoint::new(AwsLc, now, EndpointConfig::default()).unwrap();
        std::array::from_fn(|n| {
            let path = UdpPath::new(([127, 0, 0, 1], 1 + n as u16).into(), None);
            Place {
                worker: n as u8,
                connection: endpoint.connect(now, path, b"").unwrap(),
            }
        })
    }

    #[test]
    fn an_identity_means_its_newest_session() {
        let registry = Registry::new(2, true);
        let (device, other) = (Identity::psk(b"device"), Identity::psk(b"other"));
        let [first, second, third] = places();
        assert!(registry.enter(&device));
        assert_eq!(registry.begin(&device, first), None);
        assert!(registry.enter(&other));
        assert_eq!(registry.begin(&other, second), None);
        assert!(!registry.enter(&Identity::psk(b"third")) && !registry.enter(&Identity::default()));
        // It takes the place of its own, which ends only then.
        assert!(registry.enter(&device));
        assert_eq!(registry.begin(&device, third), Some(first));
        registry.end(&device, first);
        assert_eq!(registry.place_of(b"device"), Some(third));
        registry.end(&other, second);
        assert_eq!(registry.place_of(b"other"), None);
        // One that got no way to the backend has had no session.
        assert!(registry.enter(&other) && !registry.enter(&Identity::default()));
        registry.leave();
        assert_eq!(registry.place_of(b"other"), None);
        assert!(registry.enter(&Identity::default()));
        assert_eq!(registry.begin(&Identity::default(), first), None);
        assert!(!registry.enter(&other));
    }

    #[test]
    fn without_replacement_every_session_needs_room() {
        let registry = Registry::new(2, false);
        let device = Identity::psk(b"device");
        let [first, second] = places();
        for place in [first, second] {
            assert!(registry.enter(&device));
            assert_eq!(registry.begin(&device, place), None);
        }
        assert!(!registry.enter(&device));
        registry.end(&device, first);
        assert_eq!(registry.place_of(b"device"), Some(second));
    }
}
