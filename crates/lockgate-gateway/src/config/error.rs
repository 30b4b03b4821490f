//! What is wrong with options, in one line.

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Why options cannot be used. Each message is one line and shows no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The command line, or the options taken together.
    #[error("{0}")]
    Usage(String),
    /// The file of `--config`.
    #[error("{}{}: {reason}", path.display(), line.map(|l| format!(":{l}")).unwrap_or_default())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, when one line is to blame.
        line: Option<usize>,
        /// What was wrong, and what was expected.
        reason: String,
    },
}

/// The message of a command line parser's error in one line: without `error:`, usage and advice to
/// read the help.
pub fn one_line(error: &clap::Error) -> String {
    // A word that belongs to no flag may be a key that lost its --psk.
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg)
        && (!word.starts_with('-') || word.contains(':'))
    {
        return "found a word that is neither a flag nor a flag's value".into();
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let words: Vec<&str> = text
        .lines()
        .take_while(|l| !l.starts_with("Usage:") && !l.starts_with("For more information"))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    words.join("; ").replace(":; ", ": ")
}
