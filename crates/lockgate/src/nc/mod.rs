//! `lockgate nc`: netcat over DTLS.

mod args;
mod client;
mod credentials;
mod explain;
mod files;
mod listener;
mod pipes;
mod report;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use lockgate_dtls::Config;
use lockgate_dtls::config::{CidConfig, ProtocolList};
use lockgate_gateway::config::one_line;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::args::NcArgs;
pub(crate) use self::args::cid;
pub(crate) use self::explain::remedy;
use crate::Failure;

pub(crate) const NAME: &str = "nc";

const EXAMPLE: &str = "\
Times are written 500ms, 30s, 5m or 1h; a bare number counts seconds. Long flags may also be written
with one dash.

Examples:
  lockgate nc -l 5684 --psk 736563726574 -v
  echo hello | lockgate nc 127.0.0.1 5684 --psk 736563726574
  lockgate nc example.org 5684 --cafile ca.pem --cert device.pem --key device.key";

pub(crate) fn command() -> Command {
    NcArgs::augment_args(Command::new(NAME))
        .about("Netcat over DTLS: standard input to a peer, its answers to standard output")
        .long_about(None)
        .next_line_help(true)
        .after_help(EXAMPLE)
}

pub(crate) fn run(flags: &ArgMatches) -> Result<(), Failure> {
    let args = NcArgs::from_arg_matches(flags).map_err(|e| one_line(&e))?;
    let place = args.place()?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    let ended = runtime.block_on(async {
        if args.listen {
            listener::run(&args, &place).await
        } else {
            client::run(&args, &place).await
        }
    });
    // Standard input may block for ever.
    runtime.shutdown_background();
    ended
}

/// What both ends go by.
fn config(args: &NcArgs) -> Result<Config, Failure> {
    let mut config = Config {
        handshake_timeout: args.timeout,
        cid: args
            .cid
            .unwrap_or(CidConfig::Length(if args.listen { 8 } else { 0 })),
        psk: args.psk.is_some(),
        key_log: args.keylogfile.is_some(),
        ..Config::default()
    };
    if let Some(mtu) = args.mtu {
        config.mtu = mtu;
    }
    let names: Vec<&[u8]> = args.alpn.iter().map(String::as_bytes).collect();
    config.protocols = ProtocolList::new(&names)
        .ok_or("--alpn: names are not empty, and together at most 64 bytes long")?;
    Ok(config)
}

/// Who asks us to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|e| format!("cannot start: {e}"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits until `at`; for ever without one.
async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Prints the datagrams of handshakes, when that is wanted.
fn observer(args: &NcArgs) -> Option<lockgate_tokio::Observer> {
    let begun = OnceLock::new();
    (args.verbosity() >= 2).then(|| -> lockgate_tokio::Observer {
        Arc::new(move |seen| {
            let since = begun.get_or_init(Instant::now).elapsed();
            eprintln!("{}", report::flight(since, seen));
        })
    })
}
