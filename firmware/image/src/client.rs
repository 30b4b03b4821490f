//! The smallest client: connect, send, receive, close. Its flash over `empty` is the price of DTLS.

use crate::{Arguments, Network, Packets, Seeded, SessionMemory, WHO, config};
use lockgate_embedded::{Device, Event};
use lockgate_firmware_board as board;
use lockgate_rustcrypto::RustCrypto;
#[cfg(feature = "webpki")]
use lockgate_webpki::CertificateDer;

/// Runs it.
pub fn client() -> ! {
    let arguments = Arguments::read();
    let mut packets = Packets::new();
    let network = Network::start(&mut packets, 0xC001, arguments.port);
    let random = Seeded::new(arguments.seed(), &mut [0; 32]);
    let config = config();
    let mut memory = SessionMemory::new();
    #[cfg_attr(
        feature = "certificates",
        expect(unused_mut, reason = "made again below")
    )]
    let mut device = Device::new(RustCrypto::new(random), &config, WHO, &mut memory, network);
    #[cfg(feature = "certificates")]
    let proof = crate::Proof::new();
    #[cfg(feature = "webpki")]
    let certificate = CertificateDer::from_slice(crate::proof::AUTHORITY);
    #[cfg(feature = "webpki")]
    let anchors = crate::proof::anchor(&certificate);
    #[cfg(feature = "webpki")]
    let check = crate::proof::server_check(&anchors);
    #[cfg(all(feature = "certificates", not(feature = "webpki")))]
    let mut device = device.with_public_keys(proof.public_keys());
    #[cfg(feature = "webpki")]
    let mut device = device.with_public_keys(proof.public_keys(&check));
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
