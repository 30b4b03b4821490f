//! Whether the backend listens, for the log.

use std::time::Duration;

use lockgate_dtls::Instant;

/// At most one line of each kind in this time.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// What the log last said about the backend. A line that comes too soon is made up for later, if it is still true.
#[derive(Default)]
pub(super) struct BackendLog {
    refuses: bool,
    told_refused: Option<Instant>,
    told_back: Option<Instant>,
}

impl BackendLog {
    /// The backend's host said that nobody listens. Returns whether a line was written.
    pub(super) fn on_refused(&mut self, now: Instant) -> bool {
        let tell = !self.refuses && due(self.told_refused, now);
        if tell {
            self.refuses = true;
            self.told_refused = Some(now);
            tracing::warn!("the backend refuses datagrams: nobody listens there");
        }
        tell
    }

    /// The backend sent something. Returns whether a line was written.
    pub(super) fn on_answer(&mut self, now: Instant) -> bool {
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
