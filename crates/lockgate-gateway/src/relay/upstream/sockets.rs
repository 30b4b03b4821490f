//! One connected UDP socket per session, and one epoll instance for all of them.
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

use super::{BATCH, Sent};

/// A socket to `backend` from a free port, connected, so that the kernel takes datagrams from nobody else.
pub(super) fn connect(backend: SocketAddr) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(backend);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.connect(&backend.into())?;
    Ok(socket.into())
}

/// Sends one datagram. What the socket reports may be the ICMP error of an earlier datagram, and then this one has
/// not been sent: it gets a second try.
pub(super) fn send(socket: &UdpSocket, datagram: &[u8]) -> Sent {
    let mut sent = Sent::default();
    for _ in 0..2 {
        match socket.send(datagram) {
            Ok(_) => {
                sent.done = true;
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => sent.refused += 1,
            Err(_) => {
                sent.errors += 1;
                break;
            }
        }
    }
    sent
}

/// Watches all of them.
pub(in crate::relay) struct Sockets {
    epoll: AsyncFd<OwnedFd>,
    events: Vec<epoll::Event>,
}

impl Sockets {
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
    pub(super) fn watch(&self, socket: &UdpSocket, index: usize) -> io::Result<()> {
        let data = epoll::EventData::new_u64(index as u64);
        // Level-triggered: one datagram is taken at a time, and what is left is named again, so that no session can
        // keep the others waiting and no call is spent on finding a socket empty.
        epoll::add(self.epoll.get_ref(), socket, data, epoll::EventFlags::IN)?;
        Ok(())
    }

    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.epoll.poll_read_ready(cx).map(|_| ())
    }

    /// Which sessions have something from the backend, a bounded number of them; returns how many.
    pub(in crate::relay) fn ready(&mut self, set: &mut [usize; BATCH]) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_an_earlier_datagram_does_not_cost_the_next_one() {
        let backend = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = backend.local_addr().unwrap();
        drop(backend);
        let upstream = connect(address).unwrap();
        let lost = send(&upstream, b"lost");
        assert_eq!((lost.done, lost.refused), (true, 0), "nobody can know yet");
        let backend = UdpSocket::bind(address).unwrap();
        let sent = send(&upstream, b"back");
        assert_eq!((sent.done, sent.refused), (true, 1));
        let mut buf = [0; 8];
        let len = backend.recv(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"back");
    }
}
