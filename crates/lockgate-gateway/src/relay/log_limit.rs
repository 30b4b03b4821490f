//! A bound on log lines that strangers can cause.

use std::time::Duration;

use lockgate_dtls::Instant;

/// How many lines a second may be about failed handshakes, of all workers.
pub(super) const LINES_PER_SECOND: u32 = 20;

/// Lets so many lines through each second and counts the others.
pub(super) struct LogLimit {
    lines_per_second: u32,
    second: Instant,
    lines: u32,
    left_out: u64,
}

impl LogLimit {
    /// The share of one of so many workers.
    pub(super) fn new(workers: usize) -> Self {
        let workers = u32::try_from(workers).unwrap_or(u32::MAX).max(1);
        Self {
            lines_per_second: LINES_PER_SECOND.div_ceil(workers),
            second: Instant::default(),
            lines: 0,
            left_out: 0,
        }
    }

    /// Whether a line may be written now.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        if now.saturating_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.lines = 0;
        }
        let allowed = self.lines < self.lines_per_second;
        if allowed {
            self.lines += 1;
        } else {
            self.left_out += 1;
        }
        allowed
    }

    /// When [`LogLimit::take_left_out`] has something to tell.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.left_out > 0).then(|| self.second + Duration::from_secs(1))
    }

    /// How many lines were left out, when the second in which they were is over.
    pub(super) fn take_left_out(&mut self, now: Instant) -> u64 {
        match self.deadline() {
            Some(at) if at <= now => std::mem::take(&mut self.left_out),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_summed_up_once_its_second_is_over() {
        let mut limit = LogLimit::new(1);
        let at = |millis: u64| Instant::from_micros(millis * 1000);
        let written = (0..1000).filter(|&ms| limit.allows(at(ms))).count();
        assert_eq!(written, LINES_PER_SECOND as usize);
        assert_eq!(limit.take_left_out(at(999)), 0);
        assert_eq!(limit.take_left_out(at(1000)), 980);
        assert_eq!(limit.deadline(), None);
        assert!(limit.allows(at(1001)));
        let mut share = LogLimit::new(3);
        assert_eq!((0..100).filter(|&ms| share.allows(at(ms))).count(), 7);
    }
}
