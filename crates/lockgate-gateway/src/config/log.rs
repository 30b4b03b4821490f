//! How to log: the same options for every subcommand.

#![expect(clippy::doc_markdown, reason = "the comments are the text of --help")]

/// The form of log lines (`--log-format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
#[non_exhaustive]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogOptions {
    /// The form of a line.
    pub format: LogFormat,
    /// What to log, in the syntax of `tracing_subscriber::EnvFilter`; not checked here. `None`: what
    /// `RUST_LOG` says, else `info`.
    pub filter: Option<String>,
}

/// The flags for logging.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// Form of the log lines on standard error: text or json [default: text]
    #[arg(long, value_name = "FORMAT", value_enum, hide_possible_values = true)]
    log_format: Option<LogFormat>,

    /// error, warn, info, debug, trace, or a filter such as info,lockgate_gateway=debug
    /// [default: RUST_LOG, else info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,

    /// Log more: -v is --log-level debug, -vv is --log-level trace
    #[arg(short, long, action = clap::ArgAction::Count, conflicts_with = "log_level")]
    verbose: u8,
}

impl LogArgs {
    /// The options that the flags stand for.
    pub fn options(&self) -> LogOptions {
        let level = match self.verbose {
            0 => self.log_level.as_deref(),
            1 => Some("debug"),
            _ => Some("trace"),
        };
        let filter = level.map(|level| match level {
            // The chatter of HTTP and TLS libraries helps nobody; who wants it names them.
            "debug" | "trace" => format!("info,lockgate={level}"),
            other => other.into(),
        });
        LogOptions {
            format: self.log_format.unwrap_or_default(),
            filter,
        }
    }
}
