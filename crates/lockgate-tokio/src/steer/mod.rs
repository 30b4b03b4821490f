//! Which worker a datagram belongs to, and how it gets there when the kernel gave it to another.
//!
//! Several workers share an address with `SO_REUSEPORT`; the kernel gives each peer address to one of them, always the
//! same. A program of ours has it look at connection IDs first ([`in_kernel`]), so that a peer that has moved comes to the
//! worker that has its session. Some datagrams still come to the wrong one:
//!
//! - from a peer that has moved, where the kernel takes no such program: its connection ID tells where its session lives
//!   ([`owner_of_cid`]);
//! - taken by the socket of a single peer before that was connected ([`peers`](crate::peers)): any worker may know the
//!   sender, so the datagram goes from one to the next.
//!
//! The queues between workers are bounded; what does not fit is dropped and counted.

mod bpf;

use std::net::UdpSocket;
use std::task::{Context, Poll};

use lockgate_dtls::wire::{ContentType, RecordHeader};
use lockgate_dtls::{DropReason, Placement};
use tokio::sync::mpsc;

use crate::{Endpoint, Path};

/// How many datagrams may be on their way to one worker.
const QUEUE: usize = 1024;
/// How many are taken at a time.
const BATCH: usize = 64;

/// A datagram for another worker.
pub(crate) struct Handover {
    pub(crate) path: Path,
    pub(crate) datagram: Box<[u8]>,
    /// How many workers it has seen.
    pub(crate) hops: u8,
    /// It came by the socket of another peer; any worker may know its sender.
    pub(crate) stray: bool,
}

/// The ways between one worker and the others.
pub(crate) struct Steering {
    placement: Placement,
    workers: Vec<mpsc::Sender<Handover>>,
    inbox: mpsc::Receiver<Handover>,
    /// Taken from `inbox`.
    pub(crate) handed: Vec<Handover>,
    /// How many workers the datagram has seen that is being taken in, when it came from another one.
    pub(crate) hops: u8,
}

impl Steering {
    /// For each of `workers` workers its own end.
    pub(crate) fn between(workers: u8) -> Vec<Self> {
        let (senders, inboxes): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| mpsc::channel(QUEUE)).unzip();
        let with_inbox = (0..workers).zip(inboxes);
        with_inbox
            .map(|(worker, inbox)| Self {
                placement: Placement {
                    worker,
                    workers,
                    ..Placement::default()
                },
                workers: senders.clone(),
                inbox,
                handed: Vec::new(),
                hops: 0,
            })
            .collect()
    }

    /// The number of this machine among others, as connection IDs tell it.
    #[must_use]
    pub(crate) const fn on_node(mut self, node: u8) -> Self {
        self.placement.node = node;
        self
    }

    /// The worker that should have a datagram which this one dropped for `reason`. A `stray` one came by the socket of
    /// another peer.
    pub(crate) fn owner(
        &self,
        endpoint: &Endpoint,
        stray: bool,
        reason: DropReason,
        datagram: &[u8],
    ) -> Option<u8> {
        let hops = self.hops;
        let Placement {
            worker, workers, ..
        } = self.placement;
        match reason {
            // One that was handed over by its connection ID has come to the right place.
            DropReason::UnknownConnectionId if hops == 0 => {
                owner_of_cid(endpoint, self.placement, datagram).filter(|&owner| owner != worker)
            }
            DropReason::UnknownAddress
            | DropReason::ChangeCipherSpec
            | DropReason::IgnoredAlert
                if stray =>
            {
                (hops + 1 < workers).then_some((worker + 1) % workers)
            }
            _ => None,
        }
    }

    /// Passes a datagram on; `false` when there is no room.
    pub(crate) fn hand_over(&self, to: u8, path: Path, datagram: &[u8], stray: bool) -> bool {
        let Some(worker) = self.workers.get(usize::from(to)) else {
            return false;
        };
        // The room comes first: a flood must not even cost a copy.
        let Ok(room) = worker.try_reserve() else {
            return false;
        };
        room.send(Handover {
            path,
            datagram: datagram.into(),
            hops: self.hops + 1,
            stray,
        });
        true
    }

    /// Takes what other workers passed on into `handed`.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let room = BATCH - self.handed.len();
        if room == 0 {
            return Poll::Ready(());
        }
        let polled = self.inbox.poll_recv_many(cx, &mut self.handed, room);
        if polled.is_ready() || !self.handed.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Has the kernel give datagrams to the worker that their connection ID names. `sockets` are those of the first worker,
/// one for each address; those of all `workers` are bound, in the workers' order, and closed together.
///
/// A kernel that does not do it is no reason not to serve: workers hand over.
pub(crate) fn in_kernel(sockets: &[UdpSocket], workers: u8) {
    for socket in sockets {
        if let Err(error) = bpf::attach(socket, workers) {
            tracing::debug!(%error, "the kernel does not steer by connection ID; workers hand over");
            return;
        }
    }
}

/// The worker that gave out the connection ID in a datagram's first record.
///
/// The kernel comes to the same answer by the first byte of the ID modulo the number of workers ([`Placement`]). Here the
/// whole ID is read, which tells made-up ones from true ones, and those of a time with another number of workers.
pub(crate) fn owner_of_cid(
    endpoint: &Endpoint,
    placement: Placement,
    datagram: &[u8],
) -> Option<u8> {
    if datagram.first() != Some(&ContentType::TLS12_CID.0) {
        return None;
    }
    let cid = datagram.get(RecordHeader::CID_OFFSET..)?;
    let route = endpoint.route(cid)?;
    (route.node == placement.node && route.worker < placement.workers).then_some(route.worker)
}
