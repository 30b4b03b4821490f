//! Pre-shared keys as `lockgate proxy --psk-csv` reads them.

use std::{collections::HashSet, path::PathBuf};

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::{config::MAX_PSK_IDENTITY_LEN, crypto::Provider as _};
use lockgate_gateway::keys::MAX_PSK_LEN;
use zeroize::Zeroizing;

use super::files::{self, NewFile};
use super::names::IdArgs;
use crate::Failure;

#[derive(clap::Args)]
pub(super) struct PskArgs {
    #[command(flatten)]
    ids: IdArgs,

    /// The length of each key in bytes, 8 to 64
    #[arg(
        long,
        value_name = "N",
        default_value = "16",
        value_parser = clap::value_parser!(u8).range(8..=MAX_PSK_LEN as i64)
    )]
    bytes: u8,

    /// The file to write, readable for you only [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Replace the file if it exists
    #[arg(long, requires = "out")]
    force: bool,
}

pub(super) fn run(args: &PskArgs) -> Result<(), Failure> {
    let mut ids = args.ids.resolve();
    if ids.is_empty() {
        ids = vec![args.ids.first()];
    }
    if let Some(path) = &args.out {
        files::check_free([path.as_path()], args.force)?;
    }
    let lines = lines(&ids, args.bytes.into())?;
    match &args.out {
        None => files::say(&lines),
        Some(path) => {
            let file = NewFile {
                path: path.clone(),
                secret: true,
                bytes: lines,
            };
            files::write(&[file], args.force)
        }
    }
}

/// A line with a new key of `bytes` bytes for each identity.
pub(super) fn lines(ids: &[String], bytes: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut seen = HashSet::new();
    for id in ids {
        check(id)?;
        if !seen.insert(id) {
            return Err(format!("the identity {id:?} comes twice"));
        }
    }
    // The whole length at once: a vector that grows leaves copies of keys behind unwiped. Quoting at
    // most doubles an identity and adds two marks.
    let room = ids.iter().map(|id| 2 * id.len() + 2 * bytes + 4).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    let mut key = Zeroizing::new([0; MAX_PSK_LEN]);
    let key = &mut key[..bytes];
    for id in ids {
        AwsLc
            .random(key)
            .map_err(|e| format!("cannot make a key: {e}"))?;
        quote(id, &mut text);
        text.push(b',');
        for &byte in &*key {
            for digit in [byte >> 4, byte & 15] {
                text.push(if digit < 10 { b'0' } else { b'a' - 10 } + digit);
            }
        }
        text.push(b'\n');
    }
    Ok(text)
}

fn check(id: &str) -> Result<(), Failure> {
    let reason = if id.is_empty() {
        "is empty"
    } else if id.len() > MAX_PSK_IDENTITY_LEN {
        "is longer than 128 bytes"
    } else if id.chars().any(char::is_control) {
        "has a control character"
    } else {
        return Ok(());
    };
    Err(format!("the identity {id:?} {reason}"))
}

/// As RFC 4180 has it. Also what would be taken for a comment or a byte order mark.
fn quote(id: &str, text: &mut Vec<u8>) {
    let plain = |b: u8| b.is_ascii_graphic() && !b"\",#".contains(&b);
    if id.bytes().all(plain) {
        text.extend_from_slice(id.as_bytes());
    } else {
        text.push(b'"');
        for byte in id.bytes() {
            if byte == b'"' {
                text.push(b'"');
            }
            text.push(byte);
        }
        text.push(b'"');
    }
}
