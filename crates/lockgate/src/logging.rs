//! Logs go to standard error: standard output belongs to what a subcommand is for.

use std::io::{IsTerminal, stderr};

use lockgate_gateway::config::{LogFormat, LogOptions};
use tracing_subscriber::{EnvFilter, fmt};

use crate::Failure;

/// Sets the logging of the whole process up; once, before anything else logs.
pub(crate) fn init(options: &LogOptions) -> Result<(), Failure> {
    let filter = match &options.filter {
        Some(filter) => EnvFilter::try_new(filter).map_err(|e| format!("--log-level: {e}"))?,
        // A mistake in the environment of somebody's shell is no reason not to start.
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
    };
    let log = fmt().with_env_filter(filter).with_writer(stderr);
    let done = match options.format {
        LogFormat::Json => log.json().flatten_event(true).try_init(),
        _ => log.with_ansi(stderr().is_terminal()).try_init(),
    };
    done.map_err(|e| format!("cannot set up logging: {e}"))
}
