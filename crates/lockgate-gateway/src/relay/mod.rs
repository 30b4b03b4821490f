//! What the proxy does with every datagram, and the policy of sessions.
//!
//! ```text
//! device -> Driver -> Relay::on_application -> the session's socket or the pool's -> backend
//! backend -> the session's socket or the pool's -> Relay::on_ready -> sealed in place -> Driver -> device
//! ```
//!
//! One [`Relay`] belongs to one worker and to one task. On the way of a datagram there is no allocation, no lock, no
//! channel and no log line, but for what the backend sends to a pool whose port several workers share: what comes to
//! another worker than the session's takes a lock, a copy and a channel to get there (`upstream/fellows.rs`).

mod backend;
mod counters;
mod credentials;
mod events;
mod identity;
mod keylog;
mod log_limit;
mod lookup;
mod reason;
mod registry;
mod resumption;
mod session_cache;
mod sessions;
mod shared;
mod upstream;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lockgate_dtls::certificate::ClientAuth;
use lockgate_dtls::{CipherSuite, ConnectionHandle, Event, Instant, OwnCid, SendError};
use lockgate_tokio::{Io, Path, Service};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::keylog::KeyLog;
pub(crate) use self::lookup::{Answer, Lookups};
pub(crate) use self::registry::Registry;
pub(crate) use self::shared::Shared;
pub(crate) use self::upstream::{PoolSetup, has_route};
pub use self::{
    counters::{Counters, Traffic},
    reason::{EndReason, FailureReason},
};
use crate::certificates::Certificates;
use credentials::{Signature, Signers};
use log_limit::LogLimit;
use registry::Place;
use sessions::{Entry, Session, Sessions};
use upstream::{FromBackend, Upstream, Upstreams};

/// How many sessions are looked at in one go for those that have been silent for too long.
const IDLE_CHUNK: usize = 1024;
/// How many batches are taken from the pool's socket before anything else has its turn.
const POOL_BATCHES: usize = 2;
/// How many messages from outside the worker are taken in one go.
const COMMANDS: usize = 64;

/// What is asked of a worker.
pub(crate) enum Command {
    /// The answer to a look-up.
    Key {
        /// Whose key was asked for.
        connection: ConnectionHandle,
        /// The answer.
        answer: Answer,
    },
    /// A signature with a private key of ours.
    Signature {
        /// Whose handshake waits for it.
        connection: ConnectionHandle,
        /// What came of it.
        signature: Signature,
    },
    /// A session has begun at another worker that takes the place of this one.
    Replace(ConnectionHandle),
    /// Addresses of the pool that sessions wait for have been claimed, or cannot be.
    Addresses,
    /// Tell the numbers.
    Counters(oneshot::Sender<Counters>),
    /// Tell what is known of a session.
    Session {
        /// Which.
        place: Place,
        /// Where to.
        to: oneshot::Sender<Option<SessionInfo>>,
    },
    /// Stop serving.
    Stop,
}

/// What is known of a live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Where the device was last heard.
    pub peer: SocketAddr,
    /// The agreed suite.
    pub cipher_suite: CipherSuite,
    /// The connection ID that the device's records carry, or empty.
    pub cid: OwnCid,
    /// From the device to the backend.
    pub to_backend: Traffic,
    /// From the backend to the device.
    pub to_device: Traffic,
}

/// What sessions go by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Where datagrams go.
    pub(crate) backend: SocketAddr,
    /// How long a session that is about to begin waits for an address of the pool.
    pub(crate) handshake_timeout: Duration,
    /// After how much silence of its device a session ends.
    pub(crate) idle_timeout: Option<Duration>,
    /// Whether a new session ends the older one of its identity.
    pub(crate) replace_same_identity: bool,
    /// Whether clients show a certificate or raw public key.
    pub(crate) client_auth: ClientAuth,
}

/// What a worker's [`Relay`] is made with.
pub(crate) struct Setup {
    /// Its number.
    pub(crate) worker: u8,
    pub(crate) policy: Policy,
    pub(crate) pool: Option<PoolSetup>,
    pub(crate) lookups: Lookups,
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) key_log: Option<KeyLog>,
    pub(crate) shared: Arc<Shared>,
}

/// A complete handshake that waits for an address. It may be gone by now.
#[derive(Clone, Copy)]
struct Waiting {
    connection: ConnectionHandle,
    since: Instant,
}

/// The service behind one worker's sockets.
pub(crate) struct Relay {
    worker: u8,
    policy: Policy,
    shared: Arc<Shared>,
    sessions: Sessions,
    upstreams: Upstreams,
    /// Whose session begins when the pool has claimed an address for it, those that have waited longest first. A few,
    /// for a few milliseconds, and none for longer than a handshake may take.
    without_address: VecDeque<Waiting>,
    lookups: Lookups,
    signers: Signers,
    certificates: Option<Arc<Certificates>>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Taken from `commands` while polling for readiness.
    next_command: Option<Command>,
    counters: Counters,
    log_limit: LogLimit,
    key_log: Option<KeyLog>,
    /// When silent sessions are looked for again.
    next_idle_scan: Instant,
}

impl Relay {
    /// Must be called within the worker's tokio runtime.
    pub(crate) fn new(setup: Setup) -> io::Result<Self> {
        let Setup {
            worker,
            policy,
            pool,
            lookups,
            certificates,
            commands,
            key_log,
            shared,
        } = setup;
        if let Some(pool) = &pool {
            let commands = lookups.answers.clone();
            // There is nothing to wake when the worker is gone.
            pool.on_progress(move || drop(commands.send(Command::Addresses)));
        }
        let log_limit = LogLimit::new(shared.workers.len());
        let upstreams = Upstreams::new(policy.backend, pool, policy.replace_same_identity)?;
        Ok(Self {
            worker,
            policy,
            signers: Signers::new(
                Arc::clone(&shared.signatures),
                lookups.runtime.clone(),
                lookups.answers.clone(),
            ),
            certificates,
            sessions: Sessions::new(worker, Arc::clone(&shared.registry)),
            shared,
            upstreams,
            without_address: VecDeque::new(),
            lookups,
            commands,
            next_command: None,
            counters: Counters::default(),
            log_limit,
            key_log,
            next_idle_scan: Instant::default(),
        })
    }

    /// The numbers until now.
    pub(crate) fn counters(&mut self, io: &Io) -> Counters {
        self.count_progress(io);
        let mut counters = self.counters.clone();
        counters.sessions = self.sessions.established() as u64;
        counters.io = *io.counters();
        counters
    }

    fn session_info(&mut self, place: Place) -> Option<SessionInfo> {
        let session = self.sessions.session(place.connection)?;
        Some(SessionInfo {
            peer: session.path.peer(),
            cipher_suite: session.suite,
            cid: session.own_cid,
            to_backend: session.to_backend,
            to_device: session.to_device,
        })
    }

    /// Takes what the backend sent, a bounded number of datagrams.
    fn take_from_backend(&mut self, io: &mut Io) {
        let mut set = [0; upstream::BATCH];
        if let Upstreams::Sockets(sockets, _) = &mut self.upstreams {
            let mut ready = sockets.ready(&mut set);
            // Asked until nothing is left: where little comes, that spares the loop a turn that would find nothing.
            let mut taken = 0;
            while ready > 0 {
                for &index in &set[..ready] {
                    self.take_from_socket(io, index);
                }
                taken += ready;
                if taken >= upstream::BATCH {
                    return;
                }
                let Upstreams::Sockets(sockets, _) = &mut self.upstreams else {
                    return;
                };
                ready = sockets.ready(&mut set);
            }
        } else {
            self.take_from_pool(io);
        }
    }

    /// Takes one datagram from the socket of the session at `index`.
    fn take_from_socket(&mut self, io: &mut Io, index: usize) {
        let Some(session) = self.sessions.session_at(index) else {
            return; // It ended a moment ago.
        };
        let Upstream::Socket(socket) = &session.upstream else {
            return;
        };
        match socket.recv(io.room()) {
            Ok(len) => {
                self.shared.backend_log.on_answer(io.now());
                let sent = io.send_written(session.connection, len);
                count_to_device(&mut self.counters, session, len, sent);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                io::ErrorKind::ConnectionRefused => self.count_refused(io, 1),
                _ => self.counters.backend_errors += 1,
            },
        }
    }

    /// Takes what came to the pool's socket, a bounded number of datagrams.
    fn take_from_pool(&mut self, io: &mut Io) {
        for _ in 0..POOL_BATCHES {
            let Upstreams::Pool(pool) = &mut self.upstreams else {
                return;
            };
            let more = pool.receive().unwrap_or_else(|_| {
                self.counters.backend_errors += 1;
                false
            });
            for n in 0..pool.taken() {
                match pool.get(n) {
                    FromBackend::For(index, datagram) => {
                        self.shared.backend_log.on_answer(io.now());
                        let Self {
                            sessions, counters, ..
                        } = self;
                        relay_to_device(sessions, counters, io, index, datagram);
                    }
                    FromBackend::Stranger => self.counters.pool_strangers += 1,
                    FromBackend::NoSession => self.counters.pool_no_session += 1,
                    FromBackend::Passed => self.counters.pool_handed_over += 1,
                    FromBackend::PassedInVain => self.counters.lost_to_devices += 1,
                }
            }
            if !more {
                break;
            }
        }
        self.take_passed_on(io);
    }

    /// Takes what came to other workers' pools for sessions of ours, a bounded number of datagrams.
    fn take_passed_on(&mut self, io: &mut Io) {
        for _ in 0..upstream::BATCH {
            let Upstreams::Pool(pool) = &mut self.upstreams else {
                return;
            };
            let Some((index, datagram)) = pool.passed_on() else {
                return;
            };
            match index {
                Some(index) => {
                    self.shared.backend_log.on_answer(io.now());
                    let Self {
                        sessions, counters, ..
                    } = self;
                    relay_to_device(sessions, counters, io, index, &datagram);
                }
                None => self.counters.pool_no_session += 1,
            }
        }
    }

    /// Counts what came of datagrams that the pool has sent.
    fn count_progress(&mut self, io: &Io) {
        if let Upstreams::Pool(pool) = &mut self.upstreams {
            let progress = pool.take_progress();
            self.counters.to_backend.add_all(progress.sent);
            self.counters.lost_to_backend += progress.lost;
            self.counters.backend_errors += progress.reports.other;
            self.count_refused(io, progress.reports.refused);
        }
    }

    /// The backend's host said so often that nobody listens.
    fn count_refused(&mut self, io: &Io, times: u64) {
        if times > 0 {
            self.counters.backend_refused += times;
            self.shared.backend_log.on_refused(io.now());
        }
    }

    fn obey(&mut self, io: &mut Io, command: Command) -> ControlFlow<()> {
        match command {
            Command::Key { connection, answer } => self.on_key(io, connection, answer),
            Command::Signature {
                connection,
                signature,
            } => self.on_signature(io, connection, signature),
            Command::Replace(connection) => self.end(io, connection, EndReason::Replaced),
            Command::Addresses => {
                let mut waiting = std::mem::take(&mut self.without_address).into_iter();
                for next in &mut waiting {
                    self.start_session(io, next.connection);
                    if !self.without_address.is_empty() {
                        break; // If it has to wait on, so do the others.
                    }
                }
                self.without_address.extend(waiting);
            }
            Command::Counters(to) => {
                // Whoever asked may have gone.
                let _ = to.send(self.counters(io));
            }
            Command::Session { place, to } => {
                let _ = to.send(self.session_info(place));
            }
            Command::Stop => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// How long it takes to look at all sessions for silent ones: their end comes at most so much late.
    fn idle_pass(idle_timeout: Duration) -> Duration {
        (idle_timeout / 16).clamp(Duration::from_millis(20), Duration::from_mins(1))
    }

    /// Ends sessions whose device has been silent for too long, a part of the table at a time.
    fn scan_idle(&mut self, io: &mut Io) {
        let Some(idle_timeout) = self.policy.idle_timeout else {
            return;
        };
        let now = io.now();
        let parts = self.sessions.len().div_ceil(IDLE_CHUNK).max(1) as u32;
        self.next_idle_scan = now + Self::idle_pass(idle_timeout) / parts;
        let idle = u64::try_from(idle_timeout.as_micros()).unwrap_or(u64::MAX);
        let Some(before) = now.as_micros().checked_sub(idle) else {
            return;
        };
        let mut silent = Vec::new();
        self.sessions
            .silent(Instant::from_micros(before), IDLE_CHUNK, &mut silent);
        for connection in silent {
            self.end(io, connection, EndReason::Idle);
        }
    }
}

/// Seals a datagram of the backend's and sends it to the device of the session at `index`.
fn relay_to_device(
    sessions: &mut Sessions,
    counters: &mut Counters,
    io: &mut Io,
    index: usize,
    datagram: &[u8],
) {
    if let Some(session) = sessions.session_at(index) {
        let sent = io.send(session.connection, datagram);
        count_to_device(counters, session, datagram.len(), sent);
    }
}

/// Counts what came of a datagram of the backend for a session.
fn count_to_device(
    counters: &mut Counters,
    session: &mut Session,
    len: usize,
    sent: Result<(), SendError>,
) {
    match sent {
        Ok(()) => {
            session.to_device.add(len);
            counters.to_devices.add(len);
        }
        Err(SendError::TooLarge { .. }) => counters.too_large_for_device += 1,
        Err(_) => counters.lost_to_devices += 1,
    }
}

impl Service for Relay {
    fn on_application(&mut self, io: &mut Io, connection: ConnectionHandle, payload: &mut [u8]) {
        let Some(session) = self.sessions.session(connection) else {
            self.counters.lost_to_backend += 1;
            return;
        };
        session.last_heard = io.now();
        let (upstream, identity) = (&session.upstream, &session.identity);
        let sent = self
            .upstreams
            .send(upstream, connection.index(), identity, payload);
        let Some(sent) = sent else {
            session.to_backend.add(payload.len());
            return;
        };
        if sent.done {
            session.to_backend.add(payload.len());
            self.counters.to_backend.add(payload.len());
        } else {
            self.counters.lost_to_backend += 1;
        }
        self.counters.backend_errors += sent.errors;
        self.count_refused(io, sent.refused);
    }

    fn on_event(&mut self, io: &mut Io, connection: ConnectionHandle, event: Event) {
        match event {
            Event::PskRequested => self.on_psk_requested(io, connection),
            Event::Connected => self.on_connected(io, connection),
            Event::PathChanged => self.on_path_changed(io, connection),
            Event::Closed(reason) => self.on_closed(io, connection, reason),
            Event::KeyLog(entry) => {
                if let Some(key_log) = &mut self.key_log {
                    key_log.write(&entry);
                }
            }
            Event::CredentialRequested => self.on_credential_requested(io, connection),
            Event::SignatureRequested => self.on_signature_requested(io, connection),
            Event::PeerCertificate => self.on_peer_certificate(io, connection),
            Event::ResumptionRequested => self.on_resumption_requested(io, connection),
            Event::NewSession(session) => self.shared.session_cache().insert(io.now(), session),
        }
    }

    fn on_progress(&mut self, io: &mut Io, connection: ConnectionHandle, path: Path) {
        let _ = io;
        if self.sessions.session(connection).is_none()
            && let Entry::Session(over) = self.sessions.begin(connection, path)
        {
            self.release(&over);
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = self.upstreams.poll_ready(cx).is_ready();
        if self.next_command.is_none()
            && let Poll::Ready(command) = self.commands.poll_recv(cx)
        {
            self.next_command = Some(command.unwrap_or(Command::Stop));
        }
        ready |= self.next_command.is_some();
        if ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn on_ready(&mut self, io: &mut Io) -> ControlFlow<()> {
        self.count_progress(io);
        for _ in 0..COMMANDS {
            let Some(command) = self
                .next_command
                .take()
                .or_else(|| self.commands.try_recv().ok())
            else {
                break;
            };
            if self.obey(io, command).is_break() {
                self.upstreams.flush();
                return ControlFlow::Break(());
            }
        }
        self.take_from_backend(io);
        ControlFlow::Continue(())
    }

    fn deadline(&self) -> Option<Instant> {
        let watches = self.policy.idle_timeout.is_some() && self.sessions.established() > 0;
        let scan = watches.then_some(self.next_idle_scan);
        let others = [self.log_limit.deadline(), self.patience_ends()];
        scan.into_iter().chain(others.into_iter().flatten()).min()
    }

    fn on_deadline(&mut self, io: &mut Io) {
        let left_out = self.log_limit.take_left_out(io.now());
        if left_out > 0 {
            self.counters.unlogged_failures += left_out;
            tracing::warn!(count = left_out, "more handshakes failed within one second");
        }
        self.turn_waiting_away(io);
        if self.next_idle_scan <= io.now() {
            self.scan_idle(io);
        }
    }
}
