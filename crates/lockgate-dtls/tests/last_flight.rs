//! What is repeated after a lost last flight, and whom it must not harm.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{Pair, Side, client_config};
use lockgate_dtls::crypto::AeadAlgorithm;
use lockgate_dtls::export::{ExportKey, MAX_EXPORT_LEN};
use lockgate_dtls::lease::MemoryLeaseStore;
use lockgate_dtls::{EndpointConfig, UdpPath};

/// The server's `Finished` is lost as long as the cell says so.
fn lose_last_flight(pair: &mut Pair) -> Rc<Cell<bool>> {
    let lost = Rc::new(Cell::new(true));
    let now = lost.clone();
    pair.tamper = Some(Box::new(move |to, datagram| {
        let last = to == Side::Client && datagram[0] == 20;
        !(last && now.get())
    }));
    lost
}

#[test]
fn a_repeat_of_the_peers_finished_harms_no_session_that_was_brought_back() {
    let mut pair = Pair::new(1);
    lose_last_flight(&mut pair);
    pair.connect();
    pair.run_for(Duration::from_millis(500));
    let server = pair.server.connected().expect("the server is in");
    let key = ExportKey::new(AeadAlgorithm::Aes128Gcm, &[7; 16]).expect("16 bytes");
    let mut store = MemoryLeaseStore::default();
    let mut blob = vec![0; MAX_EXPORT_LEN];
    let path = UdpPath::from(pair.client_address);
    let endpoint = &mut pair.server.endpoint;
    let len = endpoint
        .export(server, &mut store, &key, &mut blob)
        .expect("exported");
    let back = endpoint
        .import(path, &mut store, &key, &blob[..len], 10)
        .expect("brought back");
    // The client says its last flight again, under new record numbers; nobody wrote down which message it ends with.
    pair.run_for(Duration::from_secs(4));
    assert!(pair.server.closed().is_none());
    assert!(pair.server.endpoint.info(back).is_some());
}

#[test]
fn without_cookies_a_lost_last_flight_is_made_good_too() {
    let mut pair = Pair::with(
        2,
        client_config(),
        EndpointConfig {
            cookies: false,
            ..EndpointConfig::default()
        },
    );
    let lost = lose_last_flight(&mut pair);
    let at_client = pair.connect();
    pair.run_for(Duration::from_millis(500));
    let at_server = pair.server.connected().expect("the server is in");
    lost.set(false);
    pair.run_for(Duration::from_secs(4));
    assert_eq!(pair.client.connected(), Some(at_client));
    assert!(pair.server.closed().is_none() && pair.client.closed().is_none());
    pair.echo(at_client, at_server);
}
