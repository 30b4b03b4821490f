//! Handshakes on a good link and on a hostile one.

mod common;

use std::time::Duration;

use common::{Link, Pair};
use lockgate_dtls::{CidConfig, CipherSuite, Config, SuiteList};

#[test]
fn every_suite_carries_data_both_ways() {
    let with_psk = |suite: &CipherSuite| {
        suite
            .parameters()
            .is_some_and(|p| p.key_exchange.uses_psk())
    };
    for (seed, suite) in CipherSuite::ALL.into_iter().filter(with_psk).enumerate() {
        for cid in [
            CidConfig::Off,
            CidConfig::Length(0),
            CidConfig::Length(8),
            CidConfig::Length(20),
        ] {
            let config = Config {
                cipher_suites: SuiteList::new(&[suite]),
                cid,
                ..Config::default()
            };
            let mut pair = Pair::of(seed as u64, &config, &config);
            let (client, server) = pair.established();
            let info = pair.server.endpoint.info(server).expect("established");
            assert_eq!(info.cipher_suite, suite);
            assert_eq!(
                info.own_cid.len(),
                usize::from(match cid {
                    CidConfig::Off => 0,
                    CidConfig::Length(len) => len,
                })
            );
            for len in [0, 1, 64, 1200] {
                let up = vec![len as u8; len];
                pair.send_from_client(client, &up);
                pair.run_for(Duration::from_millis(100));
                assert_eq!(
                    pair.server.received.pop_front(),
                    Some((server, up.clone())),
                    "{suite} {cid:?} {len}"
                );
                pair.send_from_server(server, &up);
                pair.run_for(Duration::from_millis(100));
                assert_eq!(
                    pair.client.received.pop_front(),
                    Some((client, up)),
                    "{suite} {cid:?} {len}"
                );
            }
        }
    }
}

/// Issue: 10,000 seeded handshakes all finish with up to 30 % loss, with tries raised to 20.
#[test]
fn ten_thousand_handshakes_survive_a_hostile_link() {
    for seed in 0..10_000 {
        let config = Config {
            max_retransmits: 20,
            max_timeout: Duration::from_secs(8),
            handshake_timeout: Duration::from_mins(10),
            ..Config::default()
        };
        let mut pair = Pair::of(seed, &config, &config);
        pair.link = Link {
            loss: seed % 31,
            duplicate: 10,
            reorder: 30,
            delay: 20,
            jitter: 1500,
        };
        let client = pair.connect();
        let done = pair.run_until(Duration::from_mins(10), |pair| {
            pair.client.endpoint.info(client).is_some() && pair.server.endpoint.half_open() == 0
        });
        let why = pair.client.closed();
        assert!(
            done,
            "seed {seed}: {why:?}, server {:?}",
            pair.server.closed()
        );
        // Data passes, whatever the link still holds back.
        pair.link = Link::PERFECT;
        let mut arrived = false;
        for _ in 0..3 {
            pair.send_from_client(client, b"report");
            pair.run_for(Duration::from_secs(2));
            arrived |= pair
                .server
                .received
                .iter()
                .any(|(_, data)| data == b"report");
        }
        assert!(arrived, "seed {seed}");
    }
}

#[test]
fn a_flight_that_does_not_fit_the_mtu_is_fragmented_and_put_together() {
    for seed in 0..50 {
        let config = Config {
            mtu: 256,
            cid: CidConfig::Length(20),
            ..Config::default()
        };
        let hint = lockgate_dtls::ShortBytes::new(&[b'h'; 128]).expect("fits");
        let server = Config {
            psk_identity_hint: hint,
            ..config
        };
        let mut pair = Pair::of(seed, &config, &server);
        pair.identity = vec![b'i'; 128];
        pair.keys.insert(pair.identity.clone(), pair.key.clone());
        pair.link = Link {
            loss: 0,
            duplicate: 20,
            reorder: 50,
            delay: 20,
            jitter: 200,
        };
        pair.established();
        assert!(pair.log.iter().all(|(_, datagram)| datagram.len() <= 256));
    }
}
