//! What the workers of a proxy share. None of it is touched for a datagram, but for one flag that is read.
//! Pools that share a port have more in common: see `upstream/fellows.rs`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::backend::SharedBackendLog;
use super::session_cache::SessionCache;
use super::{Command, Registry};

/// One for all workers.
pub(crate) struct Shared {
    pub(crate) registry: Arc<Registry>,
    /// Bounds how many slow signatures are made at once: a flood of handshakes must leave the workers their share of the
    /// machine.
    pub(super) signatures: Arc<Semaphore>,
    pub(super) backend_log: SharedBackendLog,
    session_cache: Mutex<SessionCache>,
    /// The ways to the workers, by their number.
    pub(crate) workers: Vec<mpsc::UnboundedSender<Command>>,
}

impl Shared {
    /// `session_cache` says how many sessions are kept for resumption by their ID, and for how long.
    pub(crate) fn new(
        registry: Registry,
        session_cache: (usize, Duration),
        workers: Vec<mpsc::UnboundedSender<Command>>,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (capacity, lifetime) = session_cache;
        Self {
            registry: Arc::new(registry),
            signatures: Arc::new(Semaphore::new(cores.saturating_sub(1).max(1))),
            backend_log: SharedBackendLog::default(),
            session_cache: Mutex::new(SessionCache::new(capacity, lifetime)),
            workers,
        }
    }

    /// Tells all workers to stop.
    pub(crate) fn stop(&self) {
        for worker in &self.workers {
            // One that is gone has.
            let _ = worker.send(Command::Stop);
        }
    }

    /// Sessions by their ID. The workers' clocks started one after the other, so when a session ends differs by that little.
    pub(super) fn session_cache(&self) -> MutexGuard<'_, SessionCache> {
        self.session_cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
