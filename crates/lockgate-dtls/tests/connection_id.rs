//! Connection IDs (RFC 9146): sessions that survive sleep and NAT.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Pair, Side, client_config};
use lockgate_dtls::{
    AddressPolicy, CidConfig, CidKey, Config, DropReason, EndpointConfig, Padding, Placement,
};

fn elsewhere() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 77], 61234))
}

#[test]
fn a_device_that_comes_back_from_another_port_goes_on_without_a_handshake() {
    let mut pair = Pair::new(1);
    let (client, server) = pair.established();
    pair.run_for(Duration::from_hours(30 * 24));
    pair.client_address = elsewhere();
    let flights = pair.server.sent_datagrams;
    pair.send_from_client(client, b"after a month");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(
        pair.server.received.pop_front(),
        Some((server, b"after a month".to_vec()))
    );
    assert!(pair.server.saw_path_change());
    assert_eq!(
        pair.server.endpoint.path(server).expect("live").remote(),
        elsewhere()
    );
    pair.send_from_server(server, b"welcome back");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(
        pair.client.received.pop_front(),
        Some((client, b"welcome back".to_vec()))
    );
    assert_eq!(pair.server.sent_datagrams, flights, "no handshake");
}

#[test]
fn an_older_record_is_delivered_and_does_not_move_the_address() {
    let mut pair = Pair::new(2);
    let (client, server) = pair.established();
    // Two records in the wrong order, the older one from another address.
    let mut out = [0; 200];
    let older = {
        let (range, _) = pair
            .client
            .endpoint
            .send(client, b"older", &mut out)
            .expect("sent");
        out[range].to_vec()
    };
    pair.send_from_client(client, b"newer");
    pair.run_for(Duration::from_secs(1));
    pair.inject(Side::Server, elsewhere(), &older);
    pair.run_for(Duration::from_secs(1));
    let received: Vec<_> = pair
        .server
        .received
        .drain(..)
        .map(|(_, data)| data)
        .collect();
    assert_eq!(received, [b"newer".to_vec(), b"older".to_vec()]);
    assert!(!pair.server.saw_path_change());
    assert_eq!(
        pair.server.endpoint.path(server).expect("live").remote(),
        pair.client_address
    );
}

#[test]
fn a_forged_or_repeated_record_does_not_move_the_address() {
    let mut pair = Pair::new(3);
    let (client, server) = pair.established();
    let mut out = [0; 200];
    let (range, _) = pair
        .client
        .endpoint
        .send(client, b"once", &mut out)
        .expect("sent");
    let record = out[range].to_vec();
    let home = pair.client_address;
    pair.inject(Side::Server, home, &record);
    pair.run_for(Duration::from_secs(1));
    // The same again from elsewhere, then each byte changed in turn.
    pair.inject(Side::Server, elsewhere(), &record);
    let (range, _) = pair
        .client
        .endpoint
        .send(client, b"twice", &mut out)
        .expect("sent");
    let unseen = out[range].to_vec();
    for at in 0..unseen.len() {
        let mut forged = unseen.clone();
        forged[at] ^= 0x40;
        pair.inject(Side::Server, elsewhere(), &forged);
    }
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.server.received.len(), 1);
    assert!(pair.server.dropped(DropReason::Replayed) >= 1);
    assert!(pair.server.dropped(DropReason::Unauthenticated) >= 16);
    assert!(!pair.server.saw_path_change());
    // The window has not been poisoned: the session goes on.
    pair.send_from_client(client, b"still here");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(
        pair.server.received.back(),
        Some(&(server, b"still here".to_vec()))
    );
}

#[test]
fn never_move_delivers_from_anywhere_and_stays() {
    let stay = Config {
        address_policy: AddressPolicy::NeverMove,
        ..Config::default()
    };
    let mut pair = Pair::of(4, &Config::default(), &stay);
    let (client, server) = pair.established();
    let home = pair.client_address;
    pair.client_address = elsewhere();
    pair.send_from_client(client, b"from elsewhere");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(
        pair.server.received.pop_front(),
        Some((server, b"from elsewhere".to_vec()))
    );
    assert_eq!(
        pair.server.endpoint.path(server).expect("live").remote(),
        home
    );
}

#[test]
fn lengths_are_negotiated_for_each_direction() {
    for (own, theirs) in [(0, 8), (8, 0), (20, 9), (0, 0)] {
        let client = Config {
            cid: CidConfig::Length(own),
            ..Config::default()
        };
        let server = Config {
            cid: CidConfig::Length(theirs),
            ..Config::default()
        };
        let mut pair = Pair::of(u64::from(own) + 5, &client, &server);
        let (client, server) = pair.established();
        let info = pair.server.endpoint.info(server).expect("live");
        assert_eq!(
            (info.peer_cid.len(), info.own_cid.len()),
            (usize::from(own), usize::from(theirs))
        );
        let info = pair.client.endpoint.info(client).expect("live");
        assert_eq!(
            (info.own_cid.len(), info.peer_cid.len()),
            (usize::from(own), usize::from(theirs))
        );
        pair.send_from_client(client, b"up");
        pair.send_from_server(server, b"down");
        pair.run_for(Duration::from_secs(1));
        assert_eq!(pair.server.received.len() + pair.client.received.len(), 2);
        // tls12_cid where there is an ID to carry, the plain type where there is none.
        let last_up = pair
            .log
            .iter()
            .rev()
            .find(|(to, _)| *to == Side::Server)
            .expect("sent");
        assert_eq!(last_up.1[0], if theirs > 0 { 25 } else { 23 });
    }
}

#[test]
fn without_the_extension_on_either_side_there_are_no_ids() {
    for (client, server) in [
        (CidConfig::Off, CidConfig::Length(8)),
        (CidConfig::Length(8), CidConfig::Off),
    ] {
        let mut pair = Pair::of(
            9,
            &Config {
                cid: client,
                ..Config::default()
            },
            &Config {
                cid: server,
                ..Config::default()
            },
        );
        let (client, server) = pair.established();
        let info = pair.server.endpoint.info(server).expect("live");
        assert!(info.own_cid.is_empty() && info.peer_cid.is_empty());
        pair.send_from_client(client, b"plain");
        pair.run_for(Duration::from_secs(1));
        assert_eq!(pair.server.received.len(), 1);
        // Without an ID the address is the session: from elsewhere it is nobody's.
        pair.client_address = elsewhere();
        pair.send_from_client(client, b"lost");
        pair.run_for(Duration::from_secs(1));
        assert_eq!(pair.server.received.len(), 1);
        assert_eq!(pair.server.dropped(DropReason::UnknownAddress), 1);
    }
}

#[test]
fn a_record_without_its_id_is_dropped() {
    let mut pair = Pair::new(10);
    let (client, _) = pair.established();
    let mut out = [0; 200];
    let (range, _) = pair
        .client
        .endpoint
        .send(client, b"with", &mut out)
        .expect("sent");
    let record = out[range].to_vec();
    // The same bytes as an ordinary application_data record.
    let mut bare = vec![23];
    bare.extend_from_slice(&record[1..11]);
    bare.extend_from_slice(&record[19..]);
    let home = pair.client_address;
    pair.inject(Side::Server, home, &bare);
    pair.run_for(Duration::from_secs(1));
    assert!(pair.server.received.is_empty());
    assert_eq!(pair.server.dropped(DropReason::UnknownAddress), 1);
    assert_eq!(
        pair.server.dropped(DropReason::Unauthenticated),
        0,
        "no key was tried"
    );
}

#[test]
fn padding_hides_the_length_within_the_limit() {
    let padding = Padding::Multiple(std::num::NonZeroU8::new(64).expect("not zero"));
    let mut pair = Pair::of(
        11,
        &Config {
            padding,
            ..Config::default()
        },
        &Config::default(),
    );
    let (client, _) = pair.established();
    let mut lengths = Vec::new();
    for len in 0..64 {
        pair.send_from_client(client, &vec![7; len]);
        lengths.push(pair.log.last().expect("sent").1.len());
    }
    pair.run_for(Duration::from_secs(1));
    lengths.dedup();
    assert_eq!(lengths.len(), 1, "one length for all: {lengths:?}");
    let received: Vec<_> = pair
        .server
        .received
        .iter()
        .map(|(_, data)| data.len())
        .collect();
    assert_eq!(received, (0..64).collect::<Vec<_>>());
}

#[test]
fn ids_say_which_worker_and_look_random() {
    let mut first_bytes = std::collections::HashSet::new();
    for worker in 0..3 {
        let config = EndpointConfig {
            placement: Placement {
                node: 7,
                worker,
                workers: 3,
            },
            cid_key: Some(CidKey::new([9; 16])),
            ..EndpointConfig::default()
        };
        let mut pair = Pair::with(12 + u64::from(worker), client_config(), config);
        let (_, server) = pair.established();
        let cid = pair.server.endpoint.info(server).expect("live").own_cid;
        assert_eq!(
            cid.as_slice()[0] % 3,
            worker,
            "what a packet filter computes"
        );
        let route = pair.server.endpoint.route(cid.as_slice()).expect("ours");
        assert_eq!((route.node, route.worker), (7, worker));
        first_bytes.insert(cid.as_slice()[..4].to_vec());
    }
    assert_eq!(first_bytes.len(), 3);
}

#[test]
fn the_id_of_a_session_that_is_gone_leads_nowhere() {
    let mut pair = Pair::new(16);
    let (client, server) = pair.established();
    let mut out = [0; 200];
    let (range, _) = pair
        .client
        .endpoint
        .send(client, b"late", &mut out)
        .expect("sent");
    let late = out[range].to_vec();
    pair.server.endpoint.discard(server);
    // The slot is taken again by somebody else.
    pair.client.endpoint.discard(client);
    let (_, other) = pair.established();
    assert_eq!(other.index(), server.index());
    let home = pair.client_address;
    pair.inject(Side::Server, home, &late);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.server.dropped(DropReason::UnknownConnectionId), 1);
    assert!(pair.server.received.is_empty());
}
