//! `image::client` with a raw public key of its own, to a server with an X.509 certificate.
#![no_std]
#![no_main]

use lockgate_firmware_board as board;

#[board::entry]
fn main() -> ! {
    image::client()
}
