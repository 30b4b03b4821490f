//! Entries 5 and 6: amplification, and what one peer can do to another.

use std::net::SocketAddr;
use std::time::Duration;

use lockgate_dtls::certificate::{CertificateType, CertificateTypes, ClientAuth};
use lockgate_dtls::{
    CidConfig, CloseReason, Config, Datagram, DropReason, Received, Session, UdpPath,
};

use crate::common::{Link, Pair, Paper, Seeded, Side};
use crate::{fragment, raw_keys, raw_pair};

#[test]
fn entry_5_never_more_bytes_to_an_unproved_address_than_came_from_it() {
    let mut random = Seeded::new(11);
    let mut pair = Pair::new(11);
    pair.connect();
    let hello = pair.log[0].1.clone();
    for round in 0..5000u32 {
        let mut bytes = hello.clone();
        for _ in 0..random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next() as u8;
        }
        if random.chance(30) {
            bytes.truncate(random.below(bytes.len() as u64) as usize);
        }
        let from = SocketAddr::from((round.to_be_bytes(), 7));
        let sent = pair.log.len();
        pair.inject(Side::Server, from, &bytes);
        // Replies go to `from`, which is not the client, so they would be lost: count them at the endpoint.
        let mut copy = bytes.clone();
        let mut input = Datagram::new(&mut copy);
        let mut answered = 0;
        while let Some(received) =
            pair.server
                .endpoint
                .handle(pair.now, UdpPath::from(from), &mut input)
        {
            if let Received::Reply(range) = received {
                answered += range.len();
            }
        }
        let mut buf = [0; 2048];
        while let Some(transmit) = pair.server.endpoint.poll_transmit(pair.now, &mut buf) {
            answered += transmit.len;
        }
        assert!(answered <= bytes.len(), "{answered} for {}", bytes.len());
        assert_eq!(pair.log.len(), sent);
    }
    assert_eq!(pair.server.endpoint.connections(), 0);
}

#[test]
fn entry_5_a_forged_hello_never_harms_a_live_session() {
    for cid in [CidConfig::Off, CidConfig::Length(8)] {
        let config = Config {
            cid,
            ..Config::default()
        };
        let mut pair = Pair::of(12, &config, &config);
        let (client, server) = pair.established();
        let (first, second) = {
            let hellos: Vec<_> = pair
                .log
                .iter()
                .filter(|(to, d)| *to == Side::Server && d[13] == 1)
                .map(|(_, d)| d.clone())
                .collect();
            (hellos[0].clone(), hellos[1].clone())
        };
        let home = pair.client_address;
        pair.hold_keys = true;
        // Even with a cookie that holds, replayed: a half-open handshake stands beside the session until it times out.
        pair.inject(Side::Server, home, &first);
        pair.inject(Side::Server, home, &second);
        pair.run_for(Duration::from_millis(500));
        assert_eq!(pair.server.endpoint.half_open(), 1);
        for _ in 0..3 {
            pair.send_from_client(client, b"up");
            pair.send_from_server(server, b"down");
            pair.run_for(Duration::from_secs(1));
        }
        assert_eq!(pair.server.received.len(), 3);
        assert_eq!(pair.client.received.len(), 3);
        pair.run_for(Duration::from_secs(200));
        assert_eq!(pair.server.endpoint.half_open(), 0);
        pair.send_from_client(client, b"after");
        pair.run_for(Duration::from_secs(1));
        assert_eq!(
            pair.server.received.back(),
            Some(&(server, b"after".to_vec()))
        );
    }
}

#[test]
fn entry_5_a_client_that_lost_its_state_replaces_its_session_when_it_completes() {
    for cid in [CidConfig::Off, CidConfig::Length(0)] {
        let config = Config {
            cid,
            ..Config::default()
        };
        let mut pair = Pair::of(13, &config, &config);
        let (client, server) = pair.established();
        pair.client.endpoint.discard(client);
        let (client, newer) = pair.established();
        assert_eq!(pair.server.closed(), Some((server, CloseReason::Replaced)));
        pair.send_from_client(client, b"again");
        pair.run_for(Duration::from_secs(1));
        assert_eq!(
            pair.server.received.pop_front(),
            Some((newer, b"again".to_vec()))
        );
        assert_eq!(pair.server.endpoint.connections(), 1);
    }
}

#[test]
fn entry_6_noise_from_one_address_ends_nobody_elses_session() {
    let mut pair = Pair::new(14);
    pair.link = Link::PERFECT;
    let (client, server) = pair.established();
    let mut random = Seeded::new(77);
    let genuine: Vec<_> = pair.log.iter().map(|(_, d)| d.clone()).collect();
    for round in 0..20_000u32 {
        let mut bytes = genuine[random.below(genuine.len() as u64) as usize].clone();
        for _ in 0..=random.below(6) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next() as u8;
        }
        let from = if round % 3 == 0 {
            pair.client_address
        } else {
            SocketAddr::from(([10, 0, (round >> 8) as u8, round as u8], 9))
        };
        pair.inject(Side::Server, from, &bytes);
        if round % 1000 == 0 {
            pair.run_for(Duration::from_millis(10));
            pair.send_from_client(client, &round.to_be_bytes());
            pair.run_for(Duration::from_millis(50));
            assert_eq!(
                pair.server.received.pop_back(),
                Some((server, round.to_be_bytes().to_vec()))
            );
        }
    }
    pair.run_for(Duration::from_secs(200));
    while let Some((handle, _)) = pair.server.closed() {
        assert_ne!(handle, server);
    }
    pair.send_from_client(client, b"after the noise");
    pair.run_for(Duration::from_millis(50));
    let last = pair.server.received.pop_back();
    assert_eq!(last, Some((server, b"after the noise".to_vec())));
}

#[test]
fn entry_5_a_peers_hello_does_not_end_the_handshake_we_began() {
    let both = lockgate_dtls::EndpointConfig {
        cookies: false,
        ..lockgate_dtls::EndpointConfig::default()
    };
    let mut pair = Pair::with(21, both.clone(), both);
    let mut other = Pair::new(22);
    other.connect();
    let hello = other.log[0].1.clone();
    let (client, there) = (pair.connect(), pair.server_address);
    pair.inject(Side::Client, there, &hello);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.client.dropped(DropReason::OwnHandshake), 1);
    assert_eq!(pair.client.connected(), Some(client));
}

#[test]
fn padding_leaves_flights_within_their_mtu() {
    let padding = lockgate_dtls::Padding::Multiple(std::num::NonZeroU8::MAX);
    let config = Config {
        padding,
        mtu: 256,
        ..Config::default()
    };
    let mut pair = Pair::of(23, &config, &config);
    pair.established();
    assert!(pair.log.iter().all(|(_, datagram)| datagram.len() <= 256));
}

/// Bytes that went to the client and to the server.
fn traffic(pair: &Pair) -> (usize, usize) {
    let count = |side| {
        let of_side = pair.log.iter().filter(|(to, _)| *to == side);
        of_side.map(|(_, datagram)| datagram.len()).sum()
    };
    (count(Side::Client), count(Side::Server))
}

/// Holds back every hello with a cookie, and counts what a server does for an address that has not proved itself.
fn before_the_cookie(mut pair: Pair, session: Option<&Session>) {
    pair.log.clear();
    pair.server.papers.resumptions_asked = 0;
    let begun = pair.server.events.len();
    pair.tamper = Some(Box::new(|to, datagram| {
        !(to == Side::Server && datagram[13] == 1 && datagram[17..19] != [0, 0])
    }));
    pair.connect_with(session);
    pair.run_for(Duration::from_secs(20));
    let (to_client, to_server) = traffic(&pair);
    assert!(to_server > 0 && to_client > 0, "it was asked for a cookie");
    assert!(to_client < to_server, "{to_client} for {to_server}");
    let verify_requests_only = |(to, datagram): &(Side, Vec<u8>)| {
        *to == Side::Server || datagram[0] == 22 && datagram[13] == 3
    };
    assert!(pair.log.iter().all(verify_requests_only));
    assert_eq!(pair.server.events.len(), begun, "nobody is asked anything");
    assert_eq!(pair.server.papers.resumptions_asked, 0);
    assert_eq!(pair.server.endpoint.connections(), 0);
}

#[test]
fn entry_5_a_chain_is_not_sent_before_the_cookie() {
    let client = Config {
        peer_certificate_types: CertificateTypes::new(&[CertificateType::X509]),
        psk: false,
        ..Config::default()
    };
    let server = Config {
        own_certificate_types: CertificateTypes::new(&[CertificateType::X509]),
        ..client
    };
    let mut pair = Pair::of(51, &client, &server);
    pair.server.papers.own = Some(Paper::x509("gate.example", 3));
    before_the_cookie(pair, None);
}

#[test]
fn entry_5_resumption_passes_the_cookie_exchange() {
    for tickets in [true, false] {
        let config = Config {
            resumption: true,
            tickets,
            ..Config::default()
        };
        let mut pair = Pair::of(52, &config, &config);
        let (at_client, at_server) = pair.established();
        let session = pair.client.papers.session.take().expect("a session");
        pair.client.endpoint.discard(at_client);
        pair.server.endpoint.discard(at_server);
        before_the_cookie(pair, Some(&session));
    }
}

#[test]
fn entry_5_fragments_of_a_hello_are_answered_with_no_more_than_came() {
    let mut pair = raw_pair(53, &raw_keys(), ClientAuth::None);
    pair.connect();
    let hello = pair.log[0].1[25..].to_vec();
    // From many addresses, in two to five pieces, the last ones as small as can be.
    for round in 0..2000u32 {
        let from = SocketAddr::from((round.to_be_bytes(), 7));
        let pieces = 2 + round as usize % 4;
        for i in 0..pieces {
            let (start, end) = (i * hello.len() / pieces, (i + 1) * hello.len() / pieces);
            let end = if i + 2 == pieces {
                hello.len() - 1
            } else {
                end
            };
            let start = if i + 1 == pieces {
                hello.len() - 1
            } else {
                start
            };
            let mut bytes = fragment(1, hello.len() as u32, 0, start as u32, &hello[start..end]);
            let (came, mut answered) = (bytes.len(), 0);
            let mut input = Datagram::new(&mut bytes);
            let path = UdpPath::from(from);
            while let Some(received) = pair.server.endpoint.handle(pair.now, path, &mut input) {
                if let Received::Reply(range) = received {
                    answered += range.len();
                }
            }
            assert!(answered <= came, "{answered} for {came}");
        }
        assert!(
            pair.server
                .endpoint
                .poll_transmit(pair.now, &mut [0; 2048])
                .is_none()
        );
    }
    assert_eq!(pair.server.endpoint.connections(), 0);
}

#[test]
fn entry_6_noise_in_a_certificate_handshake_ends_nobody_elses() {
    let config = Config {
        resumption: true,
        ..raw_keys()
    };
    let mut pair = raw_pair(54, &config, ClientAuth::Required);
    let (client, server) = pair.established();
    pair.echo(client, server);
    let genuine: Vec<_> = pair.log.iter().map(|(_, d)| d.clone()).collect();
    let mut random = Seeded::new(78);
    for round in 0..10_000u32 {
        let mut bytes = genuine[random.below(genuine.len() as u64) as usize].clone();
        for _ in 0..=random.below(6) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next() as u8;
        }
        let from = if round % 3 == 0 {
            pair.client_address
        } else {
            SocketAddr::from(([10, 0, (round >> 8) as u8, round as u8], 9))
        };
        pair.inject(Side::Server, from, &bytes);
        if round % 2000 == 0 {
            pair.run_for(Duration::from_millis(10));
        }
    }
    pair.run_for(Duration::from_secs(200));
    while let Some((handle, _)) = pair.server.closed() {
        assert_ne!(handle, server);
    }
    pair.echo(client, server);
}

#[test]
fn entry_6_a_slow_key_lookup_blocks_no_handshake_with_a_certificate() {
    let config = Config {
        psk: true,
        ..raw_keys()
    };
    let mut pair = raw_pair(55, &config, ClientAuth::None);
    let paper = pair.server.papers.own.take();
    // With nothing to show, the server goes by the key that it has to look for.
    pair.hold_keys = true;
    let (home, there) = (pair.client_address, pair.server_address);
    pair.connect();
    pair.run_for(Duration::from_millis(200));
    assert_eq!(pair.held.len(), 1);
    // Meanwhile another client comes, and the server has its key back.
    pair.server.papers.own = paper;
    pair.client_address.set_port(4711);
    pair.server_address.set_port(4712);
    let (client, server) = pair.established();
    pair.echo(client, server);
    // And the first goes on when the answer is there.
    (pair.client_address, pair.server_address) = (home, there);
    let waiting = pair.held[0];
    pair.answer(waiting);
    pair.run_for(Duration::from_millis(200));
    assert_eq!(pair.server.connected(), Some(waiting));
}
