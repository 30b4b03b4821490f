//! The smallest client: connect, send, receive, close. Its flash over `empty` is the price of DTLS.
#![no_std]
#![no_main]

use image::{Arguments, Network, Packets, Seeded, SessionMemory, WHO, config};
use lockgate_embedded::{Device, Event};
use lockgate_firmware_board as board;
use lockgate_rustcrypto::RustCrypto;

#[board::entry]
fn main() -> ! {
    let arguments = Arguments::read();
    let mut packets = Packets::new();
    let network = Network::start(&mut packets, 0xC001, arguments.port);
    let random = Seeded::new(arguments.seed(), &mut [0; 32]);
    let config = config();
    let mut memory = SessionMemory::new();
    let mut device = Device::new(RustCrypto::new(random), &config, WHO, &mut memory, network);
    let now = device.link().now();
    if device.open(now).is_err() {
        board::exit(false);
    }
    loop {
        let now = device.link().now();
        match device.poll(now) {
            Ok(Some(Event::Opened)) => {
                if device.send(b"report").is_err() {
                    board::exit(false);
                }
            }
            Ok(Some(Event::Data(payload))) => {
                board::print(payload);
                if device.close(now).is_err() {
                    board::exit(false);
                }
            }
            Ok(Some(Event::Closed(_))) => board::exit(true),
            Ok(None) | Err(_) => {
                if now.as_micros() > 30_000_000 {
                    board::exit(false);
                }
            }
        }
    }
}
