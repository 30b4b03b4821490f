//! What a server spends on a full handshake over loopback UDP, with cookie: ours beside other libraries'.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use lockgate_dtls::CipherSuite;

use crate::loopback::{IDENTITY, KEY_HEX};
use crate::machine::OnOneProcessor;
use crate::papers::{Papers, Proof};
use crate::peers::{self, Peer};
use crate::process::{Scratch, Server, echo, free_address};
use crate::report::{Row, Section};
use crate::timing::median;
use crate::visitor::Visitor;

/// How much of it.
#[derive(Clone, Debug)]
pub struct Visits {
    /// The `lockgate` program.
    pub lockgate: PathBuf,
    /// A folder with the `include` and `lib` of a wolfSSL beside the system's.
    pub wolfssl: Option<PathBuf>,
    /// Rounds of each server, in turn.
    pub rounds: usize,
    /// Handshakes in a round.
    pub visits: u32,
}

/// Clients that come at the same time where several do.
const TOGETHER: u32 = 16;

/// One kind of handshake, and what was measured once, of all three on one machine, in microseconds: a bar for us and what
/// others' servers needed. On another machine only the ratios hold.
struct Case {
    name: &'static str,
    suite: CipherSuite,
    proof: Proof,
    bar: f64,
    wolfssl: f64,
    openssl: f64,
}

const CASES: [Case; 3] = [
    Case {
        name: "PSK CCM_8",
        suite: CipherSuite::PSK_AES_128_CCM_8,
        proof: Proof::Psk,
        bar: 28.0,
        wolfssl: 38.0,
        openssl: 45.0,
    },
    Case {
        name: "ECDSA, server's certificate",
        suite: CipherSuite::ECDHE_ECDSA_AES_128_GCM_SHA256,
        proof: Proof::Server,
        bar: 110.0,
        wolfssl: 147.0,
        openssl: 318.0,
    },
    Case {
        name: "ECDSA, mutual",
        suite: CipherSuite::ECDHE_ECDSA_AES_128_GCM_SHA256,
        proof: Proof::Mutual,
        bar: 170.0,
        wolfssl: 272.0,
        openssl: 612.0,
    },
];

impl Case {
    /// How many times a peer's time ours may be.
    fn ratio(&self, peer: &Peer) -> f64 {
        match peer.library {
            // Debian's is built without assembly for these curves, which the one measured then had.
            "wolfSSL" if !peer.of_the_system => self.bar / self.wolfssl,
            "OpenSSL" => self.bar / self.openssl,
            _ => 1.0,
        }
    }
}

/// Files that servers read.
struct Files {
    papers: Arc<Papers>,
    cert_pem: PathBuf,
    cert_der: PathBuf,
    key_pem: PathBuf,
    ca_pem: PathBuf,
    ca_der: PathBuf,
}

impl Files {
    fn write(scratch: &Scratch) -> io::Result<Self> {
        let papers = Arc::new(Papers::certificates());
        let pem = papers.server.pem.as_ref();
        let [cert, key] = pem.ok_or_else(|| io::Error::other("the certificate has no PEM"))?;
        let der = |name: &str, bytes: &[u8]| {
            let path = scratch.file(name);
            std::fs::write(&path, bytes).map(|()| path)
        };
        Ok(Self {
            cert_pem: scratch.write("server.pem", cert)?,
            cert_der: der("server.der", &papers.server.der)?,
            key_pem: scratch.write("server.key", key)?,
            ca_pem: scratch.write("ca.pem", &papers.authority_pem)?,
            ca_der: der("ca.der", &papers.authority)?,
            papers,
        })
    }
}

/// A server that is visited.
struct Host {
    name: String,
    server: Server,
    visitor: Visitor,
    /// How many clients come at the same time.
    together: u32,
    /// Processor time of a handshake in each round, in microseconds.
    micros: Vec<f64>,
    failed: u32,
}

impl Host {
    fn start(
        name: &str,
        command: impl FnOnce(SocketAddr) -> Command,
        case: &Case,
        files: &Files,
        scratch: &Scratch,
    ) -> io::Result<Self> {
        let address = free_address()?;
        let log = scratch.file("server.log");
        let server = Server::start(command(address), address, &log)?;
        let mut visitor = Visitor::new(address, case.suite, case.proof, &files.papers);
        // What is made at the first visit counts for nobody.
        for _ in 0..5 {
            visitor.visit().map_err(|error| {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                io::Error::other(format!("{error} {}", said.trim()))
            })?;
        }
        Ok(Self {
            name: name.to_owned(),
            server,
            visitor,
            together: 1,
            micros: Vec::new(),
            failed: 0,
        })
    }

    fn round(&mut self, visits: u32) -> io::Result<()> {
        let before = self.server.processor_nanos()?;
        let mut done = 0;
        for _ in 0..visits.div_ceil(self.together) {
            let visited = match self.together {
                1 => self.visitor.visit().map(drop),
                many => self.visitor.visit_together(many as usize),
            };
            match visited {
                Ok(()) => done += self.together,
                Err(_) => self.failed += self.together,
            }
        }
        // The server's part may end after the client's.
        std::thread::sleep(Duration::from_millis(5));
        let nanos = self.server.processor_nanos()?.saturating_sub(before);
        if done == 0 {
            return Err(io::Error::other(format!("{}: no handshake", self.name)));
        }
        self.micros.push(nanos as f64 / 1e3 / f64::from(done));
        Ok(())
    }
}

/// All servers in turn, for each kind of handshake.
pub fn measure(how: &Visits) -> io::Result<Section> {
    let _pinned = OnOneProcessor::new();
    let scratch = Scratch::new()?;
    let files = Files::write(&scratch)?;
    let (peers, mut notes) = peers::build(&scratch, how.wolfssl.as_deref())?;
    if how.wolfssl.is_none() {
        notes.push(
            "No wolfSSL built with its assembly is there (see docs/performance.md).".to_owned(),
        );
    }
    let backend = echo()?;
    let mut rows = Vec::new();
    for case in &CASES {
        let start = |name: &str, command: &dyn Fn(SocketAddr) -> Command| {
            Host::start(name, command, case, &files, &scratch)
        };
        let mut hosts = vec![
            start("our server", &|at| ours("driver", at, case, &files))?,
            Host {
                together: TOGETHER,
                ..start("our server, 16 clients at a time", &|at| {
                    ours("driver", at, case, &files)
                })?
            },
            start("our server with a task for each client", &|at| {
                ours("listener", at, case, &files)
            })?,
            start("lockgate proxy", &|at| {
                proxy(how, at, backend, case, &files)
            })?,
        ];
        let ours = hosts.len();
        let mut bars = Vec::new();
        for peer in &peers {
            match start(&peer.name, &|at| theirs(peer, at, case, &files)) {
                Ok(host) => {
                    hosts.push(host);
                    bars.push(case.ratio(peer));
                }
                Err(error) => notes.push(format!(
                    "{} is left out of {}: {error}.",
                    peer.name, case.name
                )),
            }
        }
        for round in 0..how.rounds {
            let count = hosts.len();
            for i in 0..count {
                hosts[(i + round) % count].round(how.visits)?;
            }
        }
        rows.extend(table(case, &hosts, ours, &bars));
        for host in hosts.iter().filter(|host| host.failed > 0) {
            notes.push(format!(
                "{}, {}: {} handshakes failed",
                case.name, host.name, host.failed
            ));
        }
    }
    notes.insert(0, format!(
        "Processor time of the server's process (user and system) for a full handshake from the hello without cookie to the \
         server's Finished; one after the other, each from a port of its own, client and server on one processor; medians \
         over {} rounds of {} at each server in turn. Clients are ours at every server. The peers' servers take one client at a time; with several, a server \
         is woken once for many datagrams. Bars beside OpenSSL and the wolfSSL \
         built for this are the ratios of 28, 110 and 170 µs to what those two needed on the machine for which these were \
         set (45, 318, 612 and 38, 147, 272).",
        how.rounds, how.visits
    ));
    Ok(Section {
        title: "Server CPU of a handshake",
        rows,
        notes,
    })
}

fn table(case: &Case, hosts: &[Host], ours: usize, bars: &[f64]) -> Vec<Row> {
    let Some((first, others)) = hosts.split_first() else {
        return Vec::new();
    };
    let figure = |host: &Host| median(host.micros.clone());
    let (further, peers) = others.split_at(ours - 1);
    let mut rows = Vec::new();
    for (peer, bar) in peers.iter().zip(bars) {
        let ratios = first.micros.iter().zip(&peer.micros).map(|(o, p)| o / p);
        rows.push(
            Row::new(
                format!("{}, {}", case.name, first.name),
                figure(first),
                "µs",
            )
            .beside(peer.name.clone(), figure(peer), median(ratios.collect()))
            .at_most_times((bar * 1000.0).round() / 1000.0),
        );
    }
    for host in further {
        let ratios = host.micros.iter().zip(&first.micros).map(|(h, o)| h / o);
        rows.push(
            Row::new(format!("{}, {}", case.name, host.name), figure(host), "µs").beside(
                first.name.clone(),
                figure(first),
                median(ratios.collect()),
            ),
        );
    }
    rows
}

fn ours(made: &str, at: SocketAddr, case: &Case, files: &Files) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap_or_default());
    command.args(["echo", made, &at.to_string()]);
    if case.proof != Proof::Psk {
        let cert = if made == "driver" {
            &files.cert_der
        } else {
            &files.cert_pem
        };
        command.arg("--cert").arg(cert);
        command.arg("--key").arg(&files.key_pem);
    }
    if case.proof == Proof::Mutual {
        command.arg("--ca").arg(&files.ca_der);
    }
    command
}

fn proxy(how: &Visits, at: SocketAddr, backend: SocketAddr, case: &Case, files: &Files) -> Command {
    let mut command = Command::new(&how.lockgate);
    command
        .args(["proxy", "--bind", &at.to_string()])
        .args(["--connect", &backend.to_string()])
        .args(["--cipher-suites", case.suite.name().unwrap_or_default()]);
    if case.proof == Proof::Psk {
        let identity = String::from_utf8_lossy(IDENTITY);
        command.arg("--psk").arg(format!("{identity}:{KEY_HEX}"));
    } else {
        command.arg("--cert").arg(&files.cert_pem);
        command.arg("--key").arg(&files.key_pem);
    }
    if case.proof == Proof::Mutual {
        command.arg("--ca").arg(&files.ca_pem);
    }
    command
}

fn theirs(peer: &Peer, at: SocketAddr, case: &Case, files: &Files) -> Command {
    let mut command = Command::new(&peer.program);
    command.arg(at.port().to_string());
    match case.proof {
        Proof::Psk => {
            let identity = String::from_utf8_lossy(IDENTITY).into_owned();
            command.args(["psk", &identity, KEY_HEX]);
        }
        Proof::Mutual => {
            command.arg("mutual").arg(&files.cert_pem);
            command.arg(&files.key_pem).arg(&files.ca_pem);
        }
        _ => {
            command.arg("server").arg(&files.cert_pem);
            command.arg(&files.key_pem);
        }
    }
    command
}
