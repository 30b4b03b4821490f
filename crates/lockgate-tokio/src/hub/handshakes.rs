//! From a peer that shows up to a connection that somebody owns.

use std::io;
use std::sync::Arc;

use lockgate_dtls::{ApiError, ConnectionHandle, HandshakeError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::{Command, Commands, Connect, Entry, Hub, Offer, Pending, Stage};
use crate::shared::Shared;
use crate::{Connection, Error, Incoming, Io, KeyAnswer, KeyRequest, Path, Psk};

/// What is kept of a handshake, beside what the engine keeps.
pub(super) struct Handshaking {
    outcome: Outcome,
    identity: Vec<u8>,
    server_name: Vec<u8>,
    /// On a client, what it connects with and to; it has also its place in the table of addresses.
    client: Option<(Psk, Path)>,
    /// On a server, the look-up that runs.
    lookup: Option<Lookup>,
}

/// Who gets the connection, or learns why there is none.
enum Outcome {
    To(oneshot::Sender<Result<Connection, Error>>),
    Queue(mpsc::Sender<Connection>),
}

/// A look-up in a task of its own; it ends with the handshake.
struct Lookup(AbortHandle);

impl Drop for Lookup {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells what a look-up led to when it is over, however it ends: one that panics has failed.
struct Answering {
    connection: ConnectionHandle,
    commands: Commands,
    answer: KeyAnswer,
}

impl Answering {
    fn give(&mut self, answer: KeyAnswer) {
        self.answer = answer;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let answer = std::mem::replace(&mut self.answer, KeyAnswer::Failed);
        // Without a worker nobody waits for it.
        let _ = self
            .commands
            .send(Command::KeyAnswer(self.connection, answer));
    }
}

impl Handshaking {
    fn fail(self, error: Error) {
        match self.outcome {
            // Who no longer waits need not know.
            Outcome::To(owner) => drop(owner.send(Err(error))),
            Outcome::Queue(_) => {}
        }
    }
}

impl Hub {
    /// A server's question for the key of an identity: somebody may first say whether the peer is wanted. A client's
    /// question for its own.
    pub(super) fn psk_requested(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let now = io.now();
        let Some(entry) = self.entry(connection) else {
            return self.offer(io, connection);
        };
        if let Stage::Handshaking(Handshaking {
            identity,
            client: Some((psk, _)),
            ..
        }) = &entry.stage
        {
            let endpoint = io.endpoint();
            let given = endpoint.provide_identity(now, connection, identity, psk.as_bytes());
            if let Err(error) = given {
                self.give_up(io, connection, error.into());
            }
        }
    }

    /// Ends a handshake of our own before the engine does.
    fn give_up(&mut self, io: &mut Io, connection: ConnectionHandle, error: Error) {
        io.endpoint().discard(connection);
        if let Some(Entry {
            stage: Stage::Handshaking(handshaking),
            ..
        }) = self.remove(connection)
        {
            self.handshake_failed(connection, handshaking, error);
        }
    }

    /// Offers a peer to whoever accepts.
    fn offer(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let endpoint = io.endpoint();
        let (Some(path), Some(offers)) = (endpoint.path(connection), &self.options.offers) else {
            // Nobody accepts any more.
            return endpoint.discard(connection);
        };
        let offers = offers.clone();
        let identity = endpoint.psk_identity(connection).unwrap_or_default();
        let server_name = endpoint.server_name(connection).unwrap_or_default();
        let (identity, server_name) = (identity.to_vec(), server_name.to_vec());
        let (owner, outcome) = oneshot::channel();
        let pending = Pending {
            handle: connection,
            commands: self.sender.clone(),
            outcome,
            settled: false,
        };
        let incoming = Incoming {
            pending,
            path,
            local: self.local_of(&path),
            identity: identity.clone(),
            server_name: server_name.clone(),
        };
        let handshaking = Handshaking {
            outcome: Outcome::To(owner),
            identity,
            server_name,
            client: None,
            lookup: None,
        };
        self.insert(connection, Stage::Handshaking(handshaking));
        if self.starvation.is_on() {
            self.hold(incoming);
        } else if let Err(full) = offers.try_send(incoming) {
            self.statistics.backlog_full += 1;
            full.into_inner().retry();
        }
    }

    /// Where a peer reached us.
    fn local_of(&self, path: &Path) -> std::net::SocketAddr {
        let listening = self.options.listening.get(usize::from(path.socket()));
        let mut local = listening.copied().unwrap_or_else(|| ([0; 4], 0).into());
        if let Some(ip) = path.local() {
            local.set_ip(ip.to_canonical());
        }
        local
    }

    pub(super) fn accept(&mut self, io: &mut Io, connection: ConnectionHandle, offer: Offer) {
        let remote = io.endpoint().path(connection).map(|path| path.peer());
        let Some(Entry {
            stage: Stage::Handshaking(handshaking),
            ..
        }) = self.entry(connection)
        else {
            return; // it ended meanwhile; who waits has been told
        };
        if let Some(queue) = offer.queue {
            handshaking.outcome = Outcome::Queue(queue);
        }
        if let Some(key) = offer.key {
            return answer(io, connection, &KeyAnswer::Key(key));
        }
        let request = remote.map(|remote| KeyRequest {
            identity: handshaking.identity.clone(),
            server_name: handshaking.server_name.clone(),
            remote,
        });
        let (Some(request), Some(keys)) = (request, &self.options.keys) else {
            return answer(io, connection, &KeyAnswer::Failed);
        };
        let keys = Arc::clone(keys);
        let mut answering = Answering {
            connection,
            commands: self.sender.clone(),
            answer: KeyAnswer::Failed,
        };
        // Always in a task of its own: what goes wrong in a store of the application's is not to end the worker.
        let task = tokio::spawn(async move {
            let answer = keys.lookup(request).await;
            answering.give(answer);
        });
        if let Some(Entry {
            stage: Stage::Handshaking(handshaking),
            ..
        }) = self.entry(connection)
        {
            handshaking.lookup = Some(Lookup(task.abort_handle()));
        }
    }

    /// Sends a peer away, or gives a handshake of our own up.
    pub(super) fn refuse(&mut self, io: &mut Io, connection: ConnectionHandle) {
        io.endpoint().close(connection);
        if let Some(Entry {
            stage: Stage::Handshaking(_),
            ..
        }) = self.entry(connection)
        {
            // Told at once: until then the path is busy for the next handshake, and the handle's place taken.
            while io.transmit_next() {}
            if let Some(Entry {
                stage: Stage::Handshaking(handshaking),
                ..
            }) = self.remove(connection)
            {
                let canceled = Error::Handshake(HandshakeError::Canceled);
                self.handshake_failed(connection, handshaking, canceled);
            }
        }
    }

    /// Forgets a peer without a word.
    pub(super) fn forget(&mut self, io: &mut Io, connection: ConnectionHandle) {
        io.endpoint().discard(connection);
        self.remove(connection);
    }

    pub(super) fn connect(&mut self, io: &mut Io, connect: Connect) {
        let number = self.options.listening.iter().position(|listening| {
            listening.is_ipv6() || listening.is_ipv4() == connect.server.is_ipv4()
        });
        let Some(number) = number else {
            let no_socket = io::Error::from(io::ErrorKind::AddrNotAvailable);
            return drop(connect.reply.send(Err(no_socket.into())));
        };
        let mut server = connect.server;
        if let (std::net::IpAddr::V4(v4), true) =
            (server.ip(), self.options.listening[number].is_ipv6())
        {
            server.set_ip(v4.to_ipv6_mapped().into());
        }
        let now = io.now();
        let path = Path::new(server, number as u8);
        let begun = io.endpoint().connect(now, path, &connect.server_name);
        let handle = match begun {
            Ok(handle) => handle,
            Err(error) => return drop(connect.reply.send(Err(error.into()))),
        };
        let (owner, outcome) = oneshot::channel();
        let handshaking = Handshaking {
            outcome: Outcome::To(owner),
            identity: connect.identity,
            server_name: connect.server_name,
            client: Some((connect.psk, path)),
            lookup: None,
        };
        self.insert(handle, Stage::Handshaking(handshaking));
        self.is_at(handle, server);
        let pending = Pending {
            handle,
            commands: self.sender.clone(),
            outcome,
            settled: false,
        };
        // If nobody waits any more, dropping it ends the handshake.
        drop(connect.reply.send(Ok(pending)));
    }

    /// ICMP says that nobody listens at a server's port.
    pub(super) fn refused(&mut self, io: &mut Io, connection: ConnectionHandle) {
        // A server that restarts comes back; one that was never there does not.
        if let Some(Entry {
            stage:
                Stage::Handshaking(Handshaking {
                    client: Some(_), ..
                }),
            ..
        }) = self.entry(connection)
        {
            let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
            self.give_up(io, connection, refused.into());
        }
    }

    pub(super) fn connected(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let Some(info) = io.endpoint().info(connection) else {
            return;
        };
        let shared = Arc::new(Shared::new(connection, self.options.limits, info));
        let stage = Stage::Established {
            shared: Arc::clone(&shared),
            path: info.path,
            socket: false,
        };
        let Some(entry) = self.entry(connection) else {
            return io.endpoint().close(connection);
        };
        let Stage::Handshaking(handshaking) = std::mem::replace(&mut entry.stage, stage) else {
            return;
        };
        // A client stands there since it began.
        if handshaking.client.is_none() {
            self.is_at(connection, info.path.remote());
            self.open_peer_socket(io, connection, info.path);
        }
        let owned = Connection::new(
            shared,
            self.sender.clone(),
            handshaking.identity,
            handshaking.server_name,
        );
        // Where nobody takes it, dropping it ends the connection.
        match handshaking.outcome {
            Outcome::To(owner) => drop(owner.send(Ok(owned))),
            Outcome::Queue(queue) => {
                if queue.try_send(owned).is_err() {
                    self.statistics.backlog_full += 1;
                }
            }
        }
    }

    /// A handshake that is over.
    pub(super) fn handshake_failed(
        &mut self,
        connection: ConnectionHandle,
        handshaking: Handshaking,
        error: Error,
    ) {
        if let Some((_, path)) = &handshaking.client {
            self.is_no_longer_at(connection, path.remote());
        }
        self.statistics.handshakes_failed += 1;
        handshaking.fail(error);
    }
}

/// Gives the engine what the store knows.
pub(super) fn answer(io: &mut Io, connection: ConnectionHandle, answer: &KeyAnswer) {
    let now = io.now();
    let endpoint = io.endpoint();
    let given = match answer {
        KeyAnswer::Key(key) => endpoint.provide_psk(now, connection, key.as_bytes()),
        KeyAnswer::Unknown => endpoint.refuse_psk(now, connection),
        KeyAnswer::Failed => endpoint.fail_psk(connection),
    };
    match given {
        // The handshake ended before the answer came; its end is told by an event.
        Ok(()) | Err(ApiError::UnknownConnection | ApiError::NotRequested) => {}
        Err(_) => endpoint.close(connection),
    }
}
