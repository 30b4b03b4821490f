//! From a peer that shows up to a connection that somebody owns.

use std::io;
use std::sync::Arc;

use lockgate_dtls::{CloseReason, ConnectionHandle, HandshakeError, Session};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::{Command, Commands, Connect, Entry, Hub, Offer, Pending, Stage};
use crate::connection::Known;
use crate::credentials::{Expected, Papers};
use crate::shared::Shared;
use crate::{Connection, Error, Incoming, Io, KeyAnswer, KeyRequest, Path, Psk};

/// What is kept of a handshake, beside what the engine keeps.
pub(super) struct Handshaking {
    outcome: Outcome,
    pub(super) identity: Vec<u8>,
    pub(super) server_name: Vec<u8>,
    /// On a client, what it connects with and to; it has also its place in the table of addresses.
    pub(super) client: Option<Client>,
    /// On a server, the look-up that runs.
    lookup: Option<Lookup>,
    pub(super) papers: Papers,
    /// What the engine waits for, on a server.
    pub(super) question: Question,
    /// On a server: somebody wants the peer, as it said who it was then.
    pub(super) accepted: bool,
}

/// What a client connects with and to.
pub(super) struct Client {
    psk: Option<Psk>,
    path: Path,
    /// The name that the server's certificate has to be for.
    pub(super) expected: String,
}

/// What the engine asks a server.
#[derive(Default)]
pub(super) enum Question {
    #[default]
    None,
    Psk,
    /// Whether the peer with this label gets in; its certificate is in order.
    Peer(Vec<u8>),
    /// Whether an earlier session goes on: one that the engine knows, or this; with the hash of its pre-shared key.
    Resumption(Option<Session>, [u8; 32]),
}

/// Who gets the connection, or learns why there is none.
enum Outcome {
    /// The peer has not been offered to anybody yet.
    Unasked,
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
            Outcome::Queue(_) | Outcome::Unasked => {}
        }
    }

    /// One that a peer began.
    fn of_peer() -> Box<Self> {
        Box::new(Self {
            outcome: Outcome::Unasked,
            identity: Vec::new(),
            server_name: Vec::new(),
            client: None,
            lookup: None,
            papers: Papers::default(),
            question: Question::None,
            accepted: false,
        })
    }
}

impl Hub {
    /// A server's question for the key of an identity: somebody may first say whether the peer is wanted. A client's
    /// question for its own.
    pub(super) fn psk_requested(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let now = io.now();
        let Some(handshaking) = self.handshaking(connection) else {
            return;
        };
        let Some(client) = &handshaking.client else {
            let identity = io.endpoint().psk_identity(connection).unwrap_or_default();
            let identity = identity.to_vec();
            return self.ask(io, connection, Question::Psk, identity);
        };
        let given = match &client.psk {
            Some(psk) => io
                .endpoint()
                .provide_identity(now, connection, &handshaking.identity, psk.as_bytes())
                .map_err(Error::from),
            None => Err(Error::Handshake(HandshakeError::NoCredential)),
        };
        if let Err(error) = given {
            self.give_up(io, connection, error);
        }
    }

    /// The handshake of this handle; one that a peer began gets its place now.
    pub(super) fn handshaking(&mut self, connection: ConnectionHandle) -> Option<&mut Handshaking> {
        if self.entry(connection).is_none() {
            self.insert(connection, Stage::Handshaking(Handshaking::of_peer()));
        }
        match &mut self.entry(connection)?.stage {
            Stage::Handshaking(handshaking) => Some(handshaking),
            Stage::Established { .. } => None,
        }
    }

    /// A server's question. Somebody says whether the peer is wanted, once: who says to be somebody else after that is
    /// sent away.
    pub(super) fn ask(
        &mut self,
        io: &mut Io,
        connection: ConnectionHandle,
        question: Question,
        identity: Vec<u8>,
    ) {
        let Some(handshaking) = self.handshaking(connection) else {
            return;
        };
        handshaking.question = question;
        if handshaking.accepted {
            if handshaking.identity == identity && !identity.is_empty() {
                self.look_up(io, connection);
            } else {
                self.refuse(io, connection);
            }
            return;
        }
        handshaking.identity = identity;
        self.offer(io, connection);
    }

    /// Ends a handshake of our own before the engine does.
    pub(super) fn give_up(&mut self, io: &mut Io, connection: ConnectionHandle, error: Error) {
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
            return self.forget(io, connection);
        };
        let offers = offers.clone();
        let server_name = endpoint.server_name(connection).unwrap_or_default();
        let server_name = server_name.to_vec();
        let (owner, outcome) = oneshot::channel();
        let Some(handshaking) = self.handshaking(connection) else {
            return;
        };
        handshaking.outcome = Outcome::To(owner);
        handshaking.server_name.clone_from(&server_name);
        let (identity, certificate) = (
            handshaking.identity.clone(),
            handshaking.papers.shown.clone(),
        );
        let incoming = Incoming {
            pending: Pending {
                handle: connection,
                commands: self.sender.clone(),
                outcome,
                settled: false,
                ready: false,
            },
            path,
            local: self.local_of(&path),
            identity,
            server_name,
            certificate,
        };
        self.hand_out(&offers, incoming);
    }

    fn hand_out(&mut self, offers: &mpsc::Sender<Incoming>, incoming: Incoming) {
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
        let Some(Entry {
            stage: Stage::Handshaking(handshaking),
            ..
        }) = self.entry(connection)
        else {
            return; // it ended meanwhile; who waits has been told
        };
        handshaking.accepted = true;
        if let Some(queue) = offer.queue {
            handshaking.outcome = Outcome::Queue(queue);
        }
        match (offer.key, &handshaking.question) {
            (Some(key), _) => self.on_key(io, connection, &KeyAnswer::Key(key)),
            (None, Question::Psk) => self.look_up(io, connection),
            (None, Question::Resumption(..)) if !handshaking.identity.is_empty() => {
                self.look_up(io, connection);
            }
            (None, _) => self.let_in(io, connection),
        }
    }

    /// Asks the key store.
    fn look_up(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let remote = io.endpoint().path(connection).map(|path| path.peer());
        let Some(handshaking) = self.handshaking(connection) else {
            return;
        };
        let request = remote.map(|remote| KeyRequest {
            identity: handshaking.identity.clone(),
            server_name: handshaking.server_name.clone(),
            remote,
        });
        let (Some(request), Some(keys)) = (request, &self.options.keys) else {
            return self.on_key(io, connection, &KeyAnswer::Failed);
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
        if let Some(Entry {
            stage:
                Stage::Established {
                    shared,
                    path,
                    socket,
                },
            ..
        }) = self.remove(connection)
        {
            // It was offered when its handshake was complete.
            self.is_no_longer_at(connection, path.remote());
            self.close_peer_socket(io, connection, &path, socket);
            shared.end(CloseReason::Local);
        }
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
        let expected = Expected::Server(&connect.expected);
        let believed = |session: &&Session| {
            self.options
                .credentials
                .still_believed(session.peer(), expected)
        };
        let session = connect.session.as_ref().filter(believed);
        let begun = io
            .endpoint()
            .connect_with(now, path, &connect.server_name, session);
        let handle = match begun {
            Ok(handle) => handle,
            Err(error) => return drop(connect.reply.send(Err(error.into()))),
        };
        let (owner, outcome) = oneshot::channel();
        let mut handshaking = Handshaking::of_peer();
        handshaking.outcome = Outcome::To(owner);
        handshaking.identity = connect.identity;
        handshaking.server_name = connect.server_name;
        handshaking.client = Some(Client {
            psk: connect.psk,
            path,
            expected: connect.expected,
        });
        self.insert(handle, Stage::Handshaking(handshaking));
        self.is_at(handle, server);
        let pending = Pending {
            handle,
            commands: self.sender.clone(),
            outcome,
            settled: false,
            ready: false,
        };
        // If nobody waits any more, dropping it ends the handshake.
        drop(connect.reply.send(Ok(pending)));
    }

    /// ICMP says that nobody listens at a server's port.
    pub(super) fn refused(&mut self, io: &mut Io, connection: ConnectionHandle) {
        // A server that restarts comes back; one that was never there does not.
        if let Some(Entry {
            stage: Stage::Handshaking(handshaking),
            ..
        }) = self.entry(connection)
            && handshaking.client.is_some()
        {
            let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
            self.give_up(io, connection, refused.into());
        }
    }

    pub(super) fn connected(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let Some(info) = io.endpoint().info(connection) else {
            return;
        };
        let protocol = io.endpoint().protocol(connection).map(<[u8]>::to_vec);
        if !self.may_connect(connection, info.resumed) {
            return self.refuse(io, connection);
        }
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
        let known = Known {
            identity: handshaking.identity,
            server_name: handshaking.server_name,
            papers: handshaking.papers,
            protocol,
        };
        let (identity, server_name) = (known.identity.clone(), known.server_name.clone());
        let owned = Connection::new(shared, self.sender.clone(), known);
        // Where nobody takes it, dropping it ends the connection.
        match handshaking.outcome {
            Outcome::To(owner) => drop(owner.send(Ok(owned))),
            Outcome::Queue(queue) => {
                if queue.try_send(owned).is_err() {
                    self.statistics.backlog_full += 1;
                }
            }
            // A client that shows nothing: there was nothing to ask before.
            Outcome::Unasked => {
                let Some(offers) = self.options.offers.clone() else {
                    return;
                };
                let (owner, outcome) = oneshot::channel();
                let certificate = owned.shown();
                drop(owner.send(Ok(owned)));
                let incoming = Incoming {
                    pending: Pending {
                        handle: connection,
                        commands: self.sender.clone(),
                        outcome,
                        settled: false,
                        ready: true,
                    },
                    path: info.path,
                    local: self.local_of(&info.path),
                    identity,
                    server_name,
                    certificate,
                };
                self.hand_out(&offers, incoming);
            }
        }
    }

    /// A handshake that is over.
    pub(super) fn handshake_failed(
        &mut self,
        connection: ConnectionHandle,
        handshaking: Box<Handshaking>,
        error: Error,
    ) {
        if let Some(client) = &handshaking.client {
            self.is_no_longer_at(connection, client.path.remote());
        }
        self.statistics.handshakes_failed += 1;
        handshaking.fail(error);
    }
}
