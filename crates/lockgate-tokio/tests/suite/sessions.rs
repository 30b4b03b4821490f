//! What goes through a connection.

use std::time::Duration;

use lockgate_tokio::dtls::{CloseReason, SendError};
use lockgate_tokio::{Error, Listener, QueueLimits};

use super::support::*;

pub(super) async fn datagrams_stay_datagrams(mode: Mode) {
    let address = echo_server(mode.options());
    let connector = connector();
    let mut connection = in_time(connector.connect(peer(address))).await.unwrap();
    for len in [0, 1, 1200, connection.max_payload()] {
        echo(&mut connection, &vec![7; len]).await;
    }
    let limit = connection.max_payload();
    let error = connection.send(&vec![7; limit + 1]).await.unwrap_err();
    assert!(matches!(error, Error::Send(SendError::TooLarge { limit: l }) if l == limit));
    // What is longer than the buffer is cut, and the next one is whole.
    connection.send(b"long").await.unwrap();
    connection.send(b"next").await.unwrap();
    let mut short = [0; 2];
    assert_eq!(in_time(connection.recv(&mut short)).await.unwrap(), 2);
    assert_eq!(&short, b"lo");
    assert_eq!(
        &in_time(connection.recv_bytes()).await.unwrap()[..],
        b"next"
    );
    let statistics = connection.statistics();
    assert_eq!((statistics.sent, statistics.received), (6, 6));
    assert_eq!(statistics.sent_bytes, statistics.received_bytes);
}

pub(super) async fn both_ends_say_goodbye(mode: Mode) {
    let (mut listener, address) = listen(mode.options());
    let connector = connector();
    let (client, server) = tokio::join!(
        in_time(connector.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    // What was sent before the goodbye arrives before the goodbye.
    server.send(b"last words").await.unwrap();
    in_time(server.close()).await;
    assert_eq!(
        &in_time(client.recv_bytes()).await.unwrap()[..],
        b"last words"
    );
    let end = in_time(client.recv(&mut [0; 8])).await.unwrap_err();
    assert!(
        matches!(end, Error::Closed(CloseReason::PeerClosed)),
        "{end}"
    );
    assert_eq!(in_time(client.closed()).await, CloseReason::PeerClosed);
    let end = client.send(b"too late").await.unwrap_err();
    assert!(
        matches!(end, Error::Closed(CloseReason::PeerClosed)),
        "{end}"
    );

    let (client, server) = tokio::join!(
        in_time(connector.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let mut server = server.unwrap();
    drop(client);
    let end = in_time(server.recv(&mut [0; 8])).await.unwrap_err();
    assert!(
        matches!(end, Error::Closed(CloseReason::PeerClosed)),
        "{end}"
    );

    let (client, server) = tokio::join!(
        in_time(connector.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let _server = server.unwrap();
    in_time(listener.close()).await;
    let end = in_time(client.unwrap().recv(&mut [0; 8]))
        .await
        .unwrap_err();
    assert!(
        matches!(end, Error::Closed(CloseReason::PeerClosed)),
        "{end}"
    );
}

pub(super) async fn halves_work_in_two_tasks(mode: Mode) {
    let address = echo_server(mode.options());
    let connector = connector();
    let connection = in_time(connector.connect(peer(address))).await.unwrap();
    let (mut sender, mut receiver) = connection.split();
    let reading = tokio::spawn(async move {
        for n in 0..100_u8 {
            assert_eq!(&receiver.recv_bytes().await.unwrap()[..], [n]);
        }
        receiver
    });
    for n in 0..100_u8 {
        sender.send(&[n]).await.unwrap();
    }
    let receiver = in_time(reading).await.unwrap();
    let mut whole = sender.reunite(receiver).ok().unwrap();
    echo(&mut whole, b"whole again").await;
}

pub(super) async fn two_hundred_peers_at_once(mode: Mode) {
    let (listener, address) = listen(mode.options());
    let (connections, serving) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut listener: Listener = listener;
        for _ in 0..200 {
            tokio::spawn(send_back(listener.accept_connection().await.unwrap()));
        }
        connections.send(listener.statistics().await).ok();
        // Kept, or nobody else would be let in.
        std::future::pending::<()>().await;
        drop(listener);
    });
    let peers: Vec<_> = (0..200_u16)
        .map(|n| {
            tokio::spawn(async move {
                let mut connection = lockgate_tokio::connect(address, options()).await.unwrap();
                for round in 0..5_u16 {
                    let payload = (n << 3 | round).to_be_bytes();
                    // Datagrams may be lost where a socket's buffer overflows: asked again, as a protocol would.
                    let answer = loop {
                        connection.send(&payload).await.unwrap();
                        let answer =
                            tokio::time::timeout(Duration::from_secs(2), connection.recv_bytes());
                        if let Ok(answer) = answer.await {
                            break answer.unwrap();
                        }
                    };
                    assert_eq!(answer[..], payload);
                }
                connection
            })
        })
        .collect();
    let mut kept = Vec::new();
    for peer in peers {
        kept.push(in_time(peer).await.unwrap());
    }
    let statistics = in_time(serving).await.unwrap();
    assert_eq!(statistics.connections, 200);
    let sockets = if mode.is_per_peer() { 200 } else { 0 };
    assert_eq!(statistics.peer_sockets, sockets);
    assert_eq!(statistics.peer_sockets_failed, 0);
}

pub(super) async fn a_reader_that_never_reads_loses_only_its_own(mode: Mode) {
    let limit = 16 << 10;
    let mut options = mode.options();
    options.queues = QueueLimits {
        receive: limit,
        ..QueueLimits::default()
    };
    let (mut listener, address) = listen(options);
    let connector = connector();
    let (lazy_client, lazy) = tokio::join!(
        in_time(connector.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let (mut lazy_client, mut lazy) = (lazy_client.unwrap(), lazy.unwrap());
    tokio::spawn(serve_echo(listener));
    let mut other = in_time(lockgate_tokio::connect(address, super::support::options()))
        .await
        .unwrap();
    let mut sent = 0;
    while lazy.statistics().receive_dropped < 50 {
        for _ in 0..10 {
            in_time(lazy_client.send(&[9; 1000])).await.unwrap();
            sent += 1;
        }
        assert!(sent < 2000, "{:?}", lazy.statistics());
        echo(&mut other, b"not disturbed").await;
    }
    // The oldest are kept, as many as fit, and the connection is as good as before.
    let statistics = lazy.statistics();
    assert_eq!(statistics.received, (limit / (1000 + 64)) as u64);
    for _ in 0..statistics.received {
        assert_eq!(in_time(lazy.recv_bytes()).await.unwrap().len(), 1000);
    }
    // What was still on its way came meanwhile.
    loop {
        lazy_client.send(b"now").await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(1), lazy.recv_bytes());
        if let Ok(Ok(datagram)) = next.await
            && datagram == "now"
        {
            break;
        }
    }
}

pub(super) async fn every_kind_of_address_is_served(mode: Mode) {
    for any in ["0.0.0.0:0", "[::]:0", "[::1]:0"] {
        let Ok(listener) = Listener::bind(&[any.parse().unwrap()], mode.options()) else {
            continue; // a machine without IPv6
        };
        let bound = listener.local_addrs()[0];
        tokio::spawn(serve_echo(listener));
        let hosts: &[&str] = match any {
            "0.0.0.0:0" => &["127.0.0.1", "127.0.0.2"],
            "[::]:0" => &["127.0.0.1", "127.0.0.2", "::1"],
            _ => &["::1"],
        };
        for host in hosts {
            let server = std::net::SocketAddr::new(host.parse().unwrap(), bound.port());
            let connecting = lockgate_tokio::connect(server, options());
            let mut connection = in_time(connecting).await.unwrap();
            for n in 0..3 {
                echo(&mut connection, &[n]).await;
            }
            // An answer from another address would never have reached a connected client.
            let mut client = client(server).await;
            client_echo(&mut client, b"connected").await;
        }
    }
}

pub(super) async fn connections_outlive_the_listener(mode: Mode) {
    let (mut listener, address) = listen(mode.options());
    let connector = connector();
    let (client, server) = tokio::join!(
        in_time(connector.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let (mut client, server) = (client.unwrap(), server.unwrap());
    drop((listener, connector));
    tokio::spawn(send_back(server));
    echo(&mut client, b"still here").await;
    // Nobody new is let in.
    let mut hasty = options();
    hasty.config.handshake_timeout = Duration::from_millis(300);
    assert!(
        in_time(lockgate_tokio::connect(address, hasty))
            .await
            .is_err()
    );
    echo(&mut client, b"and still").await;
    in_time(client.close()).await;
    // With the last connection the sockets go.
    in_time(async {
        while std::net::UdpSocket::bind(address).is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
