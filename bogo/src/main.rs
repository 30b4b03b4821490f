//! Shim for the `BoGo` conformance runner: Lockgate's engine under another project's tests.
//!
//! The runner starts this program for each test, tells it by flags what to do, and talks DTLS with it over a TCP
//! connection that carries datagrams and a virtual clock. It exits with 0 when all went well, with 1 and one line on
//! standard error when something failed, and with 89 for what is not implemented. See `README.md`.
#![forbid(unsafe_code)]

mod answers;
mod credentials;
mod engine;
mod faults;
mod options;
mod session;
mod transport;

use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use engine::Engine;
use faults::Failure;
use options::{CommandLine, OptionError, Versions};

/// The runner counts this as not implemented.
const NOT_IMPLEMENTED: u8 = 89;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bogo-shim: {failure}");
            match failure {
                Failure::NotImplemented(_) => NOT_IMPLEMENTED.into(),
                Failure::Fault { .. } => ExitCode::FAILURE,
            }
        }
    }
}

fn run() -> Result<(), Failure> {
    let line = CommandLine::parse(std::env::args_os().skip(1).map(OsStringExt::into_vec)).map_err(
        |error| match error {
            OptionError::Unknown(_) => Failure::NotImplemented(error.to_string()),
            OptionError::MissingValue(_) | OptionError::BadValue(_) => {
                Failure::new("options", error)
            }
        },
    )?;
    if line.initial.handshaker_supported {
        println!("No");
        return Ok(());
    }
    if let Some(what) = engine::not_implemented(&line) {
        return Err(Failure::NotImplemented(what.into()));
    }
    if line.initial.versions() == Versions::Nothing {
        let text = "no version of DTLS is switched on";
        return Err(Failure::new("no-version-enabled", text));
    }
    let mut engine = Engine::new(&line.initial)?;
    session::run(&mut engine, &line.initial, 0)?;
    for number in 1..=line.initial.resume_count {
        session::run(&mut engine, &line.resume, number)?;
    }
    Ok(())
}
