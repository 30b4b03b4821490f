//! Workers whose pools share a port: the kernel gives what the backend sends to any of them, always to the same for one
//! device, and that one passes it on to the worker that has the session.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use crate::addresses::TableKey;

/// How many datagrams may be on their way to one worker.
const QUEUE: usize = 1024;

/// The ways between one worker's pool and the others'.
pub(super) struct Fellows {
    worker: u8,
    shared: Arc<Shared>,
    ways: Vec<mpsc::Sender<Handed>>,
    inbox: mpsc::Receiver<Handed>,
    /// Taken from `inbox`.
    handed: VecDeque<Handed>,
}

/// What all of them know together.
struct Shared {
    owners: Mutex<Owners>,
    /// For each worker, whether it has lost anything: looked at for datagrams, so that they need no lock.
    has_lost: Box<[AtomicBool]>,
}

struct Owners {
    /// Who has the newest session of an address, by its host part. Asked for a datagram only when it came to the wrong
    /// worker.
    of: HashMap<u64, Owner>,
    /// What each worker had and another one has now, until it knows.
    lost: Vec<HashSet<u64>>,
}

#[derive(Clone, Copy)]
struct Owner {
    worker: u8,
    /// Whose session it is; `None` for a device without an identity.
    identity: Option<TableKey>,
}

/// A datagram of the backend's for a session of another worker's.
pub(super) struct Handed {
    pub(super) host: u64,
    pub(super) datagram: Box<[u8]>,
}

/// What became of a datagram that is not for a session of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// It is on its way.
    On,
    /// The other worker has too many already.
    Lost,
    /// Nobody has such a session.
    Nowhere,
}

impl Fellows {
    /// For each of `workers` workers its own end.
    pub(super) fn between(workers: u8) -> Vec<Self> {
        let owners = Owners {
            of: HashMap::new(),
            lost: vec![HashSet::new(); workers.into()],
        };
        let shared = Arc::new(Shared {
            owners: Mutex::new(owners),
            has_lost: (0..workers).map(|_| AtomicBool::new(false)).collect(),
        });
        let (ways, inboxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel(QUEUE)).unzip();
        let ends = (0..workers).zip(inboxes).map(|(worker, inbox)| Self {
            worker,
            shared: Arc::clone(&shared),
            ways: ways.clone(),
            inbox,
            handed: VecDeque::new(),
        });
        ends.collect()
    }

    /// The newest session with this host part is ours, and of this identity; `false` if another worker has one of
    /// another identity. A worker that had it finds that in [what it has lost](Self::lost).
    pub(super) fn claim(&self, host: u64, identity: Option<TableKey>) -> bool {
        let owners = &mut *self.owners();
        let ours = Owner {
            worker: self.worker,
            identity,
        };
        match owners.of.entry(host) {
            Entry::Vacant(place) => {
                place.insert(ours);
            }
            Entry::Occupied(mut place) => {
                let before = place.insert(ours);
                if before.worker != self.worker {
                    if identity.is_none() || before.identity != identity {
                        place.insert(before);
                        return false;
                    }
                    let before = usize::from(before.worker);
                    owners.lost[before].insert(host);
                    self.shared.has_lost[before].store(true, Ordering::Release);
                }
            }
        }
        // It may be ours again before we have heard that it was not.
        owners.lost[usize::from(self.worker)].remove(&host);
        true
    }

    /// We have none with this host part any more.
    pub(super) fn give_up(&self, host: u64) {
        let mut owners = self.owners();
        if owners.of.get(&host).map(|owner| owner.worker) == Some(self.worker) {
            owners.of.remove(&host);
        }
    }

    /// The host parts that others have [claimed](Self::claim) from us since it was asked last. Nothing but the look at a
    /// flag where there are none.
    pub(super) fn lost(&self) -> HashSet<u64> {
        let worker = usize::from(self.worker);
        let has_lost = &self.shared.has_lost[worker];
        if !has_lost.load(Ordering::Acquire) {
            return HashSet::new();
        }
        let mut owners = self.owners();
        has_lost.store(false, Ordering::Relaxed);
        std::mem::take(&mut owners.lost[worker])
    }

    /// Passes a datagram on to whose it is.
    pub(super) fn pass(&self, host: u64, datagram: &[u8]) -> Passed {
        let owner = self.owners().of.get(&host).map(|owner| owner.worker);
        let Some(owner) = owner.filter(|&owner| owner != self.worker) else {
            return Passed::Nowhere;
        };
        // The room comes first: a flood must not even cost a copy.
        let way = self.ways.get(usize::from(owner));
        match way.map(mpsc::Sender::try_reserve) {
            Some(Ok(room)) => {
                let datagram = datagram.into();
                room.send(Handed { host, datagram });
                Passed::On
            }
            _ => Passed::Lost,
        }
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.handed.is_empty() {
            match self.inbox.poll_recv(cx) {
                Poll::Ready(Some(handed)) => self.handed.push_back(handed),
                // It never closes: we have a way to ourselves.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// The next datagram that another worker has passed on.
    pub(super) fn take(&mut self) -> Option<Handed> {
        let first = self.handed.pop_front();
        first.or_else(|| self.inbox.try_recv().ok())
    }

    fn owners(&self) -> MutexGuard<'_, Owners> {
        let owners = &self.shared.owners;
        owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const DEVICE: Option<TableKey> = Some([1; 16]);
    const OTHER: Option<TableKey> = Some([2; 16]);

    #[test]
    fn a_worker_hears_what_another_one_has_taken_from_it() {
        let mut all = Fellows::between(2);
        let (one, zero) = (all.pop().unwrap(), all.pop().unwrap());
        assert!(zero.claim(7, DEVICE) && zero.claim(8, DEVICE) && zero.claim(7, DEVICE));
        assert!(zero.lost().is_empty() && one.lost().is_empty());
        assert!(one.claim(7, DEVICE));
        assert!(one.lost().is_empty());
        assert_eq!(zero.lost(), HashSet::from([7]));
        assert!(zero.lost().is_empty(), "told once");
        // To and fro before anybody has looked.
        assert!(zero.claim(7, DEVICE) && one.claim(7, DEVICE) && zero.claim(7, DEVICE));
        assert!(zero.lost().is_empty());
        assert_eq!(one.lost(), HashSet::from([7]));
        // Nothing is taken from a worker that has given it up.
        zero.give_up(8);
        assert!(one.claim(8, DEVICE));
        assert!(zero.lost().is_empty());
    }

    #[test]
    fn two_identities_at_two_workers_never_share_an_address() {
        let mut all = Fellows::between(2);
        let (one, zero) = (all.pop().unwrap(), all.pop().unwrap());
        assert!(zero.claim(7, DEVICE) && zero.claim(8, None));
        for (host, identity) in [(7, OTHER), (7, None), (8, OTHER), (8, None)] {
            assert!(!one.claim(host, identity));
            assert!(zero.lost().is_empty());
            assert_eq!(one.pass(host, b"x"), Passed::On, "it is zero's still");
        }
        zero.give_up(7);
        assert!(one.claim(7, OTHER) && !zero.claim(7, DEVICE));
    }

    #[test]
    fn a_datagram_goes_to_the_worker_with_the_newest_session() {
        let mut all = Fellows::between(3);
        let (mut two, one, zero) = (all.pop().unwrap(), all.pop().unwrap(), all.pop().unwrap());
        assert_eq!(zero.pass(7, b"x"), Passed::Nowhere);
        assert!(one.claim(7, DEVICE) && two.claim(7, DEVICE));
        // The older one is over, and that is none of its business.
        one.give_up(7);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(two.poll_ready(cx).is_pending());
        assert_eq!(zero.pass(7, b"one"), Passed::On);
        assert_eq!(one.pass(7, b"two"), Passed::On);
        assert_eq!(two.pass(7, b"ours"), Passed::Nowhere, "it is lost already");
        assert!(two.poll_ready(cx).is_ready());
        for expected in [b"one", b"two"] {
            let handed = two.take().unwrap();
            assert_eq!((handed.host, &handed.datagram[..]), (7, &expected[..]));
        }
        assert!(two.take().is_none() && two.poll_ready(cx).is_pending());
        for _ in 0..QUEUE {
            assert_eq!(one.pass(7, b"flood"), Passed::On);
        }
        assert_eq!(one.pass(7, b"flood"), Passed::Lost);
        two.give_up(7);
        assert_eq!(one.pass(7, b"x"), Passed::Nowhere);
    }
}
