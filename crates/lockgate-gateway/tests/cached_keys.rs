//! What stands between a busy gateway and a slow key source. All on paused time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use lockgate_gateway::keys::{
    CacheLimits, CachedKeys, KeyError, KeyFuture, KeySource, MAX_CACHED_IDENTITY_LEN, MAX_PENDING,
    MAX_WAITING, Psk, UNKNOWN_TTL,
};
use tokio::{
    task::JoinSet,
    time::{Instant, advance, sleep},
};

const SECOND: Duration = Duration::from_secs(1);

/// A source that takes its time and counts who asks. Identities that begin with `no` are unknown,
/// with `err` fail, with `panic` panic.
#[derive(Default)]
struct Counts {
    asked: AtomicUsize,
    running: AtomicUsize,
    most_running: AtomicUsize,
    finished: AtomicUsize,
    reloads: AtomicUsize,
}

struct Slow {
    counts: Arc<Counts>,
    takes: Duration,
}

struct Running<'a>(&'a Counts);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl KeySource for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn lookup<'a>(&'a self, identity: &'a [u8]) -> KeyFuture<'a, Option<Psk>> {
        Box::pin(async move {
            let counts = &*self.counts;
            counts.asked.fetch_add(1, SeqCst);
            let now = counts.running.fetch_add(1, SeqCst) + 1;
            let _running = Running(counts);
            counts.most_running.fetch_max(now, SeqCst);
            // A key that changes with each reload.
            let byte = u8::try_from(self.counts.reloads.load(SeqCst)).unwrap();
            sleep(self.takes).await;
            counts.finished.fetch_add(1, SeqCst);
            assert!(!identity.starts_with(b"panic"), "as asked for");
            if identity.starts_with(b"err") {
                return Err(KeyError::Unavailable {
                    origin: "slow",
                    reason: "down".into(),
                });
            }
            Ok((!identity.starts_with(b"no")).then(|| Psk::new(&[byte]).unwrap()))
        })
    }

    fn reload(&self) -> KeyFuture<'_, ()> {
        self.counts.reloads.fetch_add(1, SeqCst);
        Box::pin(async { Ok(()) })
    }
}

fn cached(takes: Duration, limits: CacheLimits) -> (Arc<CachedKeys>, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let source = Slow {
        counts: Arc::clone(&counts),
        takes,
    };
    (Arc::new(CachedKeys::new(Box::new(source), limits)), counts)
}

async fn known(keys: &CachedKeys, identity: &str) -> bool {
    keys.lookup(identity.as_bytes()).await.unwrap().is_some()
}

#[tokio::test(start_paused = true)]
async fn a_key_is_remembered_for_its_time() {
    let (keys, counts) = cached(SECOND, CacheLimits::default());
    assert!(known(&keys, "a").await);
    let begin = Instant::now();
    assert!(known(&keys, "a").await);
    assert_eq!(begin.elapsed(), Duration::ZERO);
    advance(59 * SECOND).await;
    assert!(known(&keys, "a").await);
    assert_eq!(counts.asked.load(SeqCst), 1);
    advance(SECOND).await;
    assert!(known(&keys, "a").await);
    assert_eq!(counts.asked.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn unknown_is_remembered_for_a_short_time() {
    let (keys, counts) = cached(SECOND, CacheLimits::default());
    assert!(!known(&keys, "no").await);
    assert!(!known(&keys, "no").await);
    assert_eq!(counts.asked.load(SeqCst), 1);
    advance(UNKNOWN_TTL).await;
    assert!(!known(&keys, "no").await);
    assert_eq!(counts.asked.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_time_of_zero_remembers_nothing() {
    let limits = CacheLimits {
        ttl: Duration::ZERO,
        ..CacheLimits::default()
    };
    let (keys, counts) = cached(SECOND, limits);
    for _ in 0..2 {
        assert!(known(&keys, "a").await);
        assert!(!known(&keys, "no").await);
    }
    assert_eq!(counts.asked.load(SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn failures_are_not_remembered() {
    let (keys, counts) = cached(SECOND, CacheLimits::default());
    for _ in 0..2 {
        assert!(keys.lookup(b"err").await.is_err());
    }
    assert_eq!(counts.asked.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn long_identities_are_asked_for_but_not_remembered() {
    let (keys, counts) = cached(SECOND, CacheLimits::default());
    let fits = "x".repeat(MAX_CACHED_IDENTITY_LEN);
    let long = "x".repeat(MAX_CACHED_IDENTITY_LEN + 1);
    for _ in 0..2 {
        assert!(known(&keys, &fits).await);
        assert!(known(&keys, &long).await);
    }
    assert_eq!(counts.asked.load(SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn the_same_identity_is_asked_for_once_at_a_time() {
    let (keys, counts) = cached(SECOND, CacheLimits::default());
    let mut callers = JoinSet::new();
    for i in 0..100 {
        let keys = Arc::clone(&keys);
        let identity = ["a", "no", "err"][i % 3];
        callers.spawn(async move { (identity, keys.lookup(identity.as_bytes()).await) });
    }
    while let Some(done) = callers.join_next().await {
        match done.unwrap() {
            ("a", answer) => assert!(answer.unwrap().is_some()),
            ("no", answer) => assert!(answer.unwrap().is_none()),
            (_, answer) => assert!(matches!(answer, Err(KeyError::Unavailable { .. }))),
        }
    }
    assert_eq!(counts.asked.load(SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_requests_run_at_once() {
    let limits = CacheLimits {
        concurrency: 4,
        ..CacheLimits::default()
    };
    let (keys, counts) = cached(SECOND, limits);
    let begin = Instant::now();
    let mut callers = JoinSet::new();
    for i in 0..16 {
        let keys = Arc::clone(&keys);
        callers.spawn(async move { known(&keys, &format!("dev{i}")).await });
    }
    assert!(callers.join_all().await.into_iter().all(|known| known));
    assert_eq!(counts.most_running.load(SeqCst), 4);
    assert_eq!(begin.elapsed(), 4 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_times_out_and_is_given_up() {
    let (keys, counts) = cached(3600 * SECOND, CacheLimits::default());
    let begin = Instant::now();
    let error = keys.lookup(b"a").await.unwrap_err();
    assert_eq!(
        error,
        KeyError::Timeout {
            origin: "slow",
            after: 5 * SECOND
        }
    );
    assert_eq!(error.to_string(), "slow: no answer within 5s");
    assert_eq!(begin.elapsed(), 5 * SECOND);
    assert_eq!(counts.running.load(SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_place_counts_as_waiting() {
    let limits = CacheLimits {
        concurrency: 1,
        ..CacheLimits::default()
    };
    let (keys, counts) = cached(4 * SECOND, limits);
    let first = tokio::spawn({
        let keys = Arc::clone(&keys);
        async move { known(&keys, "a").await }
    });
    tokio::task::yield_now().await;
    let begin = Instant::now();
    let error = keys.lookup(b"b").await.unwrap_err();
    assert!(matches!(error, KeyError::Timeout { .. }), "{error}");
    assert_eq!(begin.elapsed(), 5 * SECOND);
    assert!(first.await.unwrap());
    assert_eq!(counts.finished.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_outlives_the_caller_who_gave_up() {
    let (keys, counts) = cached(2 * SECOND, CacheLimits::default());
    let gave_up = tokio::time::timeout(SECOND, keys.lookup(b"a")).await;
    assert!(gave_up.is_err());
    sleep(2 * SECOND).await;
    let begin = Instant::now();
    assert!(known(&keys, "a").await);
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(counts.asked.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn too_many_different_identities_are_refused() {
    let (keys, _) = cached(SECOND, CacheLimits::default());
    let mut callers = JoinSet::new();
    for i in 0..=MAX_PENDING {
        let keys = Arc::clone(&keys);
        callers.spawn(async move { keys.lookup(format!("dev{i}").as_bytes()).await.err() });
    }
    let failures: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    let busy = KeyError::Busy { origin: "slow" };
    assert_eq!(failures.iter().filter(|e| **e == busy).count(), 1);
    // All ended by answer or time-out, so there is room again.
    assert!(known(&keys, "later").await);
}

#[tokio::test(start_paused = true)]
async fn too_many_callers_are_refused() {
    let (keys, _) = cached(SECOND, CacheLimits::default());
    let mut callers = JoinSet::new();
    for _ in 0..=MAX_WAITING {
        let keys = Arc::clone(&keys);
        callers.spawn(async move { keys.lookup(b"a").await.err() });
    }
    let failures: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    assert_eq!(failures, [KeyError::Busy { origin: "slow" }]);
}

#[tokio::test(start_paused = true)]
async fn reload_forgets_keys_and_strangers() {
    let (keys, counts) = cached(SECOND, CacheLimits::default());
    known(&keys, "a").await;
    known(&keys, "no").await;
    keys.reload().await.unwrap();
    assert_eq!(counts.reloads.load(SeqCst), 1);
    let fresh = keys.lookup(b"a").await.unwrap().unwrap();
    assert_eq!(fresh.as_bytes(), [1]);
    known(&keys, "no").await;
    assert_eq!(counts.asked.load(SeqCst), 4);
}

/// The byte of the key of `a`: how many reloads there were when it was asked for.
async fn byte(keys: &CachedKeys) -> u8 {
    keys.lookup(b"a").await.unwrap().unwrap().as_bytes()[0]
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_before_a_reload_is_not_remembered() {
    let (keys, _) = cached(2 * SECOND, CacheLimits::default());
    let old = tokio::spawn({
        let keys = Arc::clone(&keys);
        async move { byte(&keys).await }
    });
    sleep(SECOND).await;
    keys.reload().await.unwrap();
    assert_eq!(old.await.unwrap(), 0);
    assert_eq!(byte(&keys).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_from_before_a_reload_is_not_joined() {
    let (keys, counts) = cached(2 * SECOND, CacheLimits::default());
    let old = tokio::spawn({
        let keys = Arc::clone(&keys);
        async move { byte(&keys).await }
    });
    sleep(SECOND).await;
    keys.reload().await.unwrap();
    let new = tokio::spawn({
        let keys = Arc::clone(&keys);
        async move { byte(&keys).await }
    });
    // The old one ends while the new one runs, which can be joined nevertheless.
    assert_eq!(old.await.unwrap(), 0);
    assert_eq!(byte(&keys).await, 1);
    assert_eq!(new.await.unwrap(), 1);
    assert_eq!(counts.asked.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_source_fails_one_look_up_only() {
    let (keys, counts) = cached(SECOND, CacheLimits::default());
    for _ in 0..2 {
        let error = keys.lookup(b"panic").await.unwrap_err();
        assert!(matches!(error, KeyError::Unavailable { .. }), "{error}");
    }
    assert_eq!(counts.asked.load(SeqCst), 2);
    assert!(known(&keys, "a").await);
}
