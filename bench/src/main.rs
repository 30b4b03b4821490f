//! One command that prints what Lockgate costs.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use lockgate_bench::echo::{self, EchoOptions};
use lockgate_bench::growth::{self, Growth};
use lockgate_bench::hostile::{self, Hostility};
use lockgate_bench::machine::Machine;
use lockgate_bench::memory::{self, ServerOptions, Span};
use lockgate_bench::relay::{self, Load};
use lockgate_bench::report::{Report, Section};
use lockgate_bench::servers::{self, Visits};
use lockgate_bench::timing::Effort;
use lockgate_bench::work::Record;
use lockgate_bench::{handshakes, parts, peers, plain_relay, process};

/// Measures Lockgate beside references in the same run
#[derive(Debug, Parser)]
#[command(name = "lockgate-bench")]
struct Cli {
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    json: bool,
    /// A few seconds in total, to see that everything runs; the figures are rough
    #[arg(long, global = true)]
    smoke: bool,
    /// Exit with 1 when any bar is missed, not only one of counts and sizes
    #[arg(long, global = true)]
    strict: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Records and handshakes in memory
    Parts,
    /// Resident memory of sessions, half-open handshakes and the cookie phase
    Memory,
    /// `lockgate proxy` beside a plain relay
    Relay(RelayOptions),
    /// Handshakes of servers over UDP, ours beside other libraries'
    Servers(ServersOptions),
    /// The proxy under a flood of spoofed hellos, and beside clients that fall silent
    Hostile(Program),
    /// Memory and processor time of the proxy with ever more sessions
    Growth(GrowthOptions),
    /// Everything
    All(AllOptions),
    /// Our own echo server
    #[command(hide = true)]
    Echo(EchoOptions),
    /// The plain relay that the proxy is held against
    #[command(hide = true)]
    PlainRelay {
        /// Where clients send
        bind: SocketAddr,
        /// Where it goes
        connect: SocketAddr,
    },
    /// One session's records, so many times and nothing else: for profilers and instruction counters
    #[command(hide = true)]
    Steady {
        /// How many
        #[arg(default_value_t = 1_000_000)]
        runs: u32,
        /// With a connection ID
        #[arg(long)]
        cid: bool,
        /// The bare AEAD instead
        #[arg(long)]
        bare: bool,
    },
    /// Mutual ECDSA handshakes on P-256, so many and nothing else: for profilers and instruction counters
    #[command(hide = true)]
    Shake {
        /// How many
        #[arg(default_value_t = 1000)]
        runs: u32,
        /// Take certificates as they are
        #[arg(long)]
        unchecked: bool,
        /// The operations with public keys instead
        #[arg(long)]
        bare: bool,
        /// Plain pre-shared keys instead
        #[arg(long)]
        psk: bool,
    },
    /// The server whose memory is measured
    #[command(hide = true)]
    MemoryServer(ServerOptions),
}

#[derive(Debug, clap::Args)]
struct Program {
    /// The lockgate program [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    lockgate: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct AllOptions {
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    relay: RelayLoad,
    #[command(flatten)]
    servers: OtherServers,
    #[command(flatten)]
    growth: HowFar,
}

#[derive(Debug, clap::Args)]
struct GrowthOptions {
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    growth: HowFar,
}

#[derive(Debug, clap::Args)]
struct HowFar {
    /// How many sessions in the end [default: 100,000, with --slow 200,000, with --smoke 1,000]
    #[arg(long = "up-to", value_name = "SESSIONS", value_parser = clap::value_parser!(u32).range(10..=4_000_000))]
    up_to: Option<u32>,
    /// As far as the bar for the number of sessions
    #[arg(long)]
    slow: bool,
    /// Where to draw the growth (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct RelayOptions {
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    relay: RelayLoad,
}

#[derive(Debug, clap::Args)]
struct ServersOptions {
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    servers: OtherServers,
}

#[derive(Debug, clap::Args)]
struct OtherServers {
    /// Another wolfSSL beside the system's: a folder with its `include` and `lib` [default: what interop/peers has
    /// built with --release, if it has]
    #[arg(long, value_name = "FOLDER")]
    wolfssl: Option<PathBuf>,
    /// Handshakes in a round at each server [default: 100]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    visits: Option<u32>,
}

#[derive(Debug, clap::Args)]
struct RelayLoad {
    /// How many devices
    #[arg(long, default_value_t = 100)]
    sessions: usize,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lockgate-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> io::Result<ExitCode> {
    let machine = Machine::here();
    let sections = match &cli.what {
        What::MemoryServer(options) => {
            memory::serve(*options)?;
            return Ok(ExitCode::SUCCESS);
        }
        What::Steady { runs, cid, bare } => {
            let record = Record {
                suite: lockgate_dtls::CipherSuite::PSK_AES_128_GCM_SHA256,
                cid: *cid,
                len: 64,
            };
            let mut work = if *bare {
                record.bare()
            } else {
                record.session()
            };
            work(*runs);
            return Ok(ExitCode::SUCCESS);
        }
        What::Shake {
            runs,
            unchecked,
            bare,
            psk,
        } => {
            let mut shake = lockgate_bench::shake::Shake {
                checked: !unchecked,
                ..handshakes::MUTUAL
            };
            if *psk {
                shake.suite = lockgate_dtls::CipherSuite::PSK_AES_128_GCM_SHA256;
                shake.proof = lockgate_bench::papers::Proof::Psk;
            }
            let mut work = if *bare { shake.parts() } else { shake.full() };
            work(*runs);
            return Ok(ExitCode::SUCCESS);
        }
        What::Parts => in_parts(cli.smoke),
        What::Memory => vec![in_memory(cli.smoke)?],
        What::Relay(RelayOptions { program, relay }) => {
            vec![relay::measure(&load(program, relay, cli.smoke)?)?]
        }
        What::Servers(ServersOptions { program, servers }) => {
            vec![servers::measure(&visits(program, servers, cli.smoke)?)?]
        }
        What::Hostile(program) => vec![hostile::measure(&hostility(program, cli.smoke)?)?],
        What::Growth(GrowthOptions { program, growth }) => {
            vec![growth::measure(&how_much_growth(
                program, growth, cli.smoke,
            )?)?]
        }
        What::Echo(options) => {
            echo::serve(options)?;
            return Ok(ExitCode::SUCCESS);
        }
        What::PlainRelay { bind, connect } => {
            plain_relay::run(*bind, *connect)?;
            return Ok(ExitCode::SUCCESS);
        }
        What::All(options) => {
            // Rather at once than after all the rest.
            let load = load(&options.program, &options.relay, cli.smoke)?;
            let visits = visits(&options.program, &options.servers, cli.smoke)?;
            let hostility = hostility(&options.program, cli.smoke)?;
            let growth = how_much_growth(&options.program, &options.growth, cli.smoke)?;
            let mut all = in_parts(cli.smoke);
            all.push(in_memory(cli.smoke)?);
            all.push(servers::measure(&visits)?);
            all.push(relay::measure(&load)?);
            all.push(hostile::measure(&hostility)?);
            all.push(growth::measure(&growth)?);
            all
        }
    };
    let report = Report { machine, sections };
    if cli.json {
        println!("{}", report.json()?);
    } else {
        print!("{}", report.markdown());
    }
    let mut code = ExitCode::SUCCESS;
    for row in report.missed(!cli.strict) {
        eprintln!("lockgate-bench: bar missed: {}", row.what);
        code = ExitCode::FAILURE;
    }
    Ok(code)
}

fn in_parts(smoke: bool) -> Vec<Section> {
    let effort = Effort {
        rounds: if smoke { 31 } else { 501 },
        batch_micros: 300,
    };
    // Batches of several handshakes: the first after another library finds its code in no cache.
    let slow = Effort {
        rounds: if smoke { 11 } else { 101 },
        batch_micros: if smoke { 4000 } else { 10_000 },
    };
    vec![
        parts::records(effort),
        parts::handshakes(effort),
        handshakes::public_keys(slow),
        handshakes::operations(slow),
    ]
}

fn lockgate(program: &Program) -> io::Result<PathBuf> {
    let given = program.lockgate.clone();
    given.or_else(process::lockgate_beside).ok_or_else(|| {
        io::Error::other(
            "no lockgate program beside this one: cargo build --release -p lockgate, or give --lockgate",
        )
    })
}

fn load(program: &Program, relay: &RelayLoad, smoke: bool) -> io::Result<Load> {
    Ok(Load {
        lockgate: lockgate(program)?,
        sessions: relay.sessions,
        rounds: if smoke { 2 } else { 9 },
        round: Duration::from_millis(if smoke { 200 } else { 1000 }),
    })
}

fn visits(program: &Program, servers: &OtherServers, smoke: bool) -> io::Result<Visits> {
    Ok(Visits {
        lockgate: lockgate(program)?,
        wolfssl: servers.wolfssl.clone().or_else(peers::wolfssl_beside),
        rounds: if smoke { 2 } else { 9 },
        visits: servers.visits.unwrap_or(if smoke { 20 } else { 100 }),
    })
}

fn hostility(program: &Program, smoke: bool) -> io::Result<Hostility> {
    Ok(Hostility {
        lockgate: lockgate(program)?,
        flood: 100_000,
        sessions: if smoke { 100 } else { 1000 },
        pace: 1000,
        duration: Duration::from_millis(if smoke { 400 } else { 5000 }),
        rounds: if smoke { 2 } else { 9 },
        visits: if smoke { 20 } else { 200 },
    })
}

fn how_much_growth(program: &Program, growth: &HowFar, smoke: bool) -> io::Result<Growth> {
    let default = match (smoke, growth.slow) {
        (true, _) => 1000,
        (false, true) => 200_000,
        (false, false) => 100_000,
    };
    Ok(Growth {
        lockgate: lockgate(program)?,
        sessions: growth.up_to.unwrap_or(default),
        pace: 10_000,
        rounds: if smoke { 2 } else { 7 },
        round: Duration::from_millis(if smoke { 200 } else { 1000 }),
        plot: growth.plot.clone(),
    })
}

fn in_memory(smoke: bool) -> io::Result<Section> {
    let span = |from, to| Span { from, to };
    if smoke {
        // Above the key cache, which is full before the first reading.
        memory::measure(span(5000, 15_000), span(1000, 4000), 5000)
    } else {
        memory::measure(span(10_000, 100_000), span(10_000, 50_000), 100_000)
    }
}
