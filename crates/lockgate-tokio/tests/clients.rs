//! The ends that connect: those with a worker, those without, and those without a runtime.

mod support;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lockgate_tokio::dtls::{CloseReason, HandshakeError};
use lockgate_tokio::{
    Client, ClientError, ClientOptions, Connector, ConnectorOptions, Error, QueueLimits, blocking,
    connect,
};
use support::*;
use tokio::net::UdpSocket;

/// A relay that puts every two application datagrams of the server's into one.
async fn coalescing_relay(server: SocketAddr) -> SocketAddr {
    let relay = UdpSocket::bind(LOOPBACK).await.unwrap();
    let address = relay.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut buf, mut client, mut held) = ([0; 4096], None, Vec::new());
        loop {
            let (len, from) = relay.recv_from(&mut buf).await.unwrap();
            let datagram = &buf[..len];
            if from != server {
                client = Some(from);
                relay.send_to(datagram, server).await.unwrap();
                continue;
            }
            // Application data without a connection ID, which clients of ours want none of here.
            if datagram[0] == 23 && held.is_empty() {
                held = datagram.to_vec();
                continue;
            }
            held.extend_from_slice(datagram);
            relay.send_to(&held, client.unwrap()).await.unwrap();
            held.clear();
        }
    });
    address
}

/// Options without connection IDs, so that the relay sees which records carry application data.
fn without_ids() -> ClientOptions {
    let mut options = options();
    options.config.cid = lockgate_tokio::dtls::CidConfig::Length(0);
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_of_a_datagram_is_handed_over() {
    let relay = coalescing_relay(echo_server(Mode::Shared.options())).await;
    let mut buf = [0; 16];
    let mut client = in_time(Box::pin(Client::connect(relay, without_ids())))
        .await
        .unwrap();
    client.send(b"one").await.unwrap();
    client.send(b"two").await.unwrap();
    for text in [b"one", b"two"] {
        let len = in_time(client.recv(&mut buf)).await.unwrap();
        assert_eq!(&buf[..len], text);
    }
    let mut connection = in_time(connect(relay, without_ids())).await.unwrap();
    connection.send(b"one").await.unwrap();
    connection.send(b"two").await.unwrap();
    assert_eq!(in_time(connection.recv_bytes()).await.unwrap(), "one");
    assert_eq!(in_time(connection.recv_bytes()).await.unwrap(), "two");
    let blocking = tokio::task::spawn_blocking(move || {
        let mut client = blocking::Client::connect(relay, without_ids()).unwrap();
        client.send(b"one").unwrap();
        client.send(b"two").unwrap();
        for text in [b"one", b"two"] {
            let len = client.recv(&mut buf, Some(PATIENCE)).unwrap();
            assert_eq!(&buf[..len], text);
        }
    });
    in_time(blocking).await.unwrap();
}

#[tokio::test]
async fn a_closed_port_is_told_at_once() {
    let free = UdpSocket::bind(LOOPBACK).await.unwrap();
    let closed = free.local_addr().unwrap();
    drop(free);
    let refused =
        |error: Error| matches!(error, Error::Io(e) if e.kind() == ErrorKind::ConnectionRefused);
    // No second try that could hear of it later.
    let mut once = options();
    once.config.initial_timeout = 2 * PATIENCE;
    assert!(refused(
        in_time(connect(closed, once.clone())).await.unwrap_err()
    ));
    // Any address of both families is the default.
    let connector = Connector::new(ConnectorOptions {
        config: once.config,
        ..ConnectorOptions::default()
    })
    .unwrap();
    assert!(refused(
        in_time(connector.connect(peer(closed))).await.unwrap_err()
    ));
    let blocking =
        tokio::task::spawn_blocking(move || blocking::Client::connect(closed, once).err());
    assert!(refused(in_time(blocking).await.unwrap().unwrap()));
    // The refused one left nothing behind: the next handshake runs.
    let server = echo_server(Mode::Shared.options());
    let mut connection = in_time(connector.connect(peer(server))).await.unwrap();
    echo(&mut connection, b"there").await;
}

#[tokio::test]
async fn nobody_answers() {
    let silent = UdpSocket::bind(LOOPBACK).await.unwrap();
    let address = silent.local_addr().unwrap();
    let connector = connector();
    let mut peer = peer(address);
    peer.timeout = Some(Duration::from_millis(100));
    let error = in_time(connector.connect(peer.clone())).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut), "{error}");
    // The handshake was ended, or this one would find the path busy.
    let error = in_time(connector.connect(peer)).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut), "{error}");
    let mut hasty = options();
    hasty.config.handshake_timeout = Duration::from_millis(100);
    let error = in_time(connect(address, hasty.clone())).await.unwrap_err();
    assert!(matches!(
        error,
        Error::Handshake(HandshakeError::Timeout(_))
    ));
    let blocking =
        tokio::task::spawn_blocking(move || blocking::Client::connect(address, hasty).err());
    let error = in_time(blocking).await.unwrap().unwrap();
    assert!(matches!(
        error,
        Error::Handshake(HandshakeError::Timeout(_))
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_client_waits_no_longer_than_told() {
    let (mut listener, address) = listen(Mode::Shared.options());
    let client = tokio::task::spawn_blocking(move || {
        let mut client = blocking::Client::connect(address, options()).unwrap();
        let mut buf = [0; 16];
        let began = Instant::now();
        let error = client.recv(&mut buf, Some(Duration::from_millis(100)));
        assert!(matches!(error, Err(Error::TimedOut)));
        assert!((100..15_000).contains(&began.elapsed().as_millis()));
        client.send(b"from here").unwrap();
        let len = client.recv(&mut buf, Some(PATIENCE)).unwrap();
        assert_eq!(&buf[..len], b"from here");
        let before = client.local_addr().unwrap();
        assert_ne!(client.rebind().unwrap(), before);
        client.send(b"from there").unwrap();
        let len = client.recv(&mut buf, Some(PATIENCE)).unwrap();
        assert_eq!(&buf[..len], b"from there");
        assert!(client.info().is_some());
        client.close().unwrap();
    });
    let server = in_time(listener.accept_connection()).await.unwrap();
    let end = in_time(send_back(server)).await;
    assert!(
        matches!(end, Error::Closed(CloseReason::PeerClosed)),
        "{end}"
    );
    in_time(client).await.unwrap();
}

#[tokio::test]
async fn a_server_that_ends_is_noticed_by_all() {
    let (mut listener, address) = listen(Mode::Shared.options());
    let (client, server) = tokio::join!(client(address), listener.accept_connection());
    let mut client = client;
    let _server = server.unwrap();
    let blocking =
        tokio::task::spawn_blocking(move || blocking::Client::connect(address, options()));
    let _other = in_time(listener.accept_connection()).await.unwrap();
    let mut blocking = in_time(blocking).await.unwrap().unwrap();
    in_time(listener.close()).await;
    let end = in_time(client.recv(&mut [0; 8])).await.unwrap_err();
    assert!(matches!(end, ClientError::Closed(CloseReason::PeerClosed)));
    let end = tokio::task::spawn_blocking(move || blocking.recv(&mut [0; 8], Some(PATIENCE)).err());
    let end = in_time(end).await.unwrap().unwrap();
    assert!(matches!(end, Error::Closed(CloseReason::PeerClosed)));
}

#[tokio::test]
async fn sending_waits_for_room_and_loses_nothing() {
    let (mut listener, address) = listen(Mode::Shared.options());
    let connector = Connector::new(ConnectorOptions {
        bind: LOOPBACK,
        queues: QueueLimits {
            send: 4096,
            ..QueueLimits::default()
        },
        ..ConnectorOptions::default()
    })
    .unwrap();
    let (client, server) = tokio::join!(
        in_time(connector.connect(peer(address))),
        in_time(listener.accept_connection())
    );
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    // On one thread nobody empties the queue before we wait.
    let mut queued = 0_u8;
    while client.try_send(&[queued; 1000]).unwrap() {
        queued += 1;
    }
    assert_eq!(queued, 3, "4,096 bytes hold three datagrams of 1,064");
    let receiving = tokio::spawn(async move {
        for n in 0..100 {
            assert_eq!(server.recv_bytes().await.unwrap()[..], [n; 1000]);
        }
    });
    for n in queued..100 {
        in_time(client.send(&[n; 1000])).await.unwrap();
    }
    in_time(receiving).await.unwrap();
    assert_eq!(client.statistics().sent, 100);
}

#[tokio::test]
async fn both_ends_log_the_same_keys() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log: lockgate_tokio::KeyLog = {
        let lines = Arc::clone(&lines);
        Arc::new(move |entry| {
            let line = (*entry.client_random(), *entry.secret());
            lines.lock().unwrap().push(line);
        })
    };
    let address = echo_server(Mode::Shared.options().key_log(Arc::clone(&log)));
    let mut options = ConnectorOptions {
        bind: LOOPBACK,
        key_log: Some(log),
        ..ConnectorOptions::default()
    };
    options.config.key_log = true;
    let connector = Connector::new(options).unwrap();
    let mut connection = in_time(connector.connect(peer(address))).await.unwrap();
    echo(&mut connection, b"logged").await;
    let lines = lines.lock().unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], lines[1]);
}
