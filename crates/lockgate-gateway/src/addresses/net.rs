//! A network whose addresses stand for devices.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::str::FromStr;

use super::PoolError;
use std::{fmt, fs};

/// `NET[:PORT]`: a network, and the port that all of its addresses send from.
///
/// `127.64.0.0/10`, `127.64.0.0/10:5000`, `fd12:3456::/64`, `fd12:3456::/64:5000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolNet {
    base: IpAddr,
    length: u8,
    port: u16,
}

/// The longest IPv4 prefix; beyond, no address is left between the first and the last one.
const LONGEST_V4: u8 = 30;
/// The longest IPv6 prefix: 64 bits are left to be derived from an identity.
const LONGEST_V6: u8 = 64;
/// The shortest prefix of either family. The kernel's `127.0.0.0/8` is the largest IPv4 network of use.
const SHORTEST: u8 = 8;

impl PoolNet {
    /// Whether its addresses are derived from identities, without a table.
    pub const fn is_ipv6(&self) -> bool {
        self.base.is_ipv6()
    }

    /// The port, 0 for a free one.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The prefix as a number, and its length.
    pub(super) fn to_bits(self) -> (u128, u8) {
        let bits = match self.base {
            IpAddr::V4(base) => base.to_bits().into(),
            IpAddr::V6(base) => base.to_bits(),
        };
        (bits, self.length)
    }

    /// How many devices fit; an IPv6 network has more than anybody can count.
    pub fn capacity(&self) -> Option<u32> {
        match self.base {
            // Neither the first address nor the last one: to some, these are the network and everybody in it.
            IpAddr::V4(_) => Some((1 << (32 - self.length)) - 2),
            IpAddr::V6(_) => None,
        }
    }

    /// The first address that a device can have.
    pub fn first(&self) -> IpAddr {
        self.address(1)
    }

    /// The address with `host` behind the prefix.
    pub(crate) fn address(&self, host: u64) -> IpAddr {
        match self.base {
            IpAddr::V4(base) => Ipv4Addr::from_bits(base.to_bits() | host as u32).into(),
            IpAddr::V6(base) => Ipv6Addr::from_bits(base.to_bits() | u128::from(host)).into(),
        }
    }

    /// What stands behind the prefix of one of its addresses.
    pub(crate) fn host(&self, address: IpAddr) -> Option<u64> {
        if !self.contains(address) {
            return None;
        }
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                Some(u64::from(address.to_bits() ^ base.to_bits()))
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                u64::try_from(address.to_bits() ^ base.to_bits()).ok()
            }
            _ => None,
        }
    }

    /// Whether `address` lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                (base.to_bits() ^ address.to_bits()) >> (32 - self.length) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                (base.to_bits() ^ address.to_bits()) >> (128 - self.length) == 0
            }
            _ => false,
        }
    }

    /// Whether a server at `backend` can be talked to from its addresses; if not, why.
    pub(crate) fn suits(&self, backend: SocketAddr) -> Result<(), &'static str> {
        if self.base.is_ipv4() != backend.is_ipv4() {
            return Err("the backend's address is of the other family");
        }
        if self.contains(backend.ip()) {
            return Err("the backend's own address lies in it; take a part without that address");
        }
        Ok(())
    }

    /// Whether devices can have its addresses and talk to `backend` from there.
    pub(crate) fn check(&self, backend: SocketAddr) -> Result<(), PoolError> {
        let net = *self;
        self.suits(backend)
            .map_err(|why| PoolError::Backend { net, why })?;
        if !self.is_local() {
            return Err(PoolError::NotLocal { net });
        }
        Ok(())
    }

    /// Whether the kernel takes datagrams to its addresses for ours. Sends nothing.
    fn is_local(&self) -> bool {
        let first = self.first();
        match first {
            IpAddr::V4(_) => UdpSocket::bind((first, 0)).is_ok(),
            // Binding does not look at local routes of networks there.
            IpAddr::V6(first) => fs::read_to_string(IPV6_ROUTES)
                .map_or(true, |routes| has_local_route(&routes, first)),
        }
    }

    /// The network alone, without the port.
    pub fn network(&self) -> impl fmt::Display + use<> {
        Network(self.base, self.length)
    }
}

/// The kernel's IPv6 routes, one on a line.
const IPV6_ROUTES: &str = "/proc/net/ipv6_route";
/// What tells a local one from others: `RTF_LOCAL`.
const LOCAL: u32 = 0x8000_0000;

/// Whether `routes`, the text of the kernel's file, has a local one for `address`.
fn has_local_route(routes: &str, address: Ipv6Addr) -> bool {
    routes.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace();
        let mut hex = |place| u128::from_str_radix(fields.nth(place)?, 16).ok();
        // Destination and length of its prefix; then the source's, the next hop, three counters, and flags.
        let (Some(base), Some(length), Some(flags)) = (hex(0), hex(0), hex(6)) else {
            return false;
        };
        let differ = base ^ address.to_bits();
        let covers = length == 0 || differ.checked_shr(128 - length as u32) == Some(0);
        covers && flags & u128::from(LOCAL) != 0
    })
}

struct Network(IpAddr, u8);

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

impl fmt::Display for PoolNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network().fmt(f)?;
        if self.port != 0 {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl FromStr for PoolNet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected NET[:PORT] such as 127.64.0.0/10 or fd12:3456::/64:5000";
        let (base, rest) = text.split_once('/').ok_or(EXPECTED)?;
        let (length, port) = match rest.split_once(':') {
            None => (rest, 0),
            Some((length, port)) => match port.parse() {
                Ok(port @ 1..) => (length, port),
                _ => return Err("the port is a number from 1 to 65535".into()),
            },
        };
        let base: IpAddr = base.parse().map_err(|_| EXPECTED)?;
        let length: u8 = length.parse().map_err(|_| EXPECTED)?;
        let longest = if base.is_ipv4() {
            LONGEST_V4
        } else {
            LONGEST_V6
        };
        if !(SHORTEST..=longest).contains(&length) {
            return Err(format!(
                "the length of the prefix is {SHORTEST} to {longest}"
            ));
        }
        let unusable = match base {
            IpAddr::V4(base) => base.octets()[0] == 0 || base.octets()[0] >= 224,
            // From ::1 and mapped addresses up to 2000::/3, and what holds on one link or for groups.
            IpAddr::V6(base) => base.segments()[0] == 0 || base.segments()[0] >= 0xFE80,
        };
        if unusable {
            return Err("devices cannot have addresses of that network".into());
        }
        let net = Self { base, length, port };
        let masked = match base {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & (!0 << (32 - length))).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (!0 << (128 - length))).into(),
        };
        if masked != base {
            let network = Network(masked, length);
            return Err(format!("an address in a network; the network is {network}"));
        }
        Ok(net)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> PoolNet {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_with_and_without_a_port() {
        for text in [
            "127.64.0.0/10",
            "127.64.0.0/10:5000",
            "10.0.0.0/8",
            "192.0.2.252/30",
            "fd12:3456::/64",
            "fd12:3456::/48:65535",
        ] {
            assert_eq!(net(text).to_string(), text);
        }
        assert_eq!(net("127.64.0.0/10").port(), 0);
        assert_eq!(net("127.64.0.0/10").capacity(), Some(4_194_302));
        assert_eq!(net("192.0.2.0/30").capacity(), Some(2));
        assert_eq!(net("fd12::/64").capacity(), None);
    }

    #[test]
    fn what_is_no_network_is_said_to_be_none() {
        for (text, said) in [
            ("", "expected NET[:PORT]"),
            ("127.64.0.0", "expected NET[:PORT]"),
            ("localhost/8", "expected NET[:PORT]"),
            ("127.64.0.0/x", "expected NET[:PORT]"),
            ("127.64.0.0/10:", "the port is"),
            ("127.64.0.0/10:0", "the port is"),
            ("127.64.0.0/10:65536", "the port is"),
            ("127.64.0.0/31", "8 to 30"),
            ("127.64.0.0/7", "8 to 30"),
            ("fd12::/65", "8 to 64"),
            ("127.64.0.1/10", "the network is 127.64.0.0/10"),
            ("fd12::1/64", "the network is fd12::/64"),
            ("0.0.0.0/8", "cannot have"),
            ("239.0.0.0/8", "cannot have"),
            ("::/64", "cannot have"),
            ("fe80::/64", "cannot have"),
            ("ff02::/64", "cannot have"),
        ] {
            let error = text.parse::<PoolNet>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn addresses_and_hosts_are_two_sides_of_the_same() {
        let pool = net("127.64.0.0/10");
        let last: IpAddr = "127.127.255.254".parse().unwrap();
        assert_eq!(pool.first(), IpAddr::from([127, 64, 0, 1]));
        assert_eq!(pool.address(4_194_302), last);
        assert_eq!(pool.host(last), Some(4_194_302));
        assert_eq!(pool.host(IpAddr::from([127, 128, 0, 1])), None);
        assert_eq!(pool.host("::1".parse().unwrap()), None);
        let pool = net("fd12::/48");
        let address = pool.address(u64::MAX);
        assert_eq!(address.to_string(), "fd12::ffff:ffff:ffff:ffff");
        assert_eq!(pool.host(address), Some(u64::MAX));
        // Another /64 of the same network.
        assert_eq!(pool.host("fd12:0:0:1::1".parse().unwrap()), None);
    }

    #[test]
    fn a_local_route_is_found_in_the_kernels_list() {
        let zeros = "0".repeat(32);
        let line = |net: &str, flags| {
            format!("{net} {zeros} 00 {zeros} 00000400 00000002 00000000 {flags}       lo\n")
        };
        let routes = line("fd120000000000000000000000000000 40", "80000001")
            + &line("fd130000000000000000000000000000 40", "00000001")
            + &line("00000000000000000000000000000000 00", "00200200")
            + &line("00000000000000000000000000000001 80", "80200001");
        let local = |address: &str| has_local_route(&routes, address.parse().unwrap());
        assert!(local("fd12::1") && local("::1"));
        assert!(!local("fd13::1"), "a route, but not a local one");
        assert!(!local("fd12:0:0:1::1"));
        assert!(!has_local_route("nonsense\n", "::1".parse().unwrap()));
    }

    #[test]
    fn a_backend_in_the_net_or_of_the_other_family_does_not_suit() {
        let at = |text: &str| text.parse().unwrap();
        let pool = net("127.64.0.0/10");
        assert_eq!(pool.suits(at("127.0.0.1:5683")), Ok(()));
        assert!(pool.suits(at("[::1]:5683")).is_err());
        assert!(pool.suits(at("127.64.0.1:5683")).is_err());
    }
}
