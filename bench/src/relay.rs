//! The whole: `lockgate proxy` in front of an echo server, beside the plain relay of this bench under the same load.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lockgate_dtls::CipherSuite;

use crate::devices::Devices;
use crate::loopback::{IDENTITY, KEY_HEX};
use crate::process::{Scratch, Server, echo, free_address};
use crate::report::{Row, Section};
use crate::timing::{median, percentile};

/// How much of it.
#[derive(Clone, Debug)]
pub struct Load {
    /// The `lockgate` program.
    pub lockgate: PathBuf,
    /// Devices, each with one datagram under way.
    pub sessions: usize,
    /// Rounds of each relay, in turn.
    pub rounds: usize,
    /// How long a round is.
    pub round: Duration,
}

fn start_plain(backend: SocketAddr, log: &Path) -> io::Result<Server> {
    let address = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["plain-relay", &address.to_string(), &backend.to_string()]);
    Server::start(command, address, log)
}

/// The proxy with one suite and the key of all devices here.
pub fn start_lockgate(
    lockgate: &Path,
    backend: SocketAddr,
    suite: CipherSuite,
    log: &Path,
) -> io::Result<Server> {
    let address = free_address()?;
    let mut command = Command::new(lockgate);
    command
        .args(["proxy", "--bind", &address.to_string()])
        .args(["--connect", &backend.to_string()])
        .arg("--psk")
        .arg(format!("{}:{KEY_HEX}", String::from_utf8_lossy(IDENTITY)))
        .args(["--cipher-suites", suite.name().unwrap_or_default()])
        // All devices here share one identity, which is one device's elsewhere.
        .args(["--replace-same-identity", "false"]);
    Server::start(command, address, log)
}

/// Medians over the rounds of one relay.
struct Figures {
    /// Processor time for each relayed datagram, in microseconds.
    cpu: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    rate: Vec<f64>,
    /// How late datagrams of a set pace were sent.
    late: Vec<f64>,
    lost: u64,
}

impl Figures {
    const fn new() -> Self {
        Self {
            cpu: Vec::new(),
            p50: Vec::new(),
            p99: Vec::new(),
            rate: Vec::new(),
            late: Vec::new(),
            lost: 0,
        }
    }

    fn round(
        &mut self,
        relay: &Server,
        devices: &mut Devices,
        duration: Duration,
        pace: Option<u32>,
    ) -> io::Result<()> {
        let before = relay.processor_nanos()?;
        let seen = match pace {
            None => devices.run(duration)?,
            Some(per_second) => devices.run_paced(duration, per_second)?,
        };
        let nanos = relay.processor_nanos()?.saturating_sub(before);
        if seen.round_trips == 0 {
            return Err(io::Error::other("no datagram came back"));
        }
        // There and back: two datagrams.
        let datagrams = 2 * seen.round_trips;
        self.cpu.push(nanos as f64 / 1e3 / datagrams as f64);
        self.rate
            .push(datagrams as f64 / duration.as_secs_f64() / 1e3);
        self.p50.push(percentile(seen.micros.clone(), 50));
        self.p99.push(percentile(seen.micros, 99));
        self.late.extend(seen.late);
        self.lost += seen.lost;
        Ok(())
    }
}

/// What goes through both relays.
struct Case {
    name: &'static str,
    suite: CipherSuite,
    len: usize,
    /// Datagrams a second, of all devices; without one, as fast as answers come.
    pace: Option<u32>,
    /// How many times the plain relay's processor time ours may take.
    bar: f64,
}

const CASES: [Case; 4] = [
    Case {
        name: "PSK GCM, 64 bytes",
        suite: CipherSuite::PSK_AES_128_GCM_SHA256,
        len: 64,
        pace: None,
        bar: 1.15,
    },
    Case {
        name: "PSK CCM_8, 64 bytes",
        suite: CipherSuite::PSK_AES_128_CCM_8,
        len: 64,
        pace: None,
        bar: 1.2,
    },
    Case {
        name: "PSK GCM, 1200 bytes",
        suite: CipherSuite::PSK_AES_128_GCM_SHA256,
        len: 1200,
        pace: None,
        bar: 1.2,
    },
    Case {
        name: "PSK GCM, 64 bytes, 5,000 round trips a second",
        suite: CipherSuite::PSK_AES_128_GCM_SHA256,
        len: 64,
        pace: Some(5000),
        bar: 1.2,
    },
];

/// How much longer than through the plain relay all but one in a hundred paced round trips may take, in microseconds.
const ADDED_BAR: f64 = 100.0;

/// Both relays in turn, for each suite, size and pace.
pub fn measure(load: &Load) -> io::Result<Section> {
    let scratch = Scratch::new()?;
    let backend = echo()?;
    let mut rows = Vec::new();
    let mut lost = Vec::new();
    let mut late = Vec::new();
    for case in &CASES {
        let log = scratch.file("relay.log");
        let (plain, ours) = side_by_side(load, backend, case, &log).map_err(|error| {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            io::Error::other(format!("{error} {}", said.trim()))
        })?;
        let row = |what: &str, unit, ours: &[f64], plain: &[f64]| {
            let ratios = ours.iter().zip(plain).map(|(o, p)| o / p).collect();
            Row::new(
                format!("{what}, {}", case.name),
                median(ours.to_vec()),
                unit,
            )
            .beside("plain relay", median(plain.to_vec()), median(ratios))
        };
        rows.extend([
            row("CPU per relayed datagram", "µs", &ours.cpu, &plain.cpu).at_most_times(case.bar),
            row("round trip, median", "µs", &ours.p50, &plain.p50),
            row("round trip, 99th percentile", "µs", &ours.p99, &plain.p99),
        ]);
        if case.pace.is_some() {
            let added = ours.p99.iter().zip(&plain.p99).map(|(o, p)| o - p);
            let what = format!("added at the 99th percentile, {}", case.name);
            let added = Row::new(what, median(added.collect()), "µs");
            rows.push(added.at_most_but_for_noise(ADDED_BAR));
            late.extend([ours.late, plain.late].concat());
        } else {
            rows.push(row(
                "thousand datagrams per second",
                "",
                &ours.rate,
                &plain.rate,
            ));
        }
        lost.push(format!("{} and {}", ours.lost, plain.lost));
    }
    Ok(Section {
        title: "Relayed datagrams",
        rows,
        notes: vec![format!(
            "{} devices over loopback, each with one datagram under way, echoed by a plain server; {} rounds of {} ms of \
             each relay in turn. CPU is that of the relay's process, both directions counted as a datagram each. \
             Paced datagrams are sent by the clock, whether echoes come or not; a round trip counts from the sending, \
             which was {:.0} µs after it was due in the median and {:.0} µs at the 99th percentile; what is added is the \
             median of the rounds' differences. Datagrams sent again for want of an echo (paced: not echoed), proxy and \
             plain relay: {}.",
            load.sessions,
            load.rounds,
            load.round.as_millis(),
            percentile(late.clone(), 50),
            percentile(late, 99),
            lost.join("; ")
        )],
    })
}

fn side_by_side(
    load: &Load,
    backend: SocketAddr,
    case: &Case,
    log: &Path,
) -> io::Result<(Figures, Figures)> {
    let (suite, len) = (case.suite, case.len);
    let proxy = start_lockgate(&load.lockgate, backend, suite, log)?;
    let mut behind_proxy = Devices::new(proxy.address, load.sessions, len, Some(suite))?;
    let plain = start_plain(backend, &log.with_extension("plain"))?;
    let mut behind_plain = Devices::new(plain.address, load.sessions, len, None)?;
    // The first round opens sockets and fills caches; it counts for neither.
    behind_plain.run(load.round / 4)?;
    behind_proxy.run(load.round / 4)?;
    let (mut of_plain, mut of_proxy) = (Figures::new(), Figures::new());
    for _ in 0..load.rounds {
        of_plain.round(&plain, &mut behind_plain, load.round, case.pace)?;
        of_proxy.round(&proxy, &mut behind_proxy, load.round, case.pace)?;
    }
    Ok((of_plain, of_proxy))
}
