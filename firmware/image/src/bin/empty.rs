//! What `firmware/size` subtracts: the same board, network and console, and no DTLS.
#![no_std]
#![no_main]

use image::{Arguments, Network, Packets};
use lockgate_embedded::Link;
use lockgate_firmware_board as board;

#[board::entry]
fn main() -> ! {
    let arguments = Arguments::read();
    let mut packets = Packets::new();
    let mut network = Network::start(&mut packets, 0xC001, arguments.port);
    let mut buffer = [0; lockgate_firmware_app::DATAGRAM_LEN];
    if network.send(b"report").is_err() {
        board::exit(false);
    }
    loop {
        if network.now().as_micros() > 30_000_000 {
            board::exit(false);
        }
        if let Ok(Some(len)) = network.recv(&mut buffer) {
            board::print(&buffer[..len]);
            board::exit(true);
        }
    }
}
