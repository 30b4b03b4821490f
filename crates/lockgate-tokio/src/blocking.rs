//! For programs without a runtime: one connection to one server, on a socket that blocks.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use lockgate_dtls::{ConnectionInfo, Instant};

use crate::single::Single;
use crate::{ClientOptions, Error, Path};

/// The shortest time-out that a socket takes: none at all would mean "for ever".
const LEAST_WAIT: Duration = Duration::from_micros(1);

/// An established connection. What the protocol has to do by itself is done while it is called.
pub struct Client {
    single: Box<Single>,
    socket: UdpSocket,
}

impl Client {
    /// Runs the handshake with `server`, for at most
    /// [`Config::handshake_timeout`](crate::dtls::Config::handshake_timeout). A port that nobody listens on is an error
    /// at once, where ICMP tells.
    pub fn connect(server: SocketAddr, options: ClientOptions) -> Result<Self, Error> {
        let socket = open(server, options.bind)?;
        let single = Single::connect(server, options)?;
        let mut client = Self { single, socket };
        loop {
            client.settle()?;
            if client.single.established {
                return Ok(client);
            }
            client.single.end()?;
            client.wait(None)?;
        }
    }

    /// Sends one datagram as one record.
    pub fn send(&mut self, payload: &[u8]) -> Result<(), Error> {
        let record = self.single.seal(payload)?;
        match self.socket.send(record) {
            // An earlier datagram's ICMP error took this one's place.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.socket.send(record)?
            }
            result => result?,
        };
        Ok(())
    }

    /// The next datagram; its length in `out`, which cuts what is longer. Waits for at most `timeout`, then comes
    /// [`Error::TimedOut`]; without one, for ever. [`Error::Closed`] when the server has ended the connection.
    pub fn recv(&mut self, out: &mut [u8], timeout: Option<Duration>) -> Result<usize, Error> {
        let until = timeout.map(|timeout| self.single.clock.now() + timeout);
        loop {
            self.settle()?;
            if let Some(len) = self.single.read(out) {
                return Ok(len);
            }
            self.single.end()?;
            if !self.wait(until)? && until.is_some_and(|until| self.single.clock.now() >= until) {
                return Err(Error::TimedOut);
            }
        }
    }

    /// Goes on from another local port, as if a NAT had forgotten us; the session stays. Returns the new address.
    pub fn rebind(&mut self) -> Result<SocketAddr, Error> {
        let bind = self.single.options.bind.map(|bind| (bind.ip(), 0).into());
        // The old socket lives until the new one is there, so that it gets another port.
        self.socket = open(self.single.server, bind)?;
        Ok(self.socket.local_addr()?)
    }

    /// Says goodbye.
    pub fn close(mut self) -> Result<(), Error> {
        self.single.close();
        self.settle()
    }

    /// What was agreed; `None` after the end.
    pub fn info(&self) -> Option<ConnectionInfo<Path>> {
        self.single.info()
    }

    /// Where we are.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Hears what happened and sends what is due.
    fn settle(&mut self) -> Result<(), Error> {
        self.single.follow_events()?;
        let established = self.single.established;
        while let Some(datagram) = self.single.next_transmit() {
            match self.socket.send(datagram) {
                Err(error) if !established && error.kind() == io::ErrorKind::ConnectionRefused => {
                    return Err(error.into());
                }
                // What does not get out is lost, as datagrams are; a handshake repeats it.
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits for a datagram, a timer of the engine's or `until`, whichever is first; whether a datagram came.
    fn wait(&mut self, until: Option<Instant>) -> Result<bool, Error> {
        let timer = self.single.timeout();
        let now = self.single.clock.now();
        let wait = timer.into_iter().chain(until).min().map(|first| {
            let micros = first.as_micros().saturating_sub(now.as_micros());
            Duration::from_micros(micros).max(LEAST_WAIT)
        });
        self.socket.set_read_timeout(wait)?;
        match self.socket.recv(&mut self.single.incoming) {
            Ok(len) => {
                self.single.take_in(len);
                return Ok(true);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => {}
                // A server that restarts comes back; one that was never there does not.
                io::ErrorKind::ConnectionRefused if self.single.established => {}
                _ => return Err(error.into()),
            },
        }
        if timer.is_some_and(|at| at <= self.single.clock.now()) {
            self.single.handle_timeout();
        }
        Ok(false)
    }
}

fn open(server: SocketAddr, bind: Option<SocketAddr>) -> io::Result<UdpSocket> {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind(bind.unwrap_or_else(|| (any, 0).into()))?;
    socket.connect(server)?;
    Ok(socket)
}
