//! `lockgate`: one subcommand, one thin file.
//!
//! Every failure is one line on standard error, `lockgate: …`, and exit code 1, usage errors
//! included. Asking for help or the version is no failure.

mod argv;
mod bench;
mod demo;
mod keygen;
mod logging;
mod nc;
mod proof;
mod proxy;

use std::{env, ffi::OsString, process::ExitCode};

use clap::{ArgMatches, Command, error::ErrorKind};
use lockgate_gateway::config::one_line;

/// The one line that a failure has to say.
type Failure = String;

fn main() -> ExitCode {
    match run(env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            logging::last_words(&failure);
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    Command::new("lockgate")
        .version(env!("CARGO_PKG_VERSION"))
        .about("DTLS for the Internet of Things")
        .subcommand_required(true)
        .subcommand(proxy::command())
        .subcommand(nc::command())
        .subcommand(bench::command())
        .subcommand(demo::command())
        .subcommand(keygen::command())
}

fn run(args: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let mut command = command();
    command.build();
    let args = argv::with_two_dashes(&command, args);
    let matches = match command.try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // Whoever closed the pipe has seen enough.
            let _ = e.print();
            return Ok(());
        }
        Err(e) => return Err(format!("{} (see --help)", one_line(&e))),
    };
    dispatch(&matches)
}

fn dispatch(matches: &ArgMatches) -> Result<(), Failure> {
    match matches.subcommand() {
        Some((proxy::NAME, flags)) => proxy::run(flags),
        Some((nc::NAME, flags)) => nc::run(flags),
        Some((bench::NAME, flags)) => bench::run(flags),
        Some((demo::NAME, flags)) => demo::run(flags),
        Some((keygen::NAME, flags)) => keygen::run(flags),
        // clap lets nothing else through.
        _ => Err("no such subcommand (see --help)".into()),
    }
}
