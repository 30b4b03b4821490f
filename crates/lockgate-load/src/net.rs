//! Many source addresses from one network: which session has which, and back.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 network whose addresses are all this machine's, so that devices can have one each: 127.0.0.0/8 is such by
/// itself, any other needs a local route (`ip route add local NET dev lo`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceNet {
    network: u32,
    prefix_len: u8,
}

/// Why a text is no [`SourceNet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an IPv4 network such as 127.128.0.0/9")]
pub struct NotASourceNet;

impl SourceNet {
    /// 127.128.0.0/9, which every Linux machine has: 8,388,606 addresses.
    pub const LOOPBACK: Self = Self {
        network: 0x7f80_0000,
        prefix_len: 9,
    };

    /// How many sessions get an address of their own. The network's first and last address are left out.
    pub const fn addresses(self) -> u32 {
        match self.prefix_len {
            32 => 1,
            31 => 2,
            len => (1 << (32 - len)) - 2,
        }
    }

    /// The first address that is given out.
    const fn first(self) -> u32 {
        self.network + (self.prefix_len < 31) as u32
    }

    /// The address of session `n`; beyond [`SourceNet::addresses`] they are used again.
    pub(crate) const fn address(self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first() + n % self.addresses())
    }

    /// The first session with this address.
    pub(crate) fn session(self, address: Ipv4Addr) -> Option<u32> {
        let n = address.to_bits().checked_sub(self.first())?;
        (n < self.addresses()).then_some(n)
    }
}

impl FromStr for SourceNet {
    type Err = NotASourceNet;

    fn from_str(text: &str) -> Result<Self, NotASourceNet> {
        let (address, len) = text.split_once('/').ok_or(NotASourceNet)?;
        let address: Ipv4Addr = address.parse().map_err(|_| NotASourceNet)?;
        let prefix_len: u8 = len.parse().map_err(|_| NotASourceNet)?;
        if !(1..=32).contains(&prefix_len) {
            return Err(NotASourceNet);
        }
        let mask = u32::MAX << (32 - prefix_len);
        Ok(Self {
            network: address.to_bits() & mask,
            prefix_len,
        })
    }
}

impl fmt::Display for SourceNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}",
            Ipv4Addr::from_bits(self.network),
            self.prefix_len
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_session_has_its_address_and_is_found_by_it() {
        let net: SourceNet = "127.16.3.9/12".parse().unwrap();
        assert_eq!(net.to_string(), "127.16.0.0/12");
        assert_eq!(net.addresses(), (1 << 20) - 2);
        assert_eq!(net.address(0), Ipv4Addr::new(127, 16, 0, 1));
        for n in [0, 1, 254, 255, 256, 65_535, (1 << 20) - 3] {
            assert_eq!(net.session(net.address(n)), Some(n), "{n}");
        }
        assert_eq!(net.address((1 << 20) - 2), net.address(0));
        assert_eq!(net.session(Ipv4Addr::new(127, 16, 0, 0)), None);
        assert_eq!(net.session(Ipv4Addr::new(127, 31, 255, 255)), None);
        assert_eq!(net.session(Ipv4Addr::new(127, 32, 0, 0)), None);
        assert_eq!(SourceNet::LOOPBACK.to_string(), "127.128.0.0/9");
        assert_eq!(SourceNet::LOOPBACK.addresses(), 8_388_606);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "127.0.0.1",
            "127.0.0.0/0",
            "127.0.0.0/33",
            "::1/64",
            "x/8",
            "",
        ] {
            assert!(text.parse::<SourceNet>().is_err(), "{text}");
        }
        let one: SourceNet = "10.1.2.3/32".parse().unwrap();
        assert_eq!(one.addresses(), 1);
        assert_eq!(one.address(7), Ipv4Addr::new(10, 1, 2, 3));
    }
}
