//! `lockgate proxy`: DTLS from devices in, plain UDP to a backend out.

use clap::{ArgMatches, Args, Command};
use lockgate_gateway::{
    config::{ProxyArgs, ProxyOptions},
    keys, proxy,
};
use tokio::runtime;

use crate::{Failure, logging};

pub(crate) const NAME: &str = "proxy";

const EXAMPLE: &str = "\
Durations are written 500ms, 30s, 5m or 24h; a bare number counts seconds. Every flag may also be
written with one dash.

Example:
  lockgate proxy --bind 0.0.0.0:5684 --connect 127.0.0.1:5683 --psk-csv keys.csv";

pub(crate) fn command() -> Command {
    ProxyArgs::augment_args(Command::new(NAME))
        .about("Put DTLS in front of a plain UDP server; sessions survive sleep and new addresses")
        // Or the developer's comment on `ProxyArgs` would stand there.
        .long_about(None)
        .next_line_help(true)
        .after_help(EXAMPLE)
}

pub(crate) fn run(flags: &ArgMatches) -> Result<(), Failure> {
    let options = ProxyOptions::from_matches(flags).map_err(|e| e.to_string())?;
    let _logging = logging::init(&options.log)?;
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    let ended = runtime.block_on(async {
        // Before any socket is bound: a gateway without its keys must not look alive.
        let keys = keys::open(&options.keys).await.map_err(|e| e.to_string())?;
        proxy::run(options, keys).await.map_err(|e| e.to_string())
    });
    // Dropping it would wait for a name that does not resolve, or a file that cannot be read.
    runtime.shutdown_background();
    ended
}
