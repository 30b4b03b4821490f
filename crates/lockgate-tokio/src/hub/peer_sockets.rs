//! Which peers have sockets of their own, and what happens when there are no descriptors left.

use std::collections::VecDeque;
use std::time::Duration;

use lockgate_dtls::{ConnectionHandle, Instant};

use super::{Entry, Hub, Stage};
use crate::peers::out_of_descriptors;
use crate::{Incoming, Io, Path};

/// How long it takes until a socket is tried again when there were no descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// Those who wait for descriptors.
#[derive(Default)]
pub(super) struct Starvation {
    /// When it is tried again; `None` while there are descriptors.
    again: Option<Instant>,
    /// Established, and served by the listening socket until they get their own.
    established: VecDeque<ConnectionHandle>,
    /// Not offered to anybody until then.
    held: VecDeque<Incoming>,
}

impl Starvation {
    pub(super) const fn is_on(&self) -> bool {
        self.again.is_some()
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.again
    }

    /// Nobody accepts any more.
    pub(super) fn let_go(&mut self) {
        self.held.clear();
    }
}

impl Hub {
    /// Keeps a peer from being accepted until there are descriptors.
    pub(super) fn hold(&mut self, incoming: Incoming) {
        if self.starvation.held.len() < self.options.backlog {
            self.starvation.held.push_back(incoming);
        } else {
            self.statistics.backlog_full += 1;
            incoming.retry();
        }
    }

    pub(super) fn open_peer_socket(&mut self, io: &mut Io, handle: ConnectionHandle, path: Path) {
        if !self.try_open(io, handle, path) {
            self.starvation.established.push_back(handle);
        }
    }

    /// `false` when there are no descriptors. Any other failure leaves the peer with the listening socket, which serves
    /// it as well.
    fn try_open(&mut self, io: &mut Io, handle: ConnectionHandle, path: Path) -> bool {
        let (Some(peers), Some(&listening)) = (
            &mut io.peers,
            self.options.listening.get(usize::from(path.socket())),
        ) else {
            return true;
        };
        let opened = peers.open(listening, path);
        self.judge(io.now(), handle, opened)
    }

    fn judge(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        opened: std::io::Result<()>,
    ) -> bool {
        if let Some(Entry {
            stage: Stage::Established { socket, .. },
            ..
        }) = self.entry(handle)
        {
            *socket = opened.is_ok();
        }
        let Err(error) = opened else { return true };
        if !out_of_descriptors(&error) {
            self.statistics.peer_sockets_failed += 1;
            return true;
        }
        if !self.starvation.is_on() {
            tracing::warn!(
                %error,
                "no descriptor for a peer's socket: accepting pauses until there is one; raise the limit (ulimit -n)"
            );
        }
        self.starvation.again = Some(now + PAUSE);
        false
    }

    /// The established first; when all of them have sockets, accepting goes on.
    pub(super) fn try_for_descriptors(&mut self, io: &mut Io) {
        while let Some(handle) = self.starvation.established.pop_front() {
            let Some(Entry {
                stage: Stage::Established { path, .. },
                ..
            }) = self.entry(handle)
            else {
                continue;
            };
            let path = *path;
            if !self.try_open(io, handle, path) {
                self.starvation.established.push_front(handle);
                return;
            }
        }
        self.starvation.again = None;
        tracing::info!("there are descriptors again: accepting goes on");
        while let Some(incoming) = self.starvation.held.pop_front() {
            let Some(offers) = &self.options.offers else {
                return;
            };
            if let Err(full) = offers.try_send(incoming) {
                self.statistics.backlog_full += 1;
                full.into_inner().retry();
            }
        }
    }

    /// A peer moved, and its socket with it.
    pub(super) fn move_peer_socket(
        &mut self,
        io: &mut Io,
        handle: ConnectionHandle,
        from: Path,
        to: Path,
    ) {
        let Some(Entry {
            stage: Stage::Established { socket: true, .. },
            ..
        }) = self.entry(handle)
        else {
            return;
        };
        let (Some(peers), Some(&listening)) = (
            &mut io.peers,
            self.options.listening.get(usize::from(to.socket())),
        ) else {
            return;
        };
        let moved = peers.move_to(listening, &from, to);
        if !self.judge(io.now(), handle, moved) {
            self.starvation.established.push_back(handle);
        }
    }

    pub(super) fn close_peer_socket(
        &mut self,
        io: &mut Io,
        handle: ConnectionHandle,
        path: &Path,
        socket: bool,
    ) {
        if socket {
            if let Some(peers) = &mut io.peers {
                peers.close(path);
            }
        } else if self.starvation.is_on() {
            self.starvation.established.retain(|&other| other != handle);
        }
    }
}
