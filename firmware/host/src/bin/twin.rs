//! The example application on a desktop: what the bare-metal image runs, over a socket of the operating system.
//!
//! ```text
//! twin 127.0.0.1:5684
//! ```
//!
//! Sleep drops everything but an array of bytes, and waking up binds another port.

use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant as StdInstant};

use lockgate_dtls::Instant;
use lockgate_dtls::crypto::AeadAlgorithm;
use lockgate_dtls::export::ExportKey;
use lockgate_embedded::{Credentials, Device, Link, LinkError, Memory};
use lockgate_firmware_app::{App, Console, DATAGRAM_LEN, Next, RETENTION_LEN, config};
use lockgate_rustcrypto::{OsRandom, RustCrypto};

const WHO: Credentials<'static> = Credentials {
    identity: b"sensor-17",
    key: b"secret of sensor",
};

/// A socket connected to the proxy.
struct Socket(UdpSocket);

impl Link for Socket {
    type Error = io::Error;

    fn send(&mut self, datagram: &[u8]) -> Result<(), LinkError<io::Error>> {
        match self.0.send(datagram) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(LinkError::Busy),
            Err(error) => Err(LinkError::Failed(error)),
        }
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, LinkError<io::Error>> {
        match self.0.recv(buffer) {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(LinkError::Failed(error)),
        }
    }
}

struct Stdout;

impl Console for Stdout {
    fn line(&mut self, text: &[u8]) {
        println!("{}", text.escape_ascii());
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let peer = std::env::args().nth(1).ok_or("usage: twin ADDRESS:PORT")?;
    let mut retention = [0; RETENTION_LEN];
    let start = StdInstant::now();
    loop {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(&peer)?;
        socket.set_nonblocking(true)?;
        if !one_life(socket, &mut retention, start)? {
            return Ok(());
        }
    }
}

/// From waking up to falling asleep, which gives `true`, or to the end.
fn one_life(
    socket: UdpSocket,
    retention: &mut [u8; RETENTION_LEN],
    start: StdInstant,
) -> Result<bool, Box<dyn std::error::Error>> {
    let now =
        || Instant::from_micros(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
    let config = config();
    let mut memory = Memory::<DATAGRAM_LEN, DATAGRAM_LEN>::new();
    let device = Device::new(
        RustCrypto::new(OsRandom),
        &config,
        WHO,
        &mut memory,
        Socket(socket),
    );
    let key = ExportKey::new(AeadAlgorithm::Aes128Ccm, b"a key in a file.").ok_or("16 bytes")?;
    let mut app = App::new(device, retention, key);
    app.start(now(), &mut Stdout);
    loop {
        match app.step(now(), &mut Stdout) {
            Next::Wait(until) => {
                let wait = until.saturating_since(now());
                std::thread::sleep(wait.min(Duration::from_millis(2)));
            }
            Next::Sleep => return Ok(true),
            Next::Done => return Ok(false),
        }
    }
}
