//! Entry 9: exported sessions. `tests/export.rs` has the rest.

use std::time::Duration;

use lockgate_dtls::crypto::AeadAlgorithm;
use lockgate_dtls::export::{ExportError, ExportKey, MAX_EXPORT_LEN};
use lockgate_dtls::lease::{LeaseError, MemoryLeaseStore};
use lockgate_dtls::{CidKey, EndpointConfig, UdpPath};

use crate::common::{Pair, client_config};

fn key() -> ExportKey {
    ExportKey::new(AeadAlgorithm::Aes128Gcm, &[7; 16]).expect("16 bytes")
}

/// A pair whose server's session is exported: with the blob, and the newest sequence number that was used.
fn exported(seed: u64, store: &mut MemoryLeaseStore) -> (Pair, Vec<u8>) {
    let server = EndpointConfig {
        cid_key: Some(CidKey::new([3; 16])),
        ..EndpointConfig::default()
    };
    let mut pair = Pair::with(seed, client_config(), server);
    let (_, at_server) = pair.established();
    pair.send_from_server(at_server, b"one");
    pair.run_for(Duration::from_secs(1));
    let mut blob = vec![0; MAX_EXPORT_LEN];
    let len = pair
        .server
        .endpoint
        .export(at_server, store, &key(), &mut blob)
        .expect("established");
    blob.truncate(len);
    (pair, blob)
}

#[test]
fn entry_9_an_unauthenticated_blob_or_one_of_another_version_is_refused() {
    let mut store = MemoryLeaseStore::default();
    let (mut pair, blob) = exported(31, &mut store);
    let path = UdpPath::from(pair.client_address);
    let mut import = |bytes: &[u8]| {
        pair.server
            .endpoint
            .import(path, &mut store, &key(), bytes, 1)
    };
    // The fourth byte is the version; the last one the tag's.
    for at in [3, 20, blob.len() - 1] {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        assert_eq!(import(&changed), Err(ExportError::Invalid), "byte {at}");
    }
    import(&blob).expect("the true one");
}

#[test]
fn entry_9_an_older_copy_never_comes_back_and_no_number_serves_twice() {
    let mut store = MemoryLeaseStore::default();
    let (mut pair, old) = exported(32, &mut store);
    let path = UdpPath::from(pair.client_address);
    let endpoint = &mut pair.server.endpoint;
    let back = endpoint
        .import(path, &mut store, &key(), &old, 10)
        .expect("the first copy");
    let mut out = [0; 100];
    let (record, _) = endpoint.send(back, b"two", &mut out).expect("claimed");
    let used = out[record][5..11].to_vec();
    let mut newer = vec![0; MAX_EXPORT_LEN];
    let len = endpoint
        .export(back, &mut store, &key(), &mut newer)
        .expect("established");
    let again = endpoint.import(path, &mut store, &key(), &old, 10);
    assert_eq!(again, Err(ExportError::Lease(LeaseError::Superseded)));
    let back = endpoint
        .import(path, &mut store, &key(), &newer[..len], 10)
        .expect("the newest copy");
    let (record, _) = endpoint.send(back, b"three", &mut out).expect("claimed");
    assert!(out[record][5..11] > used[..]);
}
