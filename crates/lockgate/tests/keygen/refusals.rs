//! What is refused, and that nothing is harmed then.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    process::{Command, Stdio},
};

use crate::{fails, failure, folder, made, mode, names, openssl_ok, skipped};

#[test]
fn keys_are_for_their_owner_and_nothing_is_replaced_unasked() {
    let dir = folder();
    let dir = dir.path();
    made(dir, "ca --out pki");
    made(dir, "device --ca pki --out pki dev");
    made(dir, "raw --out pki raw");
    let pki = dir.join("pki");
    for name in names(&pki) {
        let expected = if name.ends_with("-key.pem") {
            0o600
        } else {
            0o644
        };
        assert_eq!(mode(&pki.join(&name)), expected, "{name}");
    }
    let before = names(&pki);
    let read = || -> Vec<_> {
        before
            .iter()
            .map(|n| fs::read(pki.join(n)).unwrap())
            .collect()
    };
    let contents = read();
    for line in [
        "ca --out pki",
        "device --ca pki --out pki other dev",
        "raw --out pki raw",
        "crl --ca pki --out pki/ca-key.pem",
        "psk --out pki/ca-key.pem",
    ] {
        let said = fails(dir, line);
        assert!(said.ends_with("exists (--force replaces it)"), "{said}");
    }
    assert_eq!(names(&pki), before);
    assert_eq!(read(), contents);

    // One of two is enough to write neither.
    fs::remove_file(pki.join("raw-key.pem")).unwrap();
    assert!(fails(dir, "raw --out pki raw").starts_with("pki/raw-pub.pem exists"));
    assert!(!pki.join("raw-key.pem").exists());

    // A replaced file is a new one: neither its mode nor where a link led to matters.
    fs::set_permissions(pki.join("ca-key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let elsewhere = dir.join("elsewhere");
    symlink(&elsewhere, pki.join("raw-key.pem")).unwrap();
    assert!(fails(dir, "raw --out pki raw").starts_with("pki/raw-key.pem exists"));
    made(dir, "ca --out pki --force");
    made(dir, "raw --out pki --force raw");
    assert_eq!(mode(&pki.join("ca-key.pem")), 0o600);
    assert!(!elsewhere.exists());
    assert_eq!(names(&pki), before);
}

#[test]
fn of_many_at_once_one_wins_and_its_files_belong_together() {
    if skipped() {
        return;
    }
    let dir = folder();
    let dir = dir.path();
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_lockgate"))
            .args(["keygen", "ca", "--out", "pki"])
            .current_dir(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let running: Vec<_> = (0..8).map(|_| start()).collect();
    let won = running
        .into_iter()
        .filter_map(|mut process| process.wait().unwrap().code())
        .filter(|&code| code == 0)
        .count();
    assert_eq!(won, 1);
    assert_eq!(names(&dir.join("pki")), ["ca-key.pem", "ca.pem"]);
    assert_eq!(
        openssl_ok(dir, "x509 -in pki/ca.pem -noout -pubkey"),
        openssl_ok(dir, "pkey -in pki/ca-key.pem -pubout")
    );
}

#[test]
fn wrong_words_are_named() {
    let dir = folder();
    let dir = dir.path();
    made(dir, "ca --out pki");
    let long = "x".repeat(65);
    let server = ["server", "--ca", "pki", "--out", "new"];
    let device = ["device", "--ca", "pki", "--out", "new"];
    let raw = ["raw", "--out", "new"];
    let psk = ["psk"];
    let neither = "is neither a DNS name nor an IP address";
    let identity = "y".repeat(129);
    let cases: &[(&[&str], &str, &str)] = &[
        (&server, "https://a.example", neither),
        (&server, "a.example:5684", neither),
        (&server, "[::1]", neither),
        (&server, "a.example.", neither),
        (&server, "*.", neither),
        (&server, "a.*.example", neither),
        (&server, "300.1.1.1", neither),
        (&server, "gäte.example", "xn--"),
        (&device, "a/b", "has a slash"),
        (&device, "..", "begins with a dot"),
        (&device, "", "is empty"),
        (&device, "ca", "is taken"),
        (&device, "a\nb", "has a control character"),
        (&device, &long, "is longer than 64 characters"),
        (&raw, "a b", "has a blank"),
        (&raw, "#a", "has a #"),
        (&psk, "a\nb", "has a control character"),
        (&psk, "", "is empty"),
        (&psk, &identity, "is longer than 128 bytes"),
    ];
    for (command, word, says) in cases {
        let mut args = command.to_vec();
        args.push(word);
        let said = failure(dir, &args);
        assert!(said.contains(says), "{word:?}: {said}");
    }
    for (line, says) in [
        ("", "requires a subcommand"),
        ("frob", "'frob'"),
        ("ca", "--out <DIR>"),
        ("server --ca pki --out new", "<NAME>"),
        ("device --ca pki --out new", "no device: give IDs"),
        ("device --ca pki --out new --count 0", "0 is not in 1.."),
        ("device --ca pki --out new --count 2 a", "cannot be used"),
        ("device --ca pki --out new a b a", "would be written twice"),
        (
            "device --ca pki --out new a a-key",
            "would be written twice",
        ),
        ("psk a a", "comes twice"),
        ("psk --bytes 7", "7 is not in 8..=64"),
        ("psk --bytes 65", "65 is not in 8..=64"),
        ("ca --out new --days 0", "0 is not in"),
        ("ca --out new --not-before 2026-02-30", "expected a date"),
        ("ca --out new --not-before 26-02-01", "expected a date"),
        ("ca --out new --algorithm dsa", "[possible values: p256"),
        ("ca --out pki/ca.pem/x", "cannot be made"),
        (
            "psk --out nowhere/x",
            "nowhere/x: cannot be written: No such",
        ),
        ("psk --out /", "exists"),
    ] {
        let said = fails(dir, line);
        assert!(said.contains(says), "{line}: {said}");
    }
    assert_eq!(names(dir), ["pki"]);

    // A folder cannot be replaced by a file, and leaves nothing behind.
    fs::create_dir(dir.join("keys.csv")).unwrap();
    let said = fails(dir, "psk --out keys.csv --force");
    assert!(
        said.starts_with("keys.csv: cannot be written: Is a directory"),
        "{said}"
    );
    assert_eq!(names(dir), ["keys.csv", "pki"]);
}

#[test]
fn an_authority_that_cannot_be_used_is_named() {
    if skipped() {
        return;
    }
    let dir = folder();
    let dir = dir.path();
    let try_it = || fails(dir, "server --ca pki --out new a.example");
    assert!(try_it().starts_with("pki: holds no ca.pem"));
    made(dir, "ca --out pki");
    made(dir, "ca --out other");
    let [certificate, key] = ["pki/ca.pem", "pki/ca-key.pem"].map(|p| dir.join(p));
    let kept = [&certificate, &key].map(|p| fs::read(p).unwrap());

    fs::copy(dir.join("other/ca-key.pem"), &key).unwrap();
    assert_eq!(
        try_it(),
        "pki/ca.pem: does not belong to the key in pki/ca-key.pem"
    );
    openssl_ok(
        dir,
        "pkcs8 -topk8 -in other/ca-key.pem -passout pass:x -out pki/ca-key.pem",
    );
    assert!(try_it().starts_with("pki/ca-key.pem: the key is encrypted"));
    fs::write(&key, "-----BEGIN ").unwrap();
    assert_eq!(try_it(), "pki/ca-key.pem: holds no private key in PEM");
    fs::write(&key, [0x30, 0]).unwrap();
    assert!(try_it().starts_with("pki/ca-key.pem: is no private key"));
    fs::remove_file(&key).unwrap();
    assert!(try_it().starts_with("pki/ca-key.pem: cannot be read: No such file"));
    fs::create_dir(&key).unwrap();
    assert_eq!(try_it(), "pki/ca-key.pem: is not a regular file");
    fs::remove_dir(&key).unwrap();
    fs::write(&key, &kept[1]).unwrap();

    fs::write(&certificate, "nothing").unwrap();
    assert_eq!(try_it(), "pki/ca.pem: is no certificate");
    fs::write(&certificate, &kept[1]).unwrap();
    assert_eq!(try_it(), "pki/ca.pem: holds no certificate");
    fs::write(&certificate, vec![b'-'; 2 << 20]).unwrap();
    assert_eq!(
        try_it(),
        "pki/ca.pem: is longer than any certificate or key"
    );
    fs::write(&certificate, &kept[0]).unwrap();
    made(dir, "server --ca pki --out leaf a.example");
    fs::copy(dir.join("leaf/server.pem"), &certificate).unwrap();
    fs::copy(dir.join("leaf/server-key.pem"), &key).unwrap();
    assert_eq!(try_it(), "pki/ca.pem: is the certificate of no authority");
    assert!(!dir.join("new").exists());
}
