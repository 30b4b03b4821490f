//! The one socket of a pool: it sends from any address of the network, and tells to which one a datagram came.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// How many ICMP reports are taken at a time.
const REPORTS: usize = 64;

/// A socket with all addresses of the backend's family.
pub(super) struct PoolSocket {
    socket: Arc<UdpSocket>,
    /// Where the kernel writes what it tells besides the datagram.
    control: Vec<u8>,
}

/// A datagram that came.
pub(super) struct Arrived {
    pub(super) len: usize,
    pub(super) from: SocketAddr,
    pub(super) to: IpAddr,
}

/// What ICMP said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::relay) struct Reports {
    /// How often nobody listened.
    pub(in crate::relay) refused: u64,
    /// How often it was something else.
    pub(in crate::relay) other: u64,
}

/// Binds the socket to `port` of every address, or to a free one.
pub(super) fn bind(ipv6: bool, port: u16) -> io::Result<std::net::UdpSocket> {
    let any: IpAddr = if ipv6 {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let address = SocketAddr::from((any, port));
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // A smaller buffer is no reason not to serve.
    let _ = socket.set_recv_buffer_size(lockgate_tokio::RECEIVE_BUFFER_LEN);
    let _ = socket.set_send_buffer_size(lockgate_tokio::RECEIVE_BUFFER_LEN);
    socket.set_nonblocking(true)?;
    // With a local route an address needs no interface to have it. What ICMP says is kept for us: without that, a socket
    // that is not connected never hears that the backend is gone.
    if ipv6 {
        socket.set_only_v6(true)?;
        rustix::net::sockopt::set_ipv6_freebind(&socket, true)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
    } else {
        rustix::net::sockopt::set_ip_freebind(&socket, true)?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

impl PoolSocket {
    /// Must be called within a tokio runtime.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        Ok(Self {
            socket: Arc::new(UdpSocket::from_std(socket)?),
            control: nix::cmsg_space!(libc::in6_pktinfo),
        })
    }

    /// tokio's socket, to wait for.
    pub(super) const fn socket(&self) -> &Arc<UdpSocket> {
        &self.socket
    }

    /// Takes the next datagram.
    pub(super) fn recv(&mut self, buf: &mut [u8]) -> io::Result<Arrived> {
        let Self { socket, control } = self;
        socket.try_io(Interest::READABLE, || {
            let mut parts = [IoSliceMut::new(buf)];
            let message = recvmsg::<SockaddrStorage>(
                socket.as_raw_fd(),
                &mut parts,
                Some(control),
                MsgFlags::empty(),
            )?;
            let from = message.address.as_ref().and_then(socket_addr);
            let to = message.cmsgs()?.find_map(|control| match control {
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into())
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    Some(IpAddr::from(info.ipi6_addr.s6_addr))
                }
                _ => None,
            });
            match (from, to) {
                (Some(from), Some(to)) => Ok(Arrived {
                    len: message.bytes,
                    from,
                    to,
                }),
                _ => Err(io::Error::other("a datagram without addresses")),
            }
        })
    }

    /// Sends one datagram from the address `source`.
    pub(super) fn send(&self, source: IpAddr, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        let (v4, v6);
        let source = match source {
            IpAddr::V4(source) => {
                v4 = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from_ne_bytes(source.octets()),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                ControlMessage::Ipv4PacketInfo(&v4)
            }
            IpAddr::V6(source) => {
                v6 = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: source.octets(),
                    },
                    ipi6_ifindex: 0,
                };
                ControlMessage::Ipv6PacketInfo(&v6)
            }
        };
        sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(datagram)],
            &[source],
            MsgFlags::empty(),
            Some(&SockaddrStorage::from(to)),
        )?;
        Ok(())
    }
}

/// Takes what ICMP has said, a bounded number of reports. Never blocks.
pub(super) fn take_reports(socket: &impl AsRawFd) -> Reports {
    // IPv6 tells the packet's addresses as well, and first.
    let mut control = nix::cmsg_space!(
        libc::in6_pktinfo,
        libc::sock_extended_err,
        libc::sockaddr_in6
    );
    let mut reports = Reports::default();
    for _ in 0..REPORTS {
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        // The datagram itself comes back as well; nobody needs it.
        let report =
            recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut [], Some(&mut control), flags);
        let Ok(report) = report else { break };
        let error = report.cmsgs().ok().and_then(|mut controls| {
            controls.find_map(|control| match control {
                ControlMessageOwned::Ipv4RecvErr(error, _)
                | ControlMessageOwned::Ipv6RecvErr(error, _) => Some(error.ee_errno),
                _ => None,
            })
        });
        match error.map(i32::try_from) {
            Some(Ok(libc::ECONNREFUSED)) => reports.refused += 1,
            _ => reports.other += 1,
        }
    }
    reports
}

/// Whether an error of sending may be what ICMP said about an earlier datagram.
pub(super) fn may_be_of_another(error: &io::Error) -> bool {
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

fn socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(&v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::V4(v4.into()));
    }
    address
        .as_sockaddr_in6()
        .map(|&v6| SocketAddr::V6(v6.into()))
}
