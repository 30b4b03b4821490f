//! Noticing that files changed.
//!
//! What is watched is the directory, not the file: an editor that renames a new file over the old
//! one takes the watched inode away with it, and a Kubernetes volume changes a link beside it.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// A change is acted upon when nothing more happened for this long, …
const QUIET: Duration = Duration::from_millis(200);
/// … or this long after it began, when the directory is never quiet.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the file's metadata is compared without being told to: network file systems and
/// directories behind links report nothing.
const POLL: Duration = Duration::from_secs(10);

/// Something in files that can be read again.
pub(crate) trait Watched: Send + Sync + 'static {
    /// Whether a file looks different from when it was last read.
    fn changed(&self) -> impl Future<Output = bool> + Send;

    /// Reads again, and tells the log what came of it.
    fn reload_and_tell(&self) -> impl Future<Output = ()> + Send;
}

/// Tells when something happened to files or beside them.
pub(crate) struct Changes {
    signal: Arc<Signal>,
    /// Dropping it ends the watching; `None` when the kernel would not watch.
    _watcher: Option<RecommendedWatcher>,
}

#[derive(Default)]
struct Signal {
    happened: Notify,
    /// An event named a file itself. Then it is read again even if its metadata look the same:
    /// two writes within one tick of the file system's clock do.
    named: AtomicBool,
}

impl Changes {
    /// Starts to watch the directories of `paths`. Where that is impossible, a warning says so and only
    /// the regular look remains.
    pub(crate) fn of(paths: &[PathBuf]) -> Self {
        let signal = Arc::new(Signal::default());
        let mut directories = BTreeSet::new();
        let mut names = BTreeSet::new();
        for path in paths {
            directories.insert(match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            });
            names.extend(path.file_name().map(ToOwned::to_owned));
        }
        let warn = |file: &Path, error: &notify::Error| {
            tracing::warn!(
                file = %file.display(),
                %error,
                "cannot watch for changes, looking every {} s instead",
                POLL.as_secs()
            );
        };
        let first = paths.first().map_or(Path::new("."), PathBuf::as_path);
        let watcher = start(names, Arc::clone(&signal))
            .inspect_err(|error| warn(first, error))
            .ok();
        let watcher = watcher.map(|mut watcher| {
            for directory in directories {
                if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                    let of_it = |path: &&PathBuf| path.parent() == Some(directory);
                    let file = paths.iter().find(of_it).map_or(first, PathBuf::as_path);
                    warn(file, &error);
                }
            }
            watcher
        });
        Self {
            signal,
            _watcher: watcher,
        }
    }

    /// Waits until it is worth looking at the files. `true`: an event named one of them.
    async fn next(&self) -> bool {
        if timeout(POLL, self.signal.happened.notified()).await.is_ok() {
            let begin = Instant::now();
            while begin.elapsed() < PATIENCE
                && timeout(QUIET, self.signal.happened.notified())
                    .await
                    .is_ok()
            {}
        }
        self.signal.named.swap(false, Ordering::Relaxed)
    }
}

/// A watcher that signals changes; files of these names are the ones that matter.
fn start(names: BTreeSet<OsString>, signal: Arc<Signal>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else {
            // An overflow: something was missed, so look.
            signal.named.store(true, Ordering::Relaxed);
            signal.happened.notify_one();
            return;
        };
        let content = match event.kind {
            // Our own reading is an access too; reacting to it would never end.
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            EventKind::Access(_) => return,
            EventKind::Modify(ModifyKind::Metadata(_)) => false,
            _ => true,
        };
        let is_named = |path: &PathBuf| path.file_name().is_some_and(|name| names.contains(name));
        if content && event.paths.iter().any(is_named) {
            signal.named.store(true, Ordering::Relaxed);
        }
        signal.happened.notify_one();
    })
}

/// Reads `files` again whenever they changed, for ever.
pub(crate) async fn reload_on_change(changes: Changes, files: Arc<impl Watched>) {
    loop {
        let named = changes.next().await;
        if named || files.changed().await {
            files.reload_and_tell().await;
        }
    }
}
