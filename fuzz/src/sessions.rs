//! Sessions and tickets that were tampered with, made up, or are another's, offered and looked up.

use std::net::SocketAddr;

use lockgate_dtls::{
    CipherSuite, Config, ConnectionHandle, Datagram, Endpoint, EndpointConfig, Event, Instant,
    PeerIdentity, ResumptionRequest, Session, SuiteList, UdpPath,
};

use crate::world::change;
use crate::{FuzzProvider, Lenient};

type Ends = [Endpoint<FuzzProvider, UdpPath>; 2];

fn path() -> UdpPath {
    UdpPath::from(SocketAddr::from(([192, 0, 2, 1], 40_000)))
}

fn ends(seed: u64, tickets: bool, cookies: bool) -> Ends {
    [false, true].map(|server| {
        let config = EndpointConfig {
            server,
            cookies,
            config: Config {
                cipher_suites: SuiteList::new(&[
                    CipherSuite::PSK_AES_128_GCM_SHA256,
                    CipherSuite::PSK_AES_128_CCM_8,
                ]),
                resumption: true,
                tickets,
                ..Config::default()
            },
            ..EndpointConfig::default()
        };
        let provider = FuzzProvider::new(seed + u64::from(server), Lenient::default());
        Endpoint::new(provider, Instant::default(), config).expect("valid options")
    })
}

/// What came of a connection.
#[derive(Default)]
struct Outcome {
    /// Handles, the client's first.
    connected: [Option<ConnectionHandle>; 2],
    sessions: [Option<Session>; 2],
    /// Whether the server was asked about a ticket that it could open.
    ticket_opened: bool,
}

/// Lets both ends talk until nothing is left. `lookup` is what the server finds by an ID.
fn connect(ends: &mut Ends, offered: Option<&Session>, lookup: Option<&Session>) -> Outcome {
    let now = Instant::default();
    let mut outcome = Outcome::default();
    let begun = ends[0].connect_with(now, path(), b"name", offered);
    begun.expect("room for one connection");
    let mut buf = [0; 4096];
    for _ in 0..12 {
        for side in 0..2 {
            while let Some((handle, event)) = ends[side].poll_event() {
                let end = &mut ends[side];
                match event {
                    Event::PskRequested if side == 0 => {
                        end.provide_identity(now, handle, b"id", b"key")
                            .expect("asked");
                    }
                    Event::PskRequested => end.provide_psk(now, handle, b"key").expect("asked"),
                    Event::ResumptionRequested => {
                        let known = match end.resumption_request(handle).expect("asked") {
                            ResumptionRequest::Known(peer) => {
                                outcome.ticket_opened |= side == 1;
                                assert!(
                                    side == 0 || matches!(peer, PeerIdentity::Psk { identity: b"id", .. }),
                                    "a ticket of somebody else's"
                                );
                                true
                            }
                            ResumptionRequest::SessionId(_) => false,
                        };
                        // One that does not fit the ID leaves the question open.
                        let found = match lookup {
                            Some(session) if !known => end.provide_session(now, handle, session),
                            _ => end.accept_resumption(now, handle),
                        };
                        if found.is_err() {
                            end.refuse_resumption(now, handle).expect("still asked");
                        }
                    }
                    Event::NewSession(session) => outcome.sessions[side] = Some(session),
                    Event::Connected => outcome.connected[side] = Some(handle),
                    _ => {}
                }
            }
            while let Some(sent) = ends[side].poll_transmit(now, &mut buf) {
                let mut replies = Vec::new();
                let mut datagram = Datagram::new(&mut buf[..sent.len]);
                while let Some(received) = ends[1 - side].handle(now, path(), &mut datagram) {
                    if let lockgate_dtls::Received::Reply(at) = received {
                        replies.push(datagram.bytes()[at].to_vec());
                    }
                }
                for mut reply in replies {
                    let mut datagram = Datagram::new(&mut reply);
                    while ends[side].handle(now, path(), &mut datagram).is_some() {}
                }
            }
        }
    }
    outcome
}

fn forget(ends: &mut Ends) {
    for end in ends {
        for handle in end.handles().collect::<Vec<_>>() {
            end.discard(handle);
        }
        while end.poll_event().is_some() {}
    }
}

/// Whether the newest connection went on with an earlier session.
fn resumed(ends: &Ends, outcome: &Outcome) -> bool {
    let [client, server] = [0, 1].map(|side| {
        let handle = outcome.connected[side].expect("connected");
        ends[side].info(handle).expect("established").resumed
    });
    assert_eq!(client, server);
    client
}

/// A genuine session, changed, offered by its client and looked up by its server.
pub fn changed(choice: u8, changes: &[u8]) {
    let (tickets, by_server) = (choice & 1 == 0, choice & 2 != 0);
    let mut ends = ends(u64::from(choice) * 2, tickets, choice & 4 != 0);
    let first = connect(&mut ends, None, None);
    assert!(!resumed(&ends, &first));
    let [of_client, of_server] = first.sessions;
    let genuine = of_client.expect("a session");
    assert_eq!(of_server.is_some(), !tickets);
    forget(&mut ends);
    let side = if by_server { &of_server } else { &None };
    let mut bytes = side.as_ref().unwrap_or(&genuine).as_bytes().to_vec();
    change(&mut bytes, changes);
    let Some(session) = Session::from_bytes(&bytes) else {
        return;
    };
    let (offered, found) = if side.is_some() {
        (&genuine, Some(&session))
    } else {
        (&session, of_server.as_ref())
    };
    let second = connect(&mut ends, Some(offered), found);
    if side.is_none() && session.as_bytes() == genuine.as_bytes() {
        assert!(resumed(&ends, &second), "a genuine session does not go on");
    }
    if let [Some(_), Some(_)] = second.connected
        && resumed(&ends, &second)
        && tickets
    {
        assert!(second.ticket_opened, "a ticket went on that never opened");
    }
    if second.connected.iter().all(Option::is_some) {
        let secrets = [0, 1].map(|side| {
            let mut secret = [0; 16];
            let handle = second.connected[side].expect("connected");
            ends[side]
                .export_keying_material(handle, b"EXPERIMENTAL fuzz", None, &mut secret)
                .expect("established");
            secret
        });
        assert_eq!(secrets[0], secrets[1], "two ends of two minds");
    }
}

/// Bytes from anywhere as a session: at worst there is a full handshake.
pub fn made_up(choice: u8, bytes: &[u8]) {
    let Some(session) = Session::from_bytes(bytes) else {
        return;
    };
    let mut ends = ends(7, choice & 1 == 0, choice & 4 != 0);
    let outcome = connect(&mut ends, Some(&session), None);
    assert!(!outcome.ticket_opened, "a forged ticket opened");
    if outcome.connected.iter().all(Option::is_some) {
        assert!(!resumed(&ends, &outcome), "a made-up session went on");
    }
    // The same from the store of a server, which the caller answers for.
    forget(&mut ends);
    let _ = connect(&mut ends, Some(&session), Some(&session));
    forget(&mut ends);
    let outcome = connect(&mut ends, None, None);
    assert!(!resumed(&ends, &outcome));
}
