//! The half of a driver that a service may use while it is called: the engine and the way out.

use std::io;
use std::ops::Range;

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::config::{MAX_HEADROOM, MAX_TAILROOM};
use lockgate_dtls::{ConnectionHandle, EndpointConfig, Instant, SendError};

use crate::listener::{Control, Listener};
use crate::{Clock, DriverError, Endpoint, IoCounters, MAX_DATAGRAM_LEN, Path};

/// The engine, the sockets and the time of one driver.
pub struct Io {
    pub(crate) endpoint: Endpoint,
    pub(crate) sockets: Vec<Listener>,
    pub(crate) clock: Clock,
    pub(crate) now: Instant,
    pub(crate) counters: IoCounters,
    pub(crate) control: Control,
    /// Flights, and payloads that are not sealed in place.
    pub(crate) out: Box<[u8]>,
}

impl Io {
    pub(crate) fn new(
        sockets: Vec<std::net::UdpSocket>,
        config: EndpointConfig,
    ) -> Result<Self, DriverError> {
        let sockets: io::Result<Vec<_>> = sockets.into_iter().map(Listener::new).collect();
        let clock = Clock::start();
        let now = clock.now();
        Ok(Self {
            endpoint: Endpoint::new(AwsLc, now, config)?,
            sockets: sockets?,
            clock,
            now,
            counters: IoCounters::default(),
            control: Control::new(),
            out: vec![0; MAX_HEADROOM + MAX_DATAGRAM_LEN + MAX_TAILROOM].into(),
        })
    }

    /// The time, read once for each batch of datagrams.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The engine. What it has to say and to send afterwards is taken care of by the driver; use [`Io::send`] or
    /// [`Io::send_in_place`] for application data.
    pub const fn endpoint(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    /// What went through the sockets.
    pub const fn counters(&self) -> &IoCounters {
        &self.counters
    }

    /// Sends one application datagram as one record. A record that the kernel does not take is lost and counted, as
    /// datagrams are.
    pub fn send(&mut self, connection: ConnectionHandle, payload: &[u8]) -> Result<(), SendError> {
        let (record, path) = self.endpoint.send(connection, payload, &mut self.out)?;
        transmit(&self.sockets, &mut self.counters, &path, &self.out[record]);
        Ok(())
    }

    /// [`Io::send`] without a copy: the payload stands at `payload` in `buf`, with [`MAX_HEADROOM`] bytes before it and
    /// [`MAX_TAILROOM`] behind it.
    pub fn send_in_place(
        &mut self,
        connection: ConnectionHandle,
        buf: &mut [u8],
        payload: Range<usize>,
    ) -> Result<(), SendError> {
        let (record, path) = self.endpoint.send_in_place(connection, buf, payload)?;
        transmit(&self.sockets, &mut self.counters, &path, &buf[record]);
        Ok(())
    }

    /// Sends the next datagram that the engine has by itself; `false` when there is none.
    pub(crate) fn transmit_next(&mut self) -> bool {
        let Some(next) = self.endpoint.poll_transmit(self.now, &mut self.out) else {
            return false;
        };
        transmit(
            &self.sockets,
            &mut self.counters,
            &next.path,
            &self.out[..next.len],
        );
        true
    }
}

/// Hands one datagram to the kernel, and counts.
pub(crate) fn transmit(
    sockets: &[Listener],
    counters: &mut IoCounters,
    path: &Path,
    datagram: &[u8],
) {
    let Some(socket) = sockets.get(usize::from(path.socket())) else {
        counters.send_errors += 1;
        return;
    };
    count(counters, &socket.send(path, datagram));
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
