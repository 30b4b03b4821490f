//! `image::client` with raw public keys both ways.
#![no_std]
#![no_main]

use lockgate_firmware_board as board;

#[board::entry]
fn main() -> ! {
    image::client()
}
