//! The devices' sockets: the one file that knows how datagrams get to the kernel and back.

use std::io::{self, IoSlice, IoSliceMut, Read as _};
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrLike as _, recvmsg, setsockopt, sockopt,
};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use socket2::{Domain, MsgHdr, Protocol, SockAddr, Socket, Type};

use crate::net::SourceNet;

/// Where the devices' datagrams come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// A socket for each device, on the address that the system chooses or on this one.
    Sockets(Option<IpAddr>),
    /// A few sockets for all: each device has its own address from a network, for servers on this machine or behind
    /// routes that lead back.
    Net(SourceNet),
}

/// What each socket's receive buffer is to hold, in bytes; the kernel grants what `net.core.rmem_max` lets. A socket
/// that many share gets as much as it can.
const OWN_BUFFER: usize = 256 << 10;
const SHARED_BUFFER: usize = 64 << 20;

/// How many source ports a device on a [`Sources::Net`] can move between.
const PORTS: usize = 4;

/// How many datagrams of one shared socket are taken before the next has its turn.
const BATCH: usize = 64;

/// How many sockets are looked at in one turn.
const EVENTS: usize = 128;

const NO_EVENT: epoll::Event = epoll::Event {
    flags: EventFlags::empty(),
    data: EventData::new_u64(0),
};

pub(crate) struct Sockets {
    epoll: OwnedFd,
    server: SocketAddr,
    /// The same for the kernel.
    to: SockAddr,
    way: Way,
    /// What can be read, by number of socket, and how much of it has been looked at.
    ready: Box<[u32; EVENTS]>,
    found: usize,
    at: usize,
    taken: usize,
    /// Answers of the network that nobody listens at the server's address.
    pub(crate) refused: u64,
    /// Datagrams for which a receive buffer had no room.
    pub(crate) overflow: u64,
}

enum Way {
    Each {
        bind: SocketAddr,
        sockets: Vec<Socket>,
    },
    Net {
        net: SourceNet,
        shared: Vec<Shared>,
        out: PacketInfo,
        control: Vec<u8>,
    },
}

struct Shared {
    socket: Socket,
    /// The kernel's count of what found no room, as it was told last.
    overflow: u32,
}

impl Sockets {
    pub(crate) fn new(server: SocketAddr, sources: Sources) -> io::Result<Self> {
        let way = match sources {
            Sources::Sockets(address) => {
                let any = match server {
                    SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
                    SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
                };
                let address = address.unwrap_or(any);
                if address.is_ipv4() != server.is_ipv4() {
                    return Err(io::Error::other(format!(
                        "{server} cannot be reached from {address}"
                    )));
                }
                Way::Each {
                    bind: (address, 0).into(),
                    sockets: Vec::new(),
                }
            }
            Sources::Net(_) if server.is_ipv6() => {
                return Err(io::Error::other(format!(
                    "{server} cannot be reached from an IPv4 network"
                )));
            }
            Sources::Net(net) => Way::Net {
                net,
                shared: Vec::new(),
                out: PacketInfo::new(),
                control: nix::cmsg_space!(libc::in_pktinfo, u32),
            },
        };
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            server,
            to: server.into(),
            way,
            ready: Box::new([0; EVENTS]),
            found: 0,
            at: 0,
            taken: 0,
            refused: 0,
            overflow: 0,
        })
    }

    /// Opens what devices below `count` need.
    pub(crate) fn open(&mut self, count: u32) -> io::Result<()> {
        match &mut self.way {
            Way::Each { bind, sockets } => {
                // Beside the sockets: standard streams, epoll, and one that is opened before another is closed.
                let spare = 16;
                let limit = raise_descriptor_limit();
                let fits = limit.is_none_or(|limit| u64::from(count) + spare <= limit);
                if !fits {
                    return Err(io::Error::other(format!(
                        "{count} sessions with a socket each are more than the {} descriptors that the system lets us \
                         have: take addresses from a network, or raise the limit (ulimit -n)",
                        limit.unwrap_or_default()
                    )));
                }
                for n in sockets.len()..count as usize {
                    let socket = connected(*bind, &self.to)?;
                    listen(&self.epoll, &socket, n)?;
                    sockets.push(socket);
                }
            }
            Way::Net { net, shared, .. } => {
                let groups = count.div_ceil(net.addresses()) as usize;
                for n in shared.len()..groups * PORTS {
                    let socket = wildcard()?;
                    listen(&self.epoll, &socket, n)?;
                    shared.push(Shared {
                        socket,
                        overflow: 0,
                    });
                }
            }
        }
        Ok(())
    }

    /// Hands one datagram of device `n` to the kernel, from its port number `port`.
    pub(crate) fn send(&mut self, n: u32, port: u8, datagram: &[u8]) -> io::Result<()> {
        match &mut self.way {
            Way::Each { sockets, .. } => {
                let socket = &sockets[n as usize];
                let sent = match socket.send(datagram) {
                    // That was said of an earlier datagram; this one has not been sent.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        self.refused += 1;
                        socket.send(datagram)
                    }
                    sent => sent,
                };
                sent.map(drop)
            }
            Way::Net {
                net, shared, out, ..
            } => {
                out.set_source(net.address(n));
                let group = (n / net.addresses()) as usize;
                let socket = &shared[group * PORTS + usize::from(port) % PORTS].socket;
                let parts = [IoSlice::new(datagram)];
                let message = MsgHdr::new()
                    .with_addr(&self.to)
                    .with_buffers(&parts)
                    .with_control(&out.0);
                let sent = match socket.sendmsg(&message, 0) {
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        self.refused += 1;
                        socket.sendmsg(&message, 0)
                    }
                    sent => sent,
                };
                sent.map(drop)
            }
        }
    }

    /// Moves device `n` to another source port, as a NAT does; returns its number.
    pub(crate) fn rebind(&mut self, n: u32, port: u8) -> io::Result<u8> {
        let Way::Each { bind, sockets } = &mut self.way else {
            return Ok(port.wrapping_add(1) % PORTS as u8);
        };
        // The old one lives until the new one is there, so that it gets another port. Closing takes it off epoll.
        let socket = connected(*bind, &self.to)?;
        listen(&self.epoll, &socket, n as usize)?;
        sockets[n as usize] = socket;
        Ok(port)
    }

    /// Waits until something can be read, at most for `timeout`.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        (self.found, self.at, self.taken) = (0, 0, 0);
        let timeout = Timespec::try_from(timeout).ok();
        let mut events = [NO_EVENT; EVENTS];
        match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok(found) => {
                self.found = found;
                for (number, event) in self.ready.iter_mut().zip(&events[..found]) {
                    *number = event.data.u64() as u32;
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// After [`Sockets::wait`]: the next datagram that came, its device and its length. `None` when it is time to do
    /// something else; then there may be more.
    pub(crate) fn next(&mut self, buf: &mut [u8]) -> Option<(u32, usize)> {
        while self.at < self.found {
            let number = self.ready[self.at] as usize;
            let (received, batch) = match &mut self.way {
                Way::Each { sockets, .. } => {
                    let received = sockets.get(number)?.read(buf);
                    (received.map(|len| Some((number as u32, len))), 1)
                }
                Way::Net {
                    net,
                    shared,
                    control,
                    ..
                } => {
                    let received = shared.get_mut(number)?.receive(
                        buf,
                        control,
                        self.server,
                        &mut self.overflow,
                    );
                    let group = (number / PORTS) as u32;
                    let device =
                        |(len, local)| Some((net.session(local)? + group * net.addresses(), len));
                    (received.map(|datagram| datagram.and_then(device)), BATCH)
                }
            };
            self.taken += 1;
            if received.is_err() || self.taken >= batch {
                (self.at, self.taken) = (self.at + 1, 0);
            }
            match received {
                Ok(Some(datagram)) => return Some(datagram),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.refused += 1,
                // A stranger's, or nothing more.
                Ok(None) | Err(_) => {}
            }
        }
        None
    }

    /// Stops listening to what the network says of a server that is there: reports that nobody takes fill a buffer.
    pub(crate) fn ignore_refusals(&self) {
        if let Way::Net { shared, .. } = &self.way {
            for shared in shared {
                let _ = setsockopt(&shared.socket, sockopt::Ipv4RecvErr, &false);
            }
        }
    }
}

impl Shared {
    /// The length of a datagram of the server's and the address that it was sent to; `Ok(None)` for a stranger's.
    fn receive(
        &mut self,
        buf: &mut [u8],
        control: &mut [u8],
        server: SocketAddr,
        overflow: &mut u64,
    ) -> io::Result<Option<(usize, Ipv4Addr)>> {
        let mut parts = [IoSliceMut::new(buf)];
        let message = recvmsg::<SockaddrIn>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(control),
            MsgFlags::empty(),
        )?;
        let mut local = None;
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    local = Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()));
                }
                ControlMessageOwned::RxqOvfl(total) => {
                    *overflow += u64::from(total.wrapping_sub(self.overflow));
                    self.overflow = total;
                }
                _ => {}
            }
        }
        let is_server = message.address.is_some_and(|from| {
            from.len() > 0 && SocketAddr::from((from.ip(), from.port())) == server
        });
        Ok(local
            .filter(|_| is_server)
            .map(|local| (message.bytes, local)))
    }
}

/// A control message that says which source address a datagram has (`ip(7)`, `IP_PKTINFO`), as the kernel reads it.
struct PacketInfo([u8; Self::LEN]);

impl PacketInfo {
    const HEADER: usize = (size_of::<libc::cmsghdr>()).next_multiple_of(size_of::<usize>());
    const LEN: usize =
        (Self::HEADER + size_of::<libc::in_pktinfo>()).next_multiple_of(size_of::<usize>());
    /// Behind the number of the interface.
    const SOURCE: usize = Self::HEADER + size_of::<libc::c_int>();

    fn new() -> Self {
        let mut bytes = [0; Self::LEN];
        let len = Self::HEADER + size_of::<libc::in_pktinfo>();
        let level = size_of::<usize>();
        bytes[..level].copy_from_slice(&len.to_ne_bytes());
        bytes[level..level + 4].copy_from_slice(&libc::IPPROTO_IP.to_ne_bytes());
        bytes[level + 4..level + 8].copy_from_slice(&libc::IP_PKTINFO.to_ne_bytes());
        Self(bytes)
    }

    fn set_source(&mut self, source: Ipv4Addr) {
        self.0[Self::SOURCE..Self::SOURCE + 4].copy_from_slice(&source.octets());
    }
}

fn listen(epoll: &OwnedFd, socket: &Socket, number: usize) -> io::Result<()> {
    let data = EventData::new_u64(number as u64);
    Ok(epoll::add(epoll, socket, data, EventFlags::IN)?)
}

fn connected(bind: SocketAddr, server: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, Some(Protocol::UDP))?;
    let _ = socket.set_recv_buffer_size(OWN_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&bind.into())?;
    socket.connect(server)?;
    Ok(socket)
}

fn wildcard() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    let _ = socket.set_recv_buffer_size(SHARED_BUFFER);
    let _ = socket.set_send_buffer_size(SHARED_BUFFER);
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
    setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    socket.bind(&any.into())?;
    Ok(socket)
}

/// Asks for all descriptors that we may have; how many that is, if it is known.
fn raise_descriptor_limit() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_err() {
        return Some(soft);
    }
    Some(hard)
}

/// How many devices can have a socket each.
pub fn most_sockets() -> u64 {
    raise_descriptor_limit().map_or(u64::MAX, |limit| limit.saturating_sub(16))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn server() -> UdpSocket {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        server
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        server
    }

    fn next(sockets: &mut Sockets) -> (u32, Vec<u8>) {
        let mut buf = [0; 64];
        for _ in 0..50 {
            sockets.wait(Duration::from_millis(100)).unwrap();
            if let Some((n, len)) = sockets.next(&mut buf) {
                return (n, buf[..len].to_vec());
            }
        }
        panic!("nothing came");
    }

    #[test]
    fn devices_of_a_net_have_addresses_of_their_own_and_are_told_apart() {
        let server = server();
        let net: SourceNet = "127.77.0.0/29".parse().unwrap();
        let mut sockets = Sockets::new(server.local_addr().unwrap(), Sources::Net(net)).unwrap();
        // Two more than there are addresses.
        sockets.open(8).unwrap();
        let mut seen = Vec::new();
        for n in 0..8 {
            sockets.send(n, 0, &[n as u8]).unwrap();
            let mut buf = [0; 8];
            let (_, from) = server.recv_from(&mut buf).unwrap();
            assert_eq!(from.ip(), IpAddr::from(net.address(n)));
            assert!(!seen.contains(&from));
            seen.push(from);
        }
        for n in [6, 0, 5, 7] {
            server.send_to(&[n as u8], seen[n]).unwrap();
            assert_eq!(next(&mut sockets), (n as u32, vec![n as u8]));
        }
        // From another port, still the same device.
        let port = sockets.rebind(7, 0).unwrap();
        sockets.send(7, port, b"x").unwrap();
        let (_, moved) = server.recv_from(&mut [0; 8]).unwrap();
        assert_eq!(moved.ip(), seen[7].ip());
        assert_ne!(moved.port(), seen[7].port());
        server.send_to(b"y", moved).unwrap();
        assert_eq!(next(&mut sockets), (7, b"y".to_vec()));
    }

    #[test]
    fn strangers_are_not_heard() {
        let (server, stranger) = (server(), server());
        let net: SourceNet = "127.77.0.0/29".parse().unwrap();
        let mut sockets = Sockets::new(server.local_addr().unwrap(), Sources::Net(net)).unwrap();
        sockets.open(1).unwrap();
        sockets.send(0, 0, b"x").unwrap();
        let (_, from) = server.recv_from(&mut [0; 8]).unwrap();
        stranger.send_to(b"no", from).unwrap();
        server.send_to(b"yes", from).unwrap();
        assert_eq!(next(&mut sockets), (0, b"yes".to_vec()));
    }

    #[test]
    fn a_socket_each_moves_to_another_port() {
        let server = server();
        let mut sockets =
            Sockets::new(server.local_addr().unwrap(), Sources::Sockets(None)).unwrap();
        sockets.open(3).unwrap();
        sockets.send(2, 0, b"x").unwrap();
        let (_, before) = server.recv_from(&mut [0; 8]).unwrap();
        let port = sockets.rebind(2, 0).unwrap();
        sockets.send(2, port, b"x").unwrap();
        let (_, after) = server.recv_from(&mut [0; 8]).unwrap();
        assert_ne!(before, after);
        server.send_to(b"y", after).unwrap();
        assert_eq!(next(&mut sockets), (2, b"y".to_vec()));
    }

    #[test]
    fn a_port_that_nobody_listens_on_is_noticed() {
        let address = server().local_addr().unwrap();
        for sources in [
            Sources::Sockets(None),
            Sources::Net("127.77.0.0/29".parse().unwrap()),
        ] {
            let mut sockets = Sockets::new(address, sources).unwrap();
            sockets.open(1).unwrap();
            sockets.send(0, 0, b"x").unwrap();
            for _ in 0..50 {
                sockets.wait(Duration::from_millis(20)).unwrap();
                let _ = sockets.next(&mut [0; 8]);
                if sockets.refused > 0 {
                    break;
                }
            }
            assert_eq!(sockets.refused, 1, "{sources:?}");
        }
    }
}
