//! What is counted and measured.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use lockgate_dtls::CloseReason;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

/// The longest time that is told from longer ones.
const LONGEST: u64 = 600_000_000_000;

/// How long things took: percentiles to three digits.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Times {
    /// None yet.
    ///
    /// # Panics
    /// Never: the bounds are fixed.
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(100, LONGEST, 3).expect("bounds in order"))
    }

    pub(crate) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that a share of all, 0 to 1, does not exceed; zero when there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    /// The shortest; zero when there are none.
    pub fn min(&self) -> Duration {
        Duration::from_nanos(if self.0.is_empty() { 0 } else { self.0.min() })
    }

    /// The longest; zero when there are none.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    /// The arithmetic mean; zero when there are none.
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.0.mean() / 1e9)
    }

    /// Takes those of `other` in as well.
    ///
    /// # Panics
    /// Never: all have the same bounds.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the same bounds");
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

/// As microseconds: `count`, `min`, `mean`, `p50`, `p90`, `p99`, `p99_9`, `max`.
impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = |time: Duration| (time.as_secs_f64() * 1e7).round() / 10.0;
        let mut out = serializer.serialize_struct("Times", 8)?;
        out.serialize_field("count", &self.count())?;
        out.serialize_field("min", &micros(self.min()))?;
        out.serialize_field("mean", &micros(self.mean()))?;
        out.serialize_field("p50", &micros(self.quantile(0.5)))?;
        out.serialize_field("p90", &micros(self.quantile(0.9)))?;
        out.serialize_field("p99", &micros(self.quantile(0.99)))?;
        out.serialize_field("p99_9", &micros(self.quantile(0.999)))?;
        out.serialize_field("max", &micros(self.max()))?;
        out.end()
    }
}

/// How often each reason was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reasons(BTreeMap<String, u64>);

impl Reasons {
    pub(crate) fn count(&mut self, reason: &impl ToString) {
        *self.0.entry(reason.to_string()).or_default() += 1;
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Reason and number, the most frequent first.
    pub fn by_number(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<_> = self.0.iter().map(|(r, &n)| (r.as_str(), n)).collect();
        all.sort_by_key(|&(_, n)| std::cmp::Reverse(n));
        all
    }

    /// Takes those of `other` in as well.
    pub fn add(&mut self, other: &Self) {
        for (reason, n) in &other.0 {
            *self.0.entry(reason.clone()).or_default() += n;
        }
    }
}

/// What became of a number of handshakes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Handshakes {
    /// How many were to be made.
    pub wanted: u64,
    /// How many led to a session.
    pub completed: u64,
    /// How many of these went on with an earlier session.
    pub resumed: u64,
    /// How many did not, and why.
    pub failed: Reasons,
    /// Why the first one did not, for programs.
    #[serde(skip)]
    pub first_failure: Option<CloseReason>,
    /// Sessions that ended in the meantime, and why.
    pub closed: Reasons,
    /// How many were not begun or not waited for, because all others failed or somebody stopped it.
    pub abandoned: u64,
    /// From the first `ClientHello` to the end of each that completed, in microseconds when serialized.
    pub time_us: Times,
    /// How long all took together.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

impl Handshakes {
    /// How many completed in a second.
    pub fn per_second(&self) -> f64 {
        rate(self.completed, self.elapsed)
    }

    /// Takes those of `other`, which came afterwards, in as well.
    pub fn add(&mut self, other: &Self) {
        self.wanted += other.wanted;
        self.completed += other.completed;
        self.resumed += other.resumed;
        self.failed.add(&other.failed);
        self.first_failure = self.first_failure.or(other.first_failure);
        self.closed.add(&other.closed);
        self.abandoned += other.abandoned;
        self.time_us.add(&other.time_us);
        self.elapsed += other.elapsed;
    }
}

/// What became of the datagrams of a phase.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Exchanged {
    /// How many were to be sent in a second, when it was said.
    pub wanted_per_second: Option<f64>,
    /// Datagrams that were sent, those counted in [`Exchanged::simulated_loss`] included.
    pub sent: u64,
    /// Those that were answered in time.
    pub answered: u64,
    /// Those that were not. Zero when no answer is expected.
    pub lost: u64,
    /// Answers that came when they were counted as lost already, or that nobody waited for.
    pub late: u64,
    /// Answers that are not what was sent; of CoAP, those that are no success.
    pub altered: u64,
    /// Datagrams that the kernel did not take.
    pub not_sent: u64,
    /// Datagrams that the simulator lost on purpose, in both directions.
    pub simulated_loss: u64,
    /// Datagrams that came when the simulator's own receive buffer was full: then it was the simulator that was too slow.
    pub overflow: u64,
    /// How often a session moved to another source port.
    pub rebinds: u64,
    /// Sessions that ended, and why.
    pub closed: Reasons,
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// From sending to answer, in microseconds when serialized.
    pub round_trip_us: Times,
    /// How long was sent.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

impl Exchanged {
    /// Datagrams sent in a second.
    pub fn sent_per_second(&self) -> f64 {
        rate(self.sent, self.elapsed)
    }
}

/// What became of a storm.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stormed {
    /// How often all sessions were dropped and made again.
    pub rounds: u64,
    /// The handshakes of all rounds together.
    pub handshakes: Handshakes,
    /// How long each round took, in microseconds when serialized.
    pub round_us: Times,
}

/// What [`Fleet::probe`](crate::Fleet::probe) found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Probed {
    /// Sessions that were asked.
    pub asked: u64,
    /// Sessions that answered.
    pub answered: u64,
    /// Datagrams that went out again because no answer had come.
    pub repeated: u64,
    /// From sending to answer, in microseconds when serialized.
    pub round_trip_us: Times,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

fn rate(count: u64, elapsed: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    let count = count as f64;
    if elapsed.is_zero() {
        0.0
    } else {
        count / elapsed.as_secs_f64()
    }
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((time.as_secs_f64() * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut times = Times::new();
        assert_eq!(
            (times.count(), times.min(), times.max()),
            Default::default()
        );
        for n in 1..=1000 {
            times.record(n * 1_000_000);
        }
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        for (share, expected) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = millis(times.quantile(share));
            assert!((found - expected).abs() < 1.5, "{share}: {found}");
        }
        assert!((millis(times.max()) - 1000.0).abs() < 1.5);
        // Longer than can be told apart: the longest, not an error.
        times.record(u64::MAX);
        assert!(times.max() >= Duration::from_mins(10));
    }

    #[test]
    fn reasons_are_told_most_frequent_first() {
        let mut reasons = Reasons::default();
        for reason in ["b", "a", "b"] {
            reasons.count(&reason);
        }
        assert_eq!(reasons.by_number(), [("b", 2), ("a", 1)]);
        assert_eq!(reasons.total(), 3);
    }
}
