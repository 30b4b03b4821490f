//! A server's PSK identity hint is no part of the session that it makes.

mod common;

use std::time::Duration;

use common::{Pair, plain_psk};
use lockgate_dtls::{Config, ShortBytes};

#[test]
fn a_hint_does_not_become_the_ticket_of_a_session_with_an_id() {
    for suites in [Config::default(), plain_psk()] {
        let client = Config {
            resumption: true,
            ..suites
        };
        let server = Config {
            tickets: false,
            psk_identity_hint: ShortBytes::new(b"which key").expect("short"),
            ..client
        };
        let mut pair = Pair::of(1, &client, &server);
        let (at_client, at_server) = pair.established();
        let session = pair.client.papers.session.take().expect("a session");
        assert!(!session.has_ticket());
        assert_eq!(session.id().len(), 32);
        pair.client.endpoint.discard(at_client);
        pair.server.endpoint.discard(at_server);
        pair.connect_with(Some(&session));
        pair.run_for(Duration::from_secs(5));
        let (at_client, at_server) = pair.finished();
        let resumed = [
            pair.client.endpoint.info(at_client).expect("there").resumed,
            pair.server.endpoint.info(at_server).expect("there").resumed,
        ];
        assert_eq!(resumed, [true; 2]);
    }
}
