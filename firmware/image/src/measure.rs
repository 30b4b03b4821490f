//! Measures a handshake and a report: the deepest stack and the instructions of each call into the engine, and the
//! sizes of what stays in memory. Frames wait outside of what is measured.

use core::convert::Infallible;
use core::mem::size_of;

use crate::{
    Arguments, DATAGRAM_LEN, Network, Packets, SCRATCH, Seeded, SessionMemory, WHO, config,
};
use lockgate_dtls::{Association, Connection};
use lockgate_embedded::{Event, Link, LinkError, Session};
use lockgate_firmware_app::Text;
use lockgate_firmware_board as board;
use lockgate_rustcrypto::{AeadKey, RustCrypto};
#[cfg(feature = "webpki")]
use lockgate_webpki::CertificateDer;

/// Frames on their way between the network and the engine. They are filled in place, so that they do not count as the
/// engine's stack.
struct Exchange {
    received: Frame,
    to_send: [Frame; 8],
}

struct Frame {
    bytes: [u8; DATAGRAM_LEN],
    /// 0 when there is none.
    len: usize,
}

impl Frame {
    const NONE: Self = Self {
        bytes: [0; DATAGRAM_LEN],
        len: 0,
    };

    fn fill(&mut self, bytes: &[u8]) {
        self.len = bytes.len().min(DATAGRAM_LEN);
        for (to, from) in self.bytes.iter_mut().zip(bytes) {
            *to = *from;
        }
    }
}

impl Link for Exchange {
    type Error = Infallible;

    fn send(&mut self, datagram: &[u8]) -> Result<(), LinkError<Infallible>> {
        let free = self.to_send.iter_mut().find(|frame| frame.len == 0);
        free.ok_or(LinkError::Busy)?.fill(datagram);
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, LinkError<Infallible>> {
        let len = core::mem::take(&mut self.received.len);
        for (to, from) in buffer.iter_mut().zip(&self.received.bytes[..len]) {
            *to = *from;
        }
        Ok((len > 0).then_some(len))
    }
}

fn show(name: &[u8], value: usize) {
    board::print(
        Text::new()
            .push(name)
            .push(b"=")
            .number(value as u32)
            .push(b"\n")
            .as_slice(),
    );
}

/// What was measured so far.
#[derive(Default)]
struct Worst {
    stack: usize,
    ticks: u64,
}

impl Worst {
    fn run<T>(&mut self, network: &mut Network<'_>, work: impl FnOnce() -> T) -> T {
        // The clock is read inside, so that painting takes no time.
        let mut before = 0;
        let mut after = 0;
        let ((), stack);
        let mut result = None;
        ((), stack) = board::high_water_mark(|| {
            before = network.clock().ticks();
            result = Some(work());
            after = network.clock().ticks();
        });
        self.stack = self.stack.max(stack);
        self.ticks += after - before;
        match result {
            Some(result) => result,
            None => board::exit(false),
        }
    }
}

/// Runs it.
pub fn measure() -> ! {
    let arguments = Arguments::read();
    let mut packets = Packets::new();
    let mut network = Network::start(&mut packets, 0xC001, arguments.port);
    let random = Seeded::new(arguments.seed(), &mut [0; 32]);
    let config = config();
    let mut memory = SessionMemory::new();
    let (scratch, mut buffers) = memory.split();
    #[cfg_attr(
        feature = "certificates",
        expect(unused_mut, reason = "made again below")
    )]
    let mut session = Session::new(RustCrypto::new(random), &config, WHO, scratch);
    #[cfg(feature = "certificates")]
    let proof = crate::Proof::new();
    #[cfg(feature = "webpki")]
    let certificate = CertificateDer::from_slice(crate::proof::AUTHORITY);
    #[cfg(feature = "webpki")]
    let anchors = crate::proof::anchor(&certificate);
    #[cfg(feature = "webpki")]
    let check = crate::proof::server_check(&anchors);
    #[cfg(all(feature = "certificates", not(feature = "webpki")))]
    let mut session = session.with_public_keys(proof.public_keys());
    #[cfg(feature = "webpki")]
    let mut session = session.with_public_keys(proof.public_keys(&check));
    let mut link = Exchange {
        received: Frame::NONE,
        to_send: [const { Frame::NONE }; 8],
    };
    let mut handshake = Worst::default();
    let mut report = Worst::default();

    let now = network.now();
    if handshake
        .run(&mut network, || {
            session.open::<Infallible>(now, &mut buffers)
        })
        .is_err()
    {
        board::exit(false);
    }
    let mut frame = [0; DATAGRAM_LEN];
    let mut opened = false;
    let mut first = true;
    loop {
        let now = network.now();
        if let Ok(Some(len)) = network.recv(&mut frame) {
            link.received.fill(&frame[..len]);
        }
        let part = if opened { &mut report } else { &mut handshake };
        let due = session.deadline().is_some_and(|at| at <= now);
        if link.received.len > 0 || due || first {
            first = false;
            let event = part.run(&mut network, || session.poll(now, &mut link, &mut buffers));
            match event {
                Ok(Some(Event::Opened)) => {
                    opened = true;
                    let sent = report.run(&mut network, || {
                        session.send(&mut link, &mut buffers, b"report 1 21.5 degrees")
                    });
                    if sent.is_err() {
                        board::exit(false);
                    }
                }
                Ok(Some(Event::Data(_))) => break,
                Ok(Some(Event::Closed(_))) | Err(_) => board::exit(false),
                Ok(None) => {}
            }
        }
        for frame in &mut link.to_send {
            if frame.len > 0 {
                let _ = network.send(&frame.bytes[..frame.len]);
                frame.len = 0;
            }
        }
        if now.as_micros() > 50_000_000 {
            board::exit(false);
        }
    }
    type Provider = RustCrypto<Seeded>;
    show(b"association", size_of::<Association>());
    show(b"keys", 2 * size_of::<AeadKey>());
    show(
        b"connection",
        size_of::<Connection<'static, Provider, &'static mut [u8]>>(),
    );
    show(b"provider", size_of::<Provider>());
    show(b"session", size_of::<Session<'static, Provider>>());
    show(b"scratch", SCRATCH);
    show(b"config", size_of::<lockgate_dtls::Config>());
    show(b"handshake_stack", handshake.stack);
    show(b"handshake_instructions", handshake.ticks as usize * 40);
    show(b"report_stack", report.stack);
    show(b"report_instructions", report.ticks as usize * 40);
    board::exit(true)
}
