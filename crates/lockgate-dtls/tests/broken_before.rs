//! Ways in which other implementations were broken. Each test names the entry of PROTOCOL-NOTES that it stands for.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Link, Pair, Seeded, Side};
use lockgate_dtls::{
    CidConfig, CloseReason, Config, DropReason, HandshakeError, PeerIncompatible, PeerMisbehaved,
};

/// A clear-text handshake record with one fragment.
fn fragment(msg_type: u8, length: u32, seq: u16, offset: u32, body: &[u8]) -> Vec<u8> {
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0x10, seq as u8];
    record.extend_from_slice(&((12 + body.len()) as u16).to_be_bytes());
    record.push(msg_type);
    record.extend_from_slice(&length.to_be_bytes()[1..]);
    record.extend_from_slice(&seq.to_be_bytes());
    record.extend_from_slice(&offset.to_be_bytes()[1..]);
    record.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    record.extend_from_slice(body);
    record
}

/// A pair whose client has sent its second hello; the server's flight is held back.
fn waiting_server(seed: u64) -> Pair {
    let mut pair = Pair::new(seed);
    pair.tamper = Some(Box::new(|to, datagram| {
        !(to == Side::Client && datagram[13] == 2)
    }));
    pair.connect();
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.server.endpoint.half_open(), 1);
    pair.tamper = None;
    pair
}

/// After the noise the client's retransmission brings the handshake home.
fn finishes(mut pair: Pair) {
    pair.run_for(Duration::from_secs(20));
    assert!(
        pair.server.connected().is_some(),
        "{:?}",
        pair.server.closed()
    );
    assert!(pair.client.connected().is_some());
}

#[test]
fn entry_1_overlapping_fragments_cannot_rewrite_what_arrived_first() {
    let mut pair = Pair::new(1);
    // The client's key exchange is cut in two, with a forged overlap between the parts.
    pair.tamper = Some(Box::new(|to, datagram| {
        !(to == Side::Server && datagram.get(13) == Some(&16))
    }));
    pair.connect();
    pair.run_for(Duration::from_millis(100));
    pair.tamper = None;
    let identity = common::IDENTITY;
    let mut body = (identity.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(identity);
    let home = pair.client_address;
    let total = body.len() as u32;
    pair.inject(Side::Server, home, &fragment(16, total, 2, 0, &body[..10]));
    pair.inject(Side::Server, home, &fragment(16, total, 2, 4, &[b'X'; 6]));
    pair.inject(Side::Server, home, &fragment(16, total, 2, 8, &body[8..]));
    pair.run_for(Duration::from_secs(20));
    assert!(pair.server.connected().is_some());
}

#[test]
fn entry_1_empty_contradicting_and_far_fragments_are_dropped() {
    let mut pair = waiting_server(2);
    let home = pair.client_address;
    pair.inject(Side::Server, home, &fragment(16, 20, 2, 0, &[]));
    pair.run_for(Duration::ZERO);
    assert_eq!(pair.server.dropped(DropReason::InconsistentFragment), 1);
    // The first fragment fixes type and length: this one is genuine in neither, and later ones must agree with it.
    pair.inject(Side::Server, home, &fragment(16, 40, 3, 0, &[0; 5]));
    pair.inject(Side::Server, home, &fragment(16, 41, 3, 5, &[0; 5]));
    pair.inject(Side::Server, home, &fragment(15, 40, 3, 5, &[0; 5]));
    pair.run_for(Duration::ZERO);
    assert_eq!(pair.server.dropped(DropReason::FragmentMismatch), 2);
    for seq in [8, 9, 100, 0x7fff] {
        pair.inject(Side::Server, home, &fragment(16, 20, seq, 0, &[0; 5]));
    }
    pair.run_for(Duration::ZERO);
    assert_eq!(pair.server.dropped(DropReason::MessageTooFarAhead), 4);
    // Beyond its message's end it is no fragment at all.
    pair.inject(Side::Server, home, &fragment(16, 4, 2, 2, &[0; 5]));
    pair.run_for(Duration::ZERO);
    assert_eq!(pair.server.dropped(DropReason::MalformedHandshakeRecord), 1);
    finishes(pair);
}

#[test]
fn entry_1_a_hundred_fragments_for_a_later_message_are_bounded_and_give_way() {
    let mut pair = waiting_server(3);
    let home = pair.client_address;
    for i in 0..100 {
        pair.inject(Side::Server, home, &fragment(11, 300, 7, i, &[0xaa]));
        pair.inject(Side::Server, home, &fragment(11, 60_000, 5, i, &[0xaa]));
        pair.inject(
            Side::Server,
            home,
            &fragment(11, 0x00ff_ffff, 4, i, &[0xaa]),
        );
    }
    pair.run_for(Duration::ZERO);
    assert!(pair.server.dropped(DropReason::ReassemblyFull) >= 200);
    finishes(pair);
}

#[test]
fn entry_2_records_of_future_epochs_neither_buffer_nor_poison() {
    let mut pair = waiting_server(4);
    let home = pair.client_address;
    for epoch in [1u16, 2, 3, 0xffff] {
        for content_type in [20, 21, 22, 23, 25] {
            let mut record = vec![content_type, 0xfe, 0xfd];
            record.extend_from_slice(&epoch.to_be_bytes());
            record.extend_from_slice(&[0xff; 6]);
            record.extend_from_slice(&[0, 32]);
            record.extend_from_slice(&[9; 32]);
            for _ in 0..50 {
                pair.inject(Side::Server, home, &record);
            }
        }
    }
    pair.run_for(Duration::ZERO);
    finishes(pair);
    // And on an established session: a huge sequence number in a forged record leaves the window alone.
    for cid in [CidConfig::Off, CidConfig::Length(8)] {
        let config = Config {
            cid,
            ..Config::default()
        };
        let mut pair = Pair::of(5, &config, &config);
        let (client, _) = pair.established();
        let mut out = [0; 200];
        let (range, _) = pair
            .client
            .endpoint
            .send(client, b"x", &mut out)
            .expect("live");
        let mut forged = out[range].to_vec();
        forged[5..11].copy_from_slice(&[0xff; 6]);
        pair.inject(Side::Server, home, &forged);
        forged[3..5].copy_from_slice(&[0xff; 2]);
        pair.inject(Side::Server, home, &forged);
        pair.send_from_client(client, b"genuine");
        pair.run_for(Duration::from_secs(1));
        assert_eq!(pair.server.received.len(), 1);
    }
}

#[test]
fn entry_3_lengths_in_clear_text_bodies_are_checked() {
    // Every byte of every clear-text handshake datagram, set to extremes: no panic, and no wrong success.
    for direction in [Side::Server, Side::Client] {
        for at in 0..160 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut pair = Pair::new(6);
                let mut left = 3;
                pair.tamper = Some(Box::new(move |to, datagram| {
                    if to == direction
                        && left > 0
                        && datagram[3..5] == [0, 0]
                        && at < datagram.len()
                    {
                        datagram[at] = value;
                        left -= 1;
                    }
                    true
                }));
                pair.connect();
                pair.run_for(Duration::from_secs(100));
                // Either both ends agree or neither is connected: what was changed is in the transcript.
                let connected = (
                    pair.server.connected().is_some(),
                    pair.client.connected().is_some(),
                );
                assert_eq!(connected.0, connected.1, "byte {at} set to {value}");
            }
        }
    }
}

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
        let mut input = lockgate_dtls::Datagram::new(&mut copy);
        let mut answered = 0;
        while let Some(received) =
            pair.server
                .endpoint
                .handle(pair.now, lockgate_dtls::UdpPath::from(from), &mut input)
        {
            if let lockgate_dtls::Received::Reply(range) = received {
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
fn entry_7_no_key_means_no_session_and_no_empty_key() {
    // tests/psk.rs shows that both look the same; here the key that an empty table would give.
    let mut pair = Pair::new(15);
    pair.keys.clear();
    pair.key = vec![0; 32];
    pair.connect();
    pair.run_for(Duration::from_secs(100));
    assert!(pair.server.connected().is_none() && pair.client.connected().is_none());
}

#[test]
fn entry_8_what_both_do_not_share_has_a_name() {
    use lockgate_dtls::{CipherSuite, SuiteList};
    let config = Config {
        cipher_suites: SuiteList::new(&[CipherSuite::PSK_AES_256_CCM]),
        ..Config::default()
    };
    let other = Config {
        cipher_suites: SuiteList::new(&[CipherSuite::PSK_AES_128_CCM_8]),
        ..Config::default()
    };
    let mut pair = Pair::of(16, &config, &other);
    pair.connect();
    pair.run_for(Duration::from_secs(1));
    assert_eq!(
        pair.server.closed().expect("told").1,
        CloseReason::HandshakeFailed(HandshakeError::PeerIncompatible(
            PeerIncompatible::NoCommonCipherSuite
        ))
    );
    assert_eq!(
        pair.client.closed().expect("told").1.to_string(),
        "the peer gave up: handshake_failure"
    );
}

#[test]
fn entry_8_a_peer_without_extended_master_secret_is_refused_unless_allowed() {
    let strip = |datagram: &mut Vec<u8>, msg_type: u8| {
        // The extension is four bytes, 00 17 00 00; its type becomes one that nobody knows.
        if datagram[0] == 22
            && datagram[13] == msg_type
            && let Some(at) = datagram.windows(4).position(|w| w == [0, 23, 0, 0])
        {
            datagram[at..at + 2].copy_from_slice(&[0xfa, 0xfa]);
        }
    };
    let mut pair = Pair::new(17);
    pair.tamper = Some(Box::new(move |to, datagram| {
        if to == Side::Server {
            strip(datagram, 1);
        }
        true
    }));
    pair.connect();
    pair.run_for(Duration::from_secs(1));
    assert_eq!(
        pair.server.closed().expect("told").1,
        CloseReason::HandshakeFailed(HandshakeError::PeerIncompatible(
            PeerIncompatible::ExtendedMasterSecretRequired
        ))
    );
}

#[test]
fn entry_10_nothing_prints_a_secret() {
    use lockgate_dtls::crypto::AeadAlgorithm;
    use lockgate_dtls::export::ExportKey;

    // Each secret is a byte that no other part of what is printed has, in decimal or in hexadecimal.
    let key = ExportKey::new(AeadAlgorithm::Aes128Gcm, &[0xd7; 16]).expect("16 bytes");
    let config = Config {
        key_log: true,
        ..Config::default()
    };
    let server = lockgate_dtls::EndpointConfig {
        config,
        cid_key: Some(lockgate_dtls::CidKey::new([0xd7; 16])),
        ..lockgate_dtls::EndpointConfig::default()
    };
    let shown = format!("{key:?} {server:?}");
    assert!(!shown.contains("215") && !shown.contains("d7"), "{shown}");
    let mut pair = Pair::of(18, &config, &config);
    pair.established();
    let logged = pair
        .server
        .events
        .iter()
        .find_map(|(_, event)| match event {
            lockgate_dtls::Event::KeyLog(entry) => Some(entry.clone()),
            _ => None,
        });
    let secret = *logged.expect("asked for").secret();
    let shown = format!("{:?}", pair.server.events);
    for form in [
        format!("{:?}", &secret[..4]),
        format!("{:02x?}", &secret[..4]),
    ] {
        assert!(!shown.contains(form.trim_matches(['[', ']'])), "{shown}");
    }
}

#[test]
fn entry_3_a_hello_of_nothing_but_extensions_costs_no_more_than_its_length() {
    let mut pair = Pair::new(19);
    let mut body = vec![0xfe, 0xfd];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0, 0, 0, 2, 0x00, 0xa8, 1, 0]);
    let count = 4000u16;
    body.extend_from_slice(&(count * 4).to_be_bytes());
    for i in 0..count {
        body.extend_from_slice(&(0x4000 + i).to_be_bytes());
        body.extend_from_slice(&[0, 0]);
    }
    let hello = fragment(1, body.len() as u32, 0, 0, &body);
    let home = pair.client_address;
    let began = std::time::Instant::now();
    for _ in 0..200 {
        pair.inject(Side::Server, home, &hello);
    }
    pair.run_for(Duration::from_millis(1));
    // 200 of them compared pair by pair took about three seconds; read once they take some milliseconds.
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
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
