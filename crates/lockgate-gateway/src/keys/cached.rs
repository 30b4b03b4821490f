//! What makes a slow source safe to ask from a busy gateway: a cache, one request at a time for the
//! same identity, a bound on requests, and a time-out.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout_at},
};

use super::{KeyError, KeyFuture, KeySource, Psk, cache::TtlMap, escaped};

/// How long "unknown" is remembered at most. Short, because somebody who has just enrolled a device
/// tries it at once.
pub const UNKNOWN_TTL: Duration = Duration::from_secs(5);
/// How many keys are remembered; the oldest goes first.
pub const MAX_CACHED_KEYS: usize = 65_536;
/// How many unknown identities are remembered. They have room of their own, so that a stranger who
/// makes names up cannot push a device's key out.
pub const MAX_CACHED_UNKNOWN: usize = 16_384;
/// Answers about identities longer than this many bytes are not remembered, which bounds the memory.
pub const MAX_CACHED_IDENTITY_LEN: usize = 512;
/// How many different identities are looked up or wait for that at once; more are refused with
/// [`KeyError::Busy`].
pub const MAX_PENDING: usize = 4_096;
/// How many callers wait in all, several of them perhaps for the same identity; more are refused
/// with [`KeyError::Busy`].
pub const MAX_WAITING: usize = 16_384;

/// How a [`CachedKeys`] asks its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// How long a key is remembered (`--kms-cache-ttl`, 60 s by default). "Unknown" is remembered
    /// for this long too, but at most for [`UNKNOWN_TTL`]. Zero: nothing is remembered.
    pub ttl: Duration,
    /// How many requests run at once (`--kms-concurrency`, 32 by default); at least 1.
    pub concurrency: usize,
    /// The time for one answer, the wait for a free place included (`--kms-timeout`, 5 s by
    /// default).
    pub timeout: Duration,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            ttl: Duration::from_mins(1),
            concurrency: 32,
            timeout: Duration::from_secs(5),
        }
    }
}

/// A source behind a cache and limits.
///
/// - Callers who ask for the same identity share one request. It goes on when they give up, so that
///   the device finds its key in the cache when it tries again.
/// - Failures are not remembered: the next caller asks again.
/// - [`reload`](KeySource::reload) forgets everything, and answers to older requests are no longer
///   remembered; requests that run go on for those who wait.
pub struct CachedKeys(Arc<Inner>);

struct Inner {
    source: Box<dyn KeySource>,
    limits: CacheLimits,
    state: Mutex<State>,
    /// Places for requests that run.
    running: Semaphore,
    /// Places for requests that run or wait for a place to run.
    pending: Arc<Semaphore>,
    /// Places for callers.
    waiting: Semaphore,
}

struct State {
    keys: TtlMap<Psk>,
    unknown: TtlMap<()>,
    /// The request that later callers for an identity join.
    flights: HashMap<Vec<u8>, Flight>,
    /// Counts reloads; a request that began before the last one is not remembered.
    generation: u64,
}

type Outcome = Result<Option<Psk>, KeyError>;
/// Where a request puts its outcome.
type Flight = watch::Receiver<Option<Outcome>>;

impl CachedKeys {
    /// Puts `source` behind a cache. Must be used within a tokio runtime.
    pub fn new(source: Box<dyn KeySource>, limits: CacheLimits) -> Self {
        Self(Arc::new(Inner {
            source,
            limits,
            state: Mutex::new(State {
                keys: TtlMap::new(limits.ttl, MAX_CACHED_KEYS),
                unknown: TtlMap::new(limits.ttl.min(UNKNOWN_TTL), MAX_CACHED_UNKNOWN),
                flights: HashMap::new(),
                generation: 0,
            }),
            running: Semaphore::new(limits.concurrency.max(1)),
            pending: Arc::new(Semaphore::new(MAX_PENDING)),
            waiting: Semaphore::new(MAX_WAITING),
        }))
    }
}

impl KeySource for CachedKeys {
    fn name(&self) -> &'static str {
        self.0.source.name()
    }

    fn lookup<'a>(&'a self, identity: &'a [u8]) -> KeyFuture<'a, Option<Psk>> {
        Box::pin(async move {
            let busy = || KeyError::Busy {
                origin: self.name(),
            };
            let mut flight = {
                let mut state = self.0.state();
                if let Some(known) = state.cached(identity) {
                    return known;
                }
                match state.flights.get(identity) {
                    Some(flight) => flight.clone(),
                    None => self.0.take_off(&mut state, identity).ok_or_else(busy)?,
                }
            };
            let _place = self.0.waiting.try_acquire().map_err(|_| busy())?;
            match flight.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(outcome)) => outcome.clone(),
                // The request ended without an outcome: its task panicked or the runtime ends.
                _ => Err(KeyError::Unavailable {
                    origin: self.name(),
                    reason: "the look-up was broken off".into(),
                }),
            }
        })
    }

    fn reload(&self) -> KeyFuture<'_, ()> {
        Box::pin(async move {
            let result = self.0.source.reload().await;
            // Afterwards, so that nothing from before the source's own reload is remembered.
            let mut state = self.0.state();
            state.generation += 1;
            state.keys.clear();
            state.unknown.clear();
            state.flights.clear();
            result
        })
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a request that others can join; `None` when there are too many.
    fn take_off(self: &Arc<Self>, state: &mut State, identity: &[u8]) -> Option<Flight> {
        let place = Arc::clone(&self.pending).try_acquire_owned().ok()?;
        let (outcome, flight) = watch::channel(None);
        state.flights.insert(identity.to_vec(), flight.clone());
        let identity = identity.to_vec();
        let generation = state.generation;
        tokio::spawn(Arc::clone(self).fly(identity, generation, outcome, place));
        Some(flight)
    }

    async fn fly(
        self: Arc<Self>,
        identity: Vec<u8>,
        generation: u64,
        landed: watch::Sender<Option<Outcome>>,
        _place: OwnedSemaphorePermit,
    ) {
        let begin = Instant::now();
        let ask = async {
            // The semaphore is never closed; if it were, asking without a place does no harm.
            let _place = self.running.acquire().await.ok();
            self.source.lookup(&identity).await
        };
        // A panic in a source must not leave a flight behind that nobody can join or replace.
        let clean_up = RemoveFlight {
            inner: &self,
            identity: &identity,
            generation,
        };
        let outcome = match begin.checked_add(self.limits.timeout) {
            Some(deadline) => timeout_at(deadline, ask).await.unwrap_or_else(|_| {
                Err(KeyError::Timeout {
                    origin: self.source.name(),
                    after: self.limits.timeout,
                })
            }),
            None => ask.await,
        };
        tracing::debug!(
            identity = %escaped(&identity),
            source = self.source.name(),
            answer = match &outcome {
                Ok(Some(_)) => "known",
                Ok(None) => "unknown",
                Err(_) => "failed",
            },
            ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX),
            "key looked up"
        );
        {
            let mut state = self.state();
            if state.generation == generation {
                state.remember(&identity, &outcome);
            }
        }
        drop(clean_up);
        landed.send_replace(Some(outcome));
    }
}

impl State {
    /// What is remembered of `identity`, in the form of an answer.
    fn cached(&mut self, identity: &[u8]) -> Option<Outcome> {
        if let Some(key) = self.keys.get(identity) {
            return Some(Ok(Some(key.clone())));
        }
        self.unknown.get(identity).map(|()| Ok(None))
    }

    fn remember(&mut self, identity: &[u8], outcome: &Outcome) {
        if identity.len() > MAX_CACHED_IDENTITY_LEN {
            return;
        }
        match outcome {
            Ok(Some(key)) => {
                self.unknown.remove(identity);
                self.keys.insert(identity, key.clone());
            }
            Ok(None) => self.unknown.insert(identity, ()),
            Err(_) => {}
        }
    }
}

struct RemoveFlight<'a> {
    inner: &'a Inner,
    identity: &'a [u8],
    generation: u64,
}

impl Drop for RemoveFlight<'_> {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        // After a reload the entry, if any, is a younger flight's.
        if state.generation == self.generation {
            state.flights.remove(self.identity);
        }
    }
}

impl fmt::Debug for CachedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CachedKeys({}, {:?})", self.name(), self.0.limits)
    }
}
