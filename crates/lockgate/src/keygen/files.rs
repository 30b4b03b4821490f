//! Files appear whole or not at all, and replace nothing unless told to.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use tempfile::{Builder, NamedTempFile};
use zeroize::Zeroizing;

use crate::Failure;

/// No certificate, key or chain that somebody gives is as long as this.
const MAX_INPUT: u64 = 1 << 20;

/// A file to be written.
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    /// Readable for its owner only, mode 0600; others get 0644 less the umask.
    pub(super) secret: bool,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

/// Fails when a path comes twice, or exists and may not be replaced.
///
/// Called before anything is made, so that a long run does not stop half way; the writing itself
/// looks again.
pub(super) fn check_free<'a>(
    paths: impl IntoIterator<Item = &'a Path>,
    force: bool,
) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    for path in paths {
        if !seen.insert(path) {
            return Err(format!("{} would be written twice", path.display()));
        }
        // A link that leads nowhere is there too.
        if !force && path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
    }
    Ok(())
}

fn exists(path: &Path) -> Failure {
    format!("{} exists (--force replaces it)", path.display())
}

/// Makes the folder and those above it where they are missing.
pub(super) fn make_dir(dir: &Path) -> Result<(), Failure> {
    fs::create_dir_all(dir).map_err(|e| format!("{}: cannot be made: {e}", dir.display()))
}

/// Writes all of `files`, or none when one of them cannot be written; then lists them.
///
/// Each is written under another name in the same folder and then gets its own name in one step.
/// With `force`, files that were replaced before a later one failed stay replaced.
pub(super) fn write(files: &[NewFile], force: bool) -> Result<(), Failure> {
    let mut staged = Vec::with_capacity(files.len());
    for file in files {
        let temporary = stage(file).map_err(|e| cannot_write(&file.path, &e))?;
        staged.push(temporary);
    }
    for (index, (file, temporary)) in files.iter().zip(staged).enumerate() {
        let named = if force {
            temporary.persist(&file.path)
        } else {
            temporary.persist_noclobber(&file.path)
        };
        let Err(failed) = named else {
            continue;
        };
        if force {
            return Err(cannot_write(&file.path, &failed.error));
        }
        for written in &files[..index] {
            // They are ours: a moment ago nothing had these names.
            let _ = fs::remove_file(&written.path);
        }
        return Err(match failed.error.kind() {
            ErrorKind::AlreadyExists => exists(&file.path),
            _ => cannot_write(&file.path, &failed.error),
        });
    }
    let mut list = String::new();
    for file in files {
        let _ = writeln!(list, "# wrote {}", file.path.display());
    }
    say(list.as_bytes())
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    // The library's message names the temporary file, which is gone; the system's stands behind it.
    let inner = error.get_ref().and_then(|e| e.source());
    let reason = inner.and_then(|e| e.downcast_ref()).unwrap_or(error);
    format!("{}: cannot be written: {reason}", path.display())
}

fn stage(file: &NewFile) -> io::Result<NamedTempFile> {
    if file.path.file_name().is_none() {
        return Err(ErrorKind::IsADirectory.into());
    }
    let dir = match file.path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mode = if file.secret { 0o600 } else { 0o644 };
    let mut temporary = Builder::new()
        .prefix(".lockgate-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(dir)?;
    temporary.write_all(&file.bytes)?;
    temporary.as_file().sync_all()?;
    Ok(temporary)
}

/// All of a file that somebody gave; at most [`MAX_INPUT`] bytes.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let wrong = |e: &dyn std::fmt::Display| format!("{}: cannot be read: {e}", path.display());
    let file = File::options()
        .read(true)
        // To open a pipe would wait for somebody who writes.
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|e| wrong(&e))?;
    let metadata = file.metadata().map_err(|e| wrong(&e))?;
    if !metadata.is_file() {
        return Err(format!("{}: is not a regular file", path.display()));
    }
    if metadata.len() > MAX_INPUT {
        return Err(format!(
            "{}: is longer than any certificate or key",
            path.display()
        ));
    }
    // With room for all of it from the start, so that no copy of a key is left behind unwiped.
    let room = usize::try_from(metadata.len()).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_INPUT)
        .read_to_end(&mut bytes)
        .map_err(|e| wrong(&e))?;
    Ok(bytes)
}

/// To standard output, around its buffer, which nobody wipes. Whoever closed the pipe has seen
/// enough.
pub(super) fn say(text: &[u8]) -> Result<(), Failure> {
    let written = io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .and_then(|fd| File::from(fd).write_all(text));
    match written {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(format!("standard output: cannot be written: {e}"))
        }
        _ => Ok(()),
    }
}
