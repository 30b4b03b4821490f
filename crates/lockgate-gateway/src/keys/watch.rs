//! Noticing that a file changed.
//!
//! What is watched is the directory, not the file: an editor that renames a new file over the old
//! one takes the watched inode away with it, and a Kubernetes volume changes a link beside it.

use std::{
    path::Path,
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

use super::csv::CsvFile;

/// A change is acted upon when nothing more happened for this long, …
const QUIET: Duration = Duration::from_millis(200);
/// … or this long after it began, when the directory is never quiet.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the file's metadata is compared without being told to: network file systems and
/// directories behind links report nothing.
const POLL: Duration = Duration::from_secs(10);

/// Tells when something happened to a file or beside it.
pub(super) struct Changes {
    signal: Arc<Signal>,
    /// Dropping it ends the watching; `None` when the kernel would not watch.
    _watcher: Option<RecommendedWatcher>,
}

#[derive(Default)]
struct Signal {
    happened: Notify,
    /// An event named the file itself. Then it is read again even if its metadata look the same:
    /// two writes within one tick of the file system's clock do.
    named: AtomicBool,
}

impl Changes {
    /// Starts to watch the directory of `path`. When that is impossible, a warning says so and only
    /// the regular look remains.
    pub(super) fn of(path: &Path) -> Self {
        let signal = Arc::new(Signal::default());
        let watcher = start(path, Arc::clone(&signal))
            .inspect_err(|error| {
                tracing::warn!(
                    file = %path.display(),
                    %error,
                    "cannot watch for changes, looking every {} s instead",
                    POLL.as_secs()
                );
            })
            .ok();
        Self {
            signal,
            _watcher: watcher,
        }
    }

    /// Waits until it is worth looking at the file. `true`: an event named the file itself.
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

fn start(path: &Path, signal: Arc<Signal>) -> notify::Result<RecommendedWatcher> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => ".".into(),
    };
    let name = path.file_name().map(ToOwned::to_owned);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
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
        if content && event.paths.iter().any(|p| p.file_name() == name.as_deref()) {
            signal.named.store(true, Ordering::Relaxed);
        }
        signal.happened.notify_one();
    })?;
    watcher.watch(&directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Reads `file` again whenever it changed, for ever.
pub(super) async fn reload_on_change(changes: Changes, file: Arc<CsvFile>) {
    loop {
        let named = changes.next().await;
        if !(named || file.changed().await) {
            continue;
        }
        let path = file.path().display();
        match file.reload().await {
            Ok(count) => tracing::info!(file = %path, keys = count, "keys read again"),
            Err(error) => {
                tracing::warn!(%error, "the changed key file is refused, the old keys stay");
            }
        }
    }
}
