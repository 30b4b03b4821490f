//! The service behind [`Listener`](crate::Listener) and [`Connector`](crate::Connector): one worker's connections, each
//! with an owner in some other task.
//!
//! Owners talk to the worker by [`Command`]s, the worker to its owners through [`Shared`]. What the engine tells comes
//! in by [`Service::on_event`], and there only.

mod command;
mod handshakes;
mod papers;
mod peer_sockets;
mod sessions;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use lockgate_dtls::{ConnectionHandle, Event, Instant, KeyLogEntry};
use tokio::sync::mpsc;

pub(crate) use command::{Command, Commands, Connect, Offer, Pending};
use handshakes::Handshaking;
use peer_sockets::Starvation;

use crate::credentials::SessionStore;
use crate::path_error::{PathErrorKind, Watcher};
use crate::peers::Peers;
use crate::shared::Shared;
use crate::{
    Credentials, Incoming, Io, KeyStore, Path, PathError, QueueLimits, Service, Statistics,
};

/// How many commands, and how many datagrams to send, one turn takes.
const BATCH: usize = 64;
/// How many datagrams one connection sends before the next has its turn.
const FAIR_SHARE: usize = 16;

/// Sees the datagrams of handshakes, and alerts, as they go by: those that the engine sends, and those that come and begin
/// with a record of a handshake. Called in the task that serves the sockets, so it must not wait.
pub type Observer = Arc<dyn Fn(&HandshakeDatagram<'_>) + Send + Sync>;

/// A UDP datagram of a handshake.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HandshakeDatagram<'a> {
    /// Where the peer is.
    pub peer: SocketAddr,
    /// It goes out; otherwise it came.
    pub sent: bool,
    /// Its records.
    pub bytes: &'a [u8],
}

/// Takes the lines of a key log (`SSLKEYLOGFILE`), see [`Config::key_log`](crate::dtls::Config::key_log).
pub type KeyLog = Arc<dyn Fn(&KeyLogEntry) + Send + Sync>;

/// What a worker is made with.
pub(crate) struct HubOptions {
    pub(crate) keys: Option<Arc<dyn KeyStore>>,
    pub(crate) offers: Option<mpsc::Sender<Incoming>>,
    pub(crate) limits: QueueLimits,
    pub(crate) key_log: Option<KeyLog>,
    pub(crate) observer: Option<Observer>,
    pub(crate) credentials: Credentials,
    /// How many sessions are kept by their ID.
    pub(crate) sessions: usize,
    /// Where the sockets are bound, in their order.
    pub(crate) listening: Vec<SocketAddr>,
    /// How many peers may be kept waiting while there are no descriptors.
    pub(crate) backlog: usize,
    pub(crate) census: Arc<Census>,
}

/// How many connections the workers of one listener have together. They end together: were one of several sockets at an
/// address closed, the kernel would spread the peers anew, and they would reach workers that do not know them.
#[derive(Default)]
pub(crate) struct Census {
    entries: AtomicUsize,
    workers: Mutex<Vec<Commands>>,
}

impl Census {
    pub(crate) fn join(&self, worker: Commands) {
        self.workers().push(worker);
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Commands>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody accepts any more, or the last connection of those who do not is over.
    pub(crate) fn leave(&self) {
        for worker in &*self.workers() {
            // One that is gone has left.
            let _ = worker.send(Command::Leave);
        }
    }
}

enum Stage {
    Handshaking(Box<Handshaking>),
    Established {
        shared: Arc<Shared>,
        path: Path,
        /// It uses a socket of the peer's own.
        socket: bool,
    },
}

struct Entry {
    handle: ConnectionHandle,
    stage: Stage,
}

/// One worker's connections.
pub(crate) struct Hub {
    commands: mpsc::UnboundedReceiver<Command>,
    sender: Commands,
    taken: Vec<Command>,
    options: HubOptions,
    /// By [`ConnectionHandle::index`].
    table: Vec<Option<Entry>>,
    entries: usize,
    /// Who is where, for what ICMP says.
    by_remote: HashMap<(IpAddr, u16), Vec<ConnectionHandle>>,
    /// Those with something in the outbox.
    sending: VecDeque<Arc<Shared>>,
    /// They wait for room in the kernel's buffer.
    blocked: bool,
    starvation: Starvation,
    sessions: SessionStore,
    watcher: Watcher,
    errors: Vec<PathError>,
    /// The listener or connector is gone; the last connection ends the workers.
    leaving: bool,
    statistics: Statistics,
}

impl Hub {
    pub(crate) fn new(options: HubOptions) -> (Self, Commands) {
        let (sender, commands) = mpsc::unbounded_channel();
        let sessions = SessionStore::new(options.sessions);
        let hub = Self {
            commands,
            sender: sender.clone(),
            taken: Vec::with_capacity(BATCH),
            options,
            table: Vec::new(),
            entries: 0,
            by_remote: HashMap::new(),
            sending: VecDeque::new(),
            blocked: false,
            starvation: Starvation::default(),
            sessions,
            watcher: Watcher::default(),
            errors: Vec::new(),
            leaving: false,
            statistics: Statistics::default(),
        };
        (hub, sender)
    }

    /// Begins to listen to what ICMP says about the sockets; within the runtime.
    pub(crate) fn watch(&mut self, io: &Io) {
        let sockets = io.sockets.iter().map(|port| Arc::clone(port.socket()));
        self.watcher = Watcher::start(sockets);
    }

    /// Who wants to see handshakes.
    pub(crate) fn observer(&mut self) -> Option<Observer> {
        self.options.observer.take()
    }

    /// Nobody owns a connection of this worker's or its fellows', or can get one.
    fn is_over(&self) -> bool {
        self.leaving && self.options.census.entries.load(Ordering::Acquire) == 0
    }

    fn entry(&mut self, handle: ConnectionHandle) -> Option<&mut Entry> {
        let entry = self.table.get_mut(handle.index())?.as_mut()?;
        (entry.handle == handle).then_some(entry)
    }

    fn insert(&mut self, handle: ConnectionHandle, stage: Stage) {
        let index = handle.index();
        if self.table.len() <= index {
            self.table.resize_with(index + 1, || None);
        }
        if self.table[index].replace(Entry { handle, stage }).is_none() {
            self.entries += 1;
            self.options.census.entries.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn remove(&mut self, handle: ConnectionHandle) -> Option<Entry> {
        self.entry(handle)?;
        self.entries -= 1;
        let before = self.options.census.entries.fetch_sub(1, Ordering::AcqRel);
        if before == 1 && self.leaving {
            self.options.census.leave();
        }
        self.table[handle.index()].take()
    }

    fn is_at(&mut self, handle: ConnectionHandle, remote: SocketAddr) {
        self.by_remote.entry(key(remote)).or_default().push(handle);
    }

    fn is_no_longer_at(&mut self, handle: ConnectionHandle, remote: SocketAddr) {
        if let Some(here) = self.by_remote.get_mut(&key(remote)) {
            here.retain(|&other| other != handle);
            if here.is_empty() {
                self.by_remote.remove(&key(remote));
            }
        }
    }

    fn obey(&mut self, io: &mut Io, command: Command) -> ControlFlow<()> {
        match command {
            Command::Accept(handle, offer) => self.accept(io, handle, offer),
            Command::Refuse(handle) => self.refuse(io, handle),
            Command::Retry(handle) => self.forget(io, handle),
            Command::KeyAnswer(handle, key) => self.on_key(io, handle, &key),
            Command::Connect(connect) => self.connect(io, *connect),
            Command::Rebind(socket, reply) => {
                let outcome = self.rebind(io, socket);
                let _ = reply.send(outcome);
            }
            Command::Send(shared) => self.sending.push_back(shared),
            Command::Close(handle) => self.close(io, handle),
            Command::PeerSocket(handle, reply) => {
                let path = io.endpoint().path(handle);
                let peers = io.peers.as_ref();
                let socket = path.and_then(|path| peers?.get(&path));
                let _ = reply.send(socket.map(Arc::downgrade));
            }
            Command::Statistics(reply) => {
                let mut statistics = self.statistics.clone();
                statistics.io = *io.counters();
                statistics.connections = self.entries;
                statistics.half_open = io.endpoint().half_open() as usize;
                statistics.peer_sockets = io.peers.as_ref().map_or(0, Peers::len);
                let _ = reply.send(statistics);
            }
            Command::Leave => {
                self.leaving = true;
                self.options.offers = None;
                self.starvation.let_go();
            }
            Command::Stop => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }
}

impl Service for Hub {
    fn on_application(&mut self, _: &mut Io, connection: ConnectionHandle, payload: &mut [u8]) {
        if let Some(Entry {
            stage: Stage::Established { shared, .. },
            ..
        }) = self.entry(connection)
        {
            shared.deliver(payload);
        }
    }

    fn on_event(&mut self, io: &mut Io, connection: ConnectionHandle, event: Event) {
        match event {
            Event::PskRequested => self.psk_requested(io, connection),
            Event::CredentialRequested => self.credential_requested(io, connection),
            Event::SignatureRequested => self.signature_requested(io, connection),
            Event::PeerCertificate => self.peer_certificate(io, connection),
            Event::ResumptionRequested => self.resumption_requested(io, connection),
            Event::NewSession(session) => self.new_session(connection, session),
            Event::Connected => self.connected(io, connection),
            Event::PathChanged => self.path_changed(io, connection),
            Event::Closed(reason) => self.closed(io, connection, reason),
            Event::KeyLog(entry) => {
                if let Some(log) = &self.options.key_log {
                    log(&entry);
                }
            }
        }
    }

    fn on_path_error(&mut self, io: &mut Io, error: PathError) {
        let (ip, port) = key(error.remote);
        let here: Vec<_> = if port == 0 {
            // What the kernel refuses by itself, which is rare, comes without the port over IPv4.
            let same_host = self.by_remote.iter().filter(|((host, _), _)| *host == ip);
            same_host.flat_map(|(_, here)| here).copied().collect()
        } else {
            self.by_remote.get(&(ip, port)).cloned().unwrap_or_default()
        };
        for handle in here {
            match error.kind {
                PathErrorKind::TooBig(mtu) => self.too_big(io, handle, mtu),
                PathErrorKind::Refused => self.refused(io, handle),
                PathErrorKind::Other(_) => {}
            }
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // All are asked, so that each wakes the task.
        let room = BATCH - self.taken.len();
        let commands = room == 0
            || self
                .commands
                .poll_recv_many(cx, &mut self.taken, room)
                .is_ready();
        let errors = self.watcher.poll(cx, &mut self.errors).is_ready();
        let sending = !self.blocked && !self.sending.is_empty();
        if commands || errors || sending || self.is_over() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn on_ready(&mut self, io: &mut Io) -> ControlFlow<()> {
        let mut taken = std::mem::take(&mut self.taken);
        for command in taken.drain(..) {
            self.obey(io, command)?;
        }
        self.taken = taken;
        io.path_errors.append(&mut self.errors);
        self.send_some(io);
        if self.is_over() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.starvation.deadline()
    }

    fn on_deadline(&mut self, io: &mut Io) {
        self.try_for_descriptors(io);
    }
}

impl Drop for Hub {
    /// Nobody waits for a worker that is gone.
    fn drop(&mut self) {
        for entry in self.table.iter_mut().filter_map(Option::take) {
            if let Stage::Established { shared, .. } = entry.stage {
                shared.end(lockgate_dtls::CloseReason::Local);
            }
        }
    }
}

/// A peer's address, however the socket writes it.
fn key(remote: SocketAddr) -> (IpAddr, u16) {
    (remote.ip().to_canonical(), remote.port())
}
