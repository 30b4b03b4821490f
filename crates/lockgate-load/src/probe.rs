//! Whether every session still lives: each echoes once.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use lockgate_dtls::CloseReason;

use crate::exchange::{fill, nanos, stamp_of};
use crate::figures::Probed;
use crate::turn::{Activity, Core, Progress, State, Watch};

/// How many sessions are asked at the same time.
const WINDOW: usize = 256;
/// How often a session is asked.
const ROUNDS: usize = 3;
/// Bytes of a probe.
const LEN: usize = 16;

struct Probe {
    seen: Probed,
    sent: u64,
    /// Who is waited for at this time.
    waiting: usize,
}

impl Activity for Probe {
    fn on_application(&mut self, core: &mut Core, n: u32, payload: &[u8], now: u64) {
        let session = &mut core.sessions[n as usize];
        if session.stamp != 0 && stamp_of(payload, n, now) == Some(session.stamp) {
            session.stamp = 0;
            self.seen.answered += 1;
            self.seen
                .round_trip_us
                .record(now - stamp_of(payload, n, now).unwrap_or(now));
            self.waiting -= 1;
        }
    }

    fn on_closed(&mut self, core: &mut Core, n: u32, _: CloseReason, _: bool) {
        let session = &mut core.sessions[n as usize];
        if std::mem::take(&mut session.stamp) != 0 {
            self.waiting -= 1;
        }
    }

    fn progress(&self) -> Progress {
        Progress {
            sent: self.sent,
            answered: self.seen.answered,
            ..Progress::default()
        }
    }
}

pub(crate) fn run(
    core: &mut Core,
    lost_after: Duration,
    watch: &mut Watch<'_>,
) -> io::Result<Probed> {
    for session in &mut core.sessions {
        session.stamp = 0;
    }
    let start = core.now();
    let mut probe = Probe {
        seen: Probed::default(),
        sent: 0,
        waiting: 0,
    };
    let mut left: Vec<u32> = (0..core.sessions.len() as u32)
        .filter(|&n| core.sessions[n as usize].state == State::Up)
        .collect();
    probe.seen.asked = left.len() as u64;
    core.tell_soon();
    'rounds: for round in 0..ROUNDS {
        let mut silent = Vec::new();
        let mut asked = left.iter().copied();
        let mut window = std::collections::VecDeque::with_capacity(WINDOW);
        loop {
            while probe.waiting < WINDOW
                && let Some(n) = asked.next()
            {
                let sent = core.say(n, LEN, |payload, now| fill(payload, n, now));
                if let Some(stamp) = sent {
                    core.sessions[n as usize].stamp = stamp;
                    window.push_back((n, stamp));
                    probe.waiting += 1;
                    probe.sent += 1;
                    probe.seen.repeated += u64::from(round > 0);
                }
            }
            // Those that were answered need no deadline, and those whose deadline has passed no place.
            let now = core.now();
            let mut due = u64::MAX;
            while let Some(&(n, stamp)) = window.front() {
                let waits = core.sessions[n as usize].stamp == stamp;
                if waits && stamp + nanos(lost_after) > now {
                    due = stamp + nanos(lost_after);
                    break;
                }
                if waits {
                    core.sessions[n as usize].stamp = 0;
                    probe.waiting -= 1;
                    silent.push(n);
                }
                window.pop_front();
            }
            if window.is_empty() && asked.len() == 0 {
                break;
            }
            if window.is_empty() || probe.waiting < WINDOW && asked.len() > 0 {
                due = now;
            }
            let flow = core.turn(&mut probe, due, &mut |progress| {
                watch(&Progress {
                    elapsed: Duration::from_nanos(now - start),
                    ..*progress
                })
            })?;
            if flow == ControlFlow::Break(()) {
                break 'rounds;
            }
        }
        left = silent;
        if left.is_empty() {
            break;
        }
    }
    probe.seen.elapsed = Duration::from_nanos(core.now() - start);
    Ok(probe.seen)
}
