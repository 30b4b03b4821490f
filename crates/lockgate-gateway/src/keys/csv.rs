//! Keys in a CSV file: one `identity,hexkey` per line.
//!
//! The format is RFC 4180 without a header line. Lines that start with `#` are comments; quote an
//! identity that starts so or contains a comma. A byte order mark and CRLF are accepted. Identities
//! are taken byte by byte, blanks included; blanks around the key are ignored. When an identity
//! comes twice, the last line wins.

use std::{
    fmt, mem,
    path::{Path, PathBuf},
    slice,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::task::{AbortHandle, spawn_blocking};

use super::{KeyError, KeyFuture, KeySource, Psk, StaticKeys};
use crate::{
    files::{self, Fingerprint, fingerprint},
    watch::{self, Watched},
};

/// The keys of a CSV file, read again when the file changes.
///
/// A change is noticed through the kernel (also when an editor or a Kubernetes volume replaces the
/// file or a directory on its way), and besides that the file's metadata is looked at every
/// ten seconds, for network file systems. A new file that is broken changes nothing: one warning
/// says what is wrong, and the old keys stay. Replacing a file by renaming another one over it is
/// the way that never shows half a file.
pub struct CsvKeys {
    file: Arc<CsvFile>,
    watcher: AbortHandle,
}

/// The part that the watching task shares.
pub(super) struct CsvFile {
    path: PathBuf,
    state: Mutex<State>,
    /// One reload at a time, so that an older reading never replaces a newer one.
    reloading: tokio::sync::Mutex<()>,
}

struct State {
    keys: StaticKeys,
    /// What the file looked like just before it was last read, successfully or not.
    seen: Option<Fingerprint>,
}

impl CsvKeys {
    /// Reads `path` and starts to watch it; the watching ends when the value is dropped.
    ///
    /// Must be called within a tokio runtime. Fails with [`KeyError::File`] when the file cannot be
    /// read, is broken or holds no key.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, KeyError> {
        let file = Arc::new(CsvFile {
            path: path.into(),
            state: Mutex::new(State {
                keys: StaticKeys::new(),
                seen: None,
            }),
            reloading: tokio::sync::Mutex::default(),
        });
        // Watch first: a change while the file is read for the first time must not be missed.
        let changes = watch::Changes::of(slice::from_ref(&file.path));
        let count = file.reload().await?;
        tracing::info!(file = %file.path.display(), keys = count, "keys read");
        let watcher = tokio::spawn(watch::reload_on_change(changes, Arc::clone(&file)));
        Ok(Self {
            file,
            watcher: watcher.abort_handle(),
        })
    }

    /// How many identities have a key now.
    pub fn len(&self) -> usize {
        self.file.state().keys.len()
    }

    /// Whether there is no key at all. A file without keys is refused, so this is never true.
    pub fn is_empty(&self) -> bool {
        self.file.state().keys.is_empty()
    }
}

impl Drop for CsvKeys {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl KeySource for CsvKeys {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn lookup<'a>(&'a self, identity: &'a [u8]) -> KeyFuture<'a, Option<Psk>> {
        Box::pin(async move { Ok(self.file.state().keys.get(identity).cloned()) })
    }

    fn reload(&self) -> KeyFuture<'_, ()> {
        Box::pin(async move { self.file.reload().await.map(drop) })
    }
}

impl fmt::Debug for CsvKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CsvKeys({}, {} keys)",
            self.file.path.display(),
            self.len()
        )
    }
}

impl CsvFile {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing in a critical section can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file; on success its keys replace the old ones. Returns their number.
    pub(super) async fn reload(&self) -> Result<usize, KeyError> {
        let _one_at_a_time = self.reloading.lock().await;
        let path = self.path.clone();
        let read = spawn_blocking(move || (fingerprint(&path), load(&path)));
        let (seen, loaded) = read
            .await
            .map_err(|e| KeyError::file(&self.path, e.to_string()))?;
        self.state().seen = seen;
        let keys = loaded?;
        let count = keys.len();
        let old = mem::replace(&mut self.state().keys, keys);
        // Wiping a million keys takes a while: not under the lock that look-ups take, and not in the way of other tasks.
        spawn_blocking(move || drop(old));
        Ok(count)
    }
}

impl Watched for CsvFile {
    async fn changed(&self) -> bool {
        let path = self.path.clone();
        let now = spawn_blocking(move || fingerprint(&path)).await;
        now.is_ok_and(|now| now != self.state().seen)
    }

    async fn reload_and_tell(&self) {
        match self.reload().await {
            Ok(count) => {
                tracing::info!(file = %self.path.display(), keys = count, "keys read again");
            }
            Err(error) => {
                tracing::warn!(%error, "the changed key file is refused, the old keys stay");
            }
        }
    }
}

/// Reads the keys of a file once, without watching it. Fails as [`CsvKeys::open`] does.
pub fn read_csv(path: &Path) -> Result<StaticKeys, KeyError> {
    load(path)
}

fn load(path: &Path) -> Result<StaticKeys, KeyError> {
    let text = files::read(path, u64::MAX).map_err(|reason| KeyError::file(path, reason))?;
    parse(path, &text)
}

/// Reads the whole text; `path` is only named in errors.
pub(super) fn parse(path: &Path, text: &[u8]) -> Result<StaticKeys, KeyError> {
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        return Err(KeyError::file(path, "is UTF-16 text; save it as UTF-8"));
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .from_reader(text);
    let mut keys = StaticKeys::new();
    let mut record = csv::ByteRecord::new();
    loop {
        // The reader counts blank lines and comments before a record as a part of it.
        let start = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        let wrong = |reason: String| KeyError::File {
            path: path.into(),
            line: Some(line_of_record(text, start)),
            reason,
        };
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err(wrong(error.to_string())),
        }
        let (identity, hex) = match record.len() {
            2 => (&record[0], &record[1]),
            1 if record[0].trim_ascii().is_empty() => continue,
            1 => return Err(wrong("expected identity,hexkey, found one column".into())),
            n => {
                return Err(wrong(format!(
                    "expected identity,hexkey, found {n} columns"
                )));
            }
        };
        if identity.is_empty() {
            return Err(wrong(
                "expected identity,hexkey, found an empty identity".into(),
            ));
        }
        let key =
            Psk::from_hex(hex).map_err(|e| wrong(format!("expected identity,hexkey, but {e}")))?;
        keys.insert(identity, key);
    }
    if keys.is_empty() {
        return Err(KeyError::file(
            path,
            "holds no key; expected lines of identity,hexkey",
        ));
    }
    Ok(keys)
}

/// The line, counted from 1, of the first record at or after the byte `start`.
fn line_of_record(text: &[u8], start: usize) -> u64 {
    let start = start.min(text.len());
    let newlines = |bytes: &[u8]| bytes.split(|&b| b == b'\n').count() - 1;
    let mut line = 1 + newlines(&text[..start]);
    for skipped in text[start..].split_inclusive(|&b| b == b'\n') {
        if !(skipped.starts_with(b"#") || skipped.trim_ascii().is_empty()) {
            break;
        }
        line += newlines(skipped);
    }
    line as u64
}
