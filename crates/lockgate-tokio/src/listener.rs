//! Many peers, each of which becomes a [`Connection`].

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use lockgate_dtls::{ConfigError, EndpointConfig};
use tokio::sync::{mpsc, oneshot};

use crate::hub::{Census, Command, Commands, Hub, HubOptions, KeyLog, Observer};
use crate::io::PortOptions;
use crate::seat::{MAX_WORKERS, seats, share_keys};
use crate::socket::Sharing;
use crate::steer::Steering;
use crate::{
    Connection, Credentials, Driver, Error, Incoming, IoCounters, KeyStore, QueueLimits, StaticKeys,
};

/// How long a worker that is told to stop takes at most to say goodbye to its peers.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a [`Listener`] is made with.
#[derive(Clone)]
pub struct Options {
    /// The engine of each worker: suites, connection IDs, time-outs, and how much each worker lets in. Where each worker
    /// stands is set for it, and the keys that several must share, if there are none.
    pub endpoint: EndpointConfig,
    /// How much may wait for one connection.
    pub queues: QueueLimits,
    /// How many peers may wait to be accepted, and how many connections in [`Listener::accept_connection`]; beyond that
    /// they are turned away as by [`Incoming::retry`]. Default 1,024.
    pub backlog: usize,
    keys: Arc<dyn KeyStore>,
    credentials: Credentials,
    sessions: usize,
    key_log: Option<KeyLog>,
    observer: Option<Observer>,
    workers: u8,
    kernel_steering: bool,
    socket_per_peer: bool,
}

impl Options {
    /// The defaults, with a key store: one worker, one socket for each address.
    pub fn new(keys: impl KeyStore) -> Self {
        Self {
            endpoint: EndpointConfig::default(),
            queues: QueueLimits::default(),
            backlog: 1024,
            keys: Arc::new(keys),
            credentials: Credentials::new(),
            sessions: 1024,
            key_log: None,
            observer: None,
            workers: 1,
            kernel_steering: true,
            socket_per_peer: false,
        }
    }

    /// Who sees the datagrams of handshakes go by.
    #[must_use]
    pub fn observer(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Certificates and raw public keys: what we show, and whom we believe. Whether clients are asked for theirs says
    /// `endpoint.config.client_auth`; pre-shared keys go on beside them unless `endpoint.config.psk` is off.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Takes part in resumption: gives tickets, and keeps up to `sessions` in memory, by each worker, for clients that take
    /// none. The key of an identity is looked up again, a certificate must not have expired meanwhile; otherwise a full
    /// handshake is made.
    #[must_use]
    pub const fn resumption(mut self, sessions: usize) -> Self {
        self.endpoint.config.resumption = true;
        self.sessions = sessions;
        self
    }

    /// So many workers, 1 to 64: each is a task with its own sockets and its own engine, and the kernel spreads the
    /// peers over them (`SO_REUSEPORT`), by address and by connection ID. They run beside each other on a runtime with
    /// several threads.
    #[must_use]
    pub const fn workers(mut self, workers: u8) -> Self {
        self.workers = workers;
        self
    }

    /// Whether the kernel is asked to look at connection IDs when it spreads the peers (a BPF program on the sockets), so
    /// that a peer that has moved still reaches its worker. Where it does not, the datagrams of such a peer come to
    /// another worker, which hands them over ([`IoCounters::handed_over`]). Default true.
    #[must_use]
    pub const fn kernel_steering(mut self, on: bool) -> Self {
        self.kernel_steering = on;
        self
    }

    /// Each established peer gets a socket of its own, connected to it: the kernel keeps the peers apart, each has its
    /// own descriptor, buffer and socket options ([`Connection::peer_socket`]). It costs a descriptor for each peer;
    /// when there are none, accepting pauses, and those who are in stay in. Before Linux 6.13 the kernel searches all
    /// sockets of an address for each datagram, so this mode is for hundreds of peers there, not for many thousands.
    #[must_use]
    pub const fn socket_per_peer(mut self, on: bool) -> Self {
        self.socket_per_peer = on;
        self
    }

    /// Where the lines of a key log go; switches [`Config::key_log`](crate::dtls::Config::key_log) on.
    #[must_use]
    pub fn key_log(mut self, log: KeyLog) -> Self {
        self.endpoint.config.key_log = true;
        self.key_log = Some(log);
        self
    }
}

impl Default for Options {
    /// Without any key: for peers that are let in by [`Incoming::accept_with_key`].
    fn default() -> Self {
        Self::new(StaticKeys::new())
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("workers", &self.workers)
            .field("socket_per_peer", &self.socket_per_peer)
            .finish_non_exhaustive()
    }
}

/// What a listener or connector counts, over all its workers.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// What went through the sockets, and records that led nowhere.
    pub io: IoCounters,
    /// Connections there are, and handshakes that somebody decides or waits for.
    pub connections: usize,
    /// Handshakes that peers have begun and that are not over.
    pub half_open: usize,
    /// Sockets of single peers.
    pub peer_sockets: usize,
    /// Such that could not be made, for other reasons than a lack of descriptors.
    pub peer_sockets_failed: u64,
    /// Handshakes that were offered or begun, and failed.
    pub handshakes_failed: u64,
    /// Peers turned away because too many waited ([`Options::backlog`]).
    pub backlog_full: u64,
}

impl Statistics {
    fn add(&mut self, other: &Self) {
        self.io.add(&other.io);
        self.connections += other.connections;
        self.half_open += other.half_open;
        self.peer_sockets += other.peer_sockets;
        self.peer_sockets_failed += other.peer_sockets_failed;
        self.handshakes_failed += other.handshakes_failed;
        self.backlog_full += other.backlog_full;
    }
}

/// The tasks that serve a listener's or a connector's sockets. Dropped, they go on for the connections that there are.
pub(crate) struct Workers {
    pub(crate) commands: Vec<Commands>,
    pub(crate) census: Arc<Census>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Workers {
    pub(crate) fn new() -> Self {
        Self {
            commands: Vec::new(),
            census: Arc::default(),
            tasks: Vec::new(),
        }
    }

    /// Starts one more on `sockets`.
    pub(crate) fn start(
        &mut self,
        sockets: Vec<UdpSocket>,
        steering: Option<Steering>,
        config: EndpointConfig,
        socket_per_peer: bool,
        options: HubOptions,
    ) -> Result<(), Error> {
        let port_options = PortOptions {
            path_errors: true,
            socket_per_peer,
            client: options.keys.is_none(),
        };
        let (hub, commands) = Hub::new(options);
        let node = config.placement.node;
        let mut driver = Driver::with_options(sockets, config, port_options, hub)?;
        let (hub, io) = driver.parts();
        io.steering = steering.map(|steering| steering.on_node(node));
        hub.watch(io);
        io.observer = hub.observer();
        self.census.join(commands.clone());
        self.commands.push(commands);
        self.tasks.push(tokio::spawn(async move {
            driver.run().await;
            driver.close_all(GOODBYE).await;
        }));
        Ok(())
    }

    pub(crate) async fn statistics(&self) -> Statistics {
        let mut sum = Statistics::default();
        for commands in &self.commands {
            let (reply, statistics) = oneshot::channel();
            let _ = commands.send(Command::Statistics(reply));
            if let Ok(statistics) = statistics.await {
                sum.add(&statistics);
            }
        }
        sum
    }

    /// Ends all connections and waits until the peers have been told.
    pub(crate) async fn stop(mut self) {
        for commands in &self.commands {
            let _ = commands.send(Command::Stop);
        }
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.census.leave();
    }
}

/// Accepts peers.
///
/// Dropping it lets nobody in any more; the connections that there are go on, and the sockets are closed with the last.
/// [`Listener::close`] ends them all.
pub struct Listener {
    workers: Workers,
    addresses: Vec<SocketAddr>,
    incoming: mpsc::Receiver<Incoming>,
    accepted: mpsc::Receiver<Connection>,
    accepting: mpsc::Sender<Connection>,
}

impl Listener {
    /// Binds to all of `addresses`, or none, and serves them in tasks of the runtime that this is called in. `[::]` is
    /// dual-stack unless `0.0.0.0` with the same port stands beside it; port 0 is a free one. An address that any other
    /// socket has is an error.
    pub fn bind(addresses: &[SocketAddr], options: Options) -> Result<Self, Error> {
        let Options {
            mut endpoint,
            queues,
            backlog,
            keys,
            credentials,
            sessions,
            key_log,
            observer,
            workers: count,
            kernel_steering,
            socket_per_peer,
        } = options;
        if !(1..=MAX_WORKERS).contains(&count) {
            return Err(ConfigError::Placement.into());
        }
        let sharing = Sharing {
            with_peers: socket_per_peer,
            with_workers: count > 1,
        };
        let seats = seats(addresses, sharing, count, kernel_steering)
            .map_err(|(address, error)| Error::Bind { address, error })?;
        let addresses = seats[0].local_addrs()?;
        if count > 1 {
            share_keys(&mut endpoint)?;
        }
        endpoint.server = true;
        credentials.configure(&mut endpoint.config, false);
        let (offers, incoming) = mpsc::channel(backlog.max(1));
        let (accepting, accepted) = mpsc::channel(backlog.max(1));
        let mut workers = Workers::new();
        for seat in seats {
            let config = seat.place(endpoint.clone());
            let hub = HubOptions {
                keys: Some(Arc::clone(&keys)),
                offers: Some(offers.clone()),
                limits: queues,
                key_log: key_log.clone(),
                observer: observer.clone(),
                credentials: credentials.clone(),
                sessions,
                listening: addresses.clone(),
                backlog,
                census: Arc::clone(&workers.census),
            };
            workers.start(seat.sockets, seat.steering, config, socket_per_peer, hub)?;
        }
        Ok(Self {
            workers,
            addresses,
            incoming,
            accepted,
            accepting,
        })
    }

    /// Where it listens, in the order of the addresses that it was bound to, with the ports that were free.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The next peer that wants to be let in. Nobody's handshake is waited for: a peer comes here when it has proved its
    /// address and said who it is, and the rest is up to [`Incoming::accept`]. A future that is dropped loses nobody.
    ///
    /// While there are no descriptors for peers' sockets, nobody comes.
    pub async fn accept(&mut self) -> Result<Incoming, Error> {
        loop {
            let incoming = self.incoming.recv().await.ok_or(Error::Stopped)?;
            // Who gave up while waiting to be accepted need not be.
            if !incoming.is_over() {
                return Ok(incoming);
            }
        }
    }

    /// The next established connection, for servers that want everybody who has a key. All handshakes run beside each
    /// other and in the background while this is awaited; those that fail are counted
    /// ([`Statistics::handshakes_failed`]). A future that is dropped loses nobody.
    pub async fn accept_connection(&mut self) -> Result<Connection, Error> {
        loop {
            tokio::select! {
                biased;
                connection = self.accepted.recv() => return connection.ok_or(Error::Stopped),
                incoming = self.incoming.recv() => {
                    let queue = self.accepting.clone();
                    incoming.ok_or(Error::Stopped)?.accept_into(queue);
                }
            }
        }
    }

    /// What was counted so far.
    pub async fn statistics(&self) -> Statistics {
        self.workers.statistics().await
    }

    /// Ends all connections, and returns when the peers have been told, at the latest after two seconds.
    pub async fn close(self) {
        self.workers.stop().await;
    }
}
