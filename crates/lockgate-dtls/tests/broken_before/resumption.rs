//! Entry 8: a session goes on with what it was made with, or not at all.

use std::ops::Range;
use std::time::Duration;

use lockgate_dtls::certificate::{CertificateError, ClientAuth};
use lockgate_dtls::{
    ApiError, Config, ConnectionHandle, Event, HandshakeError, PeerIdentity, PeerIncompatible,
    PeerMisbehaved, Session, UdpPath,
};

use crate::common::{IDENTITY, Pair, Side};
use crate::{change_message, failure, raw_keys, raw_pair};

/// Where the parts of a session's bytes stand: behind the version, the suite, the extended master secret and the master
/// secret.
const SUITE: Range<usize> = 1..3;
const EXTENDED_MASTER_SECRET: usize = 3;
const ID: usize = 52;

fn config(tickets: bool) -> Config {
    Config {
        resumption: true,
        tickets,
        require_extended_master_secret: false,
        ..Config::default()
    }
}

/// A first connection, forgotten on both sides, and the client's session.
fn first(pair: &mut Pair) -> Session {
    pair.established();
    forget(pair);
    pair.client.papers.session.take().expect("a session")
}

fn forget(pair: &mut Pair) {
    for end in [&mut pair.client, &mut pair.server] {
        for handle in end.endpoint.handles().collect::<Vec<_>>() {
            end.endpoint.discard(handle);
        }
        end.events.clear();
    }
}

fn connect(pair: &mut Pair, session: &Session) {
    pair.connect_with(Some(session));
    pair.run_for(Duration::from_secs(5));
}

/// Whether the newest connection, which both ends have, went on with an earlier session.
fn resumed(pair: &mut Pair) -> (ConnectionHandle, bool) {
    let (at_client, at_server) = pair.finished();
    let [client, server] = [(&pair.client, at_client), (&pair.server, at_server)]
        .map(|(end, handle)| end.endpoint.info(handle).expect("there").resumed);
    assert_eq!(client, server);
    (at_server, client)
}

fn changed(session: &Session, change: impl Fn(&mut Vec<u8>)) -> Session {
    let mut bytes = session.as_bytes().to_vec();
    change(&mut bytes);
    Session::from_bytes(&bytes).expect("a session")
}

#[test]
fn entry_8_resumption_is_bound_to_the_host_name() {
    for tickets in [true, false] {
        let mut pair = Pair::of(81, &config(tickets), &config(tickets));
        let session = first(&mut pair);
        // A client that says so itself would offer its session to another name: the server goes by what it wrote down.
        let elsewhere = changed(&session, |bytes| {
            let at = ID + 1 + usize::from(bytes[ID]);
            bytes[at] = 5;
            let behind = bytes.split_off(at + 1);
            bytes.extend([&b"other"[..], &behind].concat());
        });
        let path = UdpPath::from(pair.server_address);
        pair.client
            .endpoint
            .connect_with(pair.now, path, b"other", Some(&elsewhere))
            .expect("room");
        pair.run_for(Duration::from_secs(5));
        assert!(!resumed(&mut pair).1);
        // Our own clients do not even offer it.
        forget(&mut pair);
        let asked = pair.server.papers.resumptions_asked;
        pair.client
            .endpoint
            .connect_with(pair.now, path, b"other", Some(&session))
            .expect("room");
        pair.run_for(Duration::from_secs(5));
        assert!(!resumed(&mut pair).1);
        assert_eq!(pair.server.papers.resumptions_asked, asked);
    }
}

#[test]
fn entry_8_resumption_is_bound_to_the_suite() {
    for tickets in [true, false] {
        let mut pair = Pair::of(82, &config(tickets), &config(tickets));
        let session = first(&mut pair);
        let suite = session.as_bytes()[SUITE].to_vec();
        // The client does not offer the session's suite any more.
        pair.tamper = Some(Box::new(move |to, datagram| {
            if to == Side::Server {
                change_message(datagram, 1, |body| {
                    let suites = 35 + usize::from(body[34]);
                    let suites = suites + 1 + usize::from(body[suites]) + 2;
                    for pair in body[suites..].chunks_exact_mut(2).take(22) {
                        if *pair == suite[..] {
                            pair.copy_from_slice(&[0xFA, 0xFA]);
                        }
                    }
                });
            }
            true
        }));
        connect(&mut pair, &session);
        let told = |e: &(ConnectionHandle, Event)| matches!(e.1, Event::Connected);
        assert!(!pair.server.events.iter().any(told));
        let chosen = pair
            .log
            .iter()
            .rev()
            .find(|(to, d)| *to == Side::Client && d[0] == 22 && d[13] == 2)
            .expect("a full handshake began")
            .1
            .clone();
        let at = 25 + 35 + usize::from(chosen[25 + 34]);
        assert_ne!(
            chosen[at..at + 2],
            session.as_bytes()[SUITE],
            "the session's suite without an offer"
        );
    }
    // And a client takes its session under no other suite.
    let mut pair = Pair::of(83, &config(true), &config(true));
    let session = first(&mut pair);
    let other = changed(&session, |bytes| {
        let suite = lockgate_dtls::CipherSuite::PSK_AES_128_CCM_8.0;
        bytes[SUITE].copy_from_slice(&suite.to_be_bytes());
    });
    connect(&mut pair, &other);
    assert_eq!(
        failure(&mut pair.client),
        HandshakeError::PeerMisbehaved(PeerMisbehaved::ResumptionMismatch)
    );
}

/// Cuts `extended_master_secret` out of a hello, by a type that nobody knows.
fn strip(body: &mut [u8]) {
    if let Some(at) = body.windows(4).position(|w| w == [0, 23, 0, 0]) {
        body[at..at + 2].copy_from_slice(&[0xFA, 0xFA]);
    }
}

#[test]
fn entry_8_resumption_is_bound_to_the_extended_master_secret() {
    for tickets in [true, false] {
        // A session may not lose it: RFC 7627 §5.3 wants the handshake to end.
        let mut lost = Pair::of(84, &config(tickets), &config(tickets));
        let session = first(&mut lost);
        lost.tamper = Some(Box::new(|to, datagram| {
            if to == Side::Server {
                change_message(datagram, 1, |body| strip(body));
            }
            true
        }));
        connect(&mut lost, &session);
        assert_eq!(
            failure(&mut lost.server),
            HandshakeError::PeerIncompatible(PeerIncompatible::ExtendedMasterSecretRequired)
        );
        // The same of the server's answer, at the client.
        let mut answer = Pair::of(85, &config(tickets), &config(tickets));
        let session = first(&mut answer);
        answer.tamper = Some(Box::new(|to, datagram| {
            if to == Side::Client {
                change_message(datagram, 2, |body| {
                    // What nobody asked for would be refused as such: `renegotiation_info` takes its place.
                    if let Some(at) = body.windows(4).position(|w| w == [0, 23, 0, 0]) {
                        body.drain(at..at + 4);
                        let at = 35 + usize::from(body[34]) + 3;
                        let len = u16::from_be_bytes([body[at], body[at + 1]]) - 4;
                        body[at..at + 2].copy_from_slice(&len.to_be_bytes());
                    }
                });
            }
            true
        }));
        connect(&mut answer, &session);
        assert_eq!(
            failure(&mut answer.client),
            HandshakeError::PeerMisbehaved(PeerMisbehaved::ResumptionMismatch)
        );
    }
    // One that has it now and had it not then makes a full handshake.
    let mut gained = Pair::of(86, &config(false), &config(false));
    let session = first(&mut gained);
    let without = |session: &Session| changed(session, |b| b[EXTENDED_MASTER_SECRET] = 0);
    let store = &mut gained.server.papers.store;
    for session in store.values_mut() {
        *session = without(session);
    }
    connect(&mut gained, &without(&session));
    assert!(!resumed(&mut gained).1);
}

#[test]
fn entry_8_resumption_is_bound_to_the_identity() {
    for tickets in [true, false] {
        let mut pair = Pair::of(87, &config(tickets), &config(tickets));
        let session = first(&mut pair);
        // The client comes back with another name in its mind: the server goes by what was proved.
        pair.identity = b"somebody else".to_vec();
        pair.keys.insert(pair.identity.clone(), pair.key.clone());
        connect(&mut pair, &session);
        let (at_server, went_on) = resumed(&mut pair);
        assert!(went_on);
        let known = pair.server.events.iter().any(|(handle, event)| {
            let Event::NewSession(session) = event else {
                return false;
            };
            *handle == at_server
                && !matches!(session.peer(), PeerIdentity::Psk { identity, .. } if identity == IDENTITY)
        });
        assert!(!known, "another name than the one that was proved");
    }
    // A session of one ID is none for another: two clients of one server.
    let mut pair = Pair::of(88, &config(false), &config(false));
    let mine = first(&mut pair);
    let theirs = first(&mut pair);
    let stored = pair.server.papers.store.clone();
    let wrong = stored.get(theirs.id()).expect("stored").clone();
    pair.server.papers.store.clear();
    // Looked up with a wrong result, it is refused, and the question stays open.
    pair.server.papers.hold_resumption = true;
    connect(&mut pair, &mine);
    let asked = pair.server.events.iter();
    let asked = asked
        .rev()
        .find_map(|(handle, event)| matches!(event, Event::ResumptionRequested).then_some(*handle));
    let handle = asked.expect("asked");
    let endpoint = &mut pair.server.endpoint;
    assert_eq!(
        endpoint.provide_session(pair.now, handle, &wrong),
        Err(ApiError::BadSession)
    );
    let right = stored.get(mine.id()).expect("stored");
    assert_eq!(endpoint.provide_session(pair.now, handle, right), Ok(()));
    pair.run_for(Duration::from_secs(5));
    assert!(resumed(&mut pair).1);
}

#[test]
fn entry_8_a_revoked_identity_does_not_resume() {
    for tickets in [true, false] {
        let config = Config {
            resumption: true,
            tickets,
            ..raw_keys()
        };
        let mut pair = raw_pair(89, &config, ClientAuth::Required);
        let session = first(&mut pair);
        // Whoever keeps the list of those that are out is asked before anything goes on.
        pair.server.papers.refuse = Some(CertificateError::Revoked);
        pair.server.papers.refuse_resumption = true;
        connect(&mut pair, &session);
        assert_eq!(pair.server.papers.resumptions_asked, 1);
        assert_eq!(
            failure(&mut pair.server),
            HandshakeError::Certificate(CertificateError::Revoked)
        );
        assert!(!pair.client.is_connected() && !pair.server.is_connected());
        // A refusal of one session is none of another's: with its name back, it comes in again, in full.
        pair.server.papers.refuse = None;
        forget(&mut pair);
        connect(&mut pair, &session);
        assert!(!resumed(&mut pair).1);
    }
}

#[test]
fn entry_8_a_session_without_a_name_does_not_open_a_door_that_wants_one() {
    // Made while the server asked nobody; now it wants to know everybody.
    let open = Config {
        resumption: true,
        tickets: false,
        ..raw_keys()
    };
    let mut pair = raw_pair(90, &open, ClientAuth::None);
    let session = first(&mut pair);
    let stored = pair.server.papers.store.clone();
    let mut strict = raw_pair(91, &open, ClientAuth::Required);
    strict.server.papers.store = stored;
    connect(&mut strict, &session);
    let (at_server, went_on) = resumed(&mut strict);
    assert!(!went_on);
    let info = strict.server.endpoint.info(at_server).expect("there");
    assert!(info.peer_key_hash.is_some());
}
