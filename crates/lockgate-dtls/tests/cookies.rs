//! Nothing for an address that has not proved itself: stateless cookies and admission (RFC 6347 §4.2.1).

mod common;

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use common::{Pair, Side, client_config};
use lockgate_dtls::{Datagram, DropReason, EndpointConfig, Received, UdpPath};

/// The first `ClientHello` of a fresh client.
fn client_hello(pair: &mut Pair) -> Vec<u8> {
    let at = pair.log.len();
    pair.connect();
    pair.log[at].1.clone()
}

/// Takes a handshake as far as the key request; then the client is gone.
fn half_open(pair: &mut Pair) {
    let client = pair.connect();
    pair.run_for(Duration::from_millis(200));
    pair.client.endpoint.discard(client);
}

fn offer(pair: &mut Pair, from: SocketAddr, datagram: &[u8]) -> (Received, Vec<u8>) {
    let mut bytes = datagram.to_vec();
    let mut input = Datagram::new(&mut bytes);
    let received = pair
        .server
        .endpoint
        .handle(pair.now, UdpPath::from(from), &mut input)
        .expect("one record");
    let reply = match &received {
        Received::Reply(range) => input.bytes()[range.clone()].to_vec(),
        _ => Vec::new(),
    };
    (received, reply)
}

#[test]
fn the_answer_to_a_first_hello_is_smaller_and_remembers_nothing() {
    let mut pair = Pair::new(1);
    let hello = client_hello(&mut pair);
    let home = pair.client_address;
    for _ in 0..1000 {
        let (received, reply) = offer(&mut pair, home, &hello);
        assert!(matches!(received, Received::Reply(_)));
        assert!(reply.len() < hello.len());
        // HelloVerifyRequest copies the record and message numbers, in DTLS 1.0.
        assert_eq!(reply[..3], [22, 0xfe, 0xff]);
        assert_eq!(reply[3..11], hello[3..11]);
        assert_eq!(reply[17..19], hello[17..19]);
    }
    assert_eq!(pair.server.endpoint.connections(), 0);
    assert_eq!(pair.server.endpoint.poll_timeout(), None);
}

/// Puts the extensions of a `ClientHello` with a cookie of 16 bytes into the opposite order.
fn turn_extensions_round(hello: &mut Vec<u8>) {
    let suites = 13 + 12 + 2 + 32 + 1 + 1 + 16;
    let compression =
        suites + 2 + usize::from(u16::from_be_bytes([hello[suites], hello[suites + 1]]));
    let begin = compression + 1 + usize::from(hello[compression]) + 2;
    let mut rest = hello.split_off(begin);
    let mut extensions = Vec::new();
    while !rest.is_empty() {
        let len = 4 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        extensions.push(rest.drain(..len).collect::<Vec<_>>());
    }
    assert!(extensions.len() > 1);
    hello.extend(extensions.into_iter().rev().flatten());
}

#[test]
fn a_cookie_holds_only_for_its_address_and_parameters_and_time() {
    let mut pair = Pair::new(2);
    client_hello(&mut pair);
    pair.run_for(Duration::from_millis(25));
    let hellos: Vec<_> = pair
        .log
        .iter()
        .filter(|(to, _)| *to == Side::Server)
        .map(|(_, d)| d.clone())
        .collect();
    let with_cookie = hellos.last().expect("two hellos").clone();
    assert!(with_cookie.len() > hellos[0].len());
    let home = pair.client_address;

    // Elsewhere it counts as none.
    let (received, _) = offer(
        &mut pair,
        SocketAddr::from(([203, 0, 113, 9], 9)),
        &with_cookie,
    );
    assert!(matches!(received, Received::Reply(_)));
    // So it does when anything differs that is to be said again: here the random and the first suite.
    let suites_at = 13 + 12 + 2 + 32 + 1 + 1 + 16 + 2;
    for at in [13 + 12 + 2, suites_at + 1] {
        let mut changed = with_cookie.clone();
        changed[at] ^= 1;
        let (received, _) = offer(&mut pair, home, &changed);
        assert!(
            matches!(
                received,
                Received::Reply(_)
                    | Received::Dropped {
                        reason: DropReason::MalformedClientHello,
                        ..
                    }
            ),
            "{received:?}"
        );
    }
    // A changed cookie counts as none.
    let mut changed = with_cookie.clone();
    changed[13 + 12 + 2 + 32 + 1 + 1] ^= 1;
    assert!(matches!(
        offer(&mut pair, home, &changed).0,
        Received::Reply(_)
    ));

    // One key change later it still holds, two later not.
    let mut other = Pair::new(2);
    let hello = client_hello(&mut other);
    let (_, reply) = offer(&mut other, home, &hello);
    let cookie = reply[28..].to_vec();
    let mut second = hello.clone();
    second.splice(
        13 + 12 + 2 + 32 + 1..13 + 12 + 2 + 32 + 2,
        std::iter::once(16).chain(cookie),
    );
    for at in [11, 13 + 1, 13 + 9] {
        // Record length, message length and fragment length grow by the cookie.
        let wide = at != 11;
        let i = if wide { at + 1 } else { at };
        let length = u16::from_be_bytes([second[i], second[i + 1]]) + 16;
        second[i..i + 2].copy_from_slice(&length.to_be_bytes());
    }
    other.now = other.now + Duration::from_secs(200);
    assert!(
        matches!(offer(&mut other, home, &second).0, Received::Reply(_)),
        "too old"
    );
    let mut fresh = Pair::new(2);
    let hello = client_hello(&mut fresh);
    fresh.now = fresh.now + Duration::from_secs(55);
    let (_, reply) = offer(&mut fresh, home, &hello);
    second.splice(
        13 + 12 + 2 + 32 + 2..13 + 12 + 2 + 32 + 2 + 16,
        reply[28..].iter().copied(),
    );
    // Extensions are not among it (RFC 6347 §4.2.1): wolfSSL brings them in another order.
    turn_extensions_round(&mut second);
    fresh.now = fresh.now + Duration::from_secs(61);
    assert!(
        matches!(offer(&mut fresh, home, &second).0, Received::Progress(_)),
        "one change later"
    );
}

/// Part of `hello` as a record of its own.
fn piece(hello: &[u8], range: Range<usize>) -> Vec<u8> {
    let body = &hello[13 + 12..];
    let mut record = hello[..13 + 12].to_vec();
    record[11..13].copy_from_slice(&(12 + range.len() as u16).to_be_bytes());
    record[20..22].copy_from_slice(&(range.start as u16).to_be_bytes());
    record[23..25].copy_from_slice(&(range.len() as u16).to_be_bytes());
    record.extend_from_slice(&body[range]);
    record
}

#[test]
fn a_hello_in_fragments_is_put_together_and_still_needs_its_cookie() {
    let mut pair = Pair::new(3);
    let hello = client_hello(&mut pair);
    let home = pair.client_address;
    let len = hello.len() - 25;
    assert_eq!(
        offer(&mut pair, home, &piece(&hello, len - 50..len)).0,
        Received::Kept
    );
    // Another address's pieces are another message's.
    let elsewhere = SocketAddr::from(([203, 0, 113, 9], 9));
    assert_eq!(
        offer(&mut pair, elsewhere, &piece(&hello, 0..len - 50)).0,
        Received::Kept
    );
    let (received, reply) = offer(&mut pair, home, &piece(&hello, 0..len - 50));
    assert!(matches!(received, Received::Reply(_)));
    assert_eq!(reply[13], 3, "HelloVerifyRequest");
    assert_eq!(pair.server.endpoint.connections(), 0);
}

#[test]
fn pieces_of_hellos_are_few_short_lived_and_can_be_switched_off() {
    let mut pair = Pair::with(
        4,
        client_config(),
        EndpointConfig {
            max_fragmented_hellos: 2,
            ..EndpointConfig::default()
        },
    );
    let hello = client_hello(&mut pair);
    let len = hello.len() - 25;
    let from = |host| SocketAddr::from(([203, 0, 113, host], 9));
    let (first, rest) = (piece(&hello, 0..len - 50), piece(&hello, len - 50..len));
    for host in 1..=3 {
        assert_eq!(offer(&mut pair, from(host), &first).0, Received::Kept);
        pair.now = pair.now + Duration::from_millis(1);
    }
    // The oldest gave way; its rest is a beginning again, and takes the place of the next.
    assert!(matches!(
        offer(&mut pair, from(3), &rest).0,
        Received::Reply(_)
    ));
    assert_eq!(offer(&mut pair, from(1), &rest).0, Received::Kept);
    assert!(matches!(
        offer(&mut pair, from(2), &rest).0,
        Received::Reply(_)
    ));
    // Nobody waits for long.
    assert_eq!(offer(&mut pair, from(4), &first).0, Received::Kept);
    pair.now = pair.now + Duration::from_secs(6);
    assert_eq!(offer(&mut pair, from(4), &rest).0, Received::Kept);

    let mut off = Pair::with(
        5,
        client_config(),
        EndpointConfig {
            max_fragmented_hellos: 0,
            ..EndpointConfig::default()
        },
    );
    let dropped = Received::Dropped {
        reason: DropReason::FragmentedClientHello,
        connection: None,
    };
    assert_eq!(offer(&mut off, from(1), &first).0, dropped);
}

#[test]
fn half_open_handshakes_are_capped_in_all_and_for_each_address() {
    let config = EndpointConfig {
        max_half_open: 10,
        max_half_open_per_address: 4,
        ..EndpointConfig::default()
    };
    let mut pair = Pair::with(4, client_config(), config);
    pair.hold_keys = true;
    for port in 0..6 {
        pair.client_address = SocketAddr::from(([192, 0, 2, 1], 40_000 + port));
        half_open(&mut pair);
    }
    assert_eq!(pair.server.endpoint.half_open(), 4);
    assert!(pair.server.dropped(DropReason::HalfOpenLimitPerAddress) >= 2);
    for host in 2..12 {
        pair.client_address = SocketAddr::from(([192, 0, 2, host], 40_000));
        half_open(&mut pair);
    }
    assert_eq!(pair.server.endpoint.half_open(), 10);
    assert!(pair.server.dropped(DropReason::HalfOpenLimit) >= 2);
    // What times out makes room.
    pair.run_for(Duration::from_secs(200));
    assert_eq!(pair.server.endpoint.half_open(), 0);
    assert_eq!(pair.server.endpoint.connections(), 0);
}

#[test]
fn addresses_of_one_ipv6_network_count_together() {
    let config = EndpointConfig {
        max_half_open_per_address: 3,
        ..EndpointConfig::default()
    };
    let mut pair = Pair::with(5, client_config(), config);
    pair.hold_keys = true;
    for host in 1..6u16 {
        pair.client_address = SocketAddr::from(([0x2001, 0xdb8, 0, 1, 0, 0, 0, host], 40_000));
        half_open(&mut pair);
    }
    assert_eq!(pair.server.endpoint.half_open(), 3);
    pair.client_address = SocketAddr::from(([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1], 40_000));
    half_open(&mut pair);
    assert_eq!(pair.server.endpoint.half_open(), 4, "another /64");
}

#[test]
fn a_client_endpoint_answers_no_hello() {
    let mut pair = Pair::new(6);
    let hello = client_hello(&mut pair);
    let mut bytes = hello;
    let mut input = Datagram::new(&mut bytes);
    let from = UdpPath::from(pair.server_address);
    let received = pair.client.endpoint.handle(pair.now, from, &mut input);
    assert_eq!(
        received,
        Some(Received::Dropped {
            reason: DropReason::NotAServer,
            connection: None
        })
    );
}
