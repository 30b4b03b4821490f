//! A `Finished` that comes before its keys is kept and opened as soon as they are there: no handshake waits for a repeat
//! that nobody needs.

mod common;

use std::time::Duration;

use common::{Link, Pair, Paper, Side};
use lockgate_dtls::Config;
use lockgate_dtls::certificate::{CertificateType, CertificateTypes, ClientAuth};
use lockgate_dtls::crypto::KeyType;

/// Both ends with raw public keys; the client is asked for its own as `auth` says.
fn raw(seed: u64, auth: ClientAuth) -> Pair {
    let types = CertificateTypes::new(&[CertificateType::RawPublicKey]);
    let client = Config {
        psk: false,
        own_certificate_types: types,
        peer_certificate_types: types,
        ..Config::default()
    };
    let server = Config {
        client_auth: auth,
        ..client
    };
    let mut pair = Pair::of(seed, &client, &server);
    pair.server.papers.own = Some(Paper::raw(KeyType::EcdsaP256, 1));
    pair.client.papers.own = Some(Paper::raw(KeyType::EcdsaP256, 2));
    pair
}

fn finishes_at_once(mut pair: Pair) {
    // Half the time of the first repeat.
    pair.link = Link::PERFECT;
    pair.connect();
    pair.run_for(Duration::from_millis(500));
    let both = [&pair.client, &pair.server].map(common::End::is_connected);
    assert_eq!(
        both, [true; 2],
        "{:?} {:?}",
        pair.server.drops, pair.server.events
    );
}

#[test]
fn a_finished_in_one_datagram_with_a_certificate_waits_for_the_verdict() {
    for auth in [ClientAuth::None, ClientAuth::Optional, ClientAuth::Required] {
        finishes_at_once(raw(1, auth));
    }
}

#[test]
fn a_finished_that_overtakes_the_rest_of_its_flight_waits_for_it() {
    for auth in [ClientAuth::None, ClientAuth::Required] {
        let mut pair = raw(2, auth);
        // The client's flight: the records of epoch 1 first, those in clear text behind them.
        pair.tamper = Some(Box::new(|to, datagram| {
            if to == Side::Server && [11, 16].contains(&datagram[13]) {
                let mut records = Vec::new();
                let mut rest = &datagram[..];
                while !rest.is_empty() {
                    // With a connection ID of the server's 8 bytes, the length stands behind it.
                    let at = if rest[0] == 25 { 19 } else { 11 };
                    let len = at + 2 + usize::from(u16::from_be_bytes([rest[at], rest[at + 1]]));
                    records.push(rest[..len].to_vec());
                    rest = &rest[len..];
                }
                records.sort_by_key(|record| std::cmp::Reverse(record[4]));
                *datagram = records.concat();
            }
            true
        }));
        finishes_at_once(pair);
    }
}
