//! What stops the start, in one line that names file and fault.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{keygen, pki};

/// The one line of a failure; `flags` are split at blanks.
fn failure(dir: &Path, flags: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .args(["proxy", "--bind=127.0.0.1:0", "--connect=127.0.0.1:9"])
        .args(flags.split_whitespace())
        .current_dir(dir)
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{flags}");
    let said = String::from_utf8(output.stderr).unwrap();
    let line = said.strip_prefix("lockgate: ").expect("starts so");
    let line = line.strip_suffix('\n').expect("ends with a line feed");
    assert!(!line.contains('\n'), "{line}");
    line.into()
}

#[test]
fn broken_files_stop_the_start() {
    let dir = pki();
    let dir = dir.path();
    keygen(dir, "server --ca . --out other other.example");
    keygen(
        dir,
        "server --ca . --out old --not-before 2020-01-01 --days 9 localhost",
    );
    keygen(dir, "raw --out . gateway");
    fs::write(dir.join("empty"), "").unwrap();
    fs::write(dir.join("allow.txt"), "sensor 00\n").unwrap();
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(dir.join("secret.pem"), encrypted).unwrap();
    let own = "--cert server.pem --key server-key.pem";
    for (flags, says) in [
        (
            "--cert nothing.pem --key server-key.pem".into(),
            "nothing.pem: cannot be read: No such file",
        ),
        (
            "--cert . --key server-key.pem".into(),
            ".: is not a regular file",
        ),
        (
            "--cert server.pem --key other/server-key.pem".into(),
            "other/server-key.pem: the private key does not belong to the certificate in server.pem",
        ),
        (
            "--cert server.pem --key secret.pem".into(),
            "secret.pem: the key is encrypted",
        ),
        (
            "--cert server-key.pem --key server.pem".into(),
            "server.pem: there is no private key in the PEM text",
        ),
        (
            "--cert old/server.pem --key old/server-key.pem".into(),
            "old/server.pem: the certificate expired on 2020-01-",
        ),
        (
            "--rpk gateway-pub.pem".into(),
            "gateway-pub.pem: there is no private key",
        ),
        (format!("{own} --ca empty"), "empty: "),
        (
            format!("{own} --ca server-key.pem"),
            "server-key.pem: no certificate in it",
        ),
        (
            format!("{own} --ca ca.pem --crl ca.pem"),
            "ca.pem: no list of revoked certificates in it",
        ),
        (
            format!("{own} --rpk-allow allow.txt"),
            "allow.txt: line 1 is not the SHA-256",
        ),
        (
            format!("{own} --sni-cert a..b=server.pem,server-key.pem"),
            "--sni-cert: \"a..b\" is not a DNS name",
        ),
        (
            own.replace("--key server-key.pem", ""),
            "--cert and --key belong together",
        ),
    ] {
        let said = failure(dir, &flags);
        assert!(said.starts_with(says), "{flags}: {said}");
    }
}

#[test]
fn a_certificate_that_ends_soon_is_a_warning() {
    let dir = pki();
    let dir = dir.path();
    keygen(dir, "server --ca . --out . --force --days 9 localhost");
    let proxy = crate::Proxy::start(dir, "--rpk server-key.pem");
    drop(proxy);
    let mut gone = Command::new(env!("CARGO_BIN_EXE_lockgate"));
    gone.args(["proxy", "--bind=127.0.0.1:0", "--connect=nowhere.invalid:9"])
        .args(["--cert=server.pem", "--key=server-key.pem"])
        .current_dir(dir)
        .env_remove("RUST_LOG");
    let said = String::from_utf8(gone.output().unwrap().stderr).unwrap();
    let first = said.lines().next().unwrap();
    assert!(
        first.contains("WARN") && first.contains("server.pem: the certificate expires on"),
        "{said}"
    );
}
