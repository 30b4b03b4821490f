//! One command that prints what Lockgate costs.

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lockgate_bench::machine::Machine;
use lockgate_bench::memory::{self, ServerOptions, Span};
use lockgate_bench::parts;
use lockgate_bench::report::{Report, Section};
use lockgate_bench::timing::Effort;

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
    /// Everything
    All,
    /// The server whose memory is measured
    #[command(hide = true)]
    MemoryServer(ServerOptions),
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
        What::Parts => in_parts(cli.smoke),
        What::Memory => vec![in_memory(cli.smoke)?],
        What::All => {
            let mut all = in_parts(cli.smoke);
            all.push(in_memory(cli.smoke)?);
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
    vec![parts::records(effort), parts::handshakes(effort)]
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
