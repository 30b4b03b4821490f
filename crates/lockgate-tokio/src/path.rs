//! Where a peer is, and by which of our sockets it is reached.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use lockgate_dtls::{Address, MAX_ADDRESS_LEN, UdpPath};

/// A UDP path and the number of the socket that it runs through, as given to [`Driver::new`](crate::Driver::new).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    udp: UdpPath,
    socket: u8,
}

impl Path {
    /// The path to `peer` through socket number `socket`.
    pub fn new(peer: SocketAddr, socket: u8) -> Self {
        Self {
            udp: UdpPath::from(peer),
            socket,
        }
    }

    /// [`Path::new`] to a peer that speaks to our address `local`, where the socket tells it.
    pub fn with_local(peer: SocketAddr, local: Option<IpAddr>, socket: u8) -> Self {
        Self {
            udp: UdpPath::new(peer, local),
            socket,
        }
    }

    /// The peer's address as the socket wants it: IPv4-mapped on a dual-stack socket.
    pub fn remote(&self) -> SocketAddr {
        self.udp.remote()
    }

    /// The address of ours that the peer speaks to, where the socket is bound to several.
    pub fn local(&self) -> Option<IpAddr> {
        self.udp.local()
    }

    /// The peer's address as people want it: IPv4 where it is IPv4.
    pub fn peer(&self) -> SocketAddr {
        let remote = self.udp.remote();
        match remote.ip().to_canonical() {
            IpAddr::V4(v4) => SocketAddr::from((v4, remote.port())),
            IpAddr::V6(_) => remote,
        }
    }

    /// The number of the socket.
    pub const fn socket(&self) -> u8 {
        self.socket
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (socket {})", self.peer(), self.socket)
    }
}

impl Address for Path {
    fn write(&self, out: &mut [u8; MAX_ADDRESS_LEN]) -> usize {
        let len = self.udp.write(out);
        // A path is one byte shorter than the longest address, so this byte is free.
        out[MAX_ADDRESS_LEN - 1] = self.socket;
        debug_assert!(len < MAX_ADDRESS_LEN);
        MAX_ADDRESS_LEN
    }

    fn admission_group(&self) -> u64 {
        self.udp.admission_group()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(path: Path) -> [u8; MAX_ADDRESS_LEN] {
        let mut out = [0; MAX_ADDRESS_LEN];
        assert_eq!(path.write(&mut out), MAX_ADDRESS_LEN);
        out
    }

    #[test]
    fn sockets_part_paths_of_the_same_peer_but_share_its_admission_group() {
        let peer = "192.0.2.1:5684".parse().unwrap();
        let (a, b) = (Path::new(peer, 0), Path::new(peer, 1));
        assert_ne!(a, b);
        assert_ne!(bytes(a), bytes(b));
        assert_eq!(a.admission_group(), b.admission_group());
    }

    #[test]
    fn a_mapped_address_is_kept_for_the_socket_and_shown_as_ipv4() {
        let path = Path::new("[::ffff:192.0.2.1]:5684".parse().unwrap(), 0);
        assert!(path.remote().is_ipv6());
        assert_eq!(path.peer().to_string(), "192.0.2.1:5684");
    }
}
