//! Whether the backend listens, for the log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockgate_dtls::Instant;

/// At most one line of each kind in this time.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// One log for all workers, which are not held up by each other as long as the backend listens.
#[derive(Default)]
pub(super) struct SharedBackendLog {
    log: Mutex<BackendLog>,
    refuses: AtomicBool,
}

impl SharedBackendLog {
    /// The backend's host said that nobody listens.
    pub(super) fn on_refused(&self, now: Instant) {
        let mut log = self.lock();
        log.on_refused(now);
        self.refuses.store(log.refuses, Ordering::Relaxed);
    }

    /// The backend sent something.
    pub(super) fn on_answer(&self, now: Instant) {
        if self.refuses.load(Ordering::Relaxed) {
            let mut log = self.lock();
            log.on_answer(now);
            self.refuses.store(log.refuses, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BackendLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the log last said about the backend. A line that comes too soon is made up for later, if it is still true.
#[derive(Default)]
struct BackendLog {
    refuses: bool,
    told_refused: Option<Instant>,
    told_back: Option<Instant>,
}

impl BackendLog {
    /// The backend's host said that nobody listens. Returns whether a line was written.
    fn on_refused(&mut self, now: Instant) -> bool {
        let tell = !self.refuses && due(self.told_refused, now);
        if tell {
            self.refuses = true;
            self.told_refused = Some(now);
            tracing::warn!("the backend refuses datagrams: nobody listens there");
        }
        tell
    }

    /// The backend sent something. Returns whether a line was written.
    fn on_answer(&mut self, now: Instant) -> bool {
        let tell = self.refuses && due(self.told_back, now);
        if tell {
            self.refuses = false;
            self.told_back = Some(now);
            tracing::info!("the backend is back");
        }
        tell
    }
}

fn due(last: Option<Instant>, now: Instant) -> bool {
    last.is_none_or(|last| now.saturating_since(last) >= BETWEEN_LINES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_comes_and_goes_is_told_of_once_in_ten_seconds() {
        let mut log = BackendLog::default();
        let at = |second: u64| Instant::from_micros(second * 1_000_000);
        assert!(!log.on_answer(at(0)), "nothing was wrong");
        assert!(log.on_refused(at(0)));
        assert!(!log.on_refused(at(20)), "told already");
        assert!(log.on_answer(at(21)));
        assert!(log.on_refused(at(22)));
        assert!(!log.on_answer(at(23)), "too soon");
        assert!(log.on_answer(at(31)), "still true");
        assert!(!log.on_refused(at(31)), "too soon");
        assert!(log.on_refused(at(32)), "still true");
    }
}
