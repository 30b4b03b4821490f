//! Files that `lockgate nc` reads and writes beside the data.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};

use lockgate_dtls::Session;
use lockgate_tokio::KeyLog;
use zeroize::Zeroizing;

use super::args::NcArgs;
use crate::Failure;

/// A file with secrets: only its owner may read it, also when it was there before.
fn open_private(path: &Path, append: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    if append {
        options.append(true);
    } else {
        options.write(true);
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        file.set_permissions(PermissionsExt::from_mode(0o600))?;
        if !append {
            file.set_len(0)?;
        }
    }
    Ok(file)
}

/// Where the session's secrets go.
pub(super) fn key_log(args: &NcArgs) -> Result<Option<KeyLog>, Failure> {
    let Some(path) = &args.keylogfile else {
        return Ok(None);
    };
    let name = path.display().to_string();
    let file = open_private(path, true)
        .map_err(|e| format!("{name}: {e}: the key log cannot be written"))?;
    Ok(Some(Arc::new(move |entry| {
        let mut line = Zeroizing::new(String::with_capacity(192));
        line.push_str(entry.label());
        for bytes in [&entry.client_random()[..], &entry.secret()[..]] {
            line.push(' ');
            for byte in bytes {
                let _ = write!(line, "{byte:02x}");
            }
        }
        line.push('\n');
        // In one write, so that lines of several writers do not mix.
        if let Err(error) = (&file).write_all(line.as_bytes()) {
            eprintln!("lockgate nc: {name}: {error}: the key log cannot be written");
        }
    })))
}

pub(super) fn read_session(args: &NcArgs) -> Result<Option<Session>, Failure> {
    let Some(path) = &args.sess_in else {
        return Ok(None);
    };
    let name = path.display();
    let bytes = std::fs::read(path)
        .map(Zeroizing::new)
        .map_err(|e| format!("{name}: {e}: give a file that --sess-out has written"))?;
    Session::from_bytes(&bytes).map(Some).ok_or_else(|| {
        format!("{name}: this is no session: give a file that --sess-out has written")
    })
}

pub(super) fn write_session(path: &Path, session: &Session) -> Result<(), Failure> {
    open_private(path, false)
        .and_then(|mut file| file.write_all(session.as_bytes()))
        .map_err(|e| format!("{}: {e}: the session cannot be kept", path.display()))
}

/// What `-o` and `-x` ask for.
#[derive(Clone)]
pub(super) struct Dump(Arc<Mutex<Files>>);

struct Files {
    raw: Option<File>,
    hex: Option<File>,
}

impl Dump {
    pub(super) fn open(args: &NcArgs) -> Result<Self, Failure> {
        let open = |path: &Option<std::path::PathBuf>| {
            path.as_ref()
                .map(|path| File::create(path).map_err(|e| format!("{}: {e}", path.display())))
                .transpose()
        };
        Ok(Self(Arc::new(Mutex::new(Files {
            raw: open(&args.output)?,
            hex: open(&args.hex_dump)?,
        }))))
    }

    /// One datagram went by. A full disk does not stop the traffic.
    pub(super) fn write(&self, sent: bool, data: &[u8]) {
        let Ok(mut files) = self.0.lock() else { return };
        if let Some(raw) = &mut files.raw {
            let _ = raw.write_all(data);
        }
        if let Some(hex) = &mut files.hex {
            let mut text = format!("{} {} bytes\n", if sent { ">" } else { "<" }, data.len());
            for (row, bytes) in data.chunks(16).enumerate() {
                let _ = write!(text, "{:04x} ", row * 16);
                for byte in bytes {
                    let _ = write!(text, " {byte:02x}");
                }
                text.push_str(&"   ".repeat(16 - bytes.len()));
                text.push_str("  ");
                text.extend(bytes.iter().map(|&byte| match byte {
                    0x20..=0x7e => char::from(byte),
                    _ => '.',
                }));
                text.push('\n');
            }
            let _ = hex.write_all(text.as_bytes());
        }
    }
}
