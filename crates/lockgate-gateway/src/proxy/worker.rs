//! One worker: a thread with a runtime, an engine and sessions of its own.
//!
//! There is one now. Several will be several of these, each with sockets of its own on the same addresses.

use std::net::UdpSocket;
use std::sync::Arc;
use std::thread;

use lockgate_dtls::EndpointConfig;
use lockgate_tokio::{Driver, DriverError};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use super::{Counters, ProxyError, SHUTDOWN_TIME};
use crate::certificates::Certificates;
use crate::relay::{Command, KeyLog, Lookups, Policy, PoolSetup, Relay};

/// What a worker starts with.
pub(super) struct Worker {
    pub(super) sockets: Vec<UdpSocket>,
    pub(super) endpoint: EndpointConfig,
    pub(super) policy: Policy,
    /// The way to the backend, if it is not a socket per session.
    pub(super) pool: Option<PoolSetup>,
    pub(super) lookups: Lookups,
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) key_log: Option<KeyLog>,
}

/// How a worker ended.
pub(super) type Ended = Result<Counters, ProxyError>;

/// A worker that serves. What is received from is dropped without a value when the worker panics.
pub(super) struct Running {
    pub(super) ended: oneshot::Receiver<Ended>,
}

impl Worker {
    /// Starts the thread, and waits until it has everything that it needs to serve.
    pub(super) async fn start(self) -> Result<Running, ProxyError> {
        let (done, ended) = oneshot::channel();
        let (ready, started) = oneshot::channel();
        // Tests give each thread a log of its own.
        let log = tracing::dispatcher::get_default(Clone::clone);
        let run = move || {
            let ended = tracing::dispatcher::with_default(&log, || self.run(ready));
            // The proxy may have been dropped.
            let _ = done.send(ended);
        };
        thread::Builder::new()
            .name("worker-0".into())
            .spawn(run)
            .map_err(ProxyError::Start)?;
        if started.await.is_err() {
            return match ended.await {
                Ok(Err(error)) => Err(error),
                _ => Err(ProxyError::Worker),
            };
        }
        Ok(Running { ended })
    }

    fn run(self, ready: oneshot::Sender<()>) -> Ended {
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(ProxyError::Start)?;
        runtime.block_on(self.serve(ready))
    }

    async fn serve(self, ready: oneshot::Sender<()>) -> Ended {
        let relay = Relay::new(
            self.policy,
            self.pool,
            self.lookups,
            self.certificates,
            self.commands,
            self.key_log,
        )
        .map_err(ProxyError::Start)?;
        let mut driver = match Driver::new(self.sockets, self.endpoint, relay) {
            Ok(driver) => driver,
            Err(DriverError::Config(error)) => return Err(error.into()),
            Err(error) => return Err(ProxyError::Start(std::io::Error::other(error))),
        };
        // Who waited may have been dropped.
        let _ = ready.send(());
        driver.run().await;
        let untold = driver.close_all(SHUTDOWN_TIME).await;
        if untold > 0 {
            tracing::warn!(
                sessions = untold,
                "no time was left to tell all devices of the end"
            );
        }
        let (relay, io) = driver.parts();
        Ok(relay.counters(io))
    }
}
