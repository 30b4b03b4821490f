//! Entry 7: pre-shared keys.

use std::time::Duration;

use lockgate_dtls::{
    ApiError, CipherSuite, CloseReason, Config, Instant, KeyExchangeAlgorithm, SuiteList,
};

use crate::common::{IDENTITY, Pair, Side, plain_psk};

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

/// Options for pre-shared keys with an ephemeral exchange alone.
fn ephemeral() -> Config {
    let suites: Vec<_> = CipherSuite::ALL
        .into_iter()
        .filter(|suite| {
            suite
                .parameters()
                .is_some_and(|p| p.key_exchange == KeyExchangeAlgorithm::EcdhePsk)
        })
        .collect();
    Config {
        cipher_suites: SuiteList::new(&suites),
        resumption: true,
        ..Config::default()
    }
}

/// What the server put on the link until both gave up: times, lengths, types. And why the client did.
fn seen_from_outside(mut pair: Pair) -> (Vec<(Instant, usize, u8)>, CloseReason) {
    pair.connect();
    pair.run_for(Duration::from_mins(5));
    assert!(pair.server.connected().is_none() && pair.client.connected().is_none());
    assert!(pair.client.papers.session.is_none() && pair.server.papers.session.is_none());
    let datagrams = pair.log.iter().zip(&pair.times);
    let shape = datagrams
        .filter(|((to, _), _)| *to == Side::Client)
        .map(|((_, datagram), at)| (*at, datagram.len(), datagram[0]))
        .collect();
    (shape, pair.client.closed().expect("ended").1)
}

#[test]
fn entry_7_with_an_ephemeral_exchange_an_unknown_identity_looks_like_a_wrong_key() {
    let mut unknown = Pair::of(61, &ephemeral(), &ephemeral());
    unknown.identity = b"Client_identit?".to_vec();
    let mut wrong = Pair::of(61, &ephemeral(), &ephemeral());
    wrong.key = b"secretPSL".to_vec();
    assert_eq!(seen_from_outside(unknown), seen_from_outside(wrong));
}

#[test]
fn entry_7_with_an_ephemeral_exchange_no_key_is_no_empty_key() {
    // The exchange itself has a secret now, so that an empty key would not even look empty.
    for key in [&[0; 32][..], &[0], &[0; 64]] {
        let mut pair = Pair::of(62, &ephemeral(), &ephemeral());
        pair.keys.clear();
        pair.key = key.to_vec();
        pair.connect();
        pair.run_for(Duration::from_secs(100));
        assert!(pair.server.connected().is_none() && pair.client.connected().is_none());
    }
    // Nor is an empty one taken of the caller.
    let mut pair = Pair::of(63, &ephemeral(), &ephemeral());
    pair.hold_keys = true;
    pair.connect();
    pair.run_for(Duration::from_millis(200));
    let asked = pair.held[0];
    let empty = pair.server.endpoint.provide_psk(pair.now, asked, b"");
    assert_eq!(empty, Err(ApiError::BadLength));
}

#[test]
fn entry_7_an_identity_is_not_cut_at_a_nul() {
    for config in [ephemeral(), Config::default(), plain_psk()] {
        let mut pair = Pair::of(64, &config, &config);
        pair.identity = [IDENTITY, b"\0and more"].concat();
        pair.connect();
        pair.run_for(Duration::from_secs(100));
        assert!(pair.server.connected().is_none() && pair.client.connected().is_none());
        // And with one of that name, it is the whole name.
        let mut pair = Pair::of(65, &config, &config);
        pair.identity = [IDENTITY, b"\0and more"].concat();
        pair.keys.clear();
        pair.keys.insert(pair.identity.clone(), pair.key.clone());
        pair.established();
    }
}
