//! A driver with an echo service, and clients, on the loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::task::{Context, Poll};
use std::time::Duration;

use lockgate_tokio::dtls::{
    CipherSuite, CloseReason, ConnectionHandle, DropReason, EndpointConfig, Event,
};
use lockgate_tokio::{Client, ClientError, ClientOptions, Driver, Io, IoCounters, Service, bind};
use tokio::sync::oneshot;

const IDENTITY: &[u8] = b"Client_identity";
const KEY: &[u8] = b"secretPSK";

/// Knows one key, sends everything back, ends when told.
struct Echo {
    stop: oneshot::Receiver<()>,
    stopped: bool,
    moves: u64,
    begun: Vec<SocketAddr>,
}

impl Service for Echo {
    fn on_application(&mut self, io: &mut Io, connection: ConnectionHandle, payload: &mut [u8]) {
        io.send(connection, payload).unwrap();
    }

    fn on_event(&mut self, io: &mut Io, connection: ConnectionHandle, event: Event) {
        match event {
            Event::PskRequested => {
                let now = io.now();
                let known = io.endpoint().psk_identity(connection) == Some(IDENTITY);
                let answer = if known {
                    io.endpoint().provide_psk(now, connection, KEY)
                } else {
                    io.endpoint().refuse_psk(now, connection)
                };
                answer.unwrap();
            }
            Event::PathChanged => self.moves += 1,
            _ => {}
        }
    }

    fn on_progress(&mut self, _: &mut Io, _: ConnectionHandle, path: lockgate_tokio::Path) {
        if !self.begun.contains(&path.peer()) {
            self.begun.push(path.peer());
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        use std::pin::Pin;
        if self.stopped {
            return Poll::Pending;
        }
        Pin::new(&mut self.stop).poll(cx).map(|_| ())
    }

    fn on_ready(&mut self, _: &mut Io) -> ControlFlow<()> {
        self.stopped = true;
        ControlFlow::Break(())
    }
}

struct Server {
    addresses: Vec<SocketAddr>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<(Echo, IoCounters)>,
}

fn serve(addresses: &[SocketAddr]) -> Server {
    let sockets = bind(addresses).unwrap();
    let addresses = sockets.iter().map(|s| s.local_addr().unwrap()).collect();
    let (stop, stopped) = oneshot::channel();
    let echo = Echo {
        stop: stopped,
        stopped: false,
        moves: 0,
        begun: Vec::new(),
    };
    let mut driver = Driver::new(sockets, EndpointConfig::default(), echo).unwrap();
    let task = tokio::task::spawn(async move {
        driver.run().await;
        assert_eq!(driver.close_all(Duration::from_secs(2)).await, 0);
        let counters = *driver.parts().1.counters();
        let echo = driver.into_service();
        (echo, counters)
    });
    Server {
        addresses,
        stop,
        task,
    }
}

const LOOPBACK: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

fn options() -> ClientOptions {
    ClientOptions::new(IDENTITY, KEY)
}

async fn echo(client: &mut Client, payload: &[u8]) {
    client.send(payload).await.unwrap();
    let mut answer = vec![0; payload.len() + 1];
    let answered = tokio::time::timeout(Duration::from_secs(5), client.recv(&mut answer));
    let len = answered.await.expect("an echo in time").unwrap();
    assert_eq!(&answer[..len], payload);
}

#[tokio::test]
async fn echo_rebind_and_goodbye() {
    let server = serve(&[LOOPBACK]);
    let mut client = Client::connect(server.addresses[0], options())
        .await
        .unwrap();
    let info = client.info().unwrap();
    assert_eq!(info.cipher_suite, CipherSuite::ECDHE_PSK_AES_128_GCM_SHA256);
    assert_eq!(info.peer_cid.len(), 8);
    echo(&mut client, b"one").await;
    echo(&mut client, b"").await;
    echo(&mut client, &vec![7; 1 << 14 >> 1]).await;
    let before = client.local_addr().unwrap();
    let after = client.rebind().await.unwrap();
    assert_ne!(before.port(), after.port());
    echo(&mut client, b"two").await;
    server.stop.send(()).unwrap();
    let end = client.recv(&mut [0; 8]).await.unwrap_err();
    assert!(matches!(end, ClientError::Closed(CloseReason::PeerClosed)));
    let (echo, counters) = server.task.await.unwrap();
    assert_eq!(echo.moves, 1);
    // One handshake, from one place.
    assert_eq!(echo.begun.len(), 1);
    assert_eq!(counters.stateless_replies, 1);
    assert_eq!(counters.dropped.total(), 0, "{}", counters.dropped);
}

#[tokio::test]
async fn a_session_moves_from_one_socket_of_the_server_to_another() {
    let server = serve(&[LOOPBACK, LOOPBACK]);
    let through_relay = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    let relay = through_relay.local_addr().unwrap();
    let (first, second) = (server.addresses[0], server.addresses[1]);
    let (turn, mut turned) = tokio::sync::watch::channel(first);
    // Forwards to the one or the other socket of the server; the client sees one address.
    tokio::spawn(async move {
        let mut buf = [0; 2048];
        let mut client = None;
        loop {
            let (len, from) = through_relay.recv_from(&mut buf).await.unwrap();
            let to = if from == first || from == second {
                client.unwrap()
            } else {
                client = Some(from);
                *turned.borrow_and_update()
            };
            through_relay.send_to(&buf[..len], to).await.unwrap();
        }
    });
    let mut client = Client::connect(relay, options()).await.unwrap();
    echo(&mut client, b"by the first").await;
    turn.send(second).unwrap();
    echo(&mut client, b"by the second").await;
    server.stop.send(()).unwrap();
    let (echo, _) = server.task.await.unwrap();
    assert_eq!(echo.moves, 1);
}

#[tokio::test]
async fn a_socket_bound_to_all_addresses_answers_from_the_one_it_was_asked_at() {
    for any in ["0.0.0.0:0", "[::]:0"] {
        let any: SocketAddr = any.parse().unwrap();
        if bind(&[any]).is_err() {
            continue; // a machine without IPv6
        }
        let server = serve(&[any]);
        let port = server.addresses[0].port();
        let mut hosts = vec!["127.0.0.1", "127.0.0.2"];
        if any.is_ipv6() {
            hosts.push("::1");
        }
        for host in hosts {
            let address = SocketAddr::new(host.parse().unwrap(), port);
            let connected = Client::connect(address, options());
            let connected = tokio::time::timeout(Duration::from_secs(5), connected).await;
            let mut client = connected.expect("an answer from the address").unwrap();
            echo(&mut client, b"from here").await;
        }
        server.stop.send(()).unwrap();
        let (echo, _) = server.task.await.unwrap();
        assert_eq!(echo.moves, 0);
    }
}

#[tokio::test]
async fn garbage_is_counted_and_harms_nobody() {
    let server = serve(&[LOOPBACK]);
    let mut client = Client::connect(server.addresses[0], options())
        .await
        .unwrap();
    let stranger = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    for garbage in [&b""[..], b"x", &[22; 13], &[0xff; 1400], &[25; 60]] {
        stranger
            .send_to(garbage, server.addresses[0])
            .await
            .unwrap();
    }
    echo(&mut client, b"still here").await;
    server.stop.send(()).unwrap();
    let (_, counters) = server.task.await.unwrap();
    assert!(counters.dropped.get(DropReason::Malformed) >= 3);
}

#[tokio::test]
async fn a_closed_port_is_told_at_once() {
    let free = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    let closed = free.local_addr().unwrap();
    drop(free);
    let error = Client::connect(closed, options()).await.err().unwrap();
    assert!(
        matches!(error, ClientError::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused)
    );
}
