//! What happens to established connections.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

use lockgate_dtls::{CloseReason, ConnectionHandle};

use super::{BATCH, Entry, FAIR_SHARE, Hub, Stage};
use crate::io::PortOptions;
use crate::path_error::Watcher;
use crate::port::Port;
use crate::shared::Shared;
use crate::{Error, Io};

/// The least that a path takes, in bytes; what claims less is not believed. IPv4: what Linux believes (552); IPv6: what
/// every link takes (RFC 8200 §5).
const LEAST_MTU: [u32; 2] = [552, 1280];
/// The headers of IPv4 or IPv6, and UDP, in bytes.
const HEADERS: [usize; 2] = [20 + 8, 40 + 8];

impl Hub {
    /// Sends what owners have queued, a bounded number of datagrams.
    pub(super) fn send_some(&mut self, io: &mut Io) {
        for _ in 0..BATCH / FAIR_SHARE {
            self.blocked = io.held.is_some();
            if self.blocked {
                return;
            }
            let Some(shared) = self.sending.pop_front() else {
                return;
            };
            if seal(io, &shared, FAIR_SHARE) {
                self.sending.push_back(shared);
            }
        }
    }

    /// The owner is done: what it has queued goes out, then a goodbye.
    pub(super) fn close(&mut self, io: &mut Io, connection: ConnectionHandle) {
        if let Some(Entry {
            stage: Stage::Established { shared, .. },
            ..
        }) = self.entry(connection)
        {
            seal_the_rest(io, &Arc::clone(shared));
        }
        io.endpoint().close(connection);
    }

    pub(super) fn path_changed(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let Some(to) = io.endpoint().path(connection) else {
            return;
        };
        let Some(Entry {
            stage: Stage::Established { shared, path, .. },
            ..
        }) = self.entry(connection)
        else {
            return;
        };
        shared.moved(to);
        let from = std::mem::replace(path, to);
        self.is_no_longer_at(connection, from.remote());
        self.is_at(connection, to.remote());
        self.move_peer_socket(io, connection, from, to);
    }

    pub(super) fn closed(
        &mut self,
        io: &mut Io,
        connection: ConnectionHandle,
        reason: CloseReason,
    ) {
        let Some(entry) = self.remove(connection) else {
            return;
        };
        match entry.stage {
            Stage::Handshaking(handshaking) => {
                let error = match &handshaking.client {
                    Some(_) => Error::of_client(reason, &handshaking.papers),
                    None => reason.into(),
                };
                self.handshake_failed(connection, handshaking, error);
            }
            Stage::Established {
                shared,
                path,
                socket,
            } => {
                self.is_no_longer_at(connection, path.remote());
                self.close_peer_socket(io, connection, &path, socket);
                shared.end(reason);
            }
        }
    }

    /// ICMP says that the path takes packets of `mtu` bytes.
    pub(super) fn too_big(&mut self, io: &mut Io, connection: ConnectionHandle, mtu: u32) {
        let endpoint = io.endpoint();
        let Some(path) = endpoint.path(connection) else {
            return;
        };
        let is_ipv6 = usize::from(path.peer().is_ipv6());
        if mtu < LEAST_MTU[is_ipv6] {
            return;
        }
        let payload = mtu as usize - HEADERS[is_ipv6];
        if endpoint.set_mtu(connection, payload).is_err() {
            return;
        }
        let info = endpoint.info(connection);
        if let (
            Some(info),
            Some(Entry {
                stage: Stage::Established { shared, .. },
                ..
            }),
        ) = (info, self.entry(connection))
        {
            shared.path_takes(mtu, info.max_payload);
        }
    }

    /// Goes on from another socket.
    pub(super) fn rebind(&mut self, io: &mut Io, socket: UdpSocket) -> io::Result<()> {
        io.flush();
        let local = socket.local_addr()?;
        let options = PortOptions {
            path_errors: true,
            client: true,
            ..PortOptions::default()
        };
        let port = Port::new(socket, options)?;
        let (Some(place), Some(listening)) =
            (io.sockets.first_mut(), self.options.listening.first_mut())
        else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        *place = port;
        *listening = local;
        let sockets = io.sockets.iter().map(|port| Arc::clone(port.socket()));
        self.watcher = Watcher::start(sockets);
        Ok(())
    }
}

/// Seals and sends up to `limit` datagrams of one connection; whether there may be more.
fn seal(io: &mut Io, shared: &Shared, limit: usize) -> bool {
    for _ in 0..limit {
        if io.held.is_some() {
            return true;
        }
        let Some(payload) = shared.next_to_send() else {
            return false;
        };
        let sealed = io.send_or_hold(shared.handle, &payload).is_ok();
        shared.sent(payload.len(), sealed);
    }
    true
}

/// Seals and sends all that one connection has left, whether the kernel has room or not.
fn seal_the_rest(io: &mut Io, shared: &Shared) {
    while let Some(payload) = shared.next_to_send() {
        let sealed = io.send(shared.handle, &payload).is_ok();
        shared.sent(payload.len(), sealed);
    }
}
