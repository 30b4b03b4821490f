//! The example application on the emulated board. Sleep is a reset: nothing but the retention memory outlives it.
#![no_std]
#![no_main]

use image::{Arguments, Network, Packets, Seeded, SessionMemory, WHO, config};
use lockgate_dtls::crypto::AeadAlgorithm;
use lockgate_dtls::export::ExportKey;
use lockgate_embedded::Device;
use lockgate_firmware_app::{App, Console, Next, RETENTION_LEN};
use lockgate_firmware_board as board;
use lockgate_rustcrypto::{RandomSource, RustCrypto};

/// The key that a sleeping session is encrypted under; on a real board it comes from fuses.
const EXPORT_KEY: [u8; 16] = *b"a key in a fuse.";

struct Semihosting;

impl Console for Semihosting {
    fn line(&mut self, text: &[u8]) {
        board::print(text);
        board::print(b"\n");
    }
}

#[board::entry]
fn main() -> ! {
    let arguments = Arguments::read();
    let Some((kept, retention)) = board::Retention::take()
        .and_then(|bytes| bytes.split_first_chunk_mut::<32>())
        .and_then(|(kept, rest)| Some((kept, rest.first_chunk_mut::<RETENTION_LEN>()?)))
    else {
        board::exit(false)
    };
    let mut random = Seeded::new(arguments.seed(), kept);
    // Another port at each start, so that the emulator's address translation takes another one too.
    let mut port = [0; 2];
    let Ok(()) = random.fill(&mut port) else {
        board::exit(false)
    };
    let mut packets = Packets::new();
    let network = Network::start(
        &mut packets,
        u16::from_be_bytes(port) | 0xC000,
        arguments.port,
    );

    let config = config();
    let mut memory = SessionMemory::new();
    let device = Device::new(RustCrypto::new(random), &config, WHO, &mut memory, network);
    let Some(key) = ExportKey::new(AeadAlgorithm::Aes128Ccm, &EXPORT_KEY) else {
        board::exit(false)
    };
    let mut app = App::new(device, retention, key);
    let now = app.link().now();
    app.start(now, &mut Semihosting);
    loop {
        let now = app.link().now();
        match app.step(now, &mut Semihosting) {
            Next::Wait(_) => {}
            Next::Sleep => board::reset(),
            Next::Done => board::exit(true),
        }
    }
}
