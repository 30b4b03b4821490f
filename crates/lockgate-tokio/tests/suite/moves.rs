//! Which connection a datagram belongs to.

use lockgate_tokio::Listener;
use lockgate_tokio::dtls::CidConfig;
use tokio::net::UdpSocket;

use super::support::*;

pub(super) async fn a_peer_moves_and_keeps_its_connection(mode: Mode) {
    let (mut listener, address) = listen(mode.options());
    let mut connector = connector();
    let (client, server) = tokio::join!(
        in_time(connector.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    // A second one from the same address comes along.
    let (second, echoing) = tokio::join!(
        in_time(connector.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let mut second = second.unwrap();
    tokio::spawn(send_back(echoing.unwrap()));
    // With several workers, some of the new addresses belong to others than the one that has the connection.
    for round in 1..=8_u64 {
        let here = in_time(connector.rebind()).await.unwrap();
        client.send(b"from elsewhere").await.unwrap();
        assert_eq!(
            &in_time(server.recv_bytes()).await.unwrap()[..],
            b"from elsewhere"
        );
        assert_eq!(server.remote_addr(), here);
        server.send(b"found you").await.unwrap();
        assert_eq!(
            &in_time(client.recv_bytes()).await.unwrap()[..],
            b"found you"
        );
        assert_eq!(server.statistics().moves, round);
        echo(&mut second, b"me too").await;
        if mode.is_per_peer() {
            let socket = server.peer_socket().await.unwrap().upgrade().unwrap();
            assert_eq!(socket.peer_addr().unwrap(), here);
        }
    }
    let statistics = listener.statistics().await;
    assert_eq!(statistics.peer_sockets, usize::from(mode.is_per_peer()));
    assert_eq!(statistics.io.handed_over, statistics.io.taken_over);
    match mode {
        // Eight addresses that all hash to one of three workers: once in 2,187 runs.
        Mode::WorkersHandOver => assert!(statistics.io.handed_over > 0),
        // With sockets of single peers, what those take before they are connected is handed over as well.
        Mode::WorkersPerPeer => {}
        _ => assert_eq!(statistics.io.handed_over, 0),
    }
    assert_eq!(
        statistics.io.dropped.total(),
        0,
        "{}",
        statistics.io.dropped
    );
}

pub(super) async fn a_peer_moves_from_one_address_of_ours_to_another(mode: Mode) {
    let mut listener = Listener::bind(&[LOOPBACK, LOOPBACK], mode.options()).unwrap();
    let ours = [listener.local_addrs()[0], listener.local_addrs()[1]];
    let relay = UdpSocket::bind(LOOPBACK).await.unwrap();
    let through = relay.local_addr().unwrap();
    let (turn, mut turned) = tokio::sync::watch::channel(ours[0]);
    // Forwards to the one or the other address; the client sees one.
    tokio::spawn(async move {
        let (mut buf, mut client) = ([0; 2048], None);
        loop {
            let (len, from) = relay.recv_from(&mut buf).await.unwrap();
            let to = if ours.contains(&from) {
                client.unwrap()
            } else {
                client = Some(from);
                *turned.borrow_and_update()
            };
            relay.send_to(&buf[..len], to).await.unwrap();
        }
    });
    let (client, server) = tokio::join!(
        in_time(lockgate_tokio::connect(through, options())),
        in_time(listener.accept_connection())
    );
    let mut client = client.unwrap();
    let server = server.unwrap();
    let sockets = usize::from(mode.is_per_peer());
    tokio::spawn(send_back(server));
    for (round, to) in (0..).zip([ours[1], ours[0], ours[1]]) {
        turn.send(to).unwrap();
        for n in 0..3 {
            echo(&mut client, &[round, n]).await;
        }
        assert_eq!(listener.statistics().await.peer_sockets, sockets);
    }
}

pub(super) async fn a_connection_without_ids_is_found_by_its_address(mode: Mode) {
    let mut options_of_server = mode.options();
    options_of_server.endpoint.config.cid = CidConfig::Off;
    let address = echo_server(options_of_server);
    let mut connection = in_time(lockgate_tokio::connect(address, options()))
        .await
        .unwrap();
    assert!(connection.info().peer_cid.is_empty());
    for n in 0..20 {
        echo(&mut connection, &[n]).await;
    }
}

pub(super) async fn several_connections_share_a_clients_socket(mode: Mode) {
    let (listener, address) = listen(mode.options());
    let other = echo_server(mode.options());
    tokio::spawn(serve_echo(listener));
    let connector = connector();
    let mut connections = Vec::new();
    for server in [address, other, address, other, address] {
        connections.push(in_time(connector.connect(peer(server))).await.unwrap());
    }
    for (n, connection) in (0..).zip(&mut connections) {
        echo(connection, &[n]).await;
    }
    // Peers that come from one address have one socket together, and it goes with the last.
    connections.swap_remove(0);
    for (n, connection) in (0..).zip(&mut connections) {
        echo(connection, &[n]).await;
    }
}
