//! One socket per peer: bound to the address of the listening socket, connected to the peer, so that the kernel tells
//! the peers apart and each has a descriptor of its own.
//!
//! A new socket is bound before it is connected, and in between it takes the datagrams of every peer that has no
//! connected socket. None is lost: a datagram is handed to the engine as from where it came, whatever socket it came
//! by, and connecting leaves in the queue what stands there. What belongs to another worker is passed on
//! ([`steer`](crate::steer)).
//!
//! The sockets are not tokio's: as with the gateway's way to its backends, one epoll instance names those that have
//! something, and an idle peer costs a descriptor and no registration.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::event::{Timespec, epoll};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::{Path, path_error};

/// How many sockets are named at once.
pub(crate) const BATCH: usize = 64;

struct Peer {
    socket: Arc<UdpSocket>,
    path: Path,
    /// How many connections use it: one address can have several that are told apart by connection IDs.
    users: u32,
}

/// The sockets of a driver's peers.
pub(crate) struct Peers {
    epoll: AsyncFd<OwnedFd>,
    by_path: HashMap<Path, usize>,
    slots: Vec<Option<Peer>>,
    free: Vec<usize>,
}

impl Peers {
    /// Must be called within a tokio runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        #[allow(
            deprecated,
            reason = "tokio's successor is unsafe because not every AsRawFd owns its descriptor; an OwnedFd does"
        )]
        let epoll = AsyncFd::with_interest(epoll, Interest::READABLE)?;
        Ok(Self {
            epoll,
            by_path: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
        })
    }

    /// How many sockets there are.
    pub(crate) fn len(&self) -> usize {
        self.by_path.len()
    }

    /// The socket of the peer on `path`, if it has one.
    pub(crate) fn get(&self, path: &Path) -> Option<&Arc<UdpSocket>> {
        let index = *self.by_path.get(path)?;
        Some(&self.slots.get(index)?.as_ref()?.socket)
    }

    /// Gives the peer on `path` a socket beside `listening`, or another user to the one it has.
    pub(crate) fn open(&mut self, listening: SocketAddr, path: Path) -> io::Result<()> {
        if let Some(peer) = self
            .by_path
            .get(&path)
            .and_then(|&index| self.slots[index].as_mut())
        {
            peer.users += 1;
            return Ok(());
        }
        self.adopt(bind_beside(listening, &path)?, path)
    }

    /// Connects a socket to its peer, and serves it from now on.
    fn adopt(&mut self, socket: UdpSocket, path: Path) -> io::Result<()> {
        SockRef::from(&socket).connect(&path.remote().into())?;
        let index = self.free.last().copied().unwrap_or(self.slots.len());
        let data = epoll::EventData::new_u64(index as u64);
        // Level-triggered: what one turn leaves is named again, so that no peer can keep the others waiting.
        epoll::add(self.epoll.get_ref(), &socket, data, epoll::EventFlags::IN)?;
        if self.free.pop().is_none() {
            self.slots.push(None);
        }
        self.slots[index] = Some(Peer {
            socket: Arc::new(socket),
            path,
            users: 1,
        });
        self.by_path.insert(path, index);
        Ok(())
    }

    /// One connection less uses the socket of the peer on `path`; the last one closes it.
    pub(crate) fn close(&mut self, path: &Path) {
        let Some(&index) = self.by_path.get(path) else {
            return;
        };
        let last = self.slots[index].as_mut().is_none_or(|peer| {
            peer.users -= 1;
            peer.users == 0
        });
        if last {
            self.by_path.remove(path);
            if let Some(peer) = self.slots[index].take() {
                // The application may hold the descriptor longer than we do.
                let _ = epoll::delete(self.epoll.get_ref(), &*peer.socket);
            }
            self.free.push(index);
        }
    }

    /// The peer on `from` is now on `to`. Where it can, it keeps its descriptor, which is connected again.
    pub(crate) fn move_to(
        &mut self,
        listening: SocketAddr,
        from: &Path,
        to: Path,
    ) -> io::Result<()> {
        let same_socket = from.socket() == to.socket() && from.local() == to.local();
        if let Some(&index) = self.by_path.get(from)
            && same_socket
            && !self.by_path.contains_key(&to)
            && let Some(peer) = self.slots[index].as_mut()
            && peer.users == 1
            && SockRef::from(&*peer.socket)
                .connect(&to.remote().into())
                .is_ok()
        {
            peer.path = to;
            self.by_path.remove(from);
            self.by_path.insert(to, index);
            return Ok(());
        }
        self.close(from);
        self.open(listening, to)
    }

    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.epoll.poll_read_ready(cx).map(|_| ())
    }

    /// Which sockets have something, a bounded number of them; returns how many.
    pub(crate) fn ready(&self, set: &mut [usize; BATCH]) -> usize {
        // Not kept: an event may hold a pointer, which no other thread may have.
        let mut space = [const { MaybeUninit::uninit() }; BATCH];
        let waited = self.epoll.try_io(Interest::READABLE, |epoll| {
            let (events, _) = epoll::wait(epoll, &mut space, Some(&Timespec::default()))?;
            for (place, event) in set.iter_mut().zip(events.iter()) {
                // Copied out first: the kernel packs this structure.
                let data = event.data;
                *place = data.u64() as usize;
            }
            match events.len() {
                // Then, and only then, tokio has to wait for the next edge.
                0 => Err(io::ErrorKind::WouldBlock.into()),
                n => Ok(n),
            }
        });
        // Any other error than "nothing there" is an interrupted call; it will be ready again.
        waited.unwrap_or_default()
    }

    /// The socket that was named by [`Peers::ready`], and its peer's path; `None` when it was closed since.
    pub(crate) fn at(&self, index: usize) -> Option<(Arc<UdpSocket>, Path)> {
        let peer = self.slots.get(index)?.as_ref()?;
        Some((Arc::clone(&peer.socket), peer.path))
    }
}

/// A socket at the address of ours that the peer speaks to.
fn bind_beside(listening: SocketAddr, path: &Path) -> io::Result<UdpSocket> {
    let remote = path.remote();
    let socket = Socket::new(
        Domain::for_address(listening),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    path_error::watch(&socket, listening.is_ipv6())?;
    let mut local = listening;
    if let Some(ip) = path.local() {
        local.set_ip(ip);
    }
    if let (SocketAddr::V6(local), SocketAddr::V6(remote), IpAddr::V6(ip)) =
        (&mut local, remote, path.local().unwrap_or(listening.ip()))
        && ip.is_unicast_link_local()
    {
        local.set_scope_id(remote.scope_id());
    }
    socket.bind(&local.into())?;
    Ok(socket.into())
}

/// Whether `error` says that there are no descriptors left.
pub(crate) fn out_of_descriptors(error: &io::Error) -> bool {
    let out = [nix::libc::EMFILE, nix::libc::ENFILE];
    error.raw_os_error().is_some_and(|code| out.contains(&code))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lockgate_dtls::{ConnectionHandle, EndpointConfig, Event};

    use super::*;
    use crate::io::PortOptions;
    use crate::socket::{Sharing, bind_with};
    use crate::{Client, ClientOptions, Driver, Io, Service};

    struct Keys;

    impl Service for Keys {
        fn on_application(&mut self, _: &mut Io, _: ConnectionHandle, _: &mut [u8]) {}

        fn on_event(&mut self, io: &mut Io, connection: ConnectionHandle, event: Event) {
            if let Event::PskRequested = event {
                let now = io.now();
                io.endpoint().provide_psk(now, connection, b"key").unwrap();
            }
        }
    }

    /// What comes between bind and connect goes to the new socket, and is served all the same.
    #[tokio::test]
    async fn what_a_new_socket_takes_from_others_is_not_lost() {
        let sharing = Sharing {
            with_peers: true,
            with_workers: false,
        };
        let sockets = bind_with(&[([127, 0, 0, 1], 0).into()], sharing, None).unwrap();
        let listening = sockets[0].local_addr().unwrap();
        let options = PortOptions {
            socket_per_peer: true,
            ..PortOptions::default()
        };
        let config = EndpointConfig::default();
        let mut driver = Driver::with_options(sockets, config, options, Keys).unwrap();

        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let path = Path::new(peer.local_addr().unwrap(), 0);
        let new = bind_beside(listening, &path).unwrap();
        let mut options = ClientOptions::new(b"other", b"key");
        // No second try.
        options.config.initial_timeout = Duration::from_mins(1);
        let other = tokio::spawn(Client::connect(listening, options));
        let stolen = async {
            while new.peek_from(&mut [0; 64]).is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let patience = Duration::from_secs(10);
        tokio::time::timeout(patience, stolen)
            .await
            .expect("the other's hello at the new socket");

        let peers = driver.parts().1.peers.as_mut().unwrap();
        peers.adopt(new, path).unwrap();
        let connected = async {
            tokio::select! {
                () = driver.run() => unreachable!("nothing ends it"),
                other = other => other.unwrap(),
            }
        };
        tokio::time::timeout(patience, connected)
            .await
            .expect("a handshake in time")
            .unwrap();
    }
}
