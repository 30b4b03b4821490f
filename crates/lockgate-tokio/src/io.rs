//! The half of a driver that a service may use while it is called: the engine and the way out.

use std::io;
use std::ops::Range;
use std::task::{Context, Poll};

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::config::MAX_HEADROOM;
use lockgate_dtls::{ConnectionHandle, DropReason, EndpointConfig, Instant, SendError};

use crate::hub::{HandshakeDatagram, Observer};
use crate::peers::Peers;
use crate::port::{Port, may_be_of_another};
use crate::steer::Steering;
use crate::{
    Clock, DriverError, Endpoint, IoCounters, MAX_DATAGRAM_LEN, Path, PathError, SendBatch,
    path_error,
};

/// What the sockets of a driver do beside carrying datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PortOptions {
    /// Set DF and listen to ICMP ([`path_error`]).
    pub(crate) path_errors: bool,
    /// Peers may have sockets of their own.
    pub(crate) socket_per_peer: bool,
    /// Only we begin: the kernel chooses our address for each server, and need not tell it with every answer.
    pub(crate) client: bool,
}

/// The engine, the sockets and the time of one driver.
pub struct Io {
    pub(crate) endpoint: Endpoint,
    pub(crate) sockets: Vec<Port>,
    pub(crate) clock: Clock,
    pub(crate) now: Instant,
    pub(crate) counters: IoCounters,
    /// Sockets of single peers, where peers have such.
    pub(crate) peers: Option<Peers>,
    /// A record that the kernel's buffer had no room for, of a sender that can wait ([`Io::send_or_hold`]).
    pub(crate) held: Option<(Path, Box<[u8]>)>,
    /// The datagram that is being taken in came by the socket of another peer.
    pub(crate) stray: bool,
    /// The ways to other workers, if there are such.
    pub(crate) steering: Option<Steering>,
    /// Who wants to see handshakes go by.
    pub(crate) observer: Option<Observer>,
    /// What ICMP has said; told to the service at the end of a turn.
    pub(crate) path_errors: Vec<PathError>,
    /// What goes to the kernel at the end of a turn.
    pub(crate) out: SendBatch,
}

impl Io {
    pub(crate) fn new(
        sockets: Vec<std::net::UdpSocket>,
        config: EndpointConfig,
        options: PortOptions,
    ) -> Result<Self, DriverError> {
        let port = |socket| Port::new(socket, options);
        let sockets: io::Result<Vec<_>> = sockets.into_iter().map(port).collect();
        let clock = Clock::start();
        let now = clock.now();
        Ok(Self {
            endpoint: Endpoint::new(AwsLc, now, config)?,
            sockets: sockets?,
            clock,
            now,
            counters: IoCounters::default(),
            observer: None,
            peers: if options.socket_per_peer {
                Some(Peers::new()?)
            } else {
                None
            },
            held: None,
            stray: false,
            steering: None,
            path_errors: Vec::new(),
            out: SendBatch::new(),
        })
    }

    /// The time, read once for each batch of datagrams.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The engine. What it has to say and to send afterwards is taken care of by the driver; use [`Io::send`] or
    /// [`Io::send_written`] for application data.
    pub const fn endpoint(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    /// What went through the sockets.
    pub const fn counters(&self) -> &IoCounters {
        &self.counters
    }

    /// Sends one application datagram as one record, with others at the end of the driver's turn. A record that the
    /// kernel does not take is lost and counted, as datagrams are.
    pub fn send(&mut self, connection: ConnectionHandle, payload: &[u8]) -> Result<(), SendError> {
        let (record, path) = self.endpoint.send(connection, payload, self.out.room())?;
        self.push(record, path);
        Ok(())
    }

    /// Where a payload can be written that [`Io::send_written`] sends without a copy: [`MAX_DATAGRAM_LEN`] bytes.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.out.room()[MAX_HEADROOM..MAX_HEADROOM + MAX_DATAGRAM_LEN]
    }

    /// [`Io::send`] of the first `len` bytes of [`Io::room`].
    ///
    /// # Panics
    /// When that is more than the room.
    pub fn send_written(
        &mut self,
        connection: ConnectionHandle,
        len: usize,
    ) -> Result<(), SendError> {
        assert!(len <= MAX_DATAGRAM_LEN, "what was written");
        let payload = MAX_HEADROOM..MAX_HEADROOM + len;
        let (record, path) = self
            .endpoint
            .send_in_place(connection, self.out.room(), payload)?;
        self.push(record, path);
        Ok(())
    }

    /// [`Io::send`] for senders that can wait: a record that the kernel's buffer has no room for is held, and until it
    /// is gone nothing more may be given here. A peer's own socket cannot be waited for; there it is lost.
    pub(crate) fn send_or_hold(
        &mut self,
        connection: ConnectionHandle,
        payload: &[u8],
    ) -> Result<(), SendError> {
        debug_assert!(self.held.is_none(), "the sender waits");
        // Nothing overtakes what was to go before.
        self.flush();
        let (record, path) = self.endpoint.send(connection, payload, self.out.room())?;
        let record = &self.out.room()[record];
        let result = send(&self.sockets, self.peers.as_ref(), &path, record);
        let blocked = matches!(&result, Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        if blocked && self.peers.as_ref().is_none_or(|p| p.get(&path).is_none()) {
            self.held = Some((path, record.into()));
            return Ok(());
        }
        self.sent(&path, &result);
        Ok(())
    }

    /// Whether the record that is held may be sent now.
    pub(crate) fn poll_held(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((path, _)) = &self.held else {
            return Poll::Pending;
        };
        match self.sockets.get(usize::from(path.socket())) {
            Some(port) => port.socket().poll_send_ready(cx).map(|_| ()),
            None => Poll::Ready(()),
        }
    }

    /// Tries again to send what is held.
    pub(crate) fn send_held(&mut self) {
        let Some((path, record)) = self.held.take() else {
            return;
        };
        let port = self.sockets.get(usize::from(path.socket()));
        let result = port.map_or(Err(io::ErrorKind::NotConnected.into()), |port| {
            port.send_if_writable(&path, &record)
        });
        if matches!(&result, Err(e) if e.kind() == io::ErrorKind::WouldBlock) {
            self.held = Some((path, record));
        } else {
            self.sent(&path, &result);
        }
    }

    /// Sends the next datagram that the engine has by itself; `false` when there is none.
    pub(crate) fn transmit_next(&mut self) -> bool {
        let Some(next) = self.endpoint.poll_transmit(self.now, self.out.room()) else {
            return false;
        };
        if let Some(observer) = &self.observer {
            observer(&HandshakeDatagram {
                peer: next.path.peer(),
                sent: true,
                bytes: &self.out.room()[..next.len],
            });
        }
        self.push(0..next.len, next.path);
        true
    }

    /// Sends one datagram with the others.
    pub(crate) fn transmit(&mut self, path: &Path, datagram: &[u8]) {
        self.out.room()[..datagram.len()].copy_from_slice(datagram);
        self.push(0..datagram.len(), *path);
    }

    /// What stands at `datagram` in the batch's room goes along `path`: with the others, or by the peer's own socket at
    /// once.
    fn push(&mut self, datagram: Range<usize>, path: Path) {
        if self
            .peers
            .as_ref()
            .is_some_and(|peers| peers.get(&path).is_some())
        {
            let datagram = &self.out.room()[datagram];
            let result = send(&self.sockets, self.peers.as_ref(), &path, datagram);
            return self.sent(&path, &result);
        }
        self.out.push(datagram, path);
        if self.out.is_full() {
            self.flush();
        }
    }

    /// Hands to the kernel what waits for it, and counts.
    pub(crate) fn flush(&mut self) {
        if self.out.is_empty() {
            return;
        }
        let Self {
            out,
            sockets,
            counters,
            path_errors,
            ..
        } = self;
        // One bit for each socket that had something to say.
        let mut failed: u64 = 0;
        out.send(
            |number| sockets.get(usize::from(number)).map(Port::fd),
            |path, result| {
                count(counters, &result);
                if result.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
                    failed |= 1 << (path.socket() % u64::BITS as u8);
                }
            },
        );
        for (number, port) in sockets.iter().enumerate() {
            if failed & (1 << number) != 0 {
                port.take_errors(path_errors);
            }
        }
    }

    /// Passes a datagram that was dropped here, from the record on that was, to the worker that should have it; `false`
    /// when there is none.
    pub(crate) fn hand_over(&mut self, path: Path, reason: DropReason, rest: &[u8]) -> bool {
        let Some(steering) = &self.steering else {
            return false;
        };
        let Some(to) = steering.owner(&self.endpoint, self.stray, reason, rest) else {
            return false;
        };
        if steering.hand_over(to, path, rest, self.stray) {
            self.counters.handed_over += 1;
        } else {
            self.counters.hand_over_dropped += 1;
        }
        true
    }

    /// The datagram that is taken in next has seen so many other workers, and came by another peer's socket or not.
    pub(crate) const fn came_over(&mut self, hops: u8, stray: bool) {
        self.stray = stray;
        if let Some(steering) = &mut self.steering {
            steering.hops = hops;
        }
    }

    fn sent(&mut self, path: &Path, result: &io::Result<usize>) {
        count(&mut self.counters, result);
        if result.is_err() {
            self.take_path_errors(path);
        }
    }

    /// Hears what ICMP said to the socket that serves `path`.
    pub(crate) fn take_path_errors(&mut self, path: &Path) {
        if let Some(peer) = self.peers.as_ref().and_then(|peers| peers.get(path)) {
            path_error::take(&**peer, &mut self.path_errors);
        } else if let Some(port) = self.sockets.get(usize::from(path.socket())) {
            port.take_errors(&mut self.path_errors);
        }
    }
}

/// Hands one datagram to the kernel, by the peer's own socket if it has one.
fn send(
    sockets: &[Port],
    peers: Option<&Peers>,
    path: &Path,
    datagram: &[u8],
) -> io::Result<usize> {
    if let Some(peer) = peers.and_then(|peers| peers.get(path)) {
        return match peer.send(datagram) {
            // It has not been sent.
            Err(error) if may_be_of_another(&error) => peer.send(datagram),
            result => result,
        };
    }
    let port = sockets.get(usize::from(path.socket()));
    port.ok_or(io::ErrorKind::NotConnected)?
        .send(path, datagram)
}

/// Counts how sending went.
pub(crate) fn count(counters: &mut IoCounters, result: &io::Result<usize>) {
    match result {
        Ok(len) => {
            counters.sent += 1;
            counters.sent_bytes += *len as u64;
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => counters.send_blocked += 1,
        Err(_) => counters.send_errors += 1,
    }
}
