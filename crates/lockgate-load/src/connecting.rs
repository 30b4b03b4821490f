//! Handshakes of many devices, so many at a time.

use std::io;
use std::time::Duration;

use lockgate_dtls::CloseReason;

use crate::figures::Handshakes;
use crate::turn::{Activity, Core, Progress, State, Watch};

/// How fast handshakes are begun.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// How many are under way at most. Default 100.
    pub at_once: u32,
    /// How many are begun in a second at most. Default `None`: as many as [`Pace::at_once`] lets.
    pub per_second: Option<f64>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            at_once: 100,
            per_second: None,
        }
    }
}

/// So many failures in a row, or twice as many as are made at once, are enough to give up.
const HOPELESS: u64 = 16;

/// How many handshakes are begun before datagrams are looked at again.
const BATCH: u32 = 32;

struct Connecting {
    begun: u64,
    done: Handshakes,
    /// Failures since the last success.
    in_a_row: u64,
}

impl Activity for Connecting {
    fn on_connected(&mut self, core: &mut Core, n: u32, resumed: bool, now: u64) {
        if self.done.completed == 0 {
            core.sockets.ignore_refusals();
        }
        self.done.completed += 1;
        self.in_a_row = 0;
        self.done.resumed += u64::from(resumed);
        let session = &mut core.sessions[n as usize];
        self.done.time_us.record(now - session.stamp);
        session.stamp = 0;
    }

    fn on_closed(&mut self, _: &mut Core, _: u32, reason: CloseReason, was_up: bool) {
        if was_up {
            self.done.closed.count(&reason);
        } else {
            self.done.failed.count(&reason);
            self.done.first_failure.get_or_insert(reason);
            self.in_a_row += 1;
        }
    }

    fn progress(&self) -> Progress {
        Progress {
            completed: self.done.completed,
            failed: self.done.failed.total(),
            ..Progress::default()
        }
    }
}

/// Makes a session of every device below `total` that has none.
pub(crate) fn connect(
    core: &mut Core,
    total: u32,
    pace: Pace,
    watch: &mut Watch<'_>,
) -> io::Result<Handshakes> {
    core.grow(total)?;
    let wanted = (0..total)
        .filter(|&n| core.sessions[n as usize].state != State::Up)
        .count() as u64;
    let mut connecting = Connecting {
        begun: 0,
        done: Handshakes {
            wanted,
            ..Handshakes::default()
        },
        in_a_row: 0,
    };
    let hopeless = HOPELESS.max(2 * u64::from(pace.at_once));
    let refused_before = core.sockets.refused;
    let start = core.now();
    core.tell_soon();
    let mut next = 0;
    loop {
        let now = core.now();
        let mut due = u64::MAX;
        let mut begun_now = 0;
        while next < total && core.under_way < pace.at_once.max(1) {
            if begun_now == BATCH {
                due = now;
                break;
            }
            if let Some(rate) = pace.per_second {
                due = start + at(connecting.begun, rate);
                if due > now {
                    break;
                }
            }
            if core.sessions[next as usize].state == State::Down {
                core.connect(next).map_err(io::Error::other)?;
                connecting.begun += 1;
                begun_now += 1;
            }
            next += 1;
        }
        if next >= total && core.under_way == 0 {
            break;
        }
        if core
            .turn(&mut connecting, due, &mut |p: &Progress| {
                watch(&Progress {
                    elapsed: Duration::from_nanos(now - start),
                    ..*p
                })
            })?
            .is_break()
        {
            break;
        }
        let done = &connecting.done;
        let nobody_there = done.completed == 0
            && (connecting.in_a_row >= HOPELESS || core.sockets.refused > refused_before);
        if nobody_there || connecting.in_a_row >= hopeless {
            break;
        }
    }
    let mut done = connecting.done;
    // What is left is not waited for.
    for n in 0..total {
        if core.sessions[n as usize].state == State::Handshaking {
            core.forget(n);
        }
    }
    if done.completed == 0 && core.sockets.refused > refused_before {
        done.failed
            .count(&"nobody listens there (ICMP: port unreachable)");
    }
    done.abandoned = wanted.saturating_sub(done.completed + done.failed.total());
    done.elapsed = Duration::from_nanos(core.now() - start);
    Ok(done)
}

/// When number `n` of so many in a second is due, in nanoseconds.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "times of phases are far below 2^53 nanoseconds times a rate"
)]
pub(crate) fn at(n: u64, per_second: f64) -> u64 {
    (n as f64 / per_second * 1e9) as u64
}
