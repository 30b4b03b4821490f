//! Where a peer is: the engine owns no socket, so an address is whatever the caller's links use.

use core::fmt::Debug;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Longest form of an address that a cookie binds, in bytes.
pub const MAX_ADDRESS_LEN: usize = 40;

/// The address of a peer on some link, as small as the link allows: every session keeps one.
pub trait Address: Copy + Eq + Debug {
    /// Writes the bytes that tell this address from every other, for cookies and tables, and returns how many. What
    /// tells most peers apart comes first: tables hash the first 24 bytes.
    fn write(&self, out: &mut [u8; MAX_ADDRESS_LEN]) -> usize;

    /// The group whose half-open handshakes are capped together: one IPv4 address, or one IPv6 /64.
    fn admission_group(&self) -> u64;
}

/// The two ends of a UDP path: the peer's address, and ours where the socket tells it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UdpPath {
    remote: [u8; 16],
    local: [u8; 16],
    scope_id: u32,
    port: u16,
    flags: u8,
}

impl UdpPath {
    const REMOTE_V4: u8 = 1;
    const LOCAL_V4: u8 = 2;
    const LOCAL_KNOWN: u8 = 4;

    /// A path to `remote`, from `local` where it is known. IPv4-mapped IPv6 addresses count as what they are written
    /// as, so that an answer leaves by the same socket.
    pub fn new(remote: SocketAddr, local: Option<IpAddr>) -> Self {
        let mut flags = 0;
        let remote_bytes = match remote.ip() {
            IpAddr::V4(v4) => {
                flags |= Self::REMOTE_V4;
                v4_bytes(v4)
            }
            IpAddr::V6(v6) => v6.octets(),
        };
        let local_bytes = match local {
            Some(IpAddr::V4(v4)) => {
                flags |= Self::LOCAL_V4 | Self::LOCAL_KNOWN;
                v4_bytes(v4)
            }
            Some(IpAddr::V6(v6)) => {
                flags |= Self::LOCAL_KNOWN;
                v6.octets()
            }
            None => [0; 16],
        };
        let scope_id = match remote {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        Self {
            remote: remote_bytes,
            local: local_bytes,
            scope_id,
            port: remote.port(),
            flags,
        }
    }

    /// The peer's address.
    pub fn remote(&self) -> SocketAddr {
        if self.flags & Self::REMOTE_V4 != 0 {
            SocketAddr::V4(SocketAddrV4::new(bytes_v4(self.remote), self.port))
        } else {
            SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(self.remote),
                self.port,
                0,
                self.scope_id,
            ))
        }
    }

    /// Our own address, where it is known.
    pub fn local(&self) -> Option<IpAddr> {
        if self.flags & Self::LOCAL_KNOWN == 0 {
            None
        } else if self.flags & Self::LOCAL_V4 != 0 {
            Some(IpAddr::V4(bytes_v4(self.local)))
        } else {
            Some(IpAddr::V6(Ipv6Addr::from(self.local)))
        }
    }
}

impl Debug for UdpPath {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.local() {
            Some(local) => write!(f, "{} via {local}", self.remote()),
            None => write!(f, "{}", self.remote()),
        }
    }
}

impl From<SocketAddr> for UdpPath {
    fn from(remote: SocketAddr) -> Self {
        Self::new(remote, None)
    }
}

impl Address for UdpPath {
    fn write(&self, out: &mut [u8; MAX_ADDRESS_LEN]) -> usize {
        out[..16].copy_from_slice(&self.remote);
        out[16..18].copy_from_slice(&self.port.to_be_bytes());
        out[18..22].copy_from_slice(&self.scope_id.to_be_bytes());
        out[22] = self.flags;
        out[23..39].copy_from_slice(&self.local);
        39
    }

    fn admission_group(&self) -> u64 {
        let mut group = [0; 8];
        if self.flags & Self::REMOTE_V4 != 0 {
            // As a /64 this would lie in 0000::/8, which is reserved: an IPv4 group never meets an IPv6 one.
            group[2..4].copy_from_slice(&[0xff; 2]);
            group[4..].copy_from_slice(&self.remote[12..]);
        } else if let Some(v4) = Ipv6Addr::from(self.remote).to_ipv4_mapped() {
            return Self::new(SocketAddr::from((v4, 0)), None).admission_group();
        } else {
            group.copy_from_slice(&self.remote[..8]);
        }
        u64::from_be_bytes(group)
    }
}

fn v4_bytes(v4: Ipv4Addr) -> [u8; 16] {
    v4.to_ipv6_mapped().octets()
}

fn bytes_v4(bytes: [u8; 16]) -> Ipv4Addr {
    Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15])
}
