//! Many peers on a few sockets: the loop around the engine.

use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use lockgate_dtls::{
    ConfigError, ConnectionHandle, Datagram, EndpointConfig, Event, Instant, Received,
};
use tokio::time::Sleep;

use crate::hub::HandshakeDatagram;
use crate::io::{PortOptions, count};
use crate::{Io, MAX_SOCKETS, Path, PathError, ReceiveBatch, Seat, path_error, peers};

/// How many batches of one socket's datagrams are taken before anything else has its turn.
const BATCHES: usize = 2;
/// How many connections are ended at a time at the end.
const CLOSED_AT_ONCE: usize = 64;

/// What is done with the datagrams and events of a [`Driver`].
///
/// Every method is called in the driver's task and must not block: while it runs, nobody is served.
pub trait Service {
    /// One application datagram from a peer, opened in place. The bytes may be changed; they are lost afterwards.
    fn on_application(&mut self, io: &mut Io, connection: ConnectionHandle, payload: &mut [u8]);

    /// Something happened to a connection. Called before anything that came later is handed over.
    fn on_event(&mut self, io: &mut Io, connection: ConnectionHandle, event: Event);

    /// A record on `path` moved a connection forward; the first one of a handshake is its beginning. What else there
    /// is to tell comes as events, afterwards.
    fn on_progress(&mut self, io: &mut Io, connection: ConnectionHandle, path: Path) {
        let _ = (io, connection, path);
    }

    /// The network said what became of a datagram of ours. Only a driver that listens to it hears of it: that of
    /// [`Listener`](crate::Listener) and [`Connector`](crate::Connector).
    fn on_path_error(&mut self, io: &mut Io, error: PathError) {
        let _ = (io, error);
    }

    /// Whether sources of the service's own (other sockets, channels) have something for [`Service::on_ready`].
    /// `Pending` must see to it that the task is woken.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }

    /// Takes from those sources, a bounded number at a time. `Break` ends [`Driver::run`].
    fn on_ready(&mut self, io: &mut Io) -> ControlFlow<()> {
        let _ = io;
        ControlFlow::Continue(())
    }

    /// When [`Service::on_deadline`] is due, on the driver's clock ([`Io::now`]). Asked after every batch, so it must be
    /// cheap. It is meant for coarse work, not for a deadline per datagram.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The deadline has passed.
    fn on_deadline(&mut self, io: &mut Io) {
        let _ = io;
    }
}

/// One engine on its sockets, and a service.
pub struct Driver<S> {
    io: Io,
    service: S,
    batch: ReceiveBatch,
}

/// Why a driver could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The runtime does not take the sockets, or they are too many.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An option of the engine is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// What a turn of the loop is for.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "sources, each ready or not by itself"
)]
struct Ready {
    /// One bit for each socket.
    sockets: u64,
    service: bool,
    peers: bool,
    /// Another worker has handed something over.
    handed: bool,
    /// What the kernel had no room for may be tried again.
    held: bool,
}

impl<S: Service> Driver<S> {
    /// A driver on `sockets`, which are non-blocking, not connected ([`bind`](crate::bind) makes such) and at most
    /// [`MAX_SOCKETS`]. Must be called within the tokio runtime that [`Driver::run`] will run in.
    pub fn new(
        sockets: Vec<std::net::UdpSocket>,
        config: EndpointConfig,
        service: S,
    ) -> Result<Self, DriverError> {
        Self::with_options(sockets, config, PortOptions::default(), service)
    }

    /// A driver for one of several workers. The engine's place among theirs is set; what else they must have in common
    /// comes from [`share_keys`](crate::share_keys). Must be called within the tokio runtime that [`Driver::run`] will run
    /// in.
    pub fn at(seat: Seat, config: EndpointConfig, service: S) -> Result<Self, DriverError> {
        let config = seat.place(config);
        let node = config.placement.node;
        let mut driver = Self::new(seat.sockets, config, service)?;
        driver.io.steering = seat.steering.map(|steering| steering.on_node(node));
        Ok(driver)
    }

    pub(crate) fn with_options(
        sockets: Vec<std::net::UdpSocket>,
        config: EndpointConfig,
        options: PortOptions,
        service: S,
    ) -> Result<Self, DriverError> {
        if sockets.len() > MAX_SOCKETS {
            return Err(io::Error::other("too many sockets").into());
        }
        Ok(Self {
            io: Io::new(sockets, config, options)?,
            service,
            batch: ReceiveBatch::new(),
        })
    }

    /// The service and what it works with.
    pub const fn parts(&mut self) -> (&mut S, &mut Io) {
        (&mut self.service, &mut self.io)
    }

    /// The service alone; the sockets are closed.
    pub fn into_service(self) -> S {
        self.service
    }

    /// Serves until the service ends it. May be called again afterwards; a future that is dropped loses nothing.
    pub async fn run(&mut self) {
        let mut sleep = pin!(tokio::time::sleep_until(self.io.clock.timer(self.io.now)));
        let mut armed = Some(self.io.now);
        // What was sent before it ran.
        self.io.flush();
        loop {
            let ready = poll_fn(|cx| self.poll(cx, sleep.as_mut(), &mut armed)).await;
            self.io.now = self.io.clock.now();
            for number in 0..self.io.sockets.len() {
                if ready.sockets & (1 << number) != 0 {
                    self.receive_batches(number);
                }
            }
            if ready.peers {
                self.receive_from_peers();
            }
            if ready.handed {
                self.take_over();
            }
            if ready.held {
                self.io.send_held();
            }
            let flow = if ready.service || ready.held {
                self.service.on_ready(&mut self.io)
            } else {
                ControlFlow::Continue(())
            };
            self.act_on_deadlines();
            self.settle();
            self.io.flush();
            if flow.is_break() {
                return;
            }
            let deadline = self.deadline();
            if deadline != armed {
                armed = deadline;
                if let Some(at) = deadline {
                    sleep.as_mut().reset(self.io.clock.timer(at));
                }
            }
        }
    }

    /// Ends every connection: tells the peers and the service, for at most `within`. Returns how many connections are
    /// left that nobody was told about.
    pub async fn close_all(&mut self, within: Duration) -> usize {
        let until = tokio::time::Instant::now() + within;
        let all: Vec<_> = self.io.endpoint.handles().collect();
        for (done, chunk) in all.chunks(CLOSED_AT_ONCE).enumerate() {
            if tokio::time::Instant::now() >= until {
                return all.len() - done * CLOSED_AT_ONCE;
            }
            self.io.now = self.io.clock.now();
            for &connection in chunk {
                self.io.endpoint.close(connection);
            }
            self.tell_events();
            self.io.flush();
            while self.io.transmit_next_or_wait(until).await {}
        }
        0
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        sleep: Pin<&mut Sleep>,
        armed: &mut Option<Instant>,
    ) -> Poll<Ready> {
        let mut ready = Ready::default();
        for (number, socket) in self.io.sockets.iter().enumerate() {
            if socket.socket().poll_recv_ready(cx).is_ready() {
                ready.sockets |= 1 << number;
            }
        }
        ready.service = self.service.poll_ready(cx).is_ready();
        let peers = self.io.peers.as_ref();
        ready.peers = peers.is_some_and(|peers| peers.poll_ready(cx).is_ready());
        let steering = self.io.steering.as_mut();
        ready.handed = steering.is_some_and(|steering| steering.poll(cx).is_ready());
        ready.held = self.io.poll_held(cx).is_ready();
        let mut timed_out = false;
        if armed.is_some() && sleep.poll(cx).is_ready() {
            *armed = None;
            timed_out = true;
        }
        let arrived = ready.sockets != 0 || ready.peers || ready.handed;
        if arrived || ready.service || ready.held || timed_out {
            Poll::Ready(ready)
        } else {
            Poll::Pending
        }
    }

    fn receive_batches(&mut self, number: usize) {
        for _ in 0..BATCHES {
            let Some(socket) = self.io.sockets.get(number) else {
                return;
            };
            match socket.receive(&mut self.batch) {
                Ok(more) => {
                    self.take_in(number);
                    if !more {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.io.counters.receive_errors += 1;
                    socket.take_errors(&mut self.io.path_errors);
                }
            }
        }
    }

    /// Takes in what socket `number` gave.
    fn take_in(&mut self, number: usize) {
        for n in 0..self.batch.len() {
            let Some(arrived) = self.batch.get(n) else {
                continue;
            };
            let path = Path::with_local(arrived.from, arrived.to, number as u8);
            self.io.counters.received += 1;
            self.io.counters.received_bytes += arrived.bytes.len() as u64;
            receive(&mut self.io, &mut self.service, path, arrived.bytes);
        }
    }

    /// Takes a bounded number of datagrams from sockets of single peers.
    fn receive_from_peers(&mut self) {
        let mut ready = [0; peers::BATCH];
        let peers = self.io.peers.as_ref();
        let count = peers.map_or(0, |peers| peers.ready(&mut ready));
        for &index in &ready[..count] {
            self.receive_from_peer(index);
        }
    }

    fn receive_from_peer(&mut self, index: usize) {
        for first in [true, false, false, false] {
            // Asked each time: what one datagram leads to may close the socket or connect it again.
            let peer = self.io.peers.as_ref().and_then(|peers| peers.at(index));
            let Some((socket, path)) = peer else { return };
            let space = self.batch.scratch();
            match socket.recv_from(space) {
                Ok((len, from)) => {
                    // Taken before the socket was connected, it can be from anybody.
                    let came_on = Path::with_local(from, path.local(), path.socket());
                    self.io.stray = came_on != path;
                    self.io.counters.received += 1;
                    self.io.counters.received_bytes += len as u64;
                    receive(&mut self.io, &mut self.service, came_on, &mut space[..len]);
                    self.io.stray = false;
                }
                Err(error) => {
                    let nothing = error.kind() == io::ErrorKind::WouldBlock;
                    self.io.counters.receive_errors += u64::from(!nothing);
                    if first || !nothing {
                        // A waiting report keeps the socket ready until it is taken.
                        path_error::take(&*socket, &mut self.io.path_errors);
                    }
                    if nothing {
                        return;
                    }
                }
            }
        }
    }

    /// Takes in what came to other workers.
    fn take_over(&mut self) {
        let Some(steering) = &mut self.io.steering else {
            return;
        };
        let mut handed = std::mem::take(&mut steering.handed);
        for mut handover in handed.drain(..) {
            self.io.counters.taken_over += 1;
            self.io.came_over(handover.hops, handover.stray);
            let bytes = &mut handover.datagram;
            receive(&mut self.io, &mut self.service, handover.path, bytes);
        }
        self.io.came_over(0, false);
        if let Some(steering) = &mut self.io.steering {
            steering.handed = handed;
        }
    }

    fn act_on_deadlines(&mut self) {
        let now = self.io.now;
        if self.io.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            self.io.endpoint.handle_timeout(now);
        }
        if self.service.deadline().is_some_and(|at| at <= now) {
            self.service.on_deadline(&mut self.io);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let (engine, service) = (self.io.endpoint.poll_timeout(), self.service.deadline());
        engine.into_iter().chain(service).min()
    }

    fn tell_events(&mut self) {
        while let Some((connection, event)) = self.io.endpoint.poll_event() {
            self.service.on_event(&mut self.io, connection, event);
        }
    }

    /// Tells and sends until the engine has nothing left of either.
    fn settle(&mut self) {
        loop {
            self.tell_events();
            while let Some(error) = self.io.path_errors.pop() {
                self.service.on_path_error(&mut self.io, error);
            }
            if !self.io.transmit_next() {
                return;
            }
        }
    }
}

/// Takes in a datagram that came on `path`.
pub(crate) fn receive<S: Service>(io: &mut Io, service: &mut S, path: Path, bytes: &mut [u8]) {
    if let Some(observer) = &io.observer
        && bytes.first().is_some_and(|kind| (20..=22).contains(kind))
    {
        observer(&HandshakeDatagram {
            peer: path.peer(),
            sent: false,
            bytes,
        });
    }
    let mut datagram = Datagram::new(bytes);
    loop {
        let start = datagram.consumed();
        let Some(received) = io.endpoint.handle(io.now, path, &mut datagram) else {
            return;
        };
        if let Received::Progress(connection) = received {
            service.on_progress(io, connection, path);
        }
        while let Some((connection, event)) = io.endpoint.poll_event() {
            service.on_event(io, connection, event);
        }
        match received {
            Received::Application {
                connection,
                payload,
            } => {
                let payload = &mut datagram.bytes()[payload];
                service.on_application(io, connection, payload);
            }
            Received::Progress(_) | Received::Kept => {}
            Received::Reply(answer) => {
                io.counters.stateless_replies += 1;
                if let Some(observer) = &io.observer {
                    observer(&HandshakeDatagram {
                        peer: path.peer(),
                        sent: true,
                        bytes: &datagram.bytes()[answer.clone()],
                    });
                }
                io.transmit(&path, &datagram.bytes()[answer]);
            }
            Received::Dropped { reason, .. } => {
                // What another worker should have is another's to count.
                if io.hand_over(path, reason, &datagram.bytes()[start..]) {
                    return;
                }
                io.counters.dropped.add(reason);
            }
        }
    }
}

impl Io {
    /// [`Io::transmit_next`] for an orderly end: waits while the kernel's buffer is full.
    async fn transmit_next_or_wait(&mut self, until: tokio::time::Instant) -> bool {
        let Some(next) = self.endpoint.poll_transmit(self.now, self.out.room()) else {
            return false;
        };
        let datagram = &self.out.room()[..next.len];
        let Some(socket) = self.sockets.get(usize::from(next.path.socket())) else {
            self.counters.send_errors += 1;
            return true;
        };
        loop {
            let result = socket.send_if_writable(&next.path, datagram);
            let blocked = matches!(&result, Err(e) if e.kind() == io::ErrorKind::WouldBlock);
            let writable = socket.socket().writable();
            if !blocked || tokio::time::timeout_at(until, writable).await.is_err() {
                count(&mut self.counters, &result);
                return !blocked;
            }
        }
    }
}
