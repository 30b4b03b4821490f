//! Files that are read at the start and again while the proxy serves.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// What changes when somebody writes or replaces a file: device, inode, size, and the time of the
/// last change of content in seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64, u64, u64, i64, i64);

/// What the file at `path` looks like; `None` when there is none.
pub(crate) fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let m = fs::metadata(path).ok()?;
    Some(Fingerprint(
        m.dev(),
        m.ino(),
        m.size(),
        m.mtime(),
        m.mtime_nsec(),
    ))
}

/// The content of a regular file of at most `limit` bytes. The error is what an operator is told after the file's name.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, String> {
    let unreadable = |e: io::Error| format!("cannot be read: {e}");
    let file = fs::OpenOptions::new()
        .read(true)
        // To open a pipe would wait for somebody who writes.
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is not a regular file".into());
    }
    let too_long = || format!("is longer than {limit} bytes");
    if metadata.len() > limit {
        return Err(too_long());
    }
    // With room for all of it from the start, so that no copy of keys is left behind unwiped.
    let room = usize::try_from(metadata.len()).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(too_long());
    }
    Ok(bytes)
}
