//! Workers whose pools share a port: the kernel gives what the backend sends to any of them, always to the same for one
//! device, and that one passes it on to the worker that has the session.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::mpsc;

/// How many datagrams may be on their way to one worker.
const QUEUE: usize = 1024;

/// The ways between one worker's pool and the others'.
pub(super) struct Fellows {
    worker: u8,
    /// Which worker has the newest session of an address, by its host part. Asked for a datagram only when it came to
    /// the wrong one.
    owners: Arc<Mutex<HashMap<u64, u8>>>,
    ways: Vec<mpsc::Sender<Handed>>,
    inbox: mpsc::Receiver<Handed>,
    /// Taken from `inbox`.
    handed: VecDeque<Handed>,
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
        let owners = Arc::default();
        let (ways, inboxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel(QUEUE)).unzip();
        let ends = (0..workers).zip(inboxes).map(|(worker, inbox)| Self {
            worker,
            owners: Arc::clone(&owners),
            ways: ways.clone(),
            inbox,
            handed: VecDeque::new(),
        });
        ends.collect()
    }

    /// The newest session with this host part is ours.
    pub(super) fn claim(&self, host: u64) {
        self.owners().insert(host, self.worker);
    }

    /// We have none with this host part any more.
    pub(super) fn give_up(&self, host: u64) {
        let mut owners = self.owners();
        if owners.get(&host) == Some(&self.worker) {
            owners.remove(&host);
        }
    }

    /// Passes a datagram on to whose it is.
    pub(super) fn pass(&self, host: u64, datagram: &[u8]) -> Passed {
        let owner = self.owners().get(&host).copied();
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

    fn owners(&self) -> MutexGuard<'_, HashMap<u64, u8>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_datagram_goes_to_the_worker_with_the_newest_session() {
        let mut all = Fellows::between(3);
        let (mut two, one, zero) = (all.pop().unwrap(), all.pop().unwrap(), all.pop().unwrap());
        assert_eq!(zero.pass(7, b"x"), Passed::Nowhere);
        one.claim(7);
        two.claim(7);
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
