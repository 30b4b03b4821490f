//! What the tests of listeners share.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod papers;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use lockgate_tokio::{
    Client, ClientOptions, Connection, Connector, ConnectorOptions, Error, Listener, Options, Peer,
    StaticKeys,
};

pub(crate) const IDENTITY: &[u8] = b"Client_identity";
pub(crate) const KEY: &[u8] = b"secretPSK";
pub(crate) const LOOPBACK: SocketAddr =
    SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How the peers' datagrams reach the engine. Every test of the suite runs in each mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One socket for all.
    Shared,
    /// One for each peer.
    PerPeer,
    /// Several workers.
    Workers,
    /// Several workers without the kernel's help.
    WorkersHandOver,
    /// Several workers, one socket for each peer.
    WorkersPerPeer,
}

impl Mode {
    pub(crate) fn options(self) -> Options {
        self.with(Options::new(keys()))
    }

    pub(crate) fn with(self, options: Options) -> Options {
        let workers = match self {
            Self::Shared | Self::PerPeer => 1,
            Self::Workers | Self::WorkersHandOver | Self::WorkersPerPeer => 3,
        };
        options
            .workers(workers)
            .kernel_steering(self != Self::WorkersHandOver)
            .socket_per_peer(self.is_per_peer())
    }

    pub(crate) fn is_per_peer(self) -> bool {
        matches!(self, Self::PerPeer | Self::WorkersPerPeer)
    }
}

pub(crate) fn keys() -> StaticKeys {
    StaticKeys::new().with(IDENTITY, KEY).unwrap()
}

pub(crate) fn listen(options: Options) -> (Listener, SocketAddr) {
    let listener = Listener::bind(&[LOOPBACK], options).unwrap();
    let address = listener.local_addrs()[0];
    (listener, address)
}

/// A server that sends everything back to everybody, for as long as the runtime lives.
pub(crate) fn echo_server(options: Options) -> SocketAddr {
    let (listener, address) = listen(options);
    tokio::spawn(serve_echo(listener));
    address
}

pub(crate) async fn serve_echo(mut listener: Listener) {
    while let Ok(connection) = listener.accept_connection().await {
        tokio::spawn(send_back(connection));
    }
}

pub(crate) async fn send_back(mut connection: Connection) -> Error {
    loop {
        let datagram = match connection.recv_bytes().await {
            Ok(datagram) => datagram,
            Err(error) => return error,
        };
        if let Err(error) = connection.send_bytes(datagram).await {
            return error;
        }
    }
}

pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("no answer in time")
}

pub(crate) fn connector() -> Connector {
    let options = ConnectorOptions {
        bind: LOOPBACK,
        ..ConnectorOptions::default()
    };
    Connector::new(options).unwrap()
}

pub(crate) fn peer(server: SocketAddr) -> Peer {
    Peer::new(server, IDENTITY, KEY).unwrap()
}

pub(crate) fn options() -> ClientOptions {
    ClientOptions::new(IDENTITY, KEY)
}

pub(crate) async fn client(server: SocketAddr) -> Client {
    in_time(Box::pin(Client::connect(server, options())))
        .await
        .unwrap()
}

pub(crate) async fn echo(connection: &mut Connection, payload: &[u8]) {
    in_time(connection.send(payload)).await.unwrap();
    let mut answer = vec![0; payload.len() + 1];
    let len = in_time(connection.recv(&mut answer)).await.unwrap();
    assert_eq!(&answer[..len], payload);
}

pub(crate) async fn client_echo(client: &mut Client, payload: &[u8]) {
    in_time(client.send(payload)).await.unwrap();
    let mut answer = vec![0; payload.len() + 1];
    let len = in_time(client.recv(&mut answer)).await.unwrap();
    assert_eq!(&answer[..len], payload);
}
