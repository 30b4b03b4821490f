//! Raw public keys (RFC 7250) and the lines of allow lists.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{KeyPair, PublicKeyData as _};

use super::files::{self, NewFile};
use super::key::{DerArgs, Form, KeyArgs};
use super::{OutArgs, names};
use crate::Failure;

#[derive(clap::Args)]
pub(super) struct RawArgs {
    #[command(flatten)]
    out: OutArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    form: DerArgs,

    /// Who the keys are of; also the second word of the allow list's line
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

pub(super) fn run(args: &RawArgs) -> Result<(), Failure> {
    for name in &args.names {
        check_name(name)?;
    }
    let form = args.form.form();
    let all = args
        .names
        .iter()
        .flat_map(|n| paths(&args.out.dir, n, form));
    let all: Vec<_> = all.collect();
    files::check_free(all.iter().map(PathBuf::as_path), args.out.force)?;
    files::make_dir(&args.out.dir)?;
    for name in &args.names {
        let key = args.key.algorithm.generate()?;
        files::write(&new_files(&args.out.dir, name, &key, form)?, args.out.force)?;
        files::say(allow_line(name, &key).as_bytes())?;
    }
    Ok(())
}

/// Where the private and the public key of `name` lie.
fn paths(dir: &Path, name: &str, form: Form) -> [PathBuf; 2] {
    let ending = form.ending();
    [
        dir.join(format!("{name}-key.{ending}")),
        dir.join(format!("{name}-pub.{ending}")),
    ]
}

/// The private and the public half of `key`.
pub(super) fn new_files(
    dir: &Path,
    name: &str,
    key: &KeyPair,
    form: Form,
) -> Result<[NewFile; 2], Failure> {
    let [private, public] = paths(dir, name, form);
    Ok([
        NewFile {
            path: private,
            secret: true,
            bytes: form.write_key(key)?,
        },
        NewFile {
            path: public,
            secret: false,
            bytes: form.write_public(key)?,
        },
    ])
}

/// The line of an allow list: the SHA-256 of the key's `SubjectPublicKeyInfo`, a blank, and a name.
pub(super) fn allow_line(name: &str, key: &KeyPair) -> String {
    let hash = digest(&SHA256, &key.subject_public_key_info());
    format!("{} {name}\n", hex(hash.as_ref()))
}

fn check_name(name: &str) -> Result<(), Failure> {
    names::check_file_stem(name)?;
    if name.contains(char::is_whitespace) {
        return Err(format!(
            "the name {name:?} has a blank, where it would end in an allow list"
        ));
    }
    if name.contains('#') {
        return Err(format!(
            "the name {name:?} has a #, where a comment begins in allow lists"
        ));
    }
    Ok(())
}

/// Hexadecimal digits in lower case, of what is no secret.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
