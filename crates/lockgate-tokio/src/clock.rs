//! The engine's time, from tokio's monotonic clock.

use std::time::Duration;

use lockgate_dtls::Instant;

/// Counts the microseconds since it was made. It follows tokio's clock, also where a test pauses that.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: tokio::time::Instant,
}

impl Clock {
    /// A clock that stands at zero.
    pub fn start() -> Self {
        Self {
            start: tokio::time::Instant::now(),
        }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        let micros = self.start.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The same moment for tokio's timers. Moments too far away for a timer are cut to some 30 years.
    pub fn timer(&self, at: Instant) -> tokio::time::Instant {
        const FAR: Duration = Duration::from_hours(24 * 365 * 30);
        self.start + Duration::from_micros(at.as_micros()).min(FAR)
    }
}
