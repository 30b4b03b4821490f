//! What a connection's owner and its worker share: two bounded queues and what is known of the connection.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use lockgate_dtls::{CloseReason, ConnectionHandle, ConnectionInfo, SendError};

use crate::{Error, Path};

/// What a datagram counts in a queue beside its bytes, so that empty ones are not free.
pub(crate) const DATAGRAM_COST: usize = 64;

/// How much may wait for one connection, each way, in bytes. A datagram counts 64 more than its payload; one always fits
/// into an empty queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Received and not yet read. What comes beyond is dropped and counted, as a socket's buffer does it. Default
    /// [`QueueLimits::DEFAULT`].
    pub receive: usize,
    /// Given to `send` and not yet sealed; `send` waits for room. Default [`QueueLimits::DEFAULT`].
    pub send: usize,
}

impl QueueLimits {
    /// 64 KiB.
    pub const DEFAULT: usize = 1 << 16;
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            receive: Self::DEFAULT,
            send: Self::DEFAULT,
        }
    }
}

/// What went through one connection, in application datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStatistics {
    /// Came and were queued.
    pub received: u64,
    /// Bytes of these.
    pub received_bytes: u64,
    /// Came and were dropped because nobody read those before ([`QueueLimits::receive`]).
    pub receive_dropped: u64,
    /// Sealed and handed to the socket.
    pub sent: u64,
    /// Bytes of these.
    pub sent_bytes: u64,
    /// Given to `send` and not sealed because the connection had ended or the payload no longer fitted the path.
    pub send_dropped: u64,
    /// How often the peer's address changed.
    pub moves: u64,
    /// The longest IP packet that the path takes, in bytes, where ICMP told it.
    pub path_mtu: Option<u32>,
}

/// A queue of datagrams with a bound in bytes.
#[derive(Default)]
struct Queue {
    datagrams: VecDeque<Bytes>,
    cost: usize,
}

impl Queue {
    fn has_room(&self, len: usize, limit: usize) -> bool {
        self.datagrams.is_empty() || self.cost + len + DATAGRAM_COST <= limit
    }

    fn push(&mut self, datagram: Bytes) {
        self.cost += datagram.len() + DATAGRAM_COST;
        self.datagrams.push_back(datagram);
    }

    fn pop(&mut self) -> Option<Bytes> {
        let datagram = self.datagrams.pop_front()?;
        self.cost -= datagram.len() + DATAGRAM_COST;
        if self.datagrams.is_empty() {
            // An idle connection keeps no memory from its busiest moment.
            self.datagrams = VecDeque::new();
        }
        Some(datagram)
    }
}

struct State {
    inbox: Queue,
    outbox: Queue,
    /// The worker has been told that the outbox is not empty.
    told: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    watchers: Vec<Waker>,
    closed: Option<CloseReason>,
    info: ConnectionInfo<Path>,
    statistics: ConnectionStatistics,
}

/// One connection, between its owner and its worker.
pub(crate) struct Shared {
    pub(crate) handle: ConnectionHandle,
    limits: QueueLimits,
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn new(
        handle: ConnectionHandle,
        limits: QueueLimits,
        info: ConnectionInfo<Path>,
    ) -> Self {
        Self {
            handle,
            limits,
            state: Mutex::new(State {
                inbox: Queue::default(),
                outbox: Queue::default(),
                told: false,
                reader: None,
                writer: None,
                watchers: Vec::new(),
                closed: None,
                info,
                statistics: ConnectionStatistics::default(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No call of ours panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- the owner's side ---

    /// The next datagram. What came before the end is handed out before the end is told.
    pub(crate) fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Result<Bytes, CloseReason>> {
        let mut state = self.state();
        if let Some(datagram) = state.inbox.pop() {
            return Poll::Ready(Ok(datagram));
        }
        if let Some(reason) = state.closed {
            return Poll::Ready(Err(reason));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether a datagram of `len` bytes can be queued.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), Error>> {
        let mut state = self.state();
        state.check(len)?;
        if state.outbox.has_room(len, self.limits.send) {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Queues a datagram if there is room; `true` when the worker must be told. `None` when there is no room.
    pub(crate) fn try_push(&self, datagram: &Bytes) -> Result<Option<bool>, Error> {
        let mut state = self.state();
        state.check(datagram.len())?;
        if !state.outbox.has_room(datagram.len(), self.limits.send) {
            return Ok(None);
        }
        state.outbox.push(datagram.clone());
        Ok(Some(!std::mem::replace(&mut state.told, true)))
    }

    /// Whether all that was queued has been sealed.
    pub(crate) fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut state = self.state();
        if state.outbox.datagrams.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if let Some(reason) = state.closed {
            return Poll::Ready(Err(reason.into()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let mut state = self.state();
        if let Some(reason) = state.closed {
            return Poll::Ready(reason);
        }
        if !state.watchers.iter().any(|w| w.will_wake(cx.waker())) {
            state.watchers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.state().closed
    }

    pub(crate) fn info(&self) -> ConnectionInfo<Path> {
        self.state().info
    }

    pub(crate) fn statistics(&self) -> ConnectionStatistics {
        self.state().statistics
    }

    // --- the worker's side ---

    /// A datagram came.
    pub(crate) fn deliver(&self, payload: &[u8]) {
        let reader = {
            let mut state = self.state();
            if !state.inbox.has_room(payload.len(), self.limits.receive) {
                state.statistics.receive_dropped += 1;
                return;
            }
            state.statistics.received += 1;
            state.statistics.received_bytes += payload.len() as u64;
            state.inbox.push(Bytes::copy_from_slice(payload));
            state.reader.take()
        };
        wake(reader);
    }

    /// The next datagram to seal. After `None` the worker is told again.
    pub(crate) fn next_to_send(&self) -> Option<Bytes> {
        let mut state = self.state();
        let next = state.outbox.pop();
        if next.is_none() {
            state.told = false;
        }
        let writer = state.writer.take();
        drop(state);
        wake(writer);
        next
    }

    /// How sealing the last datagram went.
    pub(crate) fn sent(&self, len: usize, sealed: bool) {
        let statistics = &mut self.state().statistics;
        if sealed {
            statistics.sent += 1;
            statistics.sent_bytes += len as u64;
        } else {
            statistics.send_dropped += 1;
        }
    }

    /// The peer is somewhere else.
    pub(crate) fn moved(&self, to: Path) {
        let mut state = self.state();
        state.info.path = to;
        state.statistics.moves += 1;
    }

    /// The path takes IP packets of `mtu` bytes, and so payloads of `max_payload`.
    pub(crate) fn path_takes(&self, mtu: u32, max_payload: usize) {
        let mut state = self.state();
        state.info.max_payload = max_payload;
        state.statistics.path_mtu = Some(mtu);
    }

    /// It is over.
    pub(crate) fn end(&self, reason: CloseReason) {
        let wakers = {
            let mut state = self.state();
            if state.closed.is_some() {
                return;
            }
            state.closed = Some(reason);
            let unsent = state.outbox.datagrams.len();
            state.statistics.send_dropped += unsent as u64;
            let mut wakers = std::mem::take(&mut state.watchers);
            wakers.extend(state.reader.take());
            wakers.extend(state.writer.take());
            wakers
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl State {
    /// Whether a datagram of `len` bytes can be sent at all.
    fn check(&self, len: usize) -> Result<(), Error> {
        if let Some(reason) = self.closed {
            return Err(reason.into());
        }
        let limit = self.info.max_payload;
        if len > limit {
            return Err(SendError::TooLarge { limit }.into());
        }
        Ok(())
    }
}

/// Never called with the lock held: a waker may run anything.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
