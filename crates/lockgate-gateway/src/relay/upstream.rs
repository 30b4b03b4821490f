//! The way to the backend: one connected UDP socket per session, and one epoll instance for all of them.
//!
//! The sockets are not tokio's. A hundred thousand of them would cost a hundred thousand registrations; here an idle
//! session costs a descriptor, and readiness names the session's index. The epoll instance itself is what tokio watches.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use rustix::event::{Timespec, epoll};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How many sockets are named at once.
pub(super) const BATCH: usize = 64;

/// A socket to the backend, connected, so that the kernel takes datagrams from nobody else.
pub(super) struct Upstream(UdpSocket);

/// How sending went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// It has been handed to the kernel.
    pub(super) done: bool,
    /// How often the socket reported that nobody listens there.
    pub(super) refused: u64,
}

impl Upstream {
    /// A socket to `backend` from a free port.
    pub(super) fn connect(backend: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(backend);
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.connect(&backend.into())?;
        Ok(Self(socket.into()))
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub(super) fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buf)
    }

    /// Sends one datagram. What the socket reports may be the ICMP error of an earlier datagram, and then this one has
    /// not been sent: it gets a second try.
    pub(super) fn send(&self, datagram: &[u8]) -> Sent {
        let mut refused = 0;
        for _ in 0..2 {
            match self.0.send(datagram) {
                Ok(_) => {
                    return Sent {
                        done: true,
                        refused,
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => refused += 1,
                Err(_) => break,
            }
        }
        Sent {
            done: false,
            refused,
        }
    }
}

/// Watches all of them.
pub(super) struct Upstreams {
    epoll: AsyncFd<OwnedFd>,
    events: Vec<epoll::Event>,
}

impl Upstreams {
    /// Must be called within a tokio runtime.
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        #[allow(
            deprecated,
            reason = "tokio's successor is unsafe because not every AsRawFd owns its descriptor; an OwnedFd does"
        )]
        let epoll = AsyncFd::with_interest(epoll, Interest::READABLE)?;
        Ok(Self {
            epoll,
            events: Vec::with_capacity(BATCH),
        })
    }

    /// Watches the socket of the session at `index` until it is dropped.
    pub(super) fn watch(&self, upstream: &Upstream, index: usize) -> io::Result<()> {
        let data = epoll::EventData::new_u64(index as u64);
        // Level-triggered: one datagram is taken at a time, and what is left is named again, so that no session can
        // keep the others waiting and no call is spent on finding a socket empty.
        epoll::add(
            self.epoll.get_ref(),
            &upstream.0,
            data,
            epoll::EventFlags::IN,
        )?;
        Ok(())
    }

    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.epoll.poll_read_ready(cx).map(|_| ())
    }

    /// Which sessions have something from the backend, a bounded number of them; returns how many.
    pub(super) fn ready(&mut self, set: &mut [usize; BATCH]) -> usize {
        let Self { epoll, events } = self;
        events.clear();
        let waited = epoll.try_io(Interest::READABLE, |epoll| {
            let space = rustix::buffer::spare_capacity(events);
            match epoll::wait(epoll, space, Some(&Timespec::default()))? {
                // Then, and only then, tokio has to wait for the next edge.
                0 => Err(io::ErrorKind::WouldBlock.into()),
                n => Ok(n),
            }
        });
        // Any other error than "nothing there" is an interrupted call; it will be ready again.
        if waited.is_err() {
            return 0;
        }
        for (place, event) in set.iter_mut().zip(events.iter()) {
            // Copied out first: the kernel packs this structure.
            let data = event.data;
            *place = data.u64() as usize;
        }
        events.len().min(BATCH)
    }
}

/// Whether the kernel knows a way to `backend`.
pub(crate) fn has_route(backend: SocketAddr) -> bool {
    Upstream::connect(backend).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_an_earlier_datagram_does_not_cost_the_next_one() {
        let backend = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = backend.local_addr().unwrap();
        drop(backend);
        let upstream = Upstream::connect(address).unwrap();
        let lost = upstream.send(b"lost");
        assert_eq!((lost.done, lost.refused), (true, 0), "nobody can know yet");
        let backend = UdpSocket::bind(address).unwrap();
        let sent = upstream.send(b"back");
        assert_eq!((sent.done, sent.refused), (true, 1));
        let mut buf = [0; 8];
        let len = backend.recv(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"back");
    }
}
