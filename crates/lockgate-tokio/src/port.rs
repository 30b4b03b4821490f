//! A socket that answers from the address it was asked at.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::io::PortOptions;
use crate::{Path, PathError, path_error};

/// Where [`Port::try_recv`] has the kernel write what it tells besides the datagram.
pub(crate) struct Control(Vec<u8>);

impl Control {
    pub(crate) fn new() -> Self {
        Self(nix::cmsg_space!(libc::in6_pktinfo))
    }
}

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

    /// Takes the next datagram: its length, and its path through this socket, which is number `number`.
    pub(crate) fn try_recv(
        &self,
        buf: &mut [u8],
        control: &mut Control,
        number: u8,
    ) -> io::Result<(usize, Path)> {
        if !self.any {
            let (len, peer) = self.socket.try_recv_from(buf)?;
            return Ok((len, Path::new(peer, number)));
        }
        self.socket.try_io(Interest::READABLE, || {
            let mut parts = [IoSliceMut::new(buf)];
            let message = recvmsg::<SockaddrStorage>(
                self.socket.as_raw_fd(),
                &mut parts,
                Some(&mut control.0),
                MsgFlags::empty(),
            )?;
            let peer = message.address.as_ref().and_then(socket_addr);
            let peer = peer.ok_or_else(|| io::Error::other("a datagram without a sender"))?;
            let local = message.cmsgs()?.find_map(|control| own_address(&control));
            Ok((message.bytes, Path::with_local(peer, local, number)))
        })
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
        match self.send_once(path, datagram) {
            // What is reported may be an earlier datagram's ICMP error; then this one has not been sent.
            Err(error) if may_be_of_another(&error) => self.send_once(path, datagram),
            result => result,
        }
    }

    /// [`Port::send`] that takes part in tokio's bookkeeping, so that [`UdpSocket::writable`] waits after a
    /// `WouldBlock`.
    pub(crate) fn send_if_writable(&self, path: &Path, datagram: &[u8]) -> io::Result<usize> {
        self.socket
            .try_io(Interest::WRITABLE, || self.send(path, datagram))
    }

    fn send_once(&self, path: &Path, datagram: &[u8]) -> io::Result<usize> {
        let remote = path.remote();
        let (v4, v6);
        let source = match path.local() {
            None => return SockRef::from(&*self.socket).send_to(datagram, &remote.into()),
            Some(IpAddr::V4(local)) => {
                v4 = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from_ne_bytes(local.octets()),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                ControlMessage::Ipv4PacketInfo(&v4)
            }
            Some(IpAddr::V6(local)) => {
                let scope = match remote {
                    SocketAddr::V4(_) => 0,
                    SocketAddr::V6(remote) => remote.scope_id(),
                };
                v6 = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: local.octets(),
                    },
                    ipi6_ifindex: scope,
                };
                ControlMessage::Ipv6PacketInfo(&v6)
            }
        };
        let sent = sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(datagram)],
            &[source],
            MsgFlags::empty(),
            Some(&SockaddrStorage::from(remote)),
        );
        Ok(sent?)
    }
}

/// Whether an error of sending may be what ICMP said about an earlier datagram, on a socket that hears of it.
pub(crate) fn may_be_of_another(error: &io::Error) -> bool {
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

/// The address that an answer can leave from, if the message tells it: a group is none.
fn own_address(control: &ControlMessageOwned) -> Option<IpAddr> {
    let address: IpAddr = match control {
        // Not the destination in the header, which may be a broadcast.
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into()
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => IpAddr::from(info.ipi6_addr.s6_addr),
        _ => return None,
    };
    let canonical = address.to_canonical();
    let usable = !canonical.is_multicast() && !canonical.is_unspecified();
    usable.then_some(address)
}

#[cfg(test)]
mod tests {
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
