//! Connections to servers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use lockgate_dtls::config::MAX_PSK_IDENTITY_LEN;
use lockgate_dtls::{ApiError, EndpointConfig, Session};
use tokio::sync::oneshot;

use crate::hub::{Command, Connect, HubOptions, KeyLog, Observer};
use crate::listener::Workers;
use crate::{ClientOptions, Connection, Credentials, Error, Psk, QueueLimits, Statistics, bind};

/// What a [`Connector`] is made with.
#[derive(Clone)]
pub struct ConnectorOptions {
    /// What all handshakes and sessions go by: suites, connection IDs, time-outs.
    pub config: lockgate_dtls::Config,
    /// Where the socket is bound. Default: any address, IPv6 and IPv4, a free port.
    pub bind: SocketAddr,
    /// How much may wait for one connection.
    pub queues: QueueLimits,
    /// Certificates and raw public keys, ours and those of servers. Default none.
    pub credentials: Credentials,
    /// How many connections there may be. Default 1,024.
    pub max_connections: u32,
    /// Where the lines of a key log go, if [`Config::key_log`](crate::dtls::Config::key_log) is on.
    pub key_log: Option<KeyLog>,
    /// Who sees the datagrams of handshakes go by.
    pub observer: Option<Observer>,
}

impl Default for ConnectorOptions {
    fn default() -> Self {
        Self {
            config: lockgate_dtls::Config::default(),
            bind: (Ipv6Addr::UNSPECIFIED, 0).into(),
            queues: QueueLimits::default(),
            credentials: Credentials::new(),
            max_connections: 1024,
            key_log: None,
            observer: None,
        }
    }
}

impl std::fmt::Debug for ConnectorOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectorOptions")
            .field("bind", &self.bind)
            .finish_non_exhaustive()
    }
}

/// Whom one connection is for, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Peer {
    /// Where the server is.
    pub server: SocketAddr,
    /// Our PSK identity, up to 128 bytes.
    pub identity: Vec<u8>,
    /// Its key; `None` for servers with certificates.
    pub psk: Option<Psk>,
    /// The host name to ask for (RFC 6066), or empty. Default empty.
    pub server_name: Vec<u8>,
    /// The DNS name or IP address that the server's certificate has to be for. Default `None`: the
    /// [`Peer::server_name`], or any name when that is empty.
    pub certificate_name: Option<String>,
    /// An earlier session with this server to go on with ([`Connection::session`]), where `config.resumption` is on. A
    /// session that does not fit is not offered.
    pub session: Option<Session>,
    /// How long to wait for the handshake. Default: as long as the engine tries
    /// ([`Config::handshake_timeout`](crate::dtls::Config::handshake_timeout)).
    pub timeout: Option<Duration>,
}

impl Peer {
    /// A server and what to show it; [`ApiError::BadLength`] when identity or key have a length that cannot be.
    pub fn new(server: SocketAddr, identity: &[u8], psk: &[u8]) -> Result<Self, ApiError> {
        if identity.len() > MAX_PSK_IDENTITY_LEN {
            return Err(ApiError::BadLength);
        }
        Ok(Self {
            server,
            identity: identity.into(),
            psk: Some(Psk::new(psk)?),
            ..Self::with_certificate(server)
        })
    }

    /// A server that shows a certificate or raw public key, which [`ConnectorOptions::credentials`] believe.
    pub const fn with_certificate(server: SocketAddr) -> Self {
        Self {
            server,
            identity: Vec::new(),
            psk: None,
            server_name: Vec::new(),
            certificate_name: None,
            session: None,
            timeout: None,
        }
    }
}

/// Makes connections to servers, all from one socket.
///
/// Dropping it leaves the connections that there are as they are; the socket is closed with the last.
pub struct Connector {
    workers: Workers,
    bound: SocketAddr,
}

impl Connector {
    /// Binds the socket and serves it in a task of the runtime that this is called in.
    pub fn new(options: ConnectorOptions) -> Result<Self, Error> {
        let socket = bind_one(options.bind)?;
        let bound = socket.local_addr()?;
        let mut config = options.config;
        options.credentials.configure(&mut config, true);
        let config = EndpointConfig {
            config,
            server: false,
            max_connections: options.max_connections,
            ..EndpointConfig::default()
        };
        let mut workers = Workers::new();
        let hub = HubOptions {
            keys: None,
            offers: None,
            limits: options.queues,
            key_log: options.key_log,
            observer: options.observer,
            credentials: options.credentials,
            sessions: 0,
            listening: vec![bound],
            backlog: 0,
            census: Arc::clone(&workers.census),
        };
        workers.start(vec![socket], None, config, false, hub)?;
        Ok(Self { workers, bound })
    }

    /// Runs a handshake. A port that nobody listens on is an error at once, where ICMP tells. A future that is dropped
    /// ends the handshake. To one server there is one handshake at a time ([`ApiError::PathBusy`]), and then as many
    /// connections as one likes, if connection IDs are on.
    pub async fn connect(&self, peer: Peer) -> Result<Connection, Error> {
        let timeout = peer.timeout;
        let connecting = self.start(peer);
        match timeout {
            None => connecting.await,
            Some(timeout) => tokio::time::timeout(timeout, connecting)
                .await
                .map_err(|_| Error::TimedOut)?,
        }
    }

    async fn start(&self, peer: Peer) -> Result<Connection, Error> {
        let (reply, begun) = oneshot::channel();
        let asked = || String::from_utf8_lossy(&peer.server_name).into_owned();
        let connect = Connect {
            expected: peer.certificate_name.unwrap_or_else(asked),
            server: peer.server,
            identity: peer.identity,
            psk: peer.psk,
            server_name: peer.server_name,
            session: peer.session,
            reply,
        };
        let worker = &self.workers.commands[0];
        worker
            .send(Command::Connect(Box::new(connect)))
            .map_err(|_| Error::Stopped)?;
        begun.await.map_err(|_| Error::Stopped)??.wait().await
    }

    /// Goes on from another local port, as if a NAT had forgotten us, with all connections. A server follows with the
    /// next datagram that it gets, if it gave out a connection ID. Returns the new address.
    pub async fn rebind(&mut self) -> Result<SocketAddr, Error> {
        // The old socket lives until the new one is there, so that it gets another port.
        let socket = bind_one((self.bound.ip(), 0).into())?;
        let bound = socket.local_addr()?;
        let (reply, done) = oneshot::channel();
        let worker = &self.workers.commands[0];
        worker
            .send(Command::Rebind(socket, reply))
            .map_err(|_| Error::Stopped)?;
        done.await.map_err(|_| Error::Stopped)??;
        self.bound = bound;
        Ok(bound)
    }

    /// Where the socket is bound.
    pub const fn local_addr(&self) -> SocketAddr {
        self.bound
    }

    /// What was counted so far.
    pub async fn statistics(&self) -> Statistics {
        self.workers.statistics().await
    }

    /// Ends all connections, and returns when the servers have been told, at the latest after two seconds.
    pub async fn close(self) {
        self.workers.stop().await;
    }
}

/// One connection, from a socket that no other connection uses. `options` are those of a [`Client`](crate::Client).
pub async fn connect(server: SocketAddr, options: ClientOptions) -> Result<Connection, Error> {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let expected = options.expected();
    let mut config = options.config;
    config.psk &= !options.psk.is_empty();
    let connector = Connector::new(ConnectorOptions {
        config,
        credentials: options.credentials,
        key_log: options.key_log,
        bind: options.bind.unwrap_or_else(|| (any, 0).into()),
        max_connections: 1,
        ..ConnectorOptions::default()
    })?;
    let mut peer = if options.psk.is_empty() {
        Peer::with_certificate(server)
    } else {
        Peer::new(server, &options.identity, &options.psk)?
    };
    peer.server_name = options.server_name;
    peer.certificate_name = Some(expected);
    peer.session = options.session;
    connector.connect(peer).await
}

fn bind_one(address: SocketAddr) -> Result<UdpSocket, Error> {
    let bound = bind(&[address]).or_else(|(address, error)| {
        // Without IPv6 in the kernel, "any" is any IPv4 address.
        if address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) {
            bind(&[(Ipv4Addr::UNSPECIFIED, address.port()).into()])
        } else {
            Err((address, error))
        }
    });
    let sockets = bound.map_err(|(address, error)| Error::Bind { address, error })?;
    let socket = sockets.into_iter().next();
    Ok(socket.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?)
}
