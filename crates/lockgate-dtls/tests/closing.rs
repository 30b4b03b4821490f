//! How sessions end, and what cannot end them.

mod common;

use std::time::Duration;

use common::{Pair, Side};
use lockgate_dtls::{
    AeadLimits, CidConfig, CipherSuite, CloseReason, Config, DropReason, Limit, SendError,
    SuiteList,
};

#[test]
fn close_notify_ends_both_sides_and_nothing_goes_on_after_it() {
    for client_closes in [true, false] {
        let mut pair = Pair::new(1);
        let (client, server) = pair.established();
        let mut out = [0; 200];
        let late = {
            let (range, _) = pair
                .client
                .endpoint
                .send(client, b"late", &mut out)
                .expect("live");
            out[range].to_vec()
        };
        if client_closes {
            pair.client.endpoint.close(client);
        } else {
            pair.server.endpoint.close(server);
        }
        pair.run_for(Duration::from_secs(1));
        let reasons = (
            pair.client.closed().expect("told").1,
            pair.server.closed().expect("told").1,
        );
        if client_closes {
            assert_eq!(reasons, (CloseReason::Local, CloseReason::PeerClosed));
        } else {
            assert_eq!(reasons, (CloseReason::PeerClosed, CloseReason::Local));
        }
        assert!(
            pair.client.closed().is_none() && pair.server.closed().is_none(),
            "told once"
        );
        assert_eq!(
            pair.client.endpoint.connections() + pair.server.endpoint.connections(),
            0
        );
        let from = pair.client_address;
        pair.inject(Side::Server, from, &late);
        pair.run_for(Duration::from_secs(1));
        assert!(pair.server.received.is_empty());
        assert_eq!(
            pair.server
                .endpoint
                .send(server, b"x", &mut out)
                .map(|_| ()),
            Err(SendError::NotConnected)
        );
    }
}

#[test]
fn clear_text_never_touches_an_established_session() {
    for cid in [CidConfig::Off, CidConfig::Length(8)] {
        let config = Config {
            cid,
            ..Config::default()
        };
        let mut pair = Pair::of(2, &config, &config);
        let (client, server) = pair.established();
        let (home, there) = (pair.client_address, pair.server_address);
        for content in [&[2, 40][..], &[1, 0], &[2, 0], &[1]] {
            for content_type in [20, 21, 22, 23, 24, 26, 99] {
                let mut forged = vec![
                    content_type,
                    0xfe,
                    0xfd,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    99,
                    0,
                    content.len() as u8,
                ];
                forged.extend_from_slice(content);
                pair.inject(Side::Server, home, &forged);
                pair.inject(Side::Client, there, &forged);
            }
        }
        // All that was in clear text in the handshake, again.
        let again: Vec<_> = pair
            .log
            .iter()
            .filter(|(_, d)| d[3..5] == [0, 0])
            .cloned()
            .collect();
        for (to, datagram) in again {
            pair.inject(to, if to == Side::Server { home } else { there }, &datagram);
        }
        pair.run_for(Duration::from_secs(1));
        assert!(pair.client.closed().is_none() && pair.server.closed().is_none());
        pair.send_from_client(client, b"up");
        pair.send_from_server(server, b"down");
        pair.run_for(Duration::from_secs(1));
        assert_eq!(
            pair.server.received.pop_front(),
            Some((server, b"up".to_vec()))
        );
        assert_eq!(
            pair.client.received.pop_front(),
            Some((client, b"down".to_vec()))
        );
    }
}

#[test]
fn too_many_forgeries_end_the_session_with_its_own_reason() {
    let config = Config {
        cipher_suites: SuiteList::new(&[CipherSuite::PSK_AES_128_CCM_8]),
        aead_limits: AeadLimits {
            ccm_8_failed_opens: 50,
            ..AeadLimits::default()
        },
        ..Config::default()
    };
    let mut pair = Pair::of(3, &Config::default(), &config);
    let (client, _) = pair.established();
    let mut out = [0; 200];
    let (range, _) = pair
        .client
        .endpoint
        .send(client, b"x", &mut out)
        .expect("live");
    let mut forged = out[range].to_vec();
    *forged.last_mut().expect("not empty") ^= 1;
    let from = pair.client_address;
    for _ in 0..49 {
        pair.inject(Side::Server, from, &forged);
    }
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.server.dropped(DropReason::Unauthenticated), 49);
    pair.send_from_client(client, b"still here");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.server.received.len(), 1);
    pair.inject(Side::Server, from, &forged);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(
        pair.server.closed().expect("ended").1,
        CloseReason::Limit(Limit::FailedOpens)
    );
    assert_eq!(
        pair.client.closed().expect("told").1,
        CloseReason::PeerClosed
    );
}

#[test]
fn a_payload_over_the_peers_limit_is_the_callers_error() {
    let config = Config {
        record_size_limit: Some(100),
        ..Config::default()
    };
    let mut pair = Pair::of(4, &config, &Config::default());
    let (client, server) = pair.established();
    let mut out = vec![0; 70_000];
    // One byte of the hundred is the inner content type (RFC 8449 with RFC 9146).
    let info = pair.server.endpoint.info(server).expect("live");
    assert_eq!(info.max_payload, 99);
    assert_eq!(
        pair.server
            .endpoint
            .send(server, &[0; 100], &mut out)
            .map(|_| ()),
        Err(SendError::TooLarge { limit: 99 })
    );
    pair.send_from_server(server, &[1; 99]);
    // The other direction has no such limit.
    pair.send_from_client(client, &[2; 16_000]);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.client.received.len() + pair.server.received.len(), 2);
    let too_much = vec![0; 65_507];
    assert!(matches!(
        pair.client.endpoint.send(client, &too_much, &mut out),
        Err(SendError::TooLarge { limit: 16_383 })
    ));
}

#[test]
fn max_fragment_length_binds_both_directions() {
    let config = Config {
        max_fragment_length: Some(lockgate_dtls::wire::MaxFragmentLength::Bytes512),
        cid: CidConfig::Off,
        ..Config::default()
    };
    let mut pair = Pair::of(5, &config, &Config::default());
    let (client, server) = pair.established();
    assert_eq!(
        pair.server.endpoint.info(server).expect("live").max_payload,
        512
    );
    assert_eq!(
        pair.client.endpoint.info(client).expect("live").max_payload,
        512
    );
}

#[test]
fn record_size_limit_takes_the_place_of_max_fragment_length() {
    let config = Config {
        max_fragment_length: Some(lockgate_dtls::wire::MaxFragmentLength::Bytes512),
        record_size_limit: Some(700),
        cid: CidConfig::Off,
        ..Config::default()
    };
    let mut pair = Pair::of(6, &config, &Config::default());
    let (client, server) = pair.established();
    assert_eq!(
        pair.server.endpoint.info(server).expect("live").max_payload,
        700
    );
    assert_eq!(
        pair.client.endpoint.info(client).expect("live").max_payload,
        1 << 14
    );
}
