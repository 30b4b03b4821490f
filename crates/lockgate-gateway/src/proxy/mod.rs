//! `lockgate proxy`: DTLS from devices in, plain UDP to a backend out.
//!
//! [`run`] is the whole program: it binds, serves, watches signals and stops. [`Proxy`] is the same without signals, for
//! tests and for programs that embed it.
//!
//! ```text
//! caller's runtime: signals, key look-ups        worker threads, each: sockets, engine, sessions
//! ```

mod options;
mod signals;
#[cfg(test)]
mod slow_disk;
mod worker;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use lockgate_dtls::ConfigError;
use lockgate_tokio::MAX_WORKERS;
use tokio::io::Interest;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

pub use self::signals::run;
use crate::addresses::{AddressTable, PoolError, PoolNet};
use crate::certificates::{self, CertificateFileError, Certificates};
use crate::config::{HostPort, ProxyOptions};
use crate::keys::KeySource;
use crate::limits::{self, Limits};
use crate::relay::{Command, KeyLog, Lookups, Policy, PoolSetup, Registry, Setup, Shared};
pub use crate::relay::{Counters, EndReason, FailureReason, SessionInfo, Traffic};
use worker::{Running, Worker};

/// How long devices are told at the end that it is one.
pub const SHUTDOWN_TIME: Duration = Duration::from_secs(2);

/// What a worker opens beside its sockets: event queues and what wakes them.
const DESCRIPTORS_OF_WORKER: u32 = 8;

/// How long one of several addresses of the backend has to say that nobody listens there.
const PROBE_TIME: Duration = Duration::from_millis(50);

/// Why the proxy could not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// An address of `--bind` cannot be had.
    #[error("cannot bind {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The backend's name has no address.
    #[error("cannot resolve the backend {backend}: {error}")]
    Resolve {
        /// The backend as it was given.
        backend: HostPort,
        /// Why not.
        error: io::Error,
    },
    /// The key log cannot be opened.
    #[error("cannot open the key log {}: {error}", path.display())]
    KeyLog {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file of certificates or keys cannot be used.
    #[error(transparent)]
    Certificates(#[from] CertificateFileError),
    /// The pool of addresses cannot be used.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// An option of the engine is out of range.
    #[error(transparent)]
    Options(#[from] ConfigError),
    /// The machine gave us no thread, no event queue, no signals or the like.
    #[error("cannot start: {0}")]
    Start(io::Error),
    /// A worker ended by itself, which is a bug.
    #[error("a worker has ended unexpectedly")]
    Worker,
    /// A second signal came before all devices were told of the end.
    #[error("stopped at once by a second signal")]
    Interrupted,
}

/// A proxy whose sockets are bound and that does not serve yet.
pub struct Proxy {
    workers: Vec<Worker>,
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    certificates: Option<Arc<Certificates>>,
}

/// A proxy that serves.
struct Serving {
    running: Vec<Running>,
    shared: Arc<Shared>,
}

/// Asks a running [`Proxy`] what it knows.
#[derive(Clone)]
pub struct ProxyHandle(Arc<Shared>);

impl Proxy {
    /// Reads certificates, resolves the backend, raises the limit of open files, binds, and says so in the log. Must be called within a tokio
    /// runtime, in which keys will be looked up.
    pub async fn bind(
        options: &ProxyOptions,
        keys: Arc<dyn KeySource>,
    ) -> Result<Self, ProxyError> {
        if !(1..=MAX_WORKERS).contains(&options.workers) {
            return Err(ConfigError::Placement.into());
        }
        let certificates = if options.certificates.is_empty() {
            None
        } else {
            Some(Arc::new(certificates::open(&options.certificates).await?))
        };
        let backend = resolve(&options.connect, options.upstream_pool).await?;
        let limits = Limits::raise_and_read();
        let (pools, budget) = match options.upstream_pool {
            None => {
                let lookups = options.keys.limits.concurrency;
                let more = descriptors_of_workers(options);
                let budget = limits.budget_beside(lookups, more, options.max_sessions);
                (Vec::new(), budget)
            }
            Some(net) => {
                let pools = open_pools(net, options, backend)?;
                let budget = limits::pool_budget(&net, options.max_sessions);
                (pools, budget)
            }
        };
        let steered = options.kernel_steering;
        let seats = lockgate_tokio::bind_workers(&options.bind, options.workers, steered)
            .map_err(|(address, error)| ProxyError::Bind { address, error })?;
        let addresses = seats[0].local_addrs().map_err(ProxyError::Start)?;
        let key_log = options.keylog.as_ref().map(|path| {
            KeyLog::open(path).map_err(|error| ProxyError::KeyLog {
                path: path.clone(),
                error,
            })
        });
        let key_log = key_log.transpose()?;
        if let Some(path) = &options.keylog {
            let file = path.display();
            tracing::warn!(%file, "the secrets of all sessions are being written");
        }
        if budget.exceeded {
            tracing::warn!("{}", budget.sentence);
        } else {
            tracing::info!("{}", budget.sentence);
        }
        let mut endpoint = options::endpoint(options, budget.sessions);
        if seats.len() > 1 {
            lockgate_tokio::share_keys(&mut endpoint)?;
        }
        let (commands, receivers): (Vec<_>, Vec<_>) =
            seats.iter().map(|_| mpsc::unbounded_channel()).unzip();
        let max_sessions = match (options.upstream_pool, options.max_sessions) {
            // A full pool says so itself, and what to do.
            (Some(_), None) => usize::MAX,
            _ => budget.sessions as usize,
        };
        let registry = Registry::new(max_sessions, options.replace_same_identity);
        let cache = (options.session_cache, options.session_lifetime);
        let shared = Arc::new(Shared::new(registry, cache, commands));
        let mut pools = pools.into_iter();
        let mut workers = Vec::new();
        for ((number, seat), commands) in (0..).zip(seats).zip(receivers) {
            let key_log = key_log.as_ref().map(KeyLog::try_clone).transpose();
            let relay = Setup {
                worker: number,
                policy: Policy {
                    backend,
                    handshake_timeout: options.handshake_timeout,
                    idle_timeout: options.idle_timeout,
                    replace_same_identity: options.replace_same_identity,
                    client_auth: options.certificates.client_auth,
                },
                pool: pools.next(),
                certificates: certificates.clone(),
                lookups: Lookups {
                    keys: Arc::clone(&keys),
                    runtime: tokio::runtime::Handle::current(),
                    answers: shared.workers[usize::from(number)].clone(),
                },
                commands,
                key_log: key_log.map_err(ProxyError::Start)?,
                shared: Arc::clone(&shared),
            };
            workers.push(Worker {
                seat,
                endpoint: endpoint.clone(),
                relay,
            });
        }
        let several = (workers.len() > 1).then_some(workers.len());
        for address in &addresses {
            tracing::info!(%address, backend = %options.connect, resolved = %backend, workers = several, "listening");
        }
        Ok(Self {
            workers,
            addresses,
            shared,
            certificates,
        })
    }

    /// Where it listens, in the order of `--bind`, with real ports where 0 was asked for.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What it shows and whom it trusts, to be read again; `None` when it serves pre-shared keys alone.
    pub fn certificates(&self) -> Option<Arc<Certificates>> {
        self.certificates.clone()
    }

    /// For asking while it serves.
    pub fn handle(&self) -> ProxyHandle {
        ProxyHandle(Arc::clone(&self.shared))
    }

    /// Serves until `shutdown` completes, then tells all devices, for at most [`SHUTDOWN_TIME`], and returns the numbers.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<Counters, ProxyError> {
        self.start().await?.until(shutdown).await
    }

    /// Starts the workers; when this returns, devices are answered.
    async fn start(self) -> Result<Serving, ProxyError> {
        let mut serving = Serving {
            running: Vec::new(),
            shared: self.shared,
        };
        for worker in self.workers {
            match worker.start().await {
                Ok(running) => serving.running.push(running),
                Err(error) => {
                    // Those that have started.
                    serving.shared.stop();
                    return Err(error);
                }
            }
        }
        Ok(serving)
    }
}

impl Serving {
    /// Serves on until `shutdown` completes, see [`Proxy::serve`].
    async fn until(mut self, shutdown: impl Future<Output = ()>) -> Result<Counters, ProxyError> {
        let mut running = JoinSet::new();
        for worker in std::mem::take(&mut self.running) {
            running.spawn(worker.ended);
        }
        let mut shutdown = pin!(shutdown);
        let (mut stopping, mut failed) = (false, None);
        let mut sum = Counters::default();
        loop {
            tokio::select! {
                ended = running.join_next() => match ended {
                    None => return failed.map_or(Ok(sum), Err),
                    Some(Ok(Ok(Ok(counters)))) => sum.add(&counters),
                    Some(Ok(Ok(Err(error)))) => failed = failed.or(Some(error)),
                    Some(_) => failed = failed.or(Some(ProxyError::Worker)),
                },
                () = &mut shutdown, if !stopping => {}
            }
            // One that has ended by itself takes the others with it: without it, its devices would reach them in vain.
            if !stopping {
                stopping = true;
                self.shared.stop();
            }
        }
    }
}

impl Drop for Serving {
    /// Who serves no more may have been dropped in the middle; nobody else would stop the threads.
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl ProxyHandle {
    /// The numbers until now, of all workers together; `None` when the proxy does not serve any more.
    pub async fn counters(&self) -> Option<Counters> {
        let mut sum = Counters::default();
        for worker in &self.0.workers {
            let (to, answer) = oneshot::channel();
            worker.send(Command::Counters(to)).ok()?;
            sum.add(&answer.await.ok()?);
        }
        Some(sum)
    }

    /// The newest session of `identity`; `None` when there is none, or when the proxy does not serve any more.
    pub async fn session(&self, identity: &[u8]) -> Option<SessionInfo> {
        let place = self.0.registry.place_of(identity)?;
        let (to, answer) = oneshot::channel();
        let worker = self.0.workers.get(usize::from(place.worker))?;
        worker.send(Command::Session { place, to }).ok()?;
        answer.await.ok()?
    }
}

/// How many descriptors the workers need beside those of one.
fn descriptors_of_workers(options: &ProxyOptions) -> u32 {
    let each = DESCRIPTORS_OF_WORKER + options.bind.len() as u32;
    u32::from(options.workers - 1) * each
}

/// What is between a network of addresses and the workers that use it.
fn open_pools(
    net: PoolNet,
    options: &ProxyOptions,
    backend: SocketAddr,
) -> Result<Vec<PoolSetup>, PoolError> {
    net.check(backend)?;
    let table = options.upstream_pool_table.as_deref();
    let network = net.network();
    let table = match table {
        _ if net.is_ipv6() => None,
        Some(path) => {
            let table = AddressTable::open(net, path)?;
            let (file, devices) = (path.display(), table.known());
            tracing::info!(%file, %network, devices, "devices have addresses");
            Some(table)
        }
        None => {
            let why = "devices get other addresses when the proxy starts again: no --upstream-pool-table is given";
            tracing::warn!(%network, "{why}");
            Some(AddressTable::in_memory(net))
        }
    };
    let table = table.map(Arc::new);
    PoolSetup::open(net, table.as_ref(), options.workers, backend)
}

/// The address of the backend to use, one that can be talked to from `pool`, if there is one.
async fn resolve(backend: &HostPort, pool: Option<PoolNet>) -> Result<SocketAddr, ProxyError> {
    let failed = |error| ProxyError::Resolve {
        backend: backend.clone(),
        error,
    };
    let mut found = backend.resolve().await.map_err(failed)?;
    if let Some(net) = pool
        && found.iter().any(|address| net.suits(*address).is_ok())
    {
        found.retain(|address| net.suits(*address).is_ok());
    }
    let chosen = choose(&found).await;
    let chosen = chosen.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    if found.len() > 1 {
        tracing::info!(%backend, addresses = ?found, %chosen, "the backend has several addresses");
    }
    Ok(chosen)
}

/// The first address that there is a route to and where nobody says that nobody listens; or else the first one with a
/// route, or the first one: the network and the backend may come later.
async fn choose(found: &[SocketAddr]) -> Option<SocketAddr> {
    let mut routed = found
        .iter()
        .copied()
        .filter(|&a| crate::relay::has_route(a));
    let first = routed.next().or(found.first().copied())?;
    if found.len() > 1 {
        for address in std::iter::once(first).chain(routed) {
            if !refuses(address).await {
                return Some(address);
            }
        }
    }
    Some(first)
}

/// Whether an empty datagram to `backend` comes back as "nobody listens there" within [`PROBE_TIME`].
async fn refuses(backend: SocketAddr) -> bool {
    let any = match backend {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let asked = async {
        let socket = tokio::net::UdpSocket::bind((any, 0)).await?;
        socket.connect(backend).await?;
        socket.send(&[]).await?;
        // An ICMP error alone makes no socket readable.
        socket.ready(Interest::READABLE | Interest::ERROR).await?;
        socket.take_error()?.map_or(Ok(()), Err)
    };
    match tokio::time::timeout(PROBE_TIME, asked).await {
        Ok(Err(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::keys::StaticKeys;

    #[tokio::test]
    async fn an_address_where_somebody_listens_is_preferred() {
        let backend = UdpSocket::bind("127.0.0.2:0").unwrap();
        let open = backend.local_addr().unwrap();
        let closed = SocketAddr::from(([127, 0, 0, 1], open.port()));
        assert_eq!(choose(&[closed, open]).await, Some(open));
        assert_eq!(choose(&[open, closed]).await, Some(open));
        assert_eq!(choose(&[closed]).await, Some(closed));
        drop(backend);
        assert_eq!(choose(&[closed, open]).await, Some(closed));
        assert_eq!(choose(&[]).await, None);
    }

    #[tokio::test]
    async fn a_worker_that_cannot_start_is_an_error_of_the_start() {
        let mut options = ProxyOptions::new("127.0.0.1:9".parse().unwrap());
        options.bind = vec!["127.0.0.1:0".parse().unwrap()];
        options.cid_length = 3;
        let proxy = Proxy::bind(&options, Arc::new(StaticKeys::new())).await;
        let error = proxy.unwrap().start().await.err().unwrap();
        assert!(matches!(error, ProxyError::Options(_)), "{error}");
    }
}
