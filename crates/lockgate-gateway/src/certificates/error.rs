//! What is wrong with a file of certificates or keys, in one line.

use std::path::{Path, PathBuf};

use lockgate_webpki::LoadError;

/// Why a file of certificates or keys cannot be used. Each message is one line that begins with the file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFileError {
    /// What is in it.
    #[error(transparent)]
    Content(#[from] LoadError),
    /// The system does not give it to us.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl CertificateFileError {
    pub(super) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File {
            path: path.into(),
            reason: reason.into(),
        }
    }
}
