//! Keys from a program of the operator: `PATH IDENTITY` prints the key.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::{
    fs::{Access, access},
    process::{Pid, Signal, kill_process_group},
};
use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStdout, Command},
};
use zeroize::Zeroizing;

use super::{KeyError, KeyFuture, KeySource, Psk, escaped};

const ORIGIN: &str = "program";

/// A program that prints more than this many bytes is ended and its output refused.
pub const MAX_OUTPUT_LEN: usize = 1024;

/// Asks a program, started anew for each look-up.
///
/// - It is run directly, without a shell, with the identity as its only argument, byte by byte.
/// - It prints the key as hexadecimal digits on its standard output (white space around them is
///   ignored) and exits with 0.
/// - Any other exit code means that the identity is unknown. Death by a signal is a failure.
/// - Its standard input is empty and its standard error is thrown away, because what a script
///   prints there may well hold the key.
/// - It gets a process group of its own, and the whole group is killed when the look-up is given
///   up, so a script's children do not pile up.
///
/// A stranger chooses the identity, so the program must take it as mere data. Three kinds of
/// identity are unknown without the program being asked: those with a NUL byte, which no argument
/// can hold; those that begin with `-`, which it might take for an option; and the empty one.
///
/// It has no time-out and no limit of its own: put it into a
/// [`CachedKeys`](super::CachedKeys).
#[derive(Debug)]
pub struct ProgramKeys {
    path: PathBuf,
}

impl ProgramKeys {
    /// Checks that `path` can be run. A name without a slash is looked up in `PATH`.
    ///
    /// Fails with [`KeyError::Unavailable`] when there is no such executable file.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, KeyError> {
        let path = path.into();
        let found = if path.as_os_str().as_bytes().contains(&b'/') {
            is_executable(&path)
        } else {
            let dirs = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&dirs).any(|dir| is_executable(&dir.join(&path)))
        };
        if !found {
            return Err(unavailable(format!(
                "{} is not an executable file",
                path.display()
            )));
        }
        Ok(Self { path })
    }

    async fn ask(&self, identity: &[u8]) -> Result<Option<Psk>, KeyError> {
        if identity.is_empty() || identity.contains(&0) || identity.starts_with(b"-") {
            tracing::debug!(
                identity = %escaped(identity),
                "unknown: an identity of this form is not given to a program"
            );
            return Ok(None);
        }
        let (mut run, stdout) = self.start(identity)?;
        let output = read(stdout).await?;
        let status = run.0.wait().await.map_err(|e| self.failed(&e))?;
        match status.code() {
            Some(0) => Psk::from_hex(&output).map(Some).map_err(|e| {
                bad_answer(format!(
                    "expected hexadecimal digits on its output, but {e}"
                ))
            }),
            Some(code) => {
                tracing::debug!(identity = %escaped(identity), code, "unknown to the program");
                Ok(None)
            }
            None => Err(unavailable(format!(
                "{} was ended by signal {}",
                self.path.display(),
                status.signal().unwrap_or_default()
            ))),
        }
    }

    fn start(&self, identity: &[u8]) -> Result<(Running, ChildStdout), KeyError> {
        let mut child = Command::new(&self.path)
            .arg(OsStr::from_bytes(identity))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| self.failed(&e))?;
        let stdout = child.stdout.take();
        let run = Running(child);
        // It is there, because it was asked for; saying so costs less than a panic.
        let stdout = stdout.ok_or_else(|| unavailable("has no output".into()))?;
        Ok((run, stdout))
    }

    fn failed(&self, error: &std::io::Error) -> KeyError {
        unavailable(format!("cannot run {}: {error}", self.path.display()))
    }
}

impl KeySource for ProgramKeys {
    fn name(&self) -> &'static str {
        ORIGIN
    }

    fn lookup<'a>(&'a self, identity: &'a [u8]) -> KeyFuture<'a, Option<Psk>> {
        Box::pin(self.ask(identity))
    }
}

/// A started program; dropped before it ended, it is killed with all its children.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // `id` is `None` once the program was waited for: its number may be somebody else's then.
        let pid = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(group) = pid {
            // It may have ended by itself; then there is nothing to kill. tokio reaps it.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Everything the program prints.
async fn read(mut stdout: ChildStdout) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    // One byte more than allowed tells "just fits" from "too long". Never grows, so no copy of a
    // key is left behind by a reallocation.
    let mut output = Zeroizing::new(vec![0; MAX_OUTPUT_LEN + 1]);
    let mut len = 0;
    loop {
        let read = stdout.read(&mut output[len..]).await;
        match read.map_err(|e| unavailable(format!("cannot read its output: {e}")))? {
            0 => break,
            n => len += n,
        }
        if len > MAX_OUTPUT_LEN {
            return Err(bad_answer(format!(
                "its output is longer than {MAX_OUTPUT_LEN} bytes"
            )));
        }
    }
    output.truncate(len);
    Ok(output)
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

fn unavailable(reason: String) -> KeyError {
    KeyError::Unavailable {
        origin: ORIGIN,
        reason,
    }
}

fn bad_answer(reason: String) -> KeyError {
    KeyError::BadAnswer {
        origin: ORIGIN,
        reason,
    }
}
