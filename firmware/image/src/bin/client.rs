//! `image::client` with a pre-shared key.
#![no_std]
#![no_main]

use lockgate_firmware_board as board;

#[board::entry]
fn main() -> ! {
    image::client()
}
