//! One connection without a heap, against an endpoint.

mod common;

use std::time::Duration;

use common::{IDENTITY, KEY, TestEndpoint, TestProvider, provider};
use lockgate_dtls::crypto::AeadAlgorithm;
use lockgate_dtls::export::{ExportKey, MAX_EXPORT_LEN};
use lockgate_dtls::lease::MemoryLeaseStore;
use lockgate_dtls::{
    AeadLimits, ApiError, CloseReason, Config, ConfigError, Connection, ConnectionHandle, Datagram,
    Endpoint, EndpointConfig, Event, Instant, Limit, Outcome, Received, SendError, UdpPath,
};

type Device<'c> = Connection<'c, TestProvider, Vec<u8>>;

struct Bed {
    server: TestEndpoint,
    path: UdpPath,
    now: Instant,
    connected: Option<ConnectionHandle>,
    received: Vec<Vec<u8>>,
}

impl Bed {
    fn new(seed: u64) -> Self {
        Self {
            server: Endpoint::new(
                provider(seed),
                Instant::default(),
                EndpointConfig::default(),
            )
            .expect("valid"),
            path: UdpPath::from(std::net::SocketAddr::from(([192, 0, 2, 7], 7))),
            now: Instant::default(),
            connected: None,
            received: Vec::new(),
        }
    }

    /// Takes a datagram of the device's in, and gives what goes back.
    fn serve(&mut self, mut bytes: Vec<u8>) -> Vec<Vec<u8>> {
        let mut back = Vec::new();
        let mut datagram = Datagram::new(&mut bytes);
        while let Some(received) = self.server.handle(self.now, self.path, &mut datagram) {
            match received {
                Received::Reply(range) => back.push(datagram.bytes()[range].to_vec()),
                Received::Application { payload, .. } => {
                    self.received.push(datagram.bytes()[payload].to_vec());
                }
                _ => {}
            }
        }
        while let Some((handle, event)) = self.server.poll_event() {
            match event {
                Event::PskRequested => self
                    .server
                    .provide_psk(self.now, handle, KEY)
                    .expect("asked for"),
                Event::Connected => self.connected = Some(handle),
                _ => {}
            }
        }
        let mut buf = [0; 2048];
        while let Some(transmit) = self.server.poll_transmit(self.now, &mut buf) {
            back.push(buf[..transmit.len].to_vec());
        }
        back
    }

    /// Carries datagrams to and fro until both are quiet; the device's events.
    fn run(&mut self, device: &mut Device<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        let mut buf = [0; 2048];
        loop {
            let mut busy = false;
            while let Some(event) = device.poll_event() {
                busy = true;
                if matches!(event, Event::PskRequested) {
                    device
                        .provide_identity(self.now, IDENTITY, KEY)
                        .expect("asked for");
                }
                events.push(event);
            }
            while let Some(len) = device.poll_transmit(self.now, &mut buf) {
                busy = true;
                for mut answer in self.serve(buf[..len].to_vec()) {
                    let mut datagram = Datagram::new(&mut answer);
                    while device.handle(self.now, &mut datagram).is_some() {}
                }
            }
            if !busy {
                return events;
            }
        }
    }
}

fn scratch() -> Vec<u8> {
    vec![0; lockgate_dtls::MIN_CLIENT_SCRATCH_LEN]
}

#[test]
fn a_device_connects_talks_sleeps_and_wakes() {
    let config = Config::default();
    let mut bed = Bed::new(1);
    let mut device = Device::connect(provider(2), &config, bed.now, scratch(), b"").expect("begun");
    let events = bed.run(&mut device);
    assert!(
        matches!(events[..], [Event::PskRequested, Event::Connected]),
        "{events:?}"
    );
    let server = bed.connected.expect("connected");
    let mut out = [0; 256];
    let len = device.send(b"21.5 C", &mut out).expect("established");
    assert!(bed.serve(out[..len].to_vec()).is_empty());
    assert_eq!(bed.received, [b"21.5 C"]);
    let (record, _) = bed
        .server
        .send(server, b"report faster", &mut out)
        .expect("live");
    let mut bytes = out[record].to_vec();
    let mut datagram = Datagram::new(&mut bytes);
    let Some(Outcome::Application(range)) = device.handle(bed.now, &mut datagram) else {
        panic!()
    };
    assert_eq!(&datagram.bytes()[range], b"report faster");

    let key = ExportKey::new(AeadAlgorithm::Aes128Ccm8, &[1; 16]).expect("16 bytes");
    let mut store = MemoryLeaseStore::default();
    let mut blob = [0; MAX_EXPORT_LEN];
    let len = device
        .sleep(&mut store, &key, &mut blob)
        .expect("established");
    assert_eq!(device.send(b"x", &mut out), Err(SendError::NotConnected));
    // It wakes with other defaults for new sessions, and keeps the length of its connection ID all the same.
    let other = Config {
        cid: lockgate_dtls::CidConfig::Length(0),
        ..Config::default()
    };
    let mut awake =
        Device::wake(provider(3), &other, &mut store, &key, &blob[..len], 10).expect("first copy");
    assert!(
        Device::wake(provider(4), &other, &mut store, &key, &blob[..len], 10).is_err(),
        "second copy"
    );
    let len = awake.send(b"awake", &mut out).expect("established");
    bed.path = UdpPath::from(std::net::SocketAddr::from(([192, 0, 2, 8], 8)));
    bed.serve(out[..len].to_vec());
    assert_eq!(bed.received.last().map(Vec::as_slice), Some(&b"awake"[..]));
    let (record, path) = bed
        .server
        .send(server, b"hello again", &mut out)
        .expect("live");
    assert_eq!(path, bed.path);
    let mut bytes = out[record].to_vec();
    let mut datagram = Datagram::new(&mut bytes);
    assert!(matches!(
        awake.handle(bed.now, &mut datagram),
        Some(Outcome::Application(_))
    ));
}

#[test]
fn options_out_of_range_are_said_before_anything_is_sent() {
    let config = Config {
        mtu: 10,
        ..Config::default()
    };
    let result = Device::connect(provider(1), &config, Instant::default(), scratch(), b"");
    assert_eq!(result.err(), Some(ApiError::Config(ConfigError::Mtu)));
    let config = Config::default();
    let result = Device::connect(provider(1), &config, Instant::default(), vec![0; 10], b"");
    assert!(matches!(
        result.err(),
        Some(ApiError::ScratchTooSmall { .. })
    ));
    let result = Device::connect(
        provider(1),
        &config,
        Instant::default(),
        vec![0; 300_000],
        b"",
    );
    assert_eq!(result.err(), Some(ApiError::BadLength));
}

#[test]
fn a_used_up_key_ends_the_session_with_a_word_to_the_peer() {
    let config = Config {
        aead_limits: AeadLimits {
            seals: 4,
            ..AeadLimits::default()
        },
        ..Config::default()
    };
    let mut bed = Bed::new(5);
    let mut device = Device::connect(provider(6), &config, bed.now, scratch(), b"").expect("begun");
    bed.run(&mut device);
    let mut out = [0; 256];
    // One number went to Finished, and the last is kept for close_notify.
    for _ in 0..2 {
        device.send(b"x", &mut out).expect("within the limit");
    }
    assert_eq!(device.send(b"x", &mut out), Err(SendError::KeyExhausted));
    let events = bed.run(&mut device);
    assert!(
        matches!(
            events[..],
            [Event::Closed(CloseReason::Limit(Limit::Seals))]
        ),
        "{events:?}"
    );
    assert_eq!(bed.server.connections(), 0, "the server was told");
}

#[test]
fn silence_ends_a_handshake_in_the_time_that_was_set() {
    let config = Config::default();
    let mut now = Instant::default();
    let mut device = Device::connect(provider(7), &config, now, scratch(), b"").expect("begun");
    let mut sent = 0;
    let mut buf = [0; 2048];
    let reason = loop {
        while device.poll_transmit(now, &mut buf).is_some() {
            sent += 1;
        }
        if let Some(Event::Closed(reason)) = device.poll_event() {
            break reason;
        }
        // Asking in between for something to send puts nothing off.
        let due = device.poll_timeout().expect("waiting");
        let between = now + due.saturating_since(now) / 2;
        assert_eq!(device.poll_transmit(between, &mut buf), None);
        assert_eq!(device.poll_timeout(), Some(due));
        now = due;
        device.handle_timeout(now);
    };
    assert_eq!(sent, 6, "once and five times again");
    assert_eq!(now, Instant::default() + Duration::from_mins(1));
    assert_eq!(reason.to_string(), "no answer from the peer");
}
