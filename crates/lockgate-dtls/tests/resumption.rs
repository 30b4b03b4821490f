//! Going on with an earlier session: by its ID, by a ticket, and when not to.

mod common;

use std::time::Duration;

use common::{KEY, Link, Pair, Paper, client_config, provider};
use lockgate_dtls::certificate::{CertificateType, CertificateTypes, ClientAuth};
use lockgate_dtls::crypto::{Hash as _, HashAlgorithm, KeyType, Provider as _};
use lockgate_dtls::{
    Config, ConnectionHandle, EndpointConfig, PeerIdentity, Session, TicketSecret,
};

const RAW: [CertificateType; 1] = [CertificateType::RawPublicKey];

fn config() -> Config {
    Config {
        resumption: true,
        ..Config::default()
    }
}

fn with_ids() -> Config {
    Config {
        tickets: false,
        ..config()
    }
}

/// A first connection, closed on both sides, and the client's session.
fn first(pair: &mut Pair) -> Session {
    let (at_client, at_server) = pair.established();
    assert!(!pair.client.endpoint.info(at_client).expect("there").resumed);
    pair.client.endpoint.discard(at_client);
    pair.server.endpoint.discard(at_server);
    pair.client.events.clear();
    pair.server.events.clear();
    pair.client.papers.session.take().expect("a session")
}

/// A second connection that offers `session`; whether it went on with it, on both sides alike.
fn second(pair: &mut Pair, session: &Session) -> (ConnectionHandle, ConnectionHandle, bool) {
    pair.connect_with(Some(session));
    pair.run_for(Duration::from_secs(30));
    let (at_client, at_server) = pair.finished();
    let resumed = pair.client.endpoint.info(at_client).expect("there").resumed;
    assert_eq!(
        pair.server.endpoint.info(at_server).expect("there").resumed,
        resumed
    );
    pair.echo(at_client, at_server);
    (at_client, at_server, resumed)
}

#[test]
fn a_session_goes_on_by_id_and_by_ticket() {
    for (seed, server) in [config(), with_ids()].into_iter().enumerate() {
        let mut pair = Pair::of(seed as u64, &config(), &server);
        let session = first(&mut pair);
        assert_eq!(session.has_ticket(), server.tickets);
        assert_eq!(session.id().is_empty(), server.tickets);
        let (_, _, resumed) = second(&mut pair, &session);
        assert!(resumed);
        assert_eq!(pair.server.papers.resumptions_asked, 1);
        assert_eq!(pair.client.papers.resumptions_asked, 1);
        let again = Session::from_bytes(session.as_bytes()).expect("the same");
        assert!(again == session && Session::from_bytes(&[1, 2, 3]).is_none());
    }
}

#[test]
fn a_resumed_session_has_keys_and_connection_ids_of_its_own() {
    let mut pair = Pair::of(3, &config(), &config());
    let (at_client, at_server) = pair.established();
    let before = pair.client.endpoint.info(at_client).expect("there");
    let mut secret = [0; 32];
    pair.client
        .endpoint
        .export_keying_material(at_client, b"test", None, &mut secret)
        .expect("there");
    pair.client.endpoint.discard(at_client);
    pair.server.endpoint.discard(at_server);
    let session = pair.client.papers.session.take().expect("a session");
    pair.client.events.clear();
    pair.server.events.clear();
    let (at_client, at_server, resumed) = second(&mut pair, &session);
    assert!(resumed);
    let after = pair.client.endpoint.info(at_client).expect("there");
    assert_ne!(before.own_cid, after.own_cid);
    let mut secrets = [[0; 32]; 2];
    for (end, handle, out) in [(&pair.client, at_client, 0), (&pair.server, at_server, 1)] {
        end.endpoint
            .export_keying_material(handle, b"test", None, &mut secrets[out])
            .expect("there");
    }
    assert_eq!(secrets[0], secrets[1]);
    assert_ne!(secrets[0], secret, "new randoms");
}

#[test]
fn the_peers_name_travels_with_the_session() {
    let client = Config {
        psk: false,
        own_certificate_types: CertificateTypes::new(&RAW),
        peer_certificate_types: CertificateTypes::new(&RAW),
        ..config()
    };
    let server = Config {
        client_auth: ClientAuth::Required,
        ..client
    };
    let mut pair = Pair::of(4, &client, &server);
    pair.server.papers.own = Some(Paper::raw(KeyType::EcdsaP256, 1));
    pair.client.papers.own = Some(Paper::raw(KeyType::EcdsaP256, 2));
    let session = first(&mut pair);
    assert!(matches!(
        session.peer(),
        PeerIdentity::Certificate {
            name: b"the peer",
            ..
        }
    ));
    let (at_client, at_server, resumed) = second(&mut pair, &session);
    assert!(resumed);
    // Nobody showed anything again, and both still know who it is.
    assert_eq!(pair.client.papers.shown.len(), 1);
    assert_eq!(pair.server.papers.shown.len(), 1);
    for (end, handle) in [(&pair.client, at_client), (&pair.server, at_server)] {
        let info = end.endpoint.info(handle).expect("there");
        assert!(info.peer_key_hash.is_some());
    }
}

#[test]
fn a_server_learns_which_key_a_session_was_made_with() {
    for server in [config(), with_ids()] {
        let mut pair = Pair::of(5, &config(), &server);
        let session = first(&mut pair);
        let (_, _, resumed) = second(&mut pair, &session);
        assert!(resumed);
        let mut hash = provider(0).hash(HashAlgorithm::Sha256).expect("there");
        hash.update(KEY);
        assert_eq!(
            pair.server.papers.resumed_key.expect("asked").as_slice(),
            hash.finish().as_ref()
        );
    }
}

#[test]
fn a_session_that_does_not_fit_leads_to_a_full_handshake() {
    // Another host name: the client does not even offer it. A spoilt ticket, one of another server's, an unknown ID, and a
    // caller that says no.
    let mut pair = Pair::of(5, &config(), &config());
    let session = first(&mut pair);
    let mut bytes = session.as_bytes().to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let spoilt = Session::from_bytes(&bytes).expect("only the ticket");
    let (at_client, at_server, resumed) = second(&mut pair, &spoilt);
    assert!(!resumed);
    assert_eq!(pair.server.papers.resumptions_asked, 0);
    pair.client.endpoint.discard(at_client);
    pair.server.endpoint.discard(at_server);

    let mut other = Pair::of(6, &config(), &config());
    assert!(!second(&mut other, &session).2);

    let mut forgotten = Pair::of(7, &config(), &with_ids());
    let session = first(&mut forgotten);
    forgotten.server.papers.store.clear();
    assert!(!second(&mut forgotten, &session).2);

    let mut revoked = Pair::of(8, &config(), &config());
    let session = first(&mut revoked);
    revoked.server.papers.refuse_resumption = true;
    assert!(!second(&mut revoked, &session).2);
    assert_eq!(revoked.server.papers.resumptions_asked, 1);
}

#[test]
fn a_clients_session_is_none_of_a_servers() {
    let mut pair = Pair::of(11, &config(), &with_ids());
    let session = first(&mut pair);
    // What the client wrote down comes back under the same ID, as if the server had.
    pair.server
        .papers
        .store
        .insert(session.id().to_vec(), session.clone());
    assert!(!second(&mut pair, &session).2);
}

#[test]
fn tickets_hold_for_two_lifetimes_at_most_and_are_renewed_in_the_second() {
    let mut pair = Pair::of(9, &config(), &config());
    let session = first(&mut pair);
    pair.run_for(Duration::from_hours(13));
    // A new ticket is made with a newer key, and the old one still holds.
    let mut fresh = Pair::of(10, &config(), &config());
    let _ = first(&mut fresh);
    pair.connect();
    pair.run_for(Duration::from_secs(5));
    pair.client.events.clear();
    pair.server.events.clear();
    pair.client.papers.session = None;
    let handles = pair.client.endpoint.handles().collect::<Vec<_>>();
    for handle in handles {
        pair.client.endpoint.discard(handle);
    }
    assert!(second(&mut pair, &session).2);
    let renewed = pair.client.papers.session.take().expect("a newer ticket");
    assert!(renewed != session);
    pair.run_for(Duration::from_hours(25));
    let handles = pair.client.endpoint.handles().collect::<Vec<_>>();
    for handle in handles {
        pair.client.endpoint.discard(handle);
    }
    pair.client.events.clear();
    pair.server.events.clear();
    assert!(!second(&mut pair, &session).2, "too old");
}

#[test]
fn endpoints_with_one_secret_take_each_others_tickets() {
    let with = |seed, secret| {
        let server = EndpointConfig {
            config: config(),
            ticket_secret: Some(TicketSecret::new([secret; 32])),
            ..EndpointConfig::default()
        };
        Pair::with(
            seed,
            EndpointConfig {
                config: config(),
                ..client_config()
            },
            server,
        )
    };
    // By how many hours each is older than its session, and whether the session is still good. Keys change at 12, 24, …
    let cases = [
        (0, 0, true),
        (11, 11, true),
        (11, 13, true),
        (0, 23, true),
        (0, 25, false),
        (13, 35, true),
        (13, 37, false),
    ];
    for (seed, (begun, resumed, good)) in cases.into_iter().enumerate() {
        let seed = 100 + 10 * seed as u64;
        let mut one = with(seed, 1);
        one.run_for(Duration::from_hours(begun));
        let session = first(&mut one);
        // The other one has made its keys at some earlier time, or makes them only now.
        for early in [None, Some(0), Some(begun)] {
            let mut other = with(seed + 1, 1);
            if let Some(early) = early {
                other.run_for(Duration::from_hours(early));
                let _ = first(&mut other);
            }
            let until = Duration::from_hours(resumed - early.unwrap_or(0));
            other.run_for(until);
            assert_eq!(
                second(&mut other, &session).2,
                good,
                "{begun} {resumed} {early:?}"
            );
        }
    }
    let session = first(&mut with(200, 1));
    assert!(!second(&mut with(201, 2), &session).2, "another secret");
}

#[test]
fn resumption_finishes_over_a_hostile_link() {
    for seed in 0..60 {
        // With as many tries as it takes: all that is lost is up to chance.
        let patient = |config| Config {
            max_retransmits: 12,
            handshake_timeout: Duration::from_mins(10),
            ..config
        };
        let server = if seed % 2 == 0 { config() } else { with_ids() };
        let mut pair = Pair::of(100 + seed, &patient(config()), &patient(server));
        let session = first(&mut pair);
        pair.link = Link {
            loss: seed % 30,
            duplicate: 10,
            reorder: 20,
            jitter: 300,
            ..Link::PERFECT
        };
        pair.connect_with(Some(&session));
        let done = pair.run_until(Duration::from_mins(10), |pair| {
            pair.client.is_connected() && pair.server.is_connected()
        });
        assert!(done, "seed {seed}");
    }
}
