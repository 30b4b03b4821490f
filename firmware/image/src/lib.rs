//! What all images share: the network, random numbers, the arguments.
#![no_std]
#![forbid(unsafe_code)]

mod arguments;
mod net;
mod random;

pub use arguments::Arguments;
pub use net::{Network, Packets};
pub use random::Seeded;

use lockgate_dtls::Config;
use lockgate_embedded::{Credentials, Memory};

/// Who the device is.
pub const WHO: Credentials<'static> = Credentials {
    identity: b"sensor-17",
    key: b"secret of sensor",
};

/// The memory of the sessions.
pub type SessionMemory =
    Memory<{ lockgate_firmware_app::DATAGRAM_LEN }, { lockgate_firmware_app::DATAGRAM_LEN }>;

/// The options of the sessions.
pub fn config() -> Config {
    lockgate_firmware_app::config()
}
