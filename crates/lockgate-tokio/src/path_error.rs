//! What the network says about datagrams that did not arrive: ICMP, through the error queue of a socket.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::task::{Context, Poll};

use nix::libc;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::port::socket_addr;

/// How many reports are taken from one socket at a time.
const BATCH: usize = 16;

/// A datagram that we sent did not arrive, and somebody said why.
///
/// Such a message is not authenticated: who can guess our addresses and ports can send one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathError {
    /// Where the datagram went; port 0 where that is not told.
    pub remote: SocketAddr,
    /// What became of it.
    pub kind: PathErrorKind,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathErrorKind {
    /// It is longer than the path takes (RFC 1191, RFC 8201). The longest IP packet that it does take, in bytes.
    TooBig(u32),
    /// Nobody listens there.
    Refused,
    /// Anything else, as the error number of the system.
    Other(i32),
}

/// Has a socket send with DF set, whatever the kernel believes about the path, and keep what ICMP says about it.
pub(crate) fn watch(socket: &impl AsFd, is_ipv6: bool) -> io::Result<()> {
    // An IPv6 socket may carry IPv4 as well; one that cannot, does not mind.
    let v4 = rustix::net::sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::PROBE)
        .map_err(io::Error::from)
        .and_then(|()| Ok(setsockopt(socket, sockopt::Ipv4RecvErr, &true)?));
    if !is_ipv6 {
        return v4;
    }
    rustix::net::sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::PROBE)?;
    setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
    Ok(())
}

/// Takes what waits in the error queue, a bounded number of reports. Never blocks.
pub(crate) fn take(socket: &impl AsRawFd, out: &mut Vec<PathError>) {
    // A socket that tells the address of ours does so here as well, and first.
    let mut control = nix::cmsg_space!(
        libc::in6_pktinfo,
        libc::sock_extended_err,
        libc::sockaddr_in6
    );
    for _ in 0..BATCH {
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        // The datagram itself comes back as well; nobody needs it.
        let report =
            recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut [], Some(&mut control), flags);
        let Ok(report) = report else { return };
        let remote = report.address.as_ref().and_then(socket_addr);
        let error = report.cmsgs().ok().and_then(|mut controls| {
            controls.find_map(|control| match control {
                ControlMessageOwned::Ipv4RecvErr(error, _)
                | ControlMessageOwned::Ipv6RecvErr(error, _) => Some(error),
                _ => None,
            })
        });
        if let (Some(remote), Some(error)) = (remote, error) {
            let kind = match i32::try_from(error.ee_errno).unwrap_or_default() {
                libc::EMSGSIZE => PathErrorKind::TooBig(error.ee_info),
                libc::ECONNREFUSED => PathErrorKind::Refused,
                other => PathErrorKind::Other(other),
            };
            out.push(PathError { remote, kind });
        }
    }
}

/// Waits for reports, which alone make no socket readable, and passes them on to a worker.
#[derive(Default)]
pub(crate) struct Watcher {
    tasks: Vec<AbortHandle>,
    reports: Option<mpsc::Receiver<Vec<PathError>>>,
}

impl Watcher {
    /// Must be called within a tokio runtime.
    pub(crate) fn start(sockets: impl Iterator<Item = Arc<UdpSocket>>) -> Self {
        // More than a few are never on their way; the rest waits in the kernel, which bounds it.
        let (sender, reports) = mpsc::channel(4);
        let tasks = sockets.map(|socket| tokio::spawn(report(socket, sender.clone())));
        Self {
            tasks: tasks.map(|task| task.abort_handle()).collect(),
            reports: Some(reports),
        }
    }

    /// Adds what came to `out`.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Vec<PathError>) -> Poll<()> {
        let Some(reports) = &mut self.reports else {
            return Poll::Pending;
        };
        match reports.poll_recv(cx) {
            Poll::Ready(Some(mut errors)) => {
                out.append(&mut errors);
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn report(socket: Arc<UdpSocket>, reports: mpsc::Sender<Vec<PathError>>) {
    while socket.ready(Interest::ERROR).await.is_ok() {
        let mut errors = Vec::new();
        // Taken until nothing is left, or the socket would be ready for ever.
        let _ = socket.try_io(Interest::ERROR, || {
            take(&*socket, &mut errors);
            let waits = errors.len() >= BATCH;
            waits.then_some(()).ok_or(io::ErrorKind::WouldBlock.into())
        });
        if !errors.is_empty() && reports.send(errors).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_closed_port_is_told_with_its_address_by_sockets_that_tell_ours_as_well() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(gone) = UdpSocket::bind(any) else {
                continue; // a machine without IPv6
            };
            let remote = gone.local_addr().unwrap();
            drop(gone);
            let socket = UdpSocket::bind(any).unwrap();
            watch(&socket, remote.is_ipv6()).unwrap();
            if remote.is_ipv6() {
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true).unwrap();
            } else {
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).unwrap();
            }
            socket.send_to(b"x", remote).unwrap();
            let mut errors = Vec::new();
            take(&socket, &mut errors);
            let refused = PathError {
                remote,
                kind: PathErrorKind::Refused,
            };
            assert_eq!(errors, [refused]);
        }
    }

    #[test]
    fn a_datagram_that_is_too_long_for_the_interface_is_told_with_the_length_that_fits() {
        let receiver = UdpSocket::bind("[::1]:0").or_else(|_| UdpSocket::bind("127.0.0.1:0"));
        let remote = receiver.unwrap().local_addr().unwrap();
        let socket = UdpSocket::bind((remote.ip(), 0)).unwrap();
        watch(&socket, remote.is_ipv6()).unwrap();
        // The loopback takes packets of 65,536 bytes, so nothing that UDP can carry over IPv4 is too long for it.
        if remote.is_ipv4() {
            return;
        }
        let error = socket.send_to(&vec![0; 65_507], remote).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        let mut errors = Vec::new();
        take(&socket, &mut errors);
        let [error] = errors[..] else {
            panic!("{errors:?}")
        };
        assert_eq!(error.remote, remote);
        assert!(matches!(error.kind, PathErrorKind::TooBig(65_536)));
    }
}
