//! The whole: `lockgate proxy` in front of an echo server, beside the plain relay of this bench under the same load.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lockgate_dtls::CipherSuite;

use crate::devices::Devices;
use crate::loopback::{IDENTITY, KEY_HEX};
use crate::machine::processor_nanos;
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

/// The `lockgate` program that was built beside this one.
pub fn lockgate_beside() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name("lockgate");
    path.is_file().then_some(path)
}

/// A relay in a process of its own, ended when this is dropped.
struct Relay {
    child: Child,
    address: SocketAddr,
}

impl Relay {
    fn start(mut command: Command, address: SocketAddr, log: &Path) -> io::Result<Self> {
        let log = File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let this = Self { child, address };
        this.wait_until_bound()?;
        Ok(this)
    }

    /// Its address is taken once it listens.
    fn wait_until_bound(&self) -> io::Result<()> {
        for _ in 0..250 {
            if UdpSocket::bind(self.address).is_err() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::other("the relay does not listen"))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> io::Result<SocketAddr> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// An echo server in a thread, which ends with the process.
fn echo() -> io::Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = socket.local_addr()?;
    std::thread::spawn(move || {
        let mut buf = [0; 2048];
        loop {
            if let Ok((len, from)) = socket.recv_from(&mut buf) {
                let _ = socket.send_to(&buf[..len], from);
            }
        }
    });
    Ok(address)
}

fn start_plain(backend: SocketAddr, log: &Path) -> io::Result<Relay> {
    let address = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["plain-relay", &address.to_string(), &backend.to_string()]);
    Relay::start(command, address, log)
}

fn start_lockgate(
    load: &Load,
    backend: SocketAddr,
    suite: CipherSuite,
    log: &Path,
) -> io::Result<Relay> {
    let address = free_address()?;
    let mut command = Command::new(&load.lockgate);
    command
        .args(["proxy", "--bind", &address.to_string()])
        .args(["--connect", &backend.to_string()])
        .arg("--psk")
        .arg(format!("{}:{KEY_HEX}", String::from_utf8_lossy(IDENTITY)))
        .args(["--cipher-suites", suite.name().unwrap_or_default()])
        // All devices here share one identity, which is one device's elsewhere.
        .args(["--replace-same-identity", "false"]);
    Relay::start(command, address, log)
}

/// Medians over the rounds of one relay.
struct Figures {
    /// Processor time for each relayed datagram, in microseconds.
    cpu: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    rate: Vec<f64>,
    lost: u64,
}

impl Figures {
    const fn new() -> Self {
        Self {
            cpu: Vec::new(),
            p50: Vec::new(),
            p99: Vec::new(),
            rate: Vec::new(),
            lost: 0,
        }
    }

    fn round(
        &mut self,
        relay: &Relay,
        devices: &mut Devices,
        duration: Duration,
    ) -> io::Result<()> {
        let cpu = |relay: &Relay| {
            processor_nanos(relay.child.id()).ok_or_else(|| io::Error::other("the relay has ended"))
        };
        let before = cpu(relay)?;
        let seen = devices.run(duration)?;
        let nanos = cpu(relay)?.saturating_sub(before);
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
        self.lost += seen.lost;
        Ok(())
    }
}

/// Both relays in turn, for each suite and size.
pub fn measure(load: &Load) -> io::Result<Section> {
    let backend = echo()?;
    let mut rows = Vec::new();
    let mut lost = Vec::new();
    let cases = [
        ("PSK GCM", CipherSuite::PSK_AES_128_GCM_SHA256, 64),
        ("PSK CCM_8", CipherSuite::PSK_AES_128_CCM_8, 64),
        ("PSK GCM", CipherSuite::PSK_AES_128_GCM_SHA256, 1200),
    ];
    for (name, suite, len) in cases {
        let log = std::env::temp_dir().join(format!("lockgate-bench-{}.log", std::process::id()));
        let figures = side_by_side(load, backend, suite, len, &log);
        let (plain, ours) = figures.map_err(|error| {
            io::Error::other(format!(
                "{error}; the relay's words are in {}",
                log.display()
            ))
        })?;
        let _ = std::fs::remove_file(&log);
        let mut push = |what: &str, unit, ours: &[f64], plain: &[f64]| {
            let ratios = ours.iter().zip(plain).map(|(o, p)| o / p).collect();
            rows.push(
                Row::new(
                    format!("{what}, {name}, {len} bytes"),
                    median(ours.to_vec()),
                    unit,
                )
                .beside("plain relay", median(plain.to_vec()), median(ratios)),
            );
        };
        push("CPU per relayed datagram", "µs", &ours.cpu, &plain.cpu);
        push("round trip, median", "µs", &ours.p50, &plain.p50);
        push("round trip, 99th percentile", "µs", &ours.p99, &plain.p99);
        push("thousand datagrams per second", "", &ours.rate, &plain.rate);
        lost.push(format!("{} and {}", ours.lost, plain.lost));
    }
    Ok(Section {
        title: "Relayed datagrams",
        rows,
        notes: vec![format!(
            "{} devices over loopback, each with one datagram under way, echoed by a plain server; {} rounds of {} ms of \
             each relay in turn. CPU is that of the relay's process, both directions counted as a datagram each. \
             Datagrams sent again for want of an echo, proxy and plain relay: {}.",
            load.sessions,
            load.rounds,
            load.round.as_millis(),
            lost.join("; ")
        )],
    })
}

fn side_by_side(
    load: &Load,
    backend: SocketAddr,
    suite: CipherSuite,
    len: usize,
    log: &Path,
) -> io::Result<(Figures, Figures)> {
    let proxy = start_lockgate(load, backend, suite, log)?;
    let mut behind_proxy = Devices::new(proxy.address, load.sessions, len, Some(suite))?;
    let relay_log = log.with_extension("plain");
    let plain = start_plain(backend, &relay_log)?;
    let mut behind_plain = Devices::new(plain.address, load.sessions, len, None)?;
    let _ = std::fs::remove_file(relay_log);
    // The first round opens sockets and fills caches; it counts for neither.
    behind_plain.run(load.round / 4)?;
    behind_proxy.run(load.round / 4)?;
    let (mut of_plain, mut of_proxy) = (Figures::new(), Figures::new());
    for _ in 0..load.rounds {
        of_plain.round(&plain, &mut behind_plain, load.round)?;
        of_proxy.round(&proxy, &mut behind_proxy, load.round)?;
    }
    Ok((of_plain, of_proxy))
}
