//! Which worker gets a datagram, with the kernel's help and without.

mod support;

use lockgate_tokio::{Connector, Statistics};
use support::*;
use tokio::net::UdpSocket;

const PEERS: usize = 12;
const MOVES: usize = 6;

/// Peers with connection IDs that go from address to address, while others send rubbish. Everything comes back.
async fn wandering(mode: Mode) -> Statistics {
    let (mut listener, address) = listen(mode.options());
    let mut peers: Vec<(Connector, _)> = Vec::new();
    for _ in 0..PEERS {
        let connector = connector();
        let (client, server) = tokio::join!(
            in_time(connector.connect(peer(address))),
            in_time(listener.accept_connection())
        );
        tokio::spawn(send_back(server.unwrap()));
        peers.push((connector, client.unwrap()));
    }
    let stranger = UdpSocket::bind(LOOPBACK).await.unwrap();
    for round in 0..MOVES {
        for (n, (connector, connection)) in peers.iter_mut().enumerate() {
            in_time(connector.rebind()).await.unwrap();
            for datagram in 0..3 {
                echo(connection, &[round as u8, n as u8, datagram]).await;
            }
            // Records with an ID that are cut short anywhere, and one that is whole but made up.
            let mut record = [0x5a; 40];
            record[..11].copy_from_slice(&[25, 254, 253, 0, 1, 0, 0, 0, 0, 0, 1]);
            record[11] = n as u8;
            record[19..21].copy_from_slice(&19_u16.to_be_bytes());
            for len in (0..20).chain([40]) {
                stranger.send_to(&record[..len], address).await.unwrap();
            }
        }
    }
    let statistics = listener.statistics().await;
    assert_eq!(statistics.io.handed_over, statistics.io.taken_over);
    assert_eq!(statistics.io.hand_over_dropped, 0);
    assert_eq!(statistics.connections, PEERS);
    statistics
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kernel_takes_moved_peers_to_their_worker() {
    assert_eq!(wandering(Mode::Workers).await.io.handed_over, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_kernel_workers_hand_over() {
    let handed_over = wandering(Mode::WorkersHandOver).await.io.handed_over;
    // Two thirds of the moves, each with three datagrams; fewer than this once in a million runs.
    assert!(
        handed_over >= 3 * (PEERS * MOVES / 3) as u64,
        "{handed_over}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_of_one_worker_is_good_at_every_other() {
    let (mut listener, address) = listen(Mode::Workers.options().resumption(16));
    let mut options = options();
    options.config.resumption = true;
    for round in 0..12 {
        let (client, accepted) = tokio::join!(
            in_time(lockgate_tokio::connect(address, options.clone())),
            in_time(listener.accept_connection())
        );
        let (client, accepted) = (client.unwrap(), accepted.unwrap());
        assert_eq!(accepted.info().resumed, round > 0, "round {round}");
        assert_eq!(client.info().resumed, round > 0);
        if let Some(session) = client.session() {
            assert!(session.has_ticket());
            options.session = Some(session.clone());
        }
    }
}
