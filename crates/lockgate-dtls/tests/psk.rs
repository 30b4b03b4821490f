//! Pre-shared keys: looked up later, unknown, wrong, long (RFC 4279).

mod common;

use std::time::Duration;

use common::{KEY, Pair, Side};
use lockgate_dtls::config::{MAX_PSK_IDENTITY_LEN, MAX_PSK_LEN};
use lockgate_dtls::{
    ApiError, CloseReason, Config, Event, HandshakeError, Instant, Limit, Timeout, WaitingFor,
};

/// Everything the server put on the link until both ends gave up, without what is random: times, lengths, types.
fn seen_from_outside(mut pair: Pair) -> (Vec<(Instant, usize, u8)>, CloseReason, CloseReason) {
    pair.connect();
    pair.run_for(Duration::from_mins(5));
    let shape = pair
        .log
        .iter()
        .zip(&pair.times)
        .filter(|((to, _), _)| *to == Side::Client)
        .map(|((_, datagram), at)| (*at, datagram.len(), datagram[0]))
        .collect();
    let server = pair.server.closed().expect("ended").1;
    let client = pair.client.closed().expect("ended").1;
    assert!(pair.server.connected().is_none() && pair.client.connected().is_none());
    assert_eq!(pair.server.endpoint.connections(), 0);
    (shape, server, client)
}

#[test]
fn unknown_identity_and_wrong_key_look_the_same() {
    let mut unknown = Pair::new(1);
    unknown.identity = b"Client_identit?".to_vec();
    let mut wrong = Pair::new(1);
    wrong.key = b"secretPSL".to_vec();
    let (unknown_shape, unknown_reason, unknown_client) = seen_from_outside(unknown);
    let (wrong_shape, wrong_reason, wrong_client) = seen_from_outside(wrong);
    assert_eq!(unknown_shape, wrong_shape);
    assert_eq!(unknown_client, wrong_client);
    assert_eq!(
        unknown_reason,
        CloseReason::HandshakeFailed(HandshakeError::UnknownPskIdentity { revealed: false })
    );
    let CloseReason::HandshakeFailed(error @ HandshakeError::Timeout(timeout)) = wrong_reason
    else {
        panic!("{wrong_reason:?}")
    };
    assert_eq!(timeout.waiting_for, WaitingFor::Finished);
    assert!(timeout.undecryptable > 0);
    assert!(error.to_string().contains("wrong key likely"), "{error}");
}

#[test]
fn an_option_tells_the_client_that_its_identity_is_unknown() {
    let config = Config {
        reveal_unknown_identity: true,
        ..Config::default()
    };
    let mut pair = Pair::of(2, &Config::default(), &config);
    pair.identity = b"nobody".to_vec();
    pair.connect();
    pair.run_for(Duration::from_secs(1));
    let (_, reason) = pair.client.closed().expect("told at once");
    assert_eq!(reason.to_string(), "the peer gave up: unknown_psk_identity");
    let (_, reason) = pair.server.closed().expect("ended");
    assert_eq!(reason.to_string(), "unknown PSK identity");
}

#[test]
fn an_empty_key_is_refused_and_the_handshake_still_waits() {
    let mut pair = Pair::new(3);
    pair.hold_keys = true;
    pair.connect();
    pair.run_for(Duration::from_millis(500));
    let handle = pair.held[0];
    let now = pair.now;
    assert_eq!(
        pair.server.endpoint.provide_psk(now, handle, b""),
        Err(ApiError::BadLength)
    );
    let long = [1; MAX_PSK_LEN + 1];
    assert_eq!(
        pair.server.endpoint.provide_psk(now, handle, &long),
        Err(ApiError::BadLength)
    );
    pair.server
        .endpoint
        .provide_psk(now, handle, KEY)
        .expect("the third try counts");
    assert_eq!(
        pair.server.endpoint.provide_psk(now, handle, KEY),
        Err(ApiError::NotRequested)
    );
    pair.run_for(Duration::from_secs(10));
    assert_eq!(pair.server.connected(), Some(handle));
}

#[test]
fn a_slow_lookup_delays_one_handshake_and_its_finished_waits_with_it() {
    let mut pair = Pair::new(4);
    pair.hold_keys = true;
    let slow = pair.connect();
    pair.run_for(Duration::from_millis(300));
    assert_eq!(pair.held.len(), 1);
    let sent = pair.client.sent_datagrams;
    pair.hold_keys = false;
    pair.client_address.set_port(40_001);
    pair.server_address.set_port(5685);
    let (quick, _) = pair.established();
    assert_ne!(slow, quick);
    pair.client_address.set_port(40_000);
    pair.server_address.set_port(5684);
    let handle = pair.held[0];
    let before = pair.client.sent_datagrams;
    pair.answer(handle);
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.server.connected(), Some(handle));
    assert!(sent > 0 && pair.client.sent_datagrams >= before);
    // The client's Finished had been kept: it was not asked for again after the answer.
    assert_eq!(pair.client.connected(), Some(slow));
    assert_eq!(pair.client.sent_datagrams, before);
}

#[test]
fn a_key_that_never_comes_ends_the_handshake_in_time() {
    let mut pair = Pair::new(5);
    pair.hold_keys = true;
    pair.connect();
    pair.run_for(Duration::from_mins(2));
    let (handle, reason) = pair.server.closed().expect("ended");
    assert_eq!(
        reason,
        CloseReason::HandshakeFailed(HandshakeError::Timeout(Timeout {
            waiting_for: WaitingFor::Psk,
            undecryptable: 0
        }))
    );
    let now = pair.now;
    assert_eq!(
        pair.server.endpoint.provide_psk(now, handle, KEY),
        Err(ApiError::UnknownConnection)
    );
}

#[test]
fn identities_are_bytes_and_may_be_long() {
    for identity in [
        vec![b'a'; MAX_PSK_IDENTITY_LEN],
        b"with\0nul".to_vec(),
        vec![0xff, 0xfe],
        Vec::new(),
    ] {
        let mut pair = Pair::new(6);
        pair.keys.insert(identity.clone(), vec![9; MAX_PSK_LEN]);
        pair.keys.insert(b"with".to_vec(), b"another".to_vec());
        pair.identity = identity;
        pair.key = vec![9; MAX_PSK_LEN];
        pair.established();
    }
}

#[test]
fn an_identity_that_is_too_long_is_refused_with_its_own_reason() {
    let mut pair = Pair::new(7);
    // A client of ours cannot say it, so the link stretches the identity: lengths first, then the bytes.
    pair.identity = vec![b'i'; 128];
    pair.tamper = Some(Box::new(|to, datagram| {
        if to == Side::Server && datagram[0] == 22 && datagram[13] == 16 {
            let extra = 8u16;
            for at in [11, 13 + 2, 13 + 10, 13 + 12] {
                let length = u16::from_be_bytes([datagram[at], datagram[at + 1]]) + extra;
                datagram[at..at + 2].copy_from_slice(&length.to_be_bytes());
            }
            let at = 13 + 12 + 2;
            datagram.splice(at..at, std::iter::repeat_n(b'i', usize::from(extra)));
        }
        true
    }));
    pair.connect();
    pair.run_for(Duration::from_secs(2));
    let (_, reason) = pair.server.closed().expect("ended");
    assert_eq!(
        reason,
        CloseReason::HandshakeFailed(HandshakeError::Limit(Limit::PskIdentity))
    );
}

#[test]
fn the_hint_reaches_the_client() {
    let hint = lockgate_dtls::ShortBytes::new(b"CoAP").expect("fits");
    let config = Config {
        psk_identity_hint: hint,
        ..Config::default()
    };
    let mut pair = Pair::of(8, &Config::default(), &config);
    pair.established();
    assert!(
        pair.client
            .events
            .iter()
            .any(|(_, e)| matches!(e, Event::PskRequested))
    );
    // The hint was in the server's flight, in clear text.
    assert!(
        pair.log
            .iter()
            .any(|(to, d)| *to == Side::Client && d.windows(4).any(|w| w == b"CoAP"))
    );
}

#[test]
fn both_ends_export_the_same_keying_material_and_log_the_same_secret() {
    let config = Config {
        key_log: true,
        ..Config::default()
    };
    let mut pair = Pair::of(9, &config, &config);
    let (client, server) = pair.established();
    let export = |pair: &Pair, context| {
        let (mut a, mut b) = ([0; 40], [0; 40]);
        pair.client
            .endpoint
            .export_keying_material(client, b"EXPORTER-test", context, &mut a)
            .expect("live");
        pair.server
            .endpoint
            .export_keying_material(server, b"EXPORTER-test", context, &mut b)
            .expect("live");
        assert_eq!(a, b);
        a
    };
    // RFC 5705: no context and an empty one differ.
    let all = [
        export(&pair, None),
        export(&pair, Some(b"")),
        export(&pair, Some(b"x")),
    ];
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
    let secret = |end: &common::End| {
        end.events.iter().find_map(|(_, e)| match e {
            Event::KeyLog(entry) => Some((*entry.client_random(), *entry.secret())),
            _ => None,
        })
    };
    assert!(secret(&pair.client).is_some());
    assert_eq!(secret(&pair.client), secret(&pair.server));
    // Nothing prints it.
    let shown = format!("{:?}", pair.client.events);
    let bytes = secret(&pair.client).expect("logged").1;
    assert!(
        !shown.contains(&format!("{}", bytes[0]))
            || !shown.contains(&format!("{}, {}", bytes[0], bytes[1]))
    );
}

#[test]
fn a_lookup_that_fails_is_told_at_once() {
    let mut pair = Pair::new(10);
    pair.hold_keys = true;
    pair.connect();
    pair.run_for(Duration::from_millis(300));
    let handle = pair.held[0];
    pair.server.endpoint.fail_psk(handle).expect("asked for");
    pair.run_for(Duration::from_millis(100));
    assert_eq!(
        pair.server.closed(),
        Some((
            handle,
            CloseReason::HandshakeFailed(HandshakeError::NoPskAnswer)
        ))
    );
    let (_, reason) = pair.client.closed().expect("told");
    assert_eq!(reason.to_string(), "the peer gave up: internal_error");
    assert_eq!(pair.server.endpoint.connections(), 0);
}
