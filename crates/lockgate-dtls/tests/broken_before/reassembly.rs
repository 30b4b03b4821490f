//! Entries 1 to 3: fragments, epochs, lengths.

use std::time::Duration;

use lockgate_dtls::{CidConfig, Config, DropReason};

use crate::common::{self, Pair, Side};
use crate::{finishes, fragment, waiting_server};

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
