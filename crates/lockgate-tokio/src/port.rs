//! A socket that answers from the address it was asked at.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::libc;
use nix::sys::socket::{SockaddrStorage, setsockopt, sockopt};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::batch::{ReceiveBatch, send_one};
use crate::io::PortOptions;
use crate::{Path, PathError, path_error};

/// One socket of a driver.
pub(crate) struct Port {
    socket: Arc<UdpSocket>,
    /// It is bound to all addresses, so each datagram must say at which one it came. A socket with one address is spared
    /// the cost of asking.
    any: bool,
    /// What ICMP says is kept for us ([`path_error::watch`]).
    watched: bool,
}

impl Port {
    /// Must be called within a tokio runtime.
    pub(crate) fn new(socket: std::net::UdpSocket, options: PortOptions) -> io::Result<Self> {
        let PortOptions {
            path_errors: watched,
            client,
            ..
        } = options;
        let local = socket.local_addr()?;
        let any = local.ip().is_unspecified() && !client;
        if any && local.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        } else if any {
            // For IPv4 on a dual-stack socket as well: the addresses are mapped.
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        if watched {
            path_error::watch(&socket, local.is_ipv6())?;
        }
        Ok(Self {
            socket: Arc::new(UdpSocket::from_std(socket)?),
            any,
            watched,
        })
    }

    /// tokio's socket, to wait for.
    pub(crate) const fn socket(&self) -> &Arc<UdpSocket> {
        &self.socket
    }

    /// For the kernel's calls.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes what waits, a bounded number of datagrams; whether there may be more.
    pub(crate) fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<bool> {
        // tokio may refuse without asking.
        batch.clear();
        let mut more = true;
        let result = self.socket.try_io(Interest::READABLE, || {
            more = batch.receive(&self.socket, self.any)?;
            if more || self.watched {
                // Where reports of ICMP matter, one that cut the batch short must be found by the next call.
                Ok(())
            } else {
                // The kernel has found the socket empty. tokio is told at once, which saves the call that would show it.
                Err(io::ErrorKind::WouldBlock.into())
            }
        });
        match result {
            Err(_) if !batch.is_empty() => Ok(false),
            result => result.map(|()| more),
        }
    }

    /// What ICMP has said since it was asked last.
    pub(crate) fn take_errors(&self, out: &mut Vec<PathError>) {
        if self.watched {
            path_error::take(&*self.socket, out);
        }
    }

    /// Hands a datagram to the kernel, whatever tokio believes about its buffer: after one `WouldBlock` that would stay
    /// "full" until the task has slept.
    pub(crate) fn send(&self, path: &Path, datagram: &[u8]) -> io::Result<usize> {
        match send_one(self.fd(), path, datagram) {
            // What is reported may be an earlier datagram's ICMP error; then this one has not been sent.
            Err(error) if may_be_of_another(&error) => send_one(self.fd(), path, datagram),
            result => result,
        }
    }

    /// [`Port::send`] that takes part in tokio's bookkeeping, so that [`UdpSocket::writable`] waits after a
    /// `WouldBlock`.
    pub(crate) fn send_if_writable(&self, path: &Path, datagram: &[u8]) -> io::Result<usize> {
        self.socket
            .try_io(Interest::WRITABLE, || self.send(path, datagram))
    }
}

/// Whether an error of a UDP socket may be what ICMP said about an earlier datagram, on a socket that hears of it
/// (`IP_RECVERR`, `IPV6_RECVERR`). If so, the call that returned it has done nothing and may be made again.
pub fn may_be_of_another(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EMSGSIZE
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EPROTO
                | libc::EACCES
        )
    )
}

pub(crate) fn socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(&v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::V4(v4.into()));
    }
    address
        .as_sockaddr_in6()
        .map(|&v6| SocketAddr::V6(v6.into()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_datagram_leaves_before_tokio_has_seen_the_socket() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let peer = std::net::UdpSocket::bind(any).unwrap();
        let socket = std::net::UdpSocket::bind(any).unwrap();
        socket.set_nonblocking(true).unwrap();
        let port = Port::new(socket, PortOptions::default()).unwrap();
        let path = Path::new(peer.local_addr().unwrap(), 0);
        // To tokio a socket that it has not polled looks like one whose buffer is full.
        let error = port.send_if_writable(&path, b"held back").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(port.send(&path, b"sent").unwrap(), 4);
        let mut buf = [0; 16];
        assert_eq!(peer.recv(&mut buf).unwrap(), 4);
    }
}
