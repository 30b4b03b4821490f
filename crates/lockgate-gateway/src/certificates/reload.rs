//! What was read, and reading it again: all of it or nothing.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::{AbortHandle, spawn_blocking};

use super::load::Set;
use super::{CertificateFileError, CertificateOptions};
use crate::files::{Fingerprint, fingerprint};
use crate::watch::{self, Watched};

/// Our certificates and whom we trust, read again when a file changes.
///
/// Changes are noticed as those of key files are ([`CsvKeys`](crate::keys::CsvKeys)). When one file cannot be used, all stays
/// as it was, and a line in the log says why.
pub struct Certificates {
    files: Arc<Files>,
    watcher: AbortHandle,
}

/// The part that the watching task shares.
struct Files {
    options: CertificateOptions,
    paths: Vec<PathBuf>,
    state: Mutex<State>,
    /// One reload at a time, so that an older reading never replaces a newer one.
    reloading: tokio::sync::Mutex<()>,
}

struct State {
    set: Arc<Set>,
    seen: Seen,
}

/// What the files looked like just before they were last read, successfully or not.
type Seen = Vec<Option<Fingerprint>>;

impl Certificates {
    pub(super) async fn open(options: &CertificateOptions) -> Result<Self, CertificateFileError> {
        let paths = options.paths();
        // Watch first: a change while files are read for the first time must not be missed.
        let changes = watch::Changes::of(&paths);
        let (seen, set) = read(&paths, options, None).await;
        let set = set?;
        set.tell("certificate or raw public key read");
        let files = Arc::new(Files {
            options: options.clone(),
            paths,
            state: Mutex::new(State {
                set: Arc::new(set),
                seen,
            }),
            reloading: tokio::sync::Mutex::default(),
        });
        let watcher = tokio::spawn(watch::reload_on_change(changes, Arc::clone(&files)));
        Ok(Self {
            files,
            watcher: watcher.abort_handle(),
        })
    }

    /// Reads all files again.
    ///
    /// # Errors
    /// The first file that cannot be used; then nothing has changed.
    pub async fn reload(&self) -> Result<(), CertificateFileError> {
        self.files.reload().await
    }

    /// What was read last.
    pub(crate) fn current(&self) -> Arc<Set> {
        Arc::clone(&self.files.state().set)
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("options", &self.files.options)
            .finish_non_exhaustive()
    }
}

impl Files {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reload(&self) -> Result<(), CertificateFileError> {
        let _one_at_a_time = self.reloading.lock().await;
        let before = Arc::clone(&self.state().set);
        let (seen, set) = read(&self.paths, &self.options, Some(before)).await;
        self.state().seen = seen;
        let set = set?;
        set.tell("certificate or raw public key read again");
        let old = std::mem::replace(&mut self.state().set, Arc::new(set));
        // A long list of revoked certificates takes a while to give back.
        spawn_blocking(move || drop(old));
        Ok(())
    }
}

impl Watched for Files {
    async fn changed(&self) -> bool {
        let paths = self.paths.clone();
        let now = spawn_blocking(move || look(&paths)).await;
        now.is_ok_and(|now| now != self.state().seen)
    }

    async fn reload_and_tell(&self) {
        if let Err(error) = self.reload().await {
            tracing::warn!(%error, "a changed file is refused, the old certificates and lists stay");
        }
    }
}

fn look(paths: &[PathBuf]) -> Seen {
    paths.iter().map(|path| fingerprint(path)).collect()
}

/// What the files look like, and what is in them.
async fn read(
    paths: &[PathBuf],
    options: &CertificateOptions,
    before: Option<Arc<Set>>,
) -> (Seen, Result<Set, CertificateFileError>) {
    let (all, options) = (paths.to_vec(), options.clone());
    let read = spawn_blocking(move || (look(&all), Set::read(&options, before.as_deref())));
    read.await.unwrap_or_else(|error| {
        let first = paths.first().cloned().unwrap_or_default();
        (
            Vec::new(),
            Err(CertificateFileError::file(&first, error.to_string())),
        )
    })
}
