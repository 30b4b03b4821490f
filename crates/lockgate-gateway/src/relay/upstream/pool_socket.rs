//! The one socket of a pool: it sends from any address of the network, and tells to which one a datagram came.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use lockgate_tokio::{Arrived, Path, ReceiveBatch, SendBatch};
use nix::libc;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::filter;

/// How many ICMP reports are taken at a time.
const REPORTS: usize = 64;
/// The error number that says that nobody listens.
const REFUSED: u32 = libc::ECONNREFUSED as u32;

/// A socket with all addresses of the backend's family.
pub(super) struct PoolSocket {
    socket: Arc<UdpSocket>,
    incoming: ReceiveBatch,
    outgoing: SendBatch,
}

/// What ICMP said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::relay) struct Reports {
    /// How often nobody listened.
    pub(in crate::relay) refused: u64,
    /// How often it was something else.
    pub(in crate::relay) other: u64,
}

/// With whom a socket shares its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// With nobody.
    Nothing,
    /// With those that are bound beside it: it is bound as if it shared nothing, so a port that is taken is an error.
    First,
    /// With the first one.
    Beside,
}

/// Binds the socket to `port` of every address, or to a free one. It gets what `backend` sends.
pub(super) fn bind(
    ipv6: bool,
    port: u16,
    sharing: Sharing,
    backend: SocketAddr,
) -> io::Result<std::net::UdpSocket> {
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
    lockgate_tokio::widen(&socket);
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
    if sharing == Sharing::Beside {
        socket.set_reuse_port(true)?;
    }
    // Before it is bound, or something could come in between. Everything works without; so it is said once.
    if let Err(error) = filter::attach(&socket, backend)
        && sharing != Sharing::Beside
    {
        tracing::warn!(
            %error,
            "the kernel takes no filter for the pool's socket: strangers on its port can fill the buffer"
        );
    }
    socket.bind(&address.into())?;
    if sharing == Sharing::First {
        socket.set_reuse_port(true)?;
    }
    Ok(socket.into())
}

impl PoolSocket {
    /// Must be called within a tokio runtime.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        Ok(Self {
            socket: Arc::new(UdpSocket::from_std(socket)?),
            incoming: ReceiveBatch::new(),
            outgoing: SendBatch::new(),
        })
    }

    /// tokio's socket, to wait for.
    pub(super) const fn socket(&self) -> &Arc<UdpSocket> {
        &self.socket
    }

    /// Takes what waits, a bounded number of datagrams; whether there may be more.
    pub(super) fn receive(&mut self) -> io::Result<bool> {
        let Self {
            socket, incoming, ..
        } = self;
        // A report of ICMP can cut a batch short, so only the next call tells whether nothing is left.
        socket.try_io(Interest::READABLE, || incoming.receive(socket, true))
    }

    /// How many datagrams were taken.
    pub(super) const fn taken(&self) -> usize {
        self.incoming.len()
    }

    /// One of those that were taken.
    pub(super) fn get(&mut self, n: usize) -> Option<Arrived<'_>> {
        self.incoming.get(n)
    }

    /// Sends one datagram from the address `source`, with others when there are as many as go together, or when
    /// [told](Self::flush). `told` hears what came of each that goes.
    pub(super) fn send(
        &mut self,
        source: IpAddr,
        to: SocketAddr,
        datagram: &[u8],
        told: impl FnMut(io::Result<usize>),
    ) {
        self.outgoing.room()[..datagram.len()].copy_from_slice(datagram);
        let path = Path::with_local(to, Some(source), 0);
        self.outgoing.push(0..datagram.len(), path);
        if self.outgoing.is_full() {
            self.flush(told);
        }
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self, mut told: impl FnMut(io::Result<usize>)) {
        if !self.outgoing.is_empty() {
            let Self {
                socket, outgoing, ..
            } = self;
            outgoing.send(|_| Some(socket.as_fd()), |_, result| told(result));
        }
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
                | ControlMessageOwned::Ipv6RecvErr(error, _) => Some(error),
                _ => None,
            })
        });
        match error {
            Some(error) if error.ee_errno == REFUSED => reports.refused += 1,
            // Sending has failed with it as well, and was counted.
            Some(error) if error.ee_origin == libc::SO_EE_ORIGIN_LOCAL => {}
            _ => reports.other += 1,
        }
    }
    reports
}
