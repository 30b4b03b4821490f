//! What more sessions cost: memory of the proxy for each, and processor time of a datagram among ever more of them.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lockgate_dtls::{CipherSuite, SuiteList};
use lockgate_load::{
    Fleet, FleetOptions, Key, Keys, Pace, Pattern, Phase, Progress, SourceNet, Sources,
};

use crate::loopback::{KEY, KEY_HEX};
use crate::machine::resident_of;
use crate::plot::{Plot, Point};
use crate::process::{Scratch, Server, echo, free_address};
use crate::report::{Row, Section};
use crate::timing::{median, percentile};

/// Under which suite.
const SUITE: CipherSuite = CipherSuite::PSK_AES_128_GCM_SHA256;
/// How many bytes an idle session may take.
const MEMORY_BAR: f64 = 1200.0;
/// How many times what it costs among [`FEW`] sessions a datagram may cost.
const CPU_BAR: f64 = 1.15;
/// Sessions of the proxy that the other one is held against.
const FEW: u32 = 10;
/// Addresses of the pool: what neither the backend nor the devices have.
const POOL: &str = "127.64.0.0/10";
/// Handshakes under way at most.
const AT_ONCE: u32 = 200;
/// A datagram that has not come back after so long is lost.
const LOST_AFTER: Duration = Duration::from_secs(2);

/// How much of it.
#[derive(Clone, Debug)]
pub struct Growth {
    /// The `lockgate` program.
    pub lockgate: PathBuf,
    /// How many sessions there are in the end.
    pub sessions: u32,
    /// Datagrams a second, of all sessions together.
    pub pace: u32,
    /// Rounds at each number of sessions.
    pub rounds: usize,
    /// How long a round is.
    pub round: Duration,
    /// Where the plot goes.
    pub plot: Option<PathBuf>,
}

/// A proxy with a pool of addresses, and devices that have sessions there.
struct Grown {
    proxy: Server,
    fleet: Fleet,
}

impl Grown {
    fn start(lockgate: &Path, keys: &Path, backend: SocketAddr, log: &Path) -> io::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(lockgate);
        command
            .args(["proxy", "--bind", &address.to_string()])
            .args(["--connect", &backend.to_string()])
            .args(["--upstream-pool", POOL])
            .arg("--psk-csv")
            .arg(keys)
            .args(["--cipher-suites", SUITE.name().unwrap_or_default()]);
        let proxy = Server::start(command, address, log)?;
        let keys = Keys::One {
            identity: "device-{n}".to_owned(),
            key: Key::new(KEY.to_vec()),
        };
        let mut options = FleetOptions::new(address, keys);
        options.sources = Sources::Net(SourceNet::LOOPBACK);
        options.config.cipher_suites = SuiteList::new(&[SUITE]);
        let fleet = Fleet::new(options)?;
        Ok(Self { proxy, fleet })
    }

    /// Has so many sessions; how many handshakes there were in a second.
    fn grow(&mut self, sessions: u32) -> io::Result<f64> {
        let pace = Pace {
            at_once: AT_ONCE,
            per_second: None,
        };
        let mut rate = f64::NAN;
        // Who has been turned away for want of room in a buffer comes again.
        for _ in 0..3 {
            let made = self.fleet.connect(sessions, pace, &mut on)?;
            if rate.is_nan() {
                rate = made.per_second();
            }
            if self.fleet.sessions() == sessions {
                return Ok(rate);
            }
            if made.completed == 0 {
                break;
            }
        }
        Err(io::Error::other(format!(
            "only {} of {sessions} sessions",
            self.fleet.sessions()
        )))
    }

    /// One round; the proxy's processor time for a relayed datagram, in microseconds, and how many did not come back.
    fn round(&mut self, how: &Growth) -> io::Result<(f64, u64)> {
        let phase = Phase {
            pattern: Pattern::Paced {
                per_second: f64::from(how.pace),
            },
            duration: how.round,
            lost_after: LOST_AFTER,
            ..Phase::default()
        };
        let before = self.proxy.processor_nanos()?;
        let seen = self.fleet.run(&phase, &mut on)?;
        let nanos = self.proxy.processor_nanos()?.saturating_sub(before);
        if seen.answered == 0 {
            return Err(io::Error::other("no datagram came back"));
        }
        // There and back: two datagrams.
        let micros = nanos as f64 / 1e3 / (2 * seen.answered) as f64;
        Ok((micros, seen.lost))
    }

    fn resident(&self) -> f64 {
        resident_of(self.proxy.id()) as f64
    }
}

/// Nobody ends a phase early.
fn on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// What was seen at one number of sessions.
struct Step {
    sessions: u32,
    /// Processor time of a datagram in each round, in microseconds.
    micros: Vec<f64>,
    /// The same among a few sessions, in the same rounds.
    few: Vec<f64>,
    /// Sessions that did not echo.
    silent: u64,
    lost: u64,
    per_second: f64,
    /// The proxy's memory when all sessions were up and had carried a datagram.
    resident: f64,
}

impl Step {
    fn ratio(&self) -> f64 {
        median(
            self.micros
                .iter()
                .zip(&self.few)
                .map(|(m, f)| m / f)
                .collect(),
        )
    }
}

/// Numbers of sessions: powers of ten below `most`, and `most`.
fn steps(most: u32) -> Vec<u32> {
    let powers = (1..).map_while(|n| 10_u32.checked_pow(n));
    powers.take_while(|&n| n < most).chain([most]).collect()
}

/// Sessions and memory, one step after the other.
pub fn measure(how: &Growth) -> io::Result<Section> {
    let scratch = Scratch::new()?;
    let backend = echo()?;
    let keys = scratch.write("keys.csv", &keys(how.sessions))?;
    let log = scratch.file("proxy.log");
    let run = || -> io::Result<(Vec<Step>, f64, Duration)> {
        let mut few = Grown::start(&how.lockgate, &keys, backend, &scratch.file("few.log"))?;
        few.grow(FEW)?;
        let mut many = Grown::start(&how.lockgate, &keys, backend, &log)?;
        let empty = many.resident();
        let begun = Instant::now();
        let mut all = Vec::new();
        for sessions in steps(how.sessions) {
            all.push(step(how, &mut few, &mut many, sessions)?);
        }
        Ok((all, empty, begun.elapsed()))
    };
    let (all, empty, took) = run().map_err(|error| {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let last = said.lines().last().unwrap_or_default();
        io::Error::other(format!("{error} {last}"))
    })?;
    if let Some(path) = &how.plot {
        std::fs::write(path, plot(&all).svg())?;
    }
    Ok(Section {
        title: "Growth",
        rows: rows(&all),
        notes: vec![format!(
            "Idle sessions are those of `lockgate proxy --upstream-pool`, each of a device with its own identity and address, \
             each of which has carried a datagram; {} bytes of resident memory before the first, with a table of {} keys. \
             Processor time is that of the proxy's process for a datagram of 64 bytes at {} round trips a second, one \
             device after the other; {} rounds of {} ms at each number of sessions, in turn with a second proxy that has \
             {FEW}. All of it took {:.0} s. Datagrams that did not come back: {}.",
            empty,
            how.sessions,
            how.pace,
            how.rounds,
            how.round.as_millis(),
            took.as_secs_f64(),
            all.iter().map(|step| step.lost).sum::<u64>()
        )],
    })
}

fn step(how: &Growth, few: &mut Grown, many: &mut Grown, sessions: u32) -> io::Result<Step> {
    let per_second = many.grow(sessions)?;
    let probed = many.fleet.probe(LOST_AFTER, &mut on)?;
    let mut step = Step {
        sessions,
        micros: Vec::new(),
        few: Vec::new(),
        silent: u64::from(sessions) - probed.answered,
        lost: 0,
        per_second,
        resident: many.resident(),
    };
    for _ in 0..how.rounds {
        for (grown, micros) in [(&mut *few, &mut step.few), (&mut *many, &mut step.micros)] {
            let (figure, lost) = grown.round(how)?;
            micros.push(figure);
            step.lost += lost;
        }
    }
    Ok(step)
}

fn rows(all: &[Step]) -> Vec<Row> {
    let mut rows = Vec::new();
    for pair in all.windows(2) {
        let [from, to] = pair else { continue };
        if to.sessions < 1000 {
            continue;
        }
        let bytes = (to.resident - from.resident) / f64::from(to.sessions - from.sessions);
        let what = format!(
            "resident memory for each idle session, {} to {}",
            from.sessions, to.sessions
        );
        let row = Row::new(what, bytes, "bytes");
        // Below, what every process has at first is among it.
        rows.push(if from.sessions >= 10_000 {
            row.at_most(MEMORY_BAR)
        } else {
            row
        });
    }
    for step in all {
        let what = format!("CPU per relayed datagram, {} sessions", step.sessions);
        let (many, few) = (median(step.micros.clone()), median(step.few.clone()));
        rows.push(
            Row::new(what, many, "µs")
                .beside(format!("{FEW} sessions"), few, step.ratio())
                .at_most_times(CPU_BAR),
        );
    }
    if let Some(last) = all.last() {
        let what = format!("sessions of {} that do not echo", last.sessions);
        rows.push(Row::new(what, last.silent as f64, "").at_most_but_for_noise(0.0));
        let what = format!("handshakes a second up to {} sessions", last.sessions);
        rows.push(Row::new(what, last.per_second, ""));
        let what = format!("resident memory with {} sessions", last.sessions);
        rows.push(Row::new(what, last.resident / 1_048_576.0, "MiB"));
    }
    rows
}

/// One line for each device.
fn keys(count: u32) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "device-{n},{KEY_HEX}");
        text
    })
}

fn plot(all: &[Step]) -> Plot {
    let point = |step: &Step, micros: &[f64]| Point {
        x: f64::from(step.sessions),
        y: median(micros.to_vec()),
        low: percentile(micros.to_vec(), 0),
        high: percentile(micros.to_vec(), 100),
    };
    Plot {
        title: "Processor time of the proxy for one relayed datagram".to_owned(),
        x: "sessions".to_owned(),
        y: "µs".to_owned(),
        lines: vec![
            (
                "with so many sessions".to_owned(),
                all.iter().map(|s| point(s, &s.micros)).collect(),
            ),
            (
                format!("another proxy with {FEW}, in the same minute"),
                all.iter().map(|s| point(s, &s.few)).collect(),
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_powers_of_ten_up_to_the_number_that_is_wanted() {
        assert_eq!(steps(1000), [10, 100, 1000]);
        assert_eq!(steps(200_000), [10, 100, 1000, 10_000, 100_000, 200_000]);
        assert_eq!(steps(5), [5]);
    }

    #[test]
    fn every_device_has_a_line() {
        assert_eq!(keys(2), format!("device-0,{KEY_HEX}\ndevice-1,{KEY_HEX}\n"));
    }
}
