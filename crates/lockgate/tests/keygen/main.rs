//! What `lockgate keygen` makes, as OpenSSL and the proxy's own reader see it.

mod certificates;
mod demo;
mod lists;
mod refusals;

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// For each run of a program of somebody else.
const PATIENCE: &str = "30";

fn lockgate<S: AsRef<OsStr>>(dir: &Path, args: &[S]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .arg("keygen")
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap()
}

/// What a successful run prints; `line` is split at blanks.
fn made(dir: &Path, line: &str) -> String {
    let args: Vec<_> = line.split_whitespace().collect();
    let output = lockgate(dir, &args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{line}: {said}");
    assert_eq!(said, "", "{line}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one line of a failure.
fn failure<S: AsRef<OsStr> + std::fmt::Debug>(dir: &Path, args: &[S]) -> String {
    let output = lockgate(dir, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{args:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let line = said.strip_prefix("lockgate: ").expect("starts so");
    let line = line.strip_suffix('\n').expect("ends with a line feed");
    assert!(!line.contains('\n'), "{line}");
    line.into()
}

fn fails(dir: &Path, line: &str) -> String {
    failure(dir, &line.split_whitespace().collect::<Vec<_>>())
}

/// Whether there is no OpenSSL and that is allowed.
fn skipped() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    assert!(
        found || std::env::var_os("LOCKGATE_ALLOW_SKIP").is_some_and(|v| v == "1"),
        "there is no openssl; get it, or set LOCKGATE_ALLOW_SKIP=1"
    );
    if !found {
        eprintln!("skipped: openssl is not installed");
    }
    !found
}

/// Both outputs and whether it was content.
fn openssl(dir: &Path, line: &str) -> (bool, String) {
    let output = Command::new("timeout")
        .args([PATIENCE, "openssl"])
        .args(line.split_whitespace())
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text += &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

fn openssl_ok(dir: &Path, line: &str) -> String {
    let (ok, text) = openssl(dir, line);
    assert!(ok, "openssl {line}: {text}");
    text
}

fn openssl_refuses(dir: &Path, line: &str, reason: &str) {
    let (ok, text) = openssl(dir, line);
    assert!(!ok && text.contains(reason), "openssl {line}: {text}");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}
