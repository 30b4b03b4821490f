//! What all images share: the network, random numbers, the arguments.
#![no_std]
#![forbid(unsafe_code)]

mod arguments;
mod client;
mod measure;
mod net;
#[cfg(feature = "certificates")]
mod proof;
mod random;

pub use arguments::Arguments;
pub use client::client;
pub use measure::measure;
pub use net::{Network, Packets};
#[cfg(feature = "certificates")]
use proof::Proof;
#[cfg(feature = "certificates")]
pub use proof::{SCRATCH, WHO, config};
pub use random::Seeded;

#[cfg(not(feature = "certificates"))]
use lockgate_dtls::Config;
#[cfg(not(feature = "certificates"))]
use lockgate_embedded::Credentials;
use lockgate_embedded::Memory;
#[cfg(not(feature = "certificates"))]
pub use lockgate_embedded::SCRATCH_LEN as SCRATCH;

/// How long each datagram buffer is, in bytes.
pub const DATAGRAM_LEN: usize = if cfg!(feature = "webpki") {
    1200
} else {
    lockgate_firmware_app::DATAGRAM_LEN
};

/// Who the device is.
#[cfg(not(feature = "certificates"))]
pub const WHO: Credentials<'static> = Credentials {
    identity: b"sensor-17",
    key: b"secret of sensor",
};

/// The memory of the sessions.
pub type SessionMemory = Memory<DATAGRAM_LEN, { lockgate_firmware_app::DATAGRAM_LEN }, SCRATCH>;

/// The options of the sessions.
#[cfg(not(feature = "certificates"))]
pub fn config() -> Config {
    lockgate_firmware_app::config()
}
