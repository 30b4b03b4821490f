//! A fleet against an echo server on the same engine.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::{
    Datagram, Endpoint, EndpointConfig, Event, Instant as EngineInstant, Received, UdpPath,
};
use lockgate_load::{
    Expect, Fleet, FleetOptions, Key, Keys, Pace, Pattern, Phase, Progress, Sizes, SourceNet,
    Sources,
};

use socket2::SockRef;

const KEY: &[u8] = b"secret";
const LOST_AFTER: Duration = Duration::from_millis(500);

/// What the server does with application data.
#[derive(Clone, Copy, PartialEq)]
enum Server {
    Echoes,
    /// Changes a byte before it echoes.
    Garbles,
    /// Says something else.
    Answers,
    /// Echoes every second datagram.
    Loses,
}

struct Echo {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    fn start(server: Server) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(5)))
            .unwrap();
        // This machine may be busy with other things for a while.
        let buffer = SockRef::from(&socket).set_recv_buffer_size(4 << 20);
        buffer.unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let ours = Arc::clone(&stop);
        let thread = std::thread::spawn(move || serve(server, &socket, &ours));
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }

    fn fleet(&self, change: impl FnOnce(&mut FleetOptions)) -> Fleet {
        let keys = Keys::One {
            identity: "device-{n}".into(),
            key: Key::new(KEY.into()),
        };
        let mut options = FleetOptions::new(self.address, keys);
        change(&mut options);
        Fleet::new(options).unwrap()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(server: Server, socket: &UdpSocket, stop: &AtomicBool) {
    let config = EndpointConfig {
        max_half_open_per_address: 10_000,
        ..EndpointConfig::default()
    };
    let mut endpoint =
        Endpoint::<_, UdpPath>::new(AwsLc, EngineInstant::default(), config).unwrap();
    let start = Instant::now();
    let (mut buf, mut out) = (vec![0; 4096], vec![0; 4096]);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let received = socket.recv_from(&mut buf);
        let now = EngineInstant::from_micros(start.elapsed().as_micros() as u64);
        if let Ok((len, from)) = received {
            let mut datagram = Datagram::new(&mut buf[..len]);
            while let Some(received) = endpoint.handle(now, from.into(), &mut datagram) {
                match received {
                    Received::Application {
                        connection,
                        payload,
                    } => {
                        count += 1;
                        let payload = &mut datagram.bytes()[payload];
                        match server {
                            Server::Garbles => payload[9] ^= 1,
                            Server::Answers => payload.fill(0),
                            Server::Loses if count % 2 == 0 => continue,
                            _ => {}
                        }
                        let (record, path) = endpoint.send(connection, payload, &mut out).unwrap();
                        socket.send_to(&out[record], path.remote()).unwrap();
                    }
                    Received::Reply(range) => {
                        socket.send_to(&datagram.bytes()[range], from).unwrap();
                    }
                    _ => {}
                }
            }
        }
        endpoint.handle_timeout(now);
        while let Some((connection, event)) = endpoint.poll_event() {
            if matches!(event, Event::PskRequested) {
                let known = endpoint
                    .psk_identity(connection)
                    .unwrap()
                    .starts_with(b"device-");
                assert!(known);
                endpoint.provide_psk(now, connection, KEY).unwrap();
            }
        }
        while let Some(next) = endpoint.poll_transmit(now, &mut out) {
            socket
                .send_to(&out[..next.len], next.path.remote())
                .unwrap();
        }
    }
}

fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn phase(millis: u64, pattern: Pattern) -> Phase {
    Phase {
        pattern,
        duration: Duration::from_millis(millis),
        lost_after: LOST_AFTER,
        ..Phase::default()
    }
}

const AT_FULL_SPEED: Pattern = Pattern::Closed {
    think: Duration::ZERO,
    jitter: 0.0,
};

#[test]
fn a_fleet_grows_between_phases_and_every_session_answers_at_the_end() {
    let server = Echo::start(Server::Echoes);
    let mut fleet = server.fleet(|options| {
        options.sources = Sources::Net("127.90.0.0/16".parse().unwrap());
        // Keys are expanded again and again.
        options.key_cache = 16;
    });
    let pace = Pace::default();
    let first = fleet.connect(50, pace, &mut go_on).unwrap();
    assert_eq!((first.wanted, first.completed), (50, 50));
    assert!(first.time_us.min() > Duration::ZERO);
    let rate = Pattern::Paced { per_second: 500.0 };
    let seen = fleet.run(&phase(300, rate), &mut go_on).unwrap();
    assert!((145..=150).contains(&seen.sent), "{seen:?}");
    assert_eq!((seen.answered, seen.lost, seen.altered), (seen.sent, 0, 0));
    let more = fleet.connect(400, pace, &mut go_on).unwrap();
    assert_eq!((more.wanted, more.completed), (350, 350));
    assert_eq!(fleet.sessions(), 400);
    let think = Pattern::Closed {
        think: Duration::from_millis(100),
        jitter: 0.5,
    };
    let seen = fleet.run(&phase(300, think), &mut go_on).unwrap();
    assert!(seen.sent >= 400, "each at least once: {seen:?}");
    assert_eq!((seen.answered, seen.lost), (seen.sent, 0));
    let probed = fleet.probe(LOST_AFTER, &mut go_on).unwrap();
    assert_eq!(
        (probed.asked, probed.answered, probed.repeated),
        (400, 400, 0)
    );
    assert_eq!(probed.round_trip_us.count(), 400);
    fleet.close();
    assert_eq!(fleet.sessions(), 0);
    assert_eq!(fleet.connect(3, pace, &mut go_on).unwrap().completed, 3);
}

#[test]
fn what_is_not_an_echo_is_no_answer() {
    let server = Echo::start(Server::Garbles);
    let mut fleet = server.fleet(|_| {});
    fleet.connect(3, Pace::default(), &mut go_on).unwrap();
    let seen = fleet.run(&phase(50, AT_FULL_SPEED), &mut go_on).unwrap();
    assert_eq!((seen.sent, seen.altered, seen.answered), (3, 3, 0));
    let probed = fleet.probe(Duration::from_millis(50), &mut go_on).unwrap();
    assert_eq!((probed.asked, probed.answered, probed.repeated), (3, 0, 6));
}

#[test]
fn some_answer_will_do_where_that_is_expected() {
    let server = Echo::start(Server::Answers);
    let mut fleet = server.fleet(|_| {});
    fleet.connect(3, Pace::default(), &mut go_on).unwrap();
    for (expect, answered) in [(Expect::Answer, true), (Expect::Nothing, false)] {
        let rate = Pattern::Paced { per_second: 200.0 };
        let phase = Phase {
            expect,
            sizes: Sizes::one(3),
            ..phase(100, rate)
        };
        let seen = fleet.run(&phase, &mut go_on).unwrap();
        assert!(seen.sent >= 19, "{seen:?}");
        let answers = if answered { seen.sent } else { 0 };
        assert_eq!((seen.answered, seen.lost), (answers, 0), "{expect:?}");
    }
}

#[test]
fn a_lost_answer_is_waited_for_and_counted() {
    let server = Echo::start(Server::Loses);
    let mut fleet = server.fleet(|_| {});
    fleet.connect(1, Pace::default(), &mut go_on).unwrap();
    let phase = Phase {
        lost_after: Duration::from_millis(40),
        ..phase(500, AT_FULL_SPEED)
    };
    let seen = fleet.run(&phase, &mut go_on).unwrap();
    assert!(seen.lost >= 5, "{seen:?}");
    assert!(seen.answered.abs_diff(seen.lost) <= 1, "{seen:?}");
    assert_eq!(seen.answered + seen.lost, seen.sent);
}

#[test]
fn a_phase_can_be_ended_early_and_payloads_have_a_limit() {
    let server = Echo::start(Server::Echoes);
    let mut fleet = server.fleet(|_| {});
    fleet.connect(1, Pace::default(), &mut go_on).unwrap();
    let begun = Instant::now();
    let mut asked = 0;
    let seen = fleet
        .run(&phase(60_000, AT_FULL_SPEED), &mut |_| {
            asked += 1;
            if asked > 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(seen.answered > 0);
    let long = Phase {
        sizes: Sizes::one(16_385),
        ..phase(100, AT_FULL_SPEED)
    };
    let error = fleet.run(&long, &mut go_on).unwrap_err();
    assert!(
        error.to_string().contains("16384") || error.to_string().contains("16383"),
        "{error}"
    );
}

#[test]
fn handshakes_are_so_many_at_once_and_so_many_in_a_second() {
    let server = Echo::start(Server::Echoes);
    let mut fleet = server.fleet(|options| options.sources = Sources::Net(SourceNet::LOOPBACK));
    let pace = Pace {
        at_once: 4,
        per_second: Some(100.0),
    };
    let mut most = 0;
    let done = fleet
        .connect(30, pace, &mut |progress| {
            most = most.max(progress.under_way);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(done.completed, 30);
    assert!(done.elapsed >= Duration::from_millis(280), "{done:?}");
    assert!(most <= 4);
    let stormed = fleet
        .storm(Pace::default(), Duration::from_millis(50), &mut go_on)
        .unwrap();
    assert_eq!(stormed.handshakes.completed, 30 * stormed.rounds);
    // Nobody there any more.
    drop(server);
    fleet.forget_all();
    let begun = Instant::now();
    let none = fleet.connect(30, Pace::default(), &mut |_| {
        if begun.elapsed() > Duration::from_millis(200) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let none = none.unwrap();
    assert_eq!((none.completed, none.abandoned), (0, 30));
    assert_eq!(fleet.sessions(), 0);
}
