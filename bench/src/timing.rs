//! Timing things beside each other.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Something to time: runs itself as often as it is told.
pub type Work<'a> = Box<dyn FnMut(u32) + 'a>;

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Batches of each piece of work.
    pub rounds: u32,
    /// Duration of a batch in microseconds, about.
    pub batch_micros: u32,
}

/// What was measured of one piece of work.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Median time of one run in nanoseconds.
    pub nanos: f64,
    /// Median, over the rounds, of this work's time by that of the first one in the same round.
    pub ratio: f64,
    /// The time of one run in each round.
    rounds: Vec<f64>,
}

impl Timing {
    /// Median, over the rounds, of this work's time by that of another one in the same round.
    pub fn by(&self, other: &Self) -> f64 {
        let ratios = self.rounds.iter().zip(&other.rounds).map(|(a, b)| a / b);
        median(ratios.collect())
    }
}

/// Times all of `works`, batch by batch in turn, so that what disturbs the machine disturbs all of them.
pub fn side_by_side(effort: Effort, works: &mut [Work<'_>]) -> Vec<Timing> {
    let runs: Vec<u32> = works.iter_mut().map(|w| calibrate(effort, w)).collect();
    let mut nanos = vec![Vec::with_capacity(effort.rounds as usize); works.len()];
    for round in 0..effort.rounds as usize {
        // Each starts as often as every other, so that none always follows the same neighbour.
        for i in 0..works.len() {
            let at = (i + round) % works.len();
            nanos[at].push(time(&mut works[at], runs[at]));
        }
    }
    let mut timings: Vec<_> = nanos
        .into_iter()
        .map(|rounds| Timing {
            nanos: median(rounds.clone()),
            ratio: 1.0,
            rounds,
        })
        .collect();
    if let Some((first, others)) = timings.split_first_mut() {
        for other in others {
            other.ratio = other.by(first);
        }
    }
    timings
}

/// The thread's own time: what others on the machine take of the processor is not in it.
fn time(work: &mut Work<'_>, runs: u32) -> f64 {
    let start = cpu_time();
    work(runs);
    cpu_time().saturating_sub(start).as_secs_f64() * 1e9 / f64::from(runs)
}

fn cpu_time() -> Duration {
    // It counts from the start of the thread, so it is never negative.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// How many runs fill a batch. Warms up on the way.
fn calibrate(effort: Effort, work: &mut Work<'_>) -> u32 {
    let mut runs = 1;
    loop {
        let nanos = time(work, runs) * f64::from(runs);
        if nanos * 4.0 > f64::from(effort.batch_micros) * 1e3 || runs > 1 << 24 {
            let fitting = f64::from(runs) * f64::from(effort.batch_micros) * 1e3 / nanos;
            #[expect(clippy::cast_sign_loss, reason = "a product of positive numbers")]
            return (fitting as u32).max(1);
        }
        runs *= 2;
    }
}

/// The middle one, or the mean of the middle two; of none, not a number.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (
        values.get(values.len().saturating_sub(1) / 2),
        values.get(values.len() / 2),
    ) {
        (Some(below), Some(above)) => f64::midpoint(*below, *above),
        _ => f64::NAN,
    }
}

/// The value that `percent` in a hundred are not above; of none, not a number.
pub fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) * percent / 100)
        .copied()
        .unwrap_or(f64::NAN)
}
