//! Who is connected: one entry for each of the engine's connections, found by its index.

use std::sync::Arc;

use lockgate_dtls::{CipherSuite, ConnectionHandle, Instant, OwnCid};
use lockgate_tokio::Path;
use lockgate_webpki::{Mismatch, OwnedIdentity};
use tokio::task::AbortHandle;

use super::counters::Traffic;
use super::identity::Identity;
use super::reason::{EndReason, FailureReason};
use super::registry::{Place, Registry};
use super::resumption::Resuming;
use super::upstream::Upstream;
use crate::certificates::Own;

/// A handshake under way.
pub(super) struct Handshake {
    pub(super) connection: ConnectionHandle,
    pub(super) path: Path,
    /// Once the client has said it; before that, and for clients without one, nobody.
    pub(super) identity: Identity,
    /// The look-up of its key, or a signature of ours, while that goes on.
    pub(super) task: Option<AbortHandle>,
    /// What may go on when the look-up says so.
    pub(super) resuming: Option<Resuming>,
    /// What we show, until it has signed.
    pub(super) own: Option<Arc<Own>>,
    /// Why we show nothing.
    pub(super) mismatch: Option<Mismatch>,
    /// What the client's certificate or raw public key says, believed or not.
    pub(super) shown: Option<Box<OwnedIdentity>>,
    /// Why it will fail, when that is known and logged before the engine knows.
    pub(super) told: Option<FailureReason>,
    /// It is complete, and since then waits for an address.
    pub(super) waits_since: Option<Instant>,
}

impl Drop for Handshake {
    fn drop(&mut self) {
        // Nobody waits for it any more. So there are never more look-ups than handshakes, which are capped.
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// An established session. There may be a hundred thousand, so it holds no buffer and no task.
pub(super) struct Session {
    pub(super) connection: ConnectionHandle,
    pub(super) upstream: Upstream,
    pub(super) identity: Identity,
    pub(super) started: Instant,
    /// When the device was last heard.
    pub(super) last_heard: Instant,
    pub(super) to_backend: Traffic,
    pub(super) to_device: Traffic,
    // What the last log line tells; the engine may have forgotten it by then.
    pub(super) path: Path,
    pub(super) suite: CipherSuite,
    pub(super) own_cid: OwnCid,
    /// Why we are ending it.
    pub(super) ending: Option<EndReason>,
}

/// What is at one index. Sessions are boxed, so that the table stays small while it grows.
pub(super) enum Entry {
    Vacant,
    Handshake(Box<Handshake>),
    Session(Box<Session>),
}

impl Entry {
    fn connection(&self) -> Option<ConnectionHandle> {
        match self {
            Self::Vacant => None,
            Self::Handshake(handshake) => Some(handshake.connection),
            Self::Session(session) => Some(session.connection),
        }
    }
}

/// All handshakes and sessions of a worker.
pub(super) struct Sessions {
    entries: Vec<Entry>,
    worker: u8,
    /// With those of other workers.
    registry: Arc<Registry>,
    established: usize,
    /// Where the search for silent sessions goes on.
    cursor: usize,
}

impl Sessions {
    pub(super) const fn new(worker: u8, registry: Arc<Registry>) -> Self {
        Self {
            entries: Vec::new(),
            worker,
            registry,
            established: 0,
            cursor: 0,
        }
    }

    /// How many sessions there are, handshakes not counted.
    pub(super) const fn established(&self) -> usize {
        self.established
    }

    /// Remembers a handshake; nothing when its connection is known already. Returns what was there before.
    pub(super) fn begin(&mut self, connection: ConnectionHandle, path: Path) -> Entry {
        let index = connection.index();
        if self.entries.len() <= index {
            self.entries.resize_with(index + 1, || Entry::Vacant);
        }
        let over = match self.entries[index].connection() {
            Some(known) if known == connection => return Entry::Vacant,
            // Its last event is on its way.
            Some(over) => self.remove(over),
            None => Entry::Vacant,
        };
        self.entries[index] = Entry::Handshake(Box::new(Handshake {
            connection,
            path,
            identity: Identity::default(),
            task: None,
            resuming: None,
            own: None,
            mismatch: None,
            shown: None,
            told: None,
            waits_since: None,
        }));
        over
    }

    /// Undoes [`Sessions::remove`] for a handshake.
    pub(super) fn put_back(&mut self, handshake: Box<Handshake>) {
        if let Some(entry) = self.entries.get_mut(handshake.connection.index()) {
            *entry = Entry::Handshake(handshake);
        }
    }

    pub(super) fn handshake(&mut self, connection: ConnectionHandle) -> Option<&mut Handshake> {
        match self.entries.get_mut(connection.index())? {
            Entry::Handshake(handshake) if handshake.connection == connection => Some(handshake),
            _ => None,
        }
    }

    pub(super) fn session(&mut self, connection: ConnectionHandle) -> Option<&mut Session> {
        let session = self.session_at(connection.index())?;
        (session.connection == connection).then_some(session)
    }

    /// The session at an index, whatever its generation.
    pub(super) fn session_at(&mut self, index: usize) -> Option<&mut Session> {
        match self.entries.get_mut(index)? {
            Entry::Session(session) => Some(session),
            _ => None,
        }
    }

    /// Whether the session at an index is of `identity`.
    pub(super) fn is_of(&self, index: usize, identity: &Identity) -> bool {
        match self.entries.get(index) {
            Some(Entry::Session(session)) => session.identity == *identity,
            _ => false,
        }
    }

    /// A handshake has become a session, for which there was [room](Registry::enter). The identity now means this one;
    /// returns the older one that it replaces.
    pub(super) fn establish(&mut self, session: Session) -> Option<Place> {
        let place = self.place(session.connection);
        // A handshake had this entry.
        let entry = self.entries.get_mut(session.connection.index())?;
        let older = self.registry.begin(&session.identity, place);
        *entry = Entry::Session(Box::new(session));
        self.established += 1;
        older
    }

    const fn place(&self, connection: ConnectionHandle) -> Place {
        Place {
            worker: self.worker,
            connection,
        }
    }

    /// Takes out what a connection has here.
    pub(super) fn remove(&mut self, connection: ConnectionHandle) -> Entry {
        let Some(entry) = self.entries.get_mut(connection.index()) else {
            return Entry::Vacant;
        };
        if entry.connection() != Some(connection) {
            return Entry::Vacant;
        }
        let entry = std::mem::replace(entry, Entry::Vacant);
        if let Entry::Session(session) = &entry {
            self.established -= 1;
            self.registry.end(&session.identity, self.place(connection));
        }
        entry
    }

    /// Looks at the next `count` entries, beginning where the last search ended, and names the sessions that were last
    /// heard before `before`.
    pub(super) fn silent(
        &mut self,
        before: Instant,
        count: usize,
        found: &mut Vec<ConnectionHandle>,
    ) {
        for _ in 0..count.min(self.entries.len()) {
            if self.cursor >= self.entries.len() {
                self.cursor = 0;
            }
            if let Entry::Session(session) = &self.entries[self.cursor]
                && session.last_heard < before
                && session.ending.is_none()
            {
                found.push(session.connection);
            }
            self.cursor += 1;
        }
    }

    /// How many indices are in use or have been.
    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_is_small() {
        assert!(
            size_of::<Session>() <= 192,
            "{} bytes",
            size_of::<Session>()
        );
        assert!(size_of::<Entry>() <= 16);
    }
}
