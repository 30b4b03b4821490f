//! Entry 4: messages where and when they do not belong.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use lockgate_dtls::certificate::ClientAuth;
use lockgate_dtls::config::ProtocolList;
use lockgate_dtls::wire::HandshakeType;
use lockgate_dtls::{CloseReason, Config, DropReason, HandshakeError, PeerMisbehaved};

use crate::common::{self, Pair, Side};
use crate::{failure, finishes, fragment, raw_keys, raw_pair, records, waiting_server};

#[test]
fn entry_4_application_data_in_clear_text_is_never_delivered() {
    let mut pair = waiting_server(7);
    let (home, there) = (pair.client_address, pair.server_address);
    let record = [
        &[23, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 5][..],
        b"hello",
    ]
    .concat();
    pair.inject(Side::Server, home, &record);
    pair.inject(Side::Client, there, &record);
    pair.run_for(Duration::ZERO);
    assert_eq!(pair.server.dropped(DropReason::ClearTextApplicationData), 1);
    assert_eq!(pair.client.dropped(DropReason::ClearTextApplicationData), 1);
    assert!(pair.server.received.is_empty() && pair.client.received.is_empty());
    finishes(pair);
}

#[test]
fn entry_4_finished_in_clear_text_is_fatal() {
    let mut pair = Pair::new(8);
    pair.tamper = Some(Box::new(|to, datagram| {
        !(to == Side::Server && datagram.get(13) == Some(&16))
    }));
    pair.connect();
    pair.run_for(Duration::from_millis(100));
    let home = pair.client_address;
    let mut body = (common::IDENTITY.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(common::IDENTITY);
    pair.inject(
        Side::Server,
        home,
        &fragment(16, body.len() as u32, 2, 0, &body),
    );
    pair.inject(Side::Server, home, &fragment(20, 12, 3, 0, &[0; 12]));
    pair.run_for(Duration::from_millis(1));
    let (_, reason) = pair.server.closed().expect("fatal");
    let expected = HandshakeError::PeerMisbehaved(PeerMisbehaved::FinishedInClearText);
    assert_eq!(reason, CloseReason::HandshakeFailed(expected));
}

#[test]
fn entry_4_messages_out_of_their_state_are_fatal_to_their_handshake_alone() {
    for (msg_type, seq) in [(2, 2), (11, 2), (14, 2), (15, 2), (20, 2), (99, 2), (1, 2)] {
        let mut pair = Pair::new(9);
        pair.client_address.set_port(1111);
        pair.server_address.set_port(1);
        let (client, server) = pair.established();
        pair.client_address.set_port(2222);
        pair.server_address.set_port(2);
        pair.tamper = Some(Box::new(|to, datagram| {
            !(to == Side::Server && datagram.get(13) == Some(&16))
        }));
        pair.connect();
        pair.run_for(Duration::from_millis(100));
        pair.tamper = None;
        let home = pair.client_address;
        pair.inject(Side::Server, home, &fragment(msg_type, 0, seq, 0, &[]));
        pair.run_for(Duration::from_millis(1));
        if msg_type != 1 {
            // A ClientHello goes another way: it asks for a cookie.
            let (_, reason) = pair.server.closed().expect("fatal");
            assert!(
                matches!(
                    reason,
                    CloseReason::HandshakeFailed(HandshakeError::PeerMisbehaved(_))
                ),
                "{reason:?}"
            );
        }
        pair.client_address.set_port(1111);
        pair.server_address.set_port(1);
        pair.send_from_client(client, b"unharmed");
        pair.run_for(Duration::from_secs(1));
        assert_eq!(
            pair.server.received.pop_front(),
            Some((server, b"unharmed".to_vec()))
        );
    }
}

#[test]
fn entry_4_a_changed_hello_after_the_cookie_is_asked_for_another() {
    // tests/cookies.rs shows it bit by bit; here a whole client that changes its random never gets through.
    let mut pair = Pair::new(10);
    let mut hellos = 0u8;
    pair.tamper = Some(Box::new(move |to, datagram| {
        if to == Side::Server && datagram[13] == 1 {
            hellos += 1;
            datagram[13 + 12 + 2] ^= hellos;
        }
        true
    }));
    pair.connect();
    pair.run_for(Duration::from_secs(100));
    assert!(pair.server.connected().is_none());
    assert_eq!(pair.server.endpoint.connections(), 0);
    let (_, reason) = pair.client.closed().expect("gave up");
    assert_eq!(
        reason,
        CloseReason::HandshakeFailed(HandshakeError::PeerMisbehaved(
            PeerMisbehaved::TooManyCookies
        ))
    );
}

#[test]
fn entry_4_clear_text_cannot_end_a_handshake_that_waits_for_its_key() {
    let mut pair = Pair::new(20);
    pair.hold_keys = true;
    pair.connect();
    pair.run_for(Duration::from_millis(300));
    let home = pair.client_address;
    pair.inject(Side::Server, home, &fragment(11, 0, 3, 0, &[]));
    // A forged record in the place of the early Finished gives way to the genuine one's repeat.
    let junk = [
        &[22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 40][..],
        &[9; 40],
    ]
    .concat();
    pair.inject(Side::Server, home, &junk);
    pair.run_for(Duration::from_millis(1));
    assert_eq!(pair.server.dropped(DropReason::UnexpectedHandshake), 1);
    let sent = pair.server.sent_datagrams;
    pair.run_for(Duration::from_secs(5));
    assert_eq!(
        pair.server.sent_datagrams, sent,
        "nothing is sent again while the key is looked up"
    );
    let handle = pair.held[0];
    pair.answer(handle);
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.server.connected(), Some(handle));
}

#[test]
fn entry_4_a_skipped_certificate_verify_leaves_a_client_unproved() {
    let mut pair = raw_pair(21, &raw_keys(), ClientAuth::Required);
    // Its Finished arrives, and what should prove the certificate before it never does.
    pair.tamper = Some(Box::new(|to, datagram| {
        if to == Side::Server {
            let (mut clear, rest) = records(datagram);
            clear.retain(|record| record[0] != 22 || record[13] != 15);
            *datagram = [clear.concat(), rest.to_vec()].concat();
        }
        true
    }));
    pair.connect();
    pair.run_for(Duration::from_secs(1));
    assert_eq!(
        pair.server.papers.shown.len(),
        1,
        "the certificate was shown"
    );
    assert!(!pair.server.is_connected() && !pair.client.is_connected());
    // What stands in its place is not passed over either.
    let home = pair.client_address;
    pair.inject(Side::Server, home, &fragment(16, 1, 4, 0, &[0]));
    pair.run_for(Duration::from_millis(1));
    assert_eq!(
        failure(&mut pair.server),
        HandshakeError::PeerMisbehaved(PeerMisbehaved::Unexpected(
            HandshakeType::CLIENT_KEY_EXCHANGE
        ))
    );
}

#[test]
fn entry_4_a_required_certificate_cannot_be_skipped() {
    let mut pair = raw_pair(22, &raw_keys(), ClientAuth::Required);
    // The client never learns that it is asked: the request is cut out, and what follows takes its number.
    pair.tamper = Some(Box::new(|to, datagram| {
        if to == Side::Client {
            let (mut clear, rest) = records(datagram);
            clear.retain(|record| record[0] != 22 || record[13] != 13);
            for record in &mut clear {
                if record[0] == 22 && record[13] == 14 {
                    record[18] -= 1;
                }
            }
            *datagram = [clear.concat(), rest.to_vec()].concat();
        }
        true
    }));
    pair.connect();
    pair.run_for(Duration::from_secs(2));
    assert_eq!(
        failure(&mut pair.server),
        HandshakeError::PeerMisbehaved(PeerMisbehaved::Unexpected(
            HandshakeType::CLIENT_KEY_EXCHANGE
        ))
    );
    assert!(pair.client.connected().is_none());
}

#[test]
fn entry_4_a_certificate_that_nobody_asked_for_is_fatal() {
    let mut pair = raw_pair(23, &raw_keys(), ClientAuth::None);
    pair.tamper = Some(Box::new(|to, datagram| {
        if to == Side::Server {
            let (clear, _) = records(datagram);
            if let Some(exchange) = clear.iter().find(|r| r[0] == 22 && r[13] == 16) {
                let seq = u16::from_be_bytes([exchange[17], exchange[18]]);
                *datagram = fragment(11, 3, seq, 0, &[0; 3]);
            }
        }
        true
    }));
    pair.connect();
    pair.run_for(Duration::from_secs(2));
    assert_eq!(
        failure(&mut pair.server),
        HandshakeError::PeerMisbehaved(PeerMisbehaved::Unexpected(HandshakeType::CERTIFICATE))
    );
    assert!(pair.server.papers.shown.is_empty());
}

#[test]
fn entry_4_a_certificate_request_beside_a_pre_shared_key_is_fatal() {
    let mut pair = Pair::of(24, &Config::default(), &Config::default());
    pair.tamper = Some(Box::new(|to, datagram| {
        if to == Side::Client {
            let (clear, rest) = records(datagram);
            let mut out = Vec::new();
            for mut record in clear {
                if record[0] == 22 && record[13] == 14 {
                    let seq = u16::from_be_bytes([record[17], record[18]]);
                    let request = [1, 64, 0, 2, 4, 3, 0, 0];
                    out.extend(fragment(13, request.len() as u32, seq, 0, &request));
                    record[18] += 1;
                }
                out.extend(record);
            }
            *datagram = [out, rest.to_vec()].concat();
        }
        true
    }));
    pair.connect();
    pair.run_for(Duration::from_secs(2));
    assert_eq!(
        failure(&mut pair.client),
        HandshakeError::PeerMisbehaved(PeerMisbehaved::Unexpected(
            HandshakeType::CERTIFICATE_REQUEST
        ))
    );
}

#[test]
fn entry_4_halves_of_a_message_from_two_epochs_are_never_put_together() {
    let mut pair = raw_pair(25, &raw_keys(), ClientAuth::Required);
    let half = fragment(20, 12, 5, 0, &[0; 6]);
    // The CertificateVerify is late, so that the Finished behind it has to wait; before it comes half a forged one.
    let late = Rc::new(RefCell::new(Vec::new()));
    let (copy, forged) = (late.clone(), half.clone());
    pair.tamper = Some(Box::new(move |to, datagram| {
        if to == Side::Server && datagram.get(13) == Some(&11) {
            let (mut clear, rest) = records(datagram);
            let verify = |r: &Vec<u8>| r[0] == 22 && r[13] == 15;
            copy.borrow_mut()
                .clone_from(clear.iter().find(|r| verify(r)).expect("signed"));
            clear.retain(|r| !verify(r));
            *datagram = [clear.concat(), forged.clone(), rest.to_vec()].concat();
        }
        true
    }));
    pair.connect();
    pair.run_for(Duration::from_millis(200));
    assert!(!pair.server.is_connected());
    // What is under keys has taken the place of what anybody could have sent, and does not give it back.
    let home = pair.client_address;
    pair.inject(Side::Server, home, &half);
    pair.run_for(Duration::from_millis(1));
    assert_eq!(pair.server.dropped(DropReason::MixedEpochs), 1);
    pair.inject(Side::Server, home, &late.borrow());
    pair.run_for(Duration::from_millis(100));
    assert!(pair.server.is_connected() && pair.client.is_connected());
}

#[test]
fn entry_4_what_a_client_must_repeat_may_not_change_after_the_cookie() {
    let client = Config {
        protocols: ProtocolList::new(&[b"coap"]).expect("short"),
        resumption: true,
        ..raw_keys()
    };
    let mut pair = raw_pair(26, &client, ClientAuth::Required);
    // The hello with the cookie is what its client would send again: seen, but not delivered.
    let seen = Rc::new(RefCell::new(Vec::new()));
    let copy = seen.clone();
    pair.tamper = Some(Box::new(move |to, datagram| {
        let second = to == Side::Server && datagram[13] == 1 && datagram[18] == 1;
        if second {
            copy.borrow_mut().clone_from(datagram);
        }
        !second
    }));
    pair.connect();
    pair.run_for(Duration::from_millis(500));
    let hello = seen.borrow().clone();
    assert!(hello.len() > 150, "a hello with a cookie");
    let home = pair.client_address;
    // Version, random, session ID, cookie, suites, compression (RFC 6347 §4.2.1); extensions are the server's to judge anew.
    let mut at = 25 + 2 + 32;
    at += 1 + usize::from(hello[at]);
    at += 1 + usize::from(hello[at]);
    at += 2 + usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
    at += 1 + usize::from(hello[at]);
    assert!(at < hello.len(), "and extensions behind them");
    for at in 25..at {
        let mut changed = hello.clone();
        changed[at] ^= 1;
        pair.inject(Side::Server, home, &changed);
        pair.run_for(Duration::ZERO);
        assert_eq!(pair.server.endpoint.connections(), 0, "byte {at}");
    }
    pair.inject(Side::Server, home, &hello);
    pair.run_for(Duration::ZERO);
    assert_eq!(pair.server.endpoint.connections(), 1, "the genuine one");
}
