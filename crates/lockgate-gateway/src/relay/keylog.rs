//! Session secrets in a file that Wireshark reads (`SSLKEYLOGFILE`).

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use lockgate_dtls::KeyLogEntry;
use zeroize::Zeroizing;

/// The file. Written in place by the workers: it is a tool for looking into a problem, not for service.
pub(crate) struct KeyLog {
    file: File,
    failed: bool,
}

impl KeyLog {
    /// Opens `path` for appending; only its owner may read it, also when it was there before.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).open(path)?;
        if file.metadata()?.is_file() {
            file.set_permissions(PermissionsExt::from_mode(0o600))?;
        }
        Ok(Self {
            file,
            failed: false,
        })
    }

    /// The same file for another worker.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            file: self.file.try_clone()?,
            failed: self.failed,
        })
    }

    /// Appends one line, in one write, so that lines of several writers do not mix.
    pub(super) fn write(&mut self, entry: &KeyLogEntry) {
        let mut line = Zeroizing::new(String::with_capacity(192));
        line.push_str(entry.label());
        for bytes in [&entry.client_random()[..], &entry.secret()[..]] {
            line.push(' ');
            for byte in bytes {
                let _ = write!(line, "{byte:02x}");
            }
        }
        line.push('\n');
        if let Err(error) = self.file.write_all(line.as_bytes())
            && !self.failed
        {
            self.failed = true;
            tracing::warn!(%error, "cannot write the key log");
        }
    }
}
