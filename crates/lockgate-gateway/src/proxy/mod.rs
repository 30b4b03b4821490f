//! `lockgate proxy`: DTLS from devices in, plain UDP to a backend out.
//!
//! [`run`] is the whole program: it binds, serves, watches signals and stops. [`Proxy`] is the same without signals, for
//! tests and for programs that embed it.
//!
//! ```text
//! caller's runtime: signals, key look-ups        worker thread: sockets, engine, sessions
//! ```

mod options;
mod signals;
mod worker;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::{mpsc, oneshot};

pub use self::signals::run;
use crate::addresses::{AddressTable, PoolError, PoolNet};
use crate::certificates::{self, CertificateFileError, Certificates};
use crate::config::{HostPort, ProxyOptions};
use crate::keys::KeySource;
use crate::limits::{self, Limits};
use crate::relay::{Command, KeyLog, Lookups, Policy, PoolSetup};
pub use crate::relay::{Counters, EndReason, FailureReason, SessionInfo, Traffic};
use worker::{Running, Worker};

/// How long devices are told at the end that it is one.
pub const SHUTDOWN_TIME: Duration = Duration::from_secs(2);

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
    Options(#[from] lockgate_dtls::ConfigError),
    /// The machine gave us no thread, no event queue, no signals or the like.
    #[error("cannot start: {0}")]
    Start(io::Error),
    /// The worker ended by itself, which is a bug.
    #[error("the worker has ended unexpectedly")]
    Worker,
    /// A second signal came before all devices were told of the end.
    #[error("stopped at once by a second signal")]
    Interrupted,
}

/// A proxy whose sockets are bound and that does not serve yet.
pub struct Proxy {
    worker: Worker,
    addresses: Vec<SocketAddr>,
    commands: mpsc::UnboundedSender<Command>,
    certificates: Option<Arc<Certificates>>,
}

/// A proxy that serves.
struct Serving {
    running: Running,
    commands: mpsc::UnboundedSender<Command>,
}

/// Asks a running [`Proxy`] what it knows.
#[derive(Clone)]
pub struct ProxyHandle(mpsc::UnboundedSender<Command>);

impl Proxy {
    /// Reads certificates, resolves the backend, raises the limit of open files, binds, and says so in the log. Must be called within a tokio
    /// runtime, in which keys will be looked up.
    pub async fn bind(
        options: &ProxyOptions,
        keys: Arc<dyn KeySource>,
    ) -> Result<Self, ProxyError> {
        let certificates = if options.certificates.is_empty() {
            None
        } else {
            Some(Arc::new(certificates::open(&options.certificates).await?))
        };
        let backend = resolve(&options.connect, options.upstream_pool).await?;
        let limits = Limits::raise_and_read();
        let requested = options.max_sessions;
        let (pool, budget) = match options.upstream_pool {
            None => {
                let lookups = options.keys.limits.concurrency;
                (None, limits.budget_beside(lookups, requested))
            }
            Some(net) => {
                let pool = open_pool(net, options.upstream_pool_table.as_deref(), backend)?;
                let budget = limits::pool_budget(&net, requested);
                (Some(pool), budget)
            }
        };
        let sockets = lockgate_tokio::bind(&options.bind)
            .map_err(|(address, error)| ProxyError::Bind { address, error })?;
        let addresses: io::Result<Vec<_>> = sockets.iter().map(UdpSocket::local_addr).collect();
        let addresses = addresses.map_err(ProxyError::Start)?;
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
        let (commands, receiver) = mpsc::unbounded_channel();
        let worker = Worker {
            sockets,
            endpoint: options::endpoint(options, budget.sessions),
            policy: Policy {
                backend,
                idle_timeout: options.idle_timeout,
                // A full pool says so itself, and what to do.
                max_sessions: match (&pool, requested) {
                    (Some(_), None) => usize::MAX,
                    _ => budget.sessions as usize,
                },
                replace_same_identity: options.replace_same_identity,
                client_auth: options.certificates.client_auth,
                session_cache: (options.session_cache, options.session_lifetime),
            },
            pool,
            certificates: certificates.clone(),
            lookups: Lookups {
                keys,
                runtime: tokio::runtime::Handle::current(),
                answers: commands.clone(),
            },
            commands: receiver,
            key_log,
        };
        for address in &addresses {
            tracing::info!(%address, backend = %options.connect, resolved = %backend, "listening");
        }
        Ok(Self {
            worker,
            addresses,
            commands,
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
        ProxyHandle(self.commands.clone())
    }

    /// Serves until `shutdown` completes, then tells all devices, for at most [`SHUTDOWN_TIME`], and returns the numbers.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<Counters, ProxyError> {
        self.start().await?.until(shutdown).await
    }

    /// Starts the worker; when this returns, devices are answered.
    async fn start(self) -> Result<Serving, ProxyError> {
        Ok(Serving {
            running: self.worker.start().await?,
            commands: self.commands,
        })
    }
}

impl Serving {
    /// Serves on until `shutdown` completes, see [`Proxy::serve`].
    async fn until(self, shutdown: impl Future<Output = ()>) -> Result<Counters, ProxyError> {
        let mut ended = self.running.ended;
        let ended = tokio::select! {
            ended = &mut ended => ended,
            () = shutdown => {
                // When it is gone already, its result is there.
                let _ = self.commands.send(Command::Stop);
                ended.await
            }
        };
        ended.map_err(|_| ProxyError::Worker)?
    }
}

impl ProxyHandle {
    /// The numbers until now; `None` when the proxy does not serve any more.
    pub async fn counters(&self) -> Option<Counters> {
        let (to, answer) = oneshot::channel();
        self.0.send(Command::Counters(to)).ok()?;
        answer.await.ok()
    }

    /// The newest session of `identity`; `None` when there is none, or when the proxy does not serve any more.
    pub async fn session(&self, identity: &[u8]) -> Option<SessionInfo> {
        let (to, answer) = oneshot::channel();
        let identity = identity.into();
        self.0.send(Command::Session { identity, to }).ok()?;
        answer.await.ok()?
    }
}

/// What is between a network of addresses and a worker that uses it.
fn open_pool(
    net: PoolNet,
    table: Option<&Path>,
    backend: SocketAddr,
) -> Result<PoolSetup, PoolError> {
    net.check(backend)?;
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
    PoolSetup::open(net, table.map(Arc::new))
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
