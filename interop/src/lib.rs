//! Lockgate against other people's DTLS, over real sockets.
//!
//! The tests of this crate start the programs that people have (`openssl s_client`, `gnutls-cli`, `coap-client`, …) and
//! let them talk to `lockgate proxy` as a user would run it. Two ends with the same mistake agree, so these tests are
//! what says that we speak the protocol and not a dialect.
//!
//! - [`Process`]: a program with its input and output at hand, ended when dropped.
//! - [`Proxy`]: `lockgate proxy`, started on a free port, with its log.
//! - [`Echo`]: the plain UDP backend.
//! - [`Relay`]: the network between: loses, repeats, reorders and delays by a seed, changes ports as a NAT does, and
//!   remembers what it saw.
//! - [`ours`]: our own end, with every option of the engine, and [`papers`] for it and for others.
//! - [`table`]: which combinations of peer, suite, credential and link work.
//! - [`peers`]: how each peer is called, and what to do when it is missing.
//!
//! Everything here panics when something does not come in time: that is how a test fails.
#![expect(
    clippy::missing_panics_doc,
    reason = "a library for tests: all of it panics, see above"
)]

mod backend;
pub mod ours;
pub mod papers;
pub mod peers;
mod process;
mod proxy;
mod relay;
pub mod table;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

pub use backend::Echo;
pub use process::Process;
pub use proxy::{IDENTITY, PSK, PSK_HEX, Proxy, lockgate};
pub use relay::{Direction, Link, Relay, Seen};

/// How long anything may take that takes milliseconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A UDP port of the loopback address that nobody has right now.
pub fn free_port() -> SocketAddr {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|socket| socket.local_addr())
        .expect("a free UDP port")
}
