//! What can go wrong while a key is looked up or a source is opened.

use std::{path::PathBuf, time::Duration};

/// Why a source could not say whether it knows a key. (That it does not know one is no error: that
/// is `Ok(None)`.)
///
/// Each message is one line for an operator. None contains a key, an answer's body, a request
/// header or the query of a URL; identities appear escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No answer in time. The wait for a free place (`--kms-concurrency`) counts.
    #[error("{origin}: no answer within {}", humantime::format_duration(*after))]
    Timeout {
        /// The source's [name](super::KeySource::name).
        origin: &'static str,
        /// The time that was allowed.
        after: Duration,
    },
    /// So many look-ups wait already that this one was refused.
    #[error("{origin}: too many key look-ups are waiting")]
    Busy {
        /// The source's [name](super::KeySource::name).
        origin: &'static str,
    },
    /// The source could not be asked: connection refused, program missing, …
    #[error("{origin}: {reason}")]
    Unavailable {
        /// The source's [name](super::KeySource::name).
        origin: &'static str,
        /// What failed.
        reason: String,
    },
    /// The source answered with something that is no key.
    #[error("{origin}: {reason}")]
    BadAnswer {
        /// The source's [name](super::KeySource::name).
        origin: &'static str,
        /// What was wrong, and what was expected.
        reason: String,
    },
    /// A file with keys or certificates cannot be read or understood.
    #[error("{}{}: {reason}", path.display(), line.map(|l| format!(":{l}")).unwrap_or_default())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, when one line is to blame.
        line: Option<u64>,
        /// What was wrong, and what was expected.
        reason: String,
    },
    /// Several sources were asked, none knew the key, and at least one failed.
    #[error("no source knows the key, and not all could say ({failures})")]
    Incomplete {
        /// The messages of all failures.
        failures: String,
    },
}

impl KeyError {
    /// A file problem that no single line is to blame for.
    pub(crate) fn file(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::File {
            path: path.into(),
            line: None,
            reason: reason.into(),
        }
    }
}
