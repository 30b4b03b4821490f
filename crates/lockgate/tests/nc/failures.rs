//! One line that says what is wrong and what to do, and exit 1.

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{Process, free_port};
use crate::{PSK, Papers};

/// Runs a client that must fail, and returns its one line.
fn fails(args: &[&str]) -> String {
    let mut client = Process::nc(args);
    assert_eq!(client.ended(), Some(1), "{}", client.stderr());
    let said = client.stderr();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("lockgate: "), "{said}");
    said
}

#[test]
fn places_that_are_none() {
    let said = fails(&["nobody.invalid", "5684", "--psk", PSK]);
    assert!(
        said.contains("nobody.invalid: cannot find its address"),
        "{said}"
    );
    let port = free_port().port().to_string();
    let said = fails(&["127.0.0.1", &port, "--psk", PSK]);
    assert!(said.contains("nobody listens there"), "{said}");
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let said = fails(&["127.0.0.1", &port, "--psk", PSK, "-w", "1500ms"]);
    assert!(said.contains("no answer in 1.5s to 2 datagrams"), "{said}");
    let said = fails(&["127.0.0.1", "--psk", PSK]);
    assert!(said.contains("give the host and the port"), "{said}");
}

#[test]
fn nothing_to_prove_or_to_check_by() {
    assert!(fails(&["127.0.0.1", "5684"]).contains("--cafile"));
    assert!(fails(&["-l"]).contains("--insecure to make up a certificate"));
    assert!(fails(&["127.0.0.1", "5684", "--psk", "0"]).contains("hexadecimal"));
    assert!(fails(&["127.0.0.1", "5684", "--cafile", "/nowhere"]).contains("/nowhere"));
    let papers = Papers::new();
    let (ca, cert) = (papers.name("ca.pem"), papers.name("server.pem"));
    assert!(
        fails(&["127.0.0.1", "5684", "--cafile", &ca, "--sess-in", &cert])
            .contains("this is no session")
    );
}

#[test]
fn keys_that_differ() {
    let (server, port) = Process::listener(&["--psk", PSK, "--psk-identity", "door", "-w", "2"]);
    let said = fails(&[
        "127.0.0.1",
        &port,
        "--psk",
        "00ff",
        "--psk-identity",
        "door",
        "-w",
        "3",
    ]);
    assert!(said.contains("check --psk and --psk-identity"), "{said}");
    server.wait_for_stderr("the keys differ");
}

#[test]
fn certificates_that_do_not_do() {
    let papers = Papers::new();
    let file = |name: &str| papers.name(name);
    let ca = file("ca.pem");
    let (_server, port) = Process::listener(&[
        "--cert",
        &file("server.pem"),
        "--key",
        &file("server.key"),
        "--cafile",
        &ca,
    ]);
    let common = ["127.0.0.1", &port, "--cafile", &ca];
    let said = fails(&[&common[..], &["--servername", "localhost"]].concat());
    assert!(
        said.contains("the server asked for a client certificate: give --cert and --key"),
        "{said}"
    );
    let said = fails(&common);
    assert!(
        said.contains("for another name") && said.contains("--servername"),
        "{said}"
    );
    let said = fails(&[
        "127.0.0.1",
        &port,
        "--cafile",
        &file("device.pem"),
        "--servername",
        "localhost",
    ]);
    assert!(
        said.contains("issuer is not known") && said.contains("--cafile"),
        "{said}"
    );
    let said = fails(&["127.0.0.1", &port, "--psk", PSK]);
    assert!(said.contains("no cipher suite in common"), "{said}");
}

#[test]
fn a_certificate_that_has_expired() {
    let papers = Papers::new();
    let file = |name: &str| papers.name(name);
    let (_server, port) =
        Process::listener(&["--cert", &file("short.pem"), "--key", &file("short.key")]);
    std::thread::sleep(Duration::from_millis(3500));
    let said = fails(&[
        "127.0.0.1",
        &port,
        "--cafile",
        &file("ca.pem"),
        "--servername",
        "localhost",
    ]);
    assert!(said.contains("has expired"), "{said}");
}

#[test]
fn nobody_reads_standard_output() {
    let (mut server, port) = Process::listener(&["--psk", PSK]);
    let mut client = Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .args(["nc", "127.0.0.1", &port, "--psk", PSK])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(client.stdout.take());
    let input = client.stdin.take();
    server.wait_for_stderr("identity Client_identity");
    server.say("into the void\n");
    let output = client.wait_with_output().unwrap();
    drop(input);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        "lockgate: standard output: nobody reads it any more\n"
    );
}
