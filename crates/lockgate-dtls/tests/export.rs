//! Sessions taken out of memory and brought back (decision 6): never a number twice, never an old copy.

mod common;

use std::time::Duration;

use common::{Pair, client_config, provider};
use lockgate_dtls::crypto::AeadAlgorithm;
use lockgate_dtls::export::{ExportError, ExportKey, MAX_EXPORT_LEN};
use lockgate_dtls::lease::{LeaseError, MemoryLeaseStore};
use lockgate_dtls::{
    AddressPolicy, CidConfig, CidKey, CipherSuite, Config, EndpointConfig, SendError, SuiteList,
    UdpPath,
};

fn key() -> ExportKey {
    ExportKey::new(AeadAlgorithm::Aes128Gcm, &[7; 16]).expect("16 bytes")
}

fn server_config() -> EndpointConfig {
    EndpointConfig {
        cid_key: Some(CidKey::new([3; 16])),
        ..EndpointConfig::default()
    }
}

/// Exports the server's session of a fresh pair: the pair, the blob, the store.
fn exported(
    seed: u64,
) -> (
    Pair,
    lockgate_dtls::ConnectionHandle,
    Vec<u8>,
    MemoryLeaseStore,
) {
    let mut pair = Pair::with(seed, client_config(), server_config());
    let (client, server) = pair.established();
    pair.send_from_client(client, b"before");
    pair.send_from_server(server, b"before");
    pair.run_for(Duration::from_secs(1));
    let mut store = MemoryLeaseStore::default();
    let mut blob = vec![0; MAX_EXPORT_LEN];
    let len = pair
        .server
        .endpoint
        .export(server, &mut store, &key(), &mut blob)
        .expect("established");
    blob.truncate(len);
    assert_eq!(pair.server.endpoint.connections(), 0);
    (pair, client, blob, store)
}

fn sequence(record: &[u8]) -> u64 {
    u64::from_be_bytes([
        0, 0, record[5], record[6], record[7], record[8], record[9], record[10],
    ])
}

#[test]
fn a_session_moves_to_another_endpoint_and_goes_on() {
    let (mut pair, client, blob, mut store) = exported(1);
    // Another process: a new endpoint with the same key for connection IDs.
    let config = EndpointConfig {
        server: true,
        ..server_config()
    };
    pair.server.endpoint =
        lockgate_dtls::Endpoint::new(provider(99), pair.now, config).expect("valid");
    let path = UdpPath::from(pair.client_address);
    let server = pair
        .server
        .endpoint
        .import(path, &mut store, &key(), &blob, 100)
        .expect("first copy");
    let flights = pair.client.sent_datagrams;
    pair.send_from_client(client, b"up");
    pair.send_from_server(server, b"down");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.server.received.back(), Some(&(server, b"up".to_vec())));
    assert_eq!(
        pair.client.received.back(),
        Some(&(client, b"down".to_vec()))
    );
    assert_eq!(pair.client.sent_datagrams, flights, "no handshake");
    // What was received before stays received: a replay is noticed by the new owner.
    let old = pair
        .log
        .iter()
        .rev()
        .find(|(to, _)| *to == common::Side::Server)
        .expect("sent")
        .1
        .clone();
    let from = pair.client_address;
    pair.inject(common::Side::Server, from, &old);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.server.dropped(lockgate_dtls::DropReason::Replayed), 1);
    // It still follows its peer, and still exports the same keying material.
    pair.client_address.set_port(9);
    pair.send_from_client(client, b"moved");
    pair.run_for(Duration::from_secs(1));
    assert!(pair.server.saw_path_change());
    let (mut a, mut b) = ([0; 16], [0; 16]);
    pair.client
        .endpoint
        .export_keying_material(client, b"x", None, &mut a)
        .expect("live");
    pair.server
        .endpoint
        .export_keying_material(server, b"x", None, &mut b)
        .expect("live");
    assert_eq!(a, b);
}

#[test]
fn an_old_copy_brought_back_a_second_time_is_refused() {
    let (mut pair, _, blob, mut store) = exported(2);
    let path = UdpPath::from(pair.client_address);
    let server = pair
        .server
        .endpoint
        .import(path, &mut store, &key(), &blob, 100)
        .expect("first copy");
    pair.server.endpoint.discard(server);
    // Whatever block is asked for, and although the place is free again.
    for count in [0, 1, 100, 1 << 20] {
        let again = pair
            .server
            .endpoint
            .import(path, &mut store, &key(), &blob, count);
        assert_eq!(again, Err(ExportError::Lease(LeaseError::Superseded)));
        assert_eq!(
            pair.server.endpoint.connections(),
            0,
            "nothing half-done is left"
        );
    }
    // A store that lost its memory lets nothing pass.
    let mut empty = MemoryLeaseStore::default();
    let again = pair
        .server
        .endpoint
        .import(path, &mut empty, &key(), &blob, 100);
    assert_eq!(again, Err(ExportError::Lease(LeaseError::Unknown)));
}

#[test]
fn no_number_serves_twice_and_sending_stops_at_the_end_of_the_claim() {
    let (mut pair, _, blob, mut store) = exported(3);
    let path = UdpPath::from(pair.client_address);
    let mut used = std::collections::HashSet::new();
    for (to, datagram) in &pair.log {
        if *to == common::Side::Client && datagram[3..5] == [0, 1] {
            assert!(used.insert(sequence(datagram)));
        }
    }
    let mut blob = blob;
    for _ in 0..5 {
        let server = pair
            .server
            .endpoint
            .import(path, &mut store, &key(), &blob, 3)
            .expect("newest copy");
        let mut out = [0; 200];
        for _ in 0..3 {
            let (range, _) = pair
                .server
                .endpoint
                .send(server, b"x", &mut out)
                .expect("claimed");
            assert!(used.insert(sequence(&out[range])), "a number served twice");
        }
        assert_eq!(
            pair.server
                .endpoint
                .send(server, b"x", &mut out)
                .map(|_| ()),
            Err(SendError::LeaseExhausted)
        );
        pair.server
            .endpoint
            .claim(server, &mut store, 2)
            .expect("ours");
        for _ in 0..2 {
            let (range, _) = pair
                .server
                .endpoint
                .send(server, b"x", &mut out)
                .expect("claimed");
            assert!(used.insert(sequence(&out[range])), "a number served twice");
        }
        blob = vec![0; MAX_EXPORT_LEN];
        let len = pair
            .server
            .endpoint
            .export(server, &mut store, &key(), &mut blob)
            .expect("live");
        blob.truncate(len);
    }
}

#[test]
fn only_the_very_bytes_under_the_very_key_come_back() {
    let (mut pair, _, blob, mut store) = exported(5);
    let path = UdpPath::from(pair.client_address);
    for at in 0..blob.len() {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        let result = pair
            .server
            .endpoint
            .import(path, &mut store, &key(), &changed, 1);
        assert_eq!(result, Err(ExportError::Invalid), "byte {at}");
    }
    for len in 0..blob.len() {
        let result = pair
            .server
            .endpoint
            .import(path, &mut store, &key(), &blob[..len], 1);
        assert_eq!(result, Err(ExportError::Invalid), "{len} bytes");
    }
    let other = ExportKey::new(AeadAlgorithm::Aes128Gcm, &[8; 16]).expect("16 bytes");
    assert_eq!(
        pair.server
            .endpoint
            .import(path, &mut store, &other, &blob, 1),
        Err(ExportError::Invalid)
    );
    let other = ExportKey::new(AeadAlgorithm::Aes128Ccm, &[7; 16]).expect("16 bytes");
    assert_eq!(
        pair.server
            .endpoint
            .import(path, &mut store, &other, &blob, 1),
        Err(ExportError::Invalid)
    );
    // Nothing was burnt by all that.
    pair.server
        .endpoint
        .import(path, &mut store, &key(), &blob, 1)
        .expect("the true one");
}

#[test]
fn the_place_must_be_free_and_here() {
    let (mut pair, _, blob, mut store) = exported(6);
    let path = UdpPath::from(pair.client_address);
    let elsewhere = EndpointConfig {
        placement: lockgate_dtls::Placement {
            node: 1,
            worker: 0,
            workers: 1,
        },
        ..server_config()
    };
    let mut other: common::TestEndpoint =
        lockgate_dtls::Endpoint::new(provider(5), pair.now, elsewhere).expect("valid");
    assert_eq!(
        other.import(path, &mut store, &key(), &blob, 1),
        Err(ExportError::PlaceTaken)
    );
    let first = pair
        .server
        .endpoint
        .import(path, &mut store, &key(), &blob, 1)
        .expect("free");
    let mut copy = vec![0; MAX_EXPORT_LEN];
    let len = pair
        .server
        .endpoint
        .export(first, &mut store, &key(), &mut copy)
        .expect("live");
    // Somebody else's handshake takes the slot.
    pair.client_address.set_port(50_000);
    pair.server_address.set_port(5685);
    pair.established();
    let taken = pair
        .server
        .endpoint
        .import(path, &mut store, &key(), &copy[..len], 1);
    assert_eq!(taken, Err(ExportError::PlaceTaken));
}

#[test]
fn every_suite_and_length_of_id_travels() {
    let with_psk = |suite: &CipherSuite| {
        suite
            .parameters()
            .is_some_and(|p| p.key_exchange.uses_psk())
    };
    for (seed, suite) in CipherSuite::ALL.into_iter().filter(with_psk).enumerate() {
        for cid in [CidConfig::Off, CidConfig::Length(0), CidConfig::Length(20)] {
            let config = Config {
                cipher_suites: SuiteList::new(&[suite]),
                cid,
                address_policy: AddressPolicy::NewestRecord,
                ..Config::default()
            };
            let mut pair = Pair::with(
                50 + seed as u64,
                EndpointConfig {
                    config,
                    ..client_config()
                },
                EndpointConfig {
                    config,
                    ..server_config()
                },
            );
            let (client, server) = pair.established();
            let mut store = MemoryLeaseStore::default();
            let mut blob = vec![0; MAX_EXPORT_LEN];
            let len = pair
                .server
                .endpoint
                .export(server, &mut store, &key(), &mut blob)
                .expect("live");
            let path = UdpPath::from(pair.client_address);
            let server = pair
                .server
                .endpoint
                .import(path, &mut store, &key(), &blob[..len], 9)
                .expect("free");
            pair.send_from_client(client, b"up");
            pair.send_from_server(server, b"down");
            pair.run_for(Duration::from_secs(1));
            assert_eq!(
                pair.server.received.pop_front(),
                Some((server, b"up".to_vec())),
                "{suite}"
            );
            assert_eq!(
                pair.client.received.pop_front(),
                Some((client, b"down".to_vec())),
                "{suite}"
            );
        }
    }
}

#[test]
fn a_buffer_that_is_too_small_is_said_before_anything_is_done() {
    let mut pair = Pair::with(7, client_config(), server_config());
    let (_, server) = pair.established();
    let mut store = MemoryLeaseStore::default();
    let mut short = vec![0; MAX_EXPORT_LEN - 1];
    let result = pair
        .server
        .endpoint
        .export(server, &mut store, &key(), &mut short);
    assert_eq!(result, Err(ExportError::BufferTooSmall));
    let mut out = [0; 200];
    pair.server
        .endpoint
        .send(server, b"still here", &mut out)
        .expect("untouched");
}

#[test]
fn a_handle_is_never_given_out_twice() {
    let (mut pair, _, blob, mut store) = exported(8);
    let mut handles = std::collections::HashSet::new();
    let path = UdpPath::from(pair.client_address);
    // The slot is used by another in between, and by another after the session came and went again.
    for round in 0..3 {
        pair.client_address.set_port(6000 + round);
        pair.server_address.set_port(6000 + round);
        let (_, other) = pair.established();
        assert!(handles.insert(other), "{other:?}");
        pair.server.endpoint.discard(other);
        if round == 0 {
            let back = pair
                .server
                .endpoint
                .import(path, &mut store, &key(), &blob, 9)
                .expect("free");
            assert!(handles.insert(back), "{back:?}");
            pair.server.endpoint.discard(back);
        }
    }
}

#[test]
fn a_session_that_cannot_be_served_here_is_refused_with_its_lease_unburnt() {
    use lockgate_dtls::crypto::{CryptoError, HashAlgorithm, Provider};

    /// A provider that lacks what the session needs.
    struct Lacking(common::TestProvider);
    impl Provider for Lacking {
        type AeadKey = <common::TestProvider as Provider>::AeadKey;
        type Hash = <common::TestProvider as Provider>::Hash;
        type Hmac = <common::TestProvider as Provider>::Hmac;
        type Mask = <common::TestProvider as Provider>::Mask;
        type KeyExchange = <common::TestProvider as Provider>::KeyExchange;

        fn supports_aead(&self, algorithm: AeadAlgorithm) -> bool {
            algorithm == AeadAlgorithm::Aes128Gcm
        }

        fn supports_hash(&self, algorithm: HashAlgorithm) -> bool {
            self.0.supports_hash(algorithm)
        }

        fn aead_key(
            &self,
            algorithm: AeadAlgorithm,
            key: &[u8],
        ) -> Result<Self::AeadKey, CryptoError> {
            if !self.supports_aead(algorithm) {
                return Err(CryptoError::Unsupported);
            }
            self.0.aead_key(algorithm, key)
        }

        fn hash(&self, algorithm: HashAlgorithm) -> Result<Self::Hash, CryptoError> {
            self.0.hash(algorithm)
        }

        fn hmac(&self, algorithm: HashAlgorithm, key: &[u8]) -> Result<Self::Hmac, CryptoError> {
            self.0.hmac(algorithm, key)
        }

        fn mask(&self, key: &[u8; 16]) -> Result<Self::Mask, CryptoError> {
            self.0.mask(key)
        }

        fn random(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
            self.0.random(out)
        }
    }

    let suite = SuiteList::new(&[CipherSuite::PSK_AES_128_CCM_8]);
    let config = Config {
        cipher_suites: suite,
        ..Config::default()
    };
    let mut pair = Pair::with(
        9,
        client_config(),
        EndpointConfig {
            config,
            ..server_config()
        },
    );
    let (_, server) = pair.established();
    let mut store = MemoryLeaseStore::default();
    let mut blob = vec![0; MAX_EXPORT_LEN];
    let len = pair
        .server
        .endpoint
        .export(server, &mut store, &key(), &mut blob)
        .expect("live");
    let path = UdpPath::from(pair.client_address);
    let mut lacking: lockgate_dtls::Endpoint<Lacking> =
        lockgate_dtls::Endpoint::new(Lacking(provider(1)), pair.now, server_config())
            .expect("valid");
    let refused = lacking.import(path, &mut store, &key(), &blob[..len], 1);
    assert_eq!(refused, Err(ExportError::Crypto(CryptoError::Unsupported)));
    pair.server
        .endpoint
        .import(path, &mut store, &key(), &blob[..len], 1)
        .expect("not burnt");
}

#[test]
fn what_is_still_to_be_sent_is_sent_first() {
    let mut pair = Pair::with(10, client_config(), server_config());
    pair.hold_keys = true;
    pair.connect();
    pair.run_for(Duration::from_millis(500));
    let server = pair.held[0];
    pair.server
        .endpoint
        .provide_psk(pair.now, server, common::KEY)
        .expect("asked for");
    let mut store = MemoryLeaseStore::default();
    let mut blob = vec![0; MAX_EXPORT_LEN];
    let early = pair
        .server
        .endpoint
        .export(server, &mut store, &key(), &mut blob);
    assert_eq!(early, Err(ExportError::Unsent));
    pair.run_for(Duration::from_millis(100));
    pair.server
        .endpoint
        .export(server, &mut store, &key(), &mut blob)
        .expect("sent");
}
