//! Datagrams to the server and their answers.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use lockgate_dtls::CloseReason;

use crate::coap;
use crate::connecting::at;
use crate::figures::Exchanged;
use crate::phase::{Expect, Pattern, Phase};
use crate::turn::{Activity, Core, Progress, State, Watch};
use crate::wheel::Wheel;

/// Bytes of a payload that say when it was sent.
const STAMP: usize = 8;
/// With those that say by whom.
const STAMP_AND_NUMBER: usize = 12;

/// How many datagrams go out before it is looked what came.
const BATCH: u64 = 32;

/// A tick of the wheel of those who think, in nanoseconds.
const TICK: u64 = 1_000_000;

/// How many ticks it may sleep when nobody is due.
const TICKS_ASLEEP: u32 = 50;

/// Writes what a payload begins with; the rest stays as it is.
pub(crate) fn fill(payload: &mut [u8], n: u32, now: u64) {
    // What stood here is a record by now.
    payload.fill(0x5a);
    if let Some(stamp) = payload.get_mut(..STAMP) {
        stamp.copy_from_slice(&now.to_be_bytes());
    }
    if let Some(number) = payload.get_mut(STAMP..STAMP_AND_NUMBER) {
        number.copy_from_slice(&n.to_be_bytes());
    }
}

/// When the datagram was sent whose echo this is; `None` when it is nobody's of device `n`.
pub(crate) fn stamp_of(payload: &[u8], n: u32, now: u64) -> Option<u64> {
    let stamp = u64::from_be_bytes(*payload.first_chunk::<STAMP>()?);
    let own = payload
        .get(STAMP..STAMP_AND_NUMBER)
        .is_none_or(|number| number == n.to_be_bytes());
    (own && stamp <= now).then_some(stamp)
}

struct Exchange<'a> {
    phase: &'a Phase,
    /// When the phase began, in nanoseconds.
    start: u64,
    closed_loop: bool,
    seen: Exchanged,
    /// In a closed loop, those who were answered: they think, or speak at once.
    wheel: Wheel,
    think: u64,
    jitter: u64,
    over: bool,
}

impl Activity for Exchange<'_> {
    fn on_application(&mut self, core: &mut Core, n: u32, payload: &[u8], now: u64) {
        let session = &mut core.sessions[n as usize];
        let awaited = session.stamp;
        if self.is_checked(payload.len()) {
            let Some(stamp) = (match self.phase.coap {
                None => stamp_of(payload, n, now),
                Some(_) => match coap::parse(payload) {
                    coap::Answer::Response { token, acknowledge } => {
                        if let Some(id) = acknowledge {
                            let len = coap::ACKNOWLEDGEMENT_LEN;
                            core.say(n, len, |out, _| coap::acknowledge(out, id));
                        }
                        (token <= now).then_some(token)
                    }
                    coap::Answer::Acknowledged => return,
                    coap::Answer::Other => None,
                },
            }) else {
                self.seen.altered += 1;
                return;
            };
            let session = &mut core.sessions[n as usize];
            if stamp < self.start || self.closed_loop && stamp != awaited {
                self.seen.late += 1;
                return;
            }
            self.seen.round_trip_us.record(now - stamp);
            if stamp == awaited {
                session.stamp = 0;
            }
        } else {
            // Of two answers in one datagram, the first may have made the device speak again.
            if awaited == 0 || awaited > now || self.phase.expect == Expect::Nothing {
                self.seen.late += 1;
                return;
            }
            // Which one of several it answers, nobody knows.
            if session.waiting <= 1 {
                self.seen.round_trip_us.record(now - awaited);
                session.stamp = 0;
            }
            session.waiting = session.waiting.saturating_sub(1);
        }
        self.seen.answered += 1;
        if self.closed_loop && !self.over {
            if self.think == 0 {
                self.say(core, n);
            } else {
                self.think(core, n, now);
            }
        }
    }

    fn on_closed(&mut self, _: &mut Core, _: u32, reason: CloseReason, _: bool) {
        self.seen.closed.count(&reason);
    }

    fn progress(&self) -> Progress {
        Progress {
            sent: self.seen.sent,
            answered: self.seen.answered,
            ..Progress::default()
        }
    }
}

impl Exchange<'_> {
    /// Whether an answer of so many bytes tells what it answers.
    fn is_checked(&self, len: usize) -> bool {
        self.phase.coap.is_some() || self.phase.expect == Expect::Echo && len >= STAMP
    }

    /// Whether it could.
    fn say(&mut self, core: &mut Core, n: u32) -> bool {
        let len = match &self.phase.coap {
            Some(get) => get.len(),
            None => self.phase.sizes.draw(&mut core.random),
        };
        let session = &mut core.sessions[n as usize];
        let moves = session.moves;
        session.message_id = session.message_id.wrapping_add(1);
        let message_id = session.message_id;
        let said = core.say(n, len, |payload, now| match &self.phase.coap {
            Some(get) => get.fill(payload, message_id, now),
            None => fill(payload, n, now),
        });
        let Some(now) = said else {
            return false;
        };
        let session = &mut core.sessions[n as usize];
        if self.is_checked(len) || self.closed_loop {
            session.stamp = now;
            session.waiting = 1;
        } else {
            if session.stamp == 0 || session.stamp + nanos(self.phase.lost_after) < now {
                session.stamp = now;
                session.waiting = 0;
            }
            session.waiting = session.waiting.saturating_add(1);
        }
        self.seen.rebinds += u64::from(moves);
        self.seen.sent += 1;
        self.seen.sent_bytes += len as u64;
        true
    }

    /// Speaks again when it has thought.
    fn think(&mut self, core: &mut Core, n: u32, now: u64) {
        let spread = core.random.below(2 * self.jitter + 1);
        let due = now - self.start + (self.think + spread).saturating_sub(self.jitter);
        self.wheel.insert(n, (due.div_ceil(TICK)) as u32);
    }

    /// Those whose answer did not come speak again.
    fn sweep(&mut self, core: &mut Core, now: u64) {
        let lost_after = nanos(self.phase.lost_after);
        for n in 0..core.sessions.len() as u32 {
            let stamp = core.sessions[n as usize].stamp;
            if stamp != 0 && stamp + lost_after <= now {
                core.sessions[n as usize].stamp = 0;
                if self.think == 0 {
                    self.say(core, n);
                } else {
                    self.think(core, n, now);
                }
            }
        }
    }
}

/// Runs one phase on all sessions that there are.
pub(crate) fn run(core: &mut Core, phase: &Phase, watch: &mut Watch<'_>) -> io::Result<Exchanged> {
    let (think, jitter) = match phase.pattern {
        Pattern::Paced { .. } => (0, 0.0),
        Pattern::Closed { think, jitter } => (nanos(think), jitter.clamp(0.0, 1.0)),
    };
    let closed_loop = matches!(phase.pattern, Pattern::Closed { .. });
    for session in &mut core.sessions {
        session.stamp = 0;
        session.moves = false;
    }
    let before = Before::of(core);
    let links = if think == 0 { 0 } else { core.sessions.len() };
    let start = core.now();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a share of a time to think"
    )]
    let jitter = (think as f64 * jitter) as u64;
    let mut exchange = Exchange {
        phase,
        start,
        closed_loop,
        seen: Exchanged::default(),
        wheel: Wheel::new(links),
        think,
        jitter,
        over: false,
    };
    core.tell_soon();
    let end = start + nanos(phase.duration);
    match phase.pattern {
        Pattern::Paced { per_second } => {
            exchange.seen.wanted_per_second = Some(per_second);
            paced(core, &mut exchange, per_second, end, watch)?;
        }
        Pattern::Closed { .. } => closed(core, &mut exchange, end, watch)?,
    }
    exchange.seen.elapsed = Duration::from_nanos(core.now() - start);
    exchange.over = true;
    drain(core, &mut exchange)?;
    let mut seen = exchange.seen;
    if phase.expect != Expect::Nothing {
        seen.lost = seen.sent.saturating_sub(seen.answered);
    }
    before.subtract(core, &mut seen);
    Ok(seen)
}

/// The fleet's counters when a phase began.
struct Before {
    overflow: u64,
    loss: u64,
    not_sent: u64,
    misdelivered: u64,
}

impl Before {
    fn of(core: &Core) -> Self {
        Self {
            overflow: core.sockets.overflow,
            loss: core.loss.count,
            not_sent: core.not_sent,
            misdelivered: core.misdelivered,
        }
    }

    fn subtract(&self, core: &Core, seen: &mut Exchanged) {
        seen.overflow = core.sockets.overflow - self.overflow;
        seen.simulated_loss = core.loss.count - self.loss;
        seen.not_sent = core.not_sent - self.not_sent;
        seen.altered += core.misdelivered - self.misdelivered;
    }
}

fn timed<'w>(
    start: u64,
    now: u64,
    watch: &'w mut Watch<'_>,
) -> impl FnMut(&Progress) -> ControlFlow<()> + 'w {
    move |progress| {
        watch(&Progress {
            elapsed: Duration::from_nanos(now - start),
            ..*progress
        })
    }
}

/// Marks sessions that move, one after the other.
struct Rebinds {
    per_second: f64,
    done: u64,
    next: u32,
    start: u64,
}

impl Rebinds {
    fn new(per_second: f64, start: u64) -> Self {
        Self {
            per_second,
            done: 0,
            next: 0,
            start,
        }
    }

    fn mark(&mut self, core: &mut Core, now: u64) {
        if self.per_second <= 0.0 || core.up == 0 {
            return;
        }
        let mut bound = BATCH;
        while bound > 0 && self.start + at(self.done + 1, self.per_second) <= now {
            let count = core.sessions.len() as u32;
            self.next = (self.next + stride(count)) % count;
            core.sessions[self.next as usize].moves = true;
            self.done += 1;
            bound -= 1;
        }
    }
}

fn paced(
    core: &mut Core,
    exchange: &mut Exchange<'_>,
    per_second: f64,
    end: u64,
    watch: &mut Watch<'_>,
) -> io::Result<()> {
    let start = exchange.start;
    let count = core.sessions.len() as u32;
    if count == 0 || per_second <= 0.0 {
        return Ok(());
    }
    let stride = stride(count);
    let mut rebinds = Rebinds::new(exchange.phase.rebinds_per_second, start);
    let (mut next, mut said) = (0, 0);
    loop {
        let mut now = core.now();
        rebinds.mark(core, now);
        let mut due = start + at(said, per_second);
        let mut batch = 0;
        while due <= now && due < end && batch < BATCH {
            // Whoever has no session any more is passed over.
            let mut tries = count;
            while core.up > 0 && tries > 0 {
                next = (next + stride) % count;
                tries -= 1;
                if core.sessions[next as usize].state == State::Up {
                    exchange.say(core, next);
                    break;
                }
            }
            said += 1;
            batch += 1;
            due = start + at(said, per_second);
            now = core.now();
        }
        if now >= end || core.up == 0 {
            return Ok(());
        }
        let flow = core.turn(exchange, due.min(end), &mut timed(start, now, watch))?;
        if flow.is_break() {
            return Ok(());
        }
    }
}

fn closed(
    core: &mut Core,
    exchange: &mut Exchange<'_>,
    end: u64,
    watch: &mut Watch<'_>,
) -> io::Result<()> {
    let start = exchange.start;
    let count = core.sessions.len() as u32;
    let mut rebinds = Rebinds::new(exchange.phase.rebinds_per_second, start);
    // Not all at the same time: those who think begin somewhere in their first thought.
    let mut begun = 0;
    if exchange.think > 0 {
        for n in 0..count {
            let due = core.random.below(exchange.think + 1);
            exchange.wheel.insert(n, (due / TICK) as u32);
        }
        begun = count;
    }
    let answers = exchange.phase.expect != Expect::Nothing;
    let sweep_every = (nanos(exchange.phase.lost_after) / 4).clamp(TICK, 250 * TICK);
    let mut swept = start;
    loop {
        let now = core.now();
        if now >= end || core.up == 0 {
            return Ok(());
        }
        rebinds.mark(core, now);
        let mut due = end;
        for _ in 0..BATCH {
            if begun == count {
                break;
            }
            exchange.say(core, begun);
            begun += 1;
            due = now;
        }
        if exchange.think > 0 {
            let tick = ((now - start) / TICK) as u32;
            due = due.min(start + u64::from(exchange.wheel.next(tick, TICKS_ASLEEP)) * TICK);
            for _ in 0..BATCH {
                let Some(n) = exchange.wheel.pop(tick) else {
                    break;
                };
                if exchange.say(core, n) && !answers {
                    exchange.think(core, n, now);
                }
                due = now;
            }
        }
        if answers {
            if now >= swept + sweep_every {
                swept = now;
                exchange.sweep(core, now);
            }
            due = due.min(swept + sweep_every);
        } else if exchange.think == 0 && begun == count {
            // Nobody waits for anything.
            begun = 0;
            due = now;
        }
        if core
            .turn(exchange, due, &mut timed(start, now, watch))?
            .is_break()
        {
            return Ok(());
        }
    }
}

/// Waits for the answers that are under way.
fn drain(core: &mut Core, exchange: &mut Exchange<'_>) -> io::Result<()> {
    if exchange.phase.expect == Expect::Nothing {
        return Ok(());
    }
    let until = core.now() + nanos(exchange.phase.lost_after);
    while core.now() < until && exchange.seen.answered < exchange.seen.sent {
        let _ = core.turn(exchange, until, &mut |_| ControlFlow::Continue(()))?;
    }
    Ok(())
}

/// A step that visits all of `count` before it comes back, far from the last one: devices do not speak in the order in
/// which they connected, and a server's memory is to feel that.
fn stride(count: u32) -> u32 {
    const fn common(mut a: u64, mut b: u64) -> u64 {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    }
    let count = u64::from(count.max(1));
    let mut stride = (count * 618 / 1000).max(1);
    while common(stride, count) != 1 {
        stride += 1;
    }
    stride as u32
}

pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stride_visits_all() {
        for count in [1, 2, 3, 10, 64, 97, 1000, 1 << 16] {
            let stride = stride(count);
            let mut seen = vec![false; count as usize];
            let mut at = 0;
            for _ in 0..count {
                at = (at + stride) % count;
                seen[at as usize] = true;
            }
            assert!(seen.iter().all(|&seen| seen), "{count}");
        }
    }

    #[test]
    fn an_echo_is_known_by_its_time_and_device() {
        let mut payload = [0; 20];
        fill(&mut payload, 7, 1000);
        assert_eq!(stamp_of(&payload, 7, 1001), Some(1000));
        assert_eq!(stamp_of(&payload, 8, 1001), None);
        assert_eq!(stamp_of(&payload, 7, 999), None);
        assert_eq!(stamp_of(&payload[..8], 8, 1001), Some(1000));
        assert_eq!(stamp_of(&payload[..7], 7, 1001), None);
        fill(&mut [], 7, 1000);
    }
}
