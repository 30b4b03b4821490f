//! A simulator of many DTLS devices, to find out what a server can take.
//!
//! A [`Fleet`] is a number of devices with one server: 10 or 1,000,000, all in the thread that calls it. It connects them,
//! with a bound on handshakes at a time, and then runs phases of traffic on them, one after the other, each with its
//! figures; in between it can be grown.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use lockgate_load::{Fleet, FleetOptions, Key, Keys, Pace, Pattern, Phase, SourceNet, Sources};
//!
//! let keys = Keys::One { identity: "device-{n}".into(), key: Key::new(b"secret".into()) };
//! let mut fleet = Fleet::new(FleetOptions {
//!     sources: Sources::Net(SourceNet::LOOPBACK),
//!     ..FleetOptions::new("127.0.0.1:5684".parse().unwrap(), keys)
//! })?;
//! let mut watch = |_: &_| ControlFlow::Continue(());
//! let handshakes = fleet.connect(10_000, Pace { at_once: 500, per_second: None }, &mut watch)?;
//! println!("{} of {} connected", handshakes.completed, handshakes.wanted);
//! let phase = Phase { pattern: Pattern::Paced { per_second: 5000.0 }, ..Phase::default() };
//! let seen = fleet.run(&phase, &mut watch)?;
//! println!("{} lost, p99 {:?}", seen.lost, seen.round_trip_us.quantile(0.99));
//! fleet.connect(100_000, Pace::default(), &mut watch)?; // 90,000 more
//! let alive = fleet.probe(phase.lost_after, &mut watch)?;
//! println!("{} of {} sessions answer", alive.answered, alive.asked);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It drives any server of DTLS 1.2 that echoes, answers or only listens ([`Expect`]). What it costs is kept low, because
//! it often shares its cores with the server that it measures: nothing is allocated for a datagram, and a session takes
//! some 540 bytes beside its keys.
#![forbid(unsafe_code)]

mod coap;
mod connecting;
mod exchange;
mod figures;
mod fleet;
mod keys;
mod net;
mod phase;
mod probe;
mod random;
mod sockets;
mod turn;
mod wheel;

pub use coap::CoapGet;
pub use connecting::Pace;
pub use figures::{Exchanged, Handshakes, Probed, Reasons, Stormed, Times};
pub use fleet::{Agreed, Fleet, FleetOptions};
pub use keys::{Key, Keys};
pub use lockgate_dtls as dtls;
pub use lockgate_tokio::{Credentials, DropCounters};
pub use net::{NotASourceNet, SourceNet};
pub use phase::{Expect, Pattern, Phase, Sizes};
pub use sockets::{Sources, most_sockets};
pub use turn::{Progress, Watch};
