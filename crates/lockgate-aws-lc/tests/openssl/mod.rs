//! Runs `openssl` in a directory of its own.

use std::path::PathBuf;
use std::process::Command;

/// A place for files, removed when it is dropped.
pub(crate) struct Dir(PathBuf);

impl Dir {
    /// `None` where there is no `openssl` and tests may be skipped.
    pub(crate) fn new(name: &str) -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            let may = std::env::var_os("LOCKGATE_ALLOW_SKIP").is_some();
            assert!(may, "needs openssl; on Debian: apt-get install openssl");
            eprintln!("skipped: there is no openssl");
            return None;
        }
        let path = std::env::temp_dir().join(format!("lockgate-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Some(Self(path))
    }

    /// The path of a file, as `openssl` wants it on its command line.
    pub(crate) fn name(&self, file: &str) -> String {
        self.file(file).display().to_string()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Runs `openssl` with `arguments`, words between spaces, and the name of a new file for `{}`, which is returned.
    pub(crate) fn openssl(&self, arguments: &str) -> PathBuf {
        let count = std::fs::read_dir(&self.0).unwrap().count();
        let out = self.file(&count.to_string());
        let arguments = arguments.split_whitespace().map(|argument| match argument {
            "{}" => out.as_os_str(),
            other => other.as_ref(),
        });
        let output = Command::new("openssl").args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl: {stderr}");
        out
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
