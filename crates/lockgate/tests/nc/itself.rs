//! Both ends are ours.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::process::Process;
use crate::{PSK, Papers};

#[test]
fn a_word_goes_there_and_back_and_end_of_input_is_exit_0() {
    let (mut server, port) = Process::listener(&["--psk", PSK]);
    let mut client = Process::nc(&["127.0.0.1", &port, "--psk", PSK, "-v"]);
    client.say("hello\n");
    server.wait_for("hello");
    server.say("you too\n");
    client.wait_for("you too");
    let said = client.wait_for_stderr("largest datagram");
    assert!(
        said.contains("DTLS 1.2, TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256, x25519"),
        "{said}"
    );
    assert!(server.stderr().contains("identity Client_identity"));
    client.end_input();
    assert_eq!(client.ended(), Some(0));
    server.wait_for_stderr("127.0.0.1:");
    server.end_input();
    assert_eq!(server.ended(), Some(0));
    assert_eq!(
        (server.stdout().as_str(), client.stdout().as_str()),
        ("hello\n", "you too\n")
    );
}

#[test]
fn the_handshake_can_be_read() {
    let papers = Papers::new();
    let (ca, cert, key) = (
        papers.name("ca.pem"),
        papers.name("server.pem"),
        papers.name("server.key"),
    );
    let (_server, port) = Process::listener(&["--cert", &cert, "--key", &key]);
    let mut client = Process::nc(&["-vv", "--cafile", &ca, "localhost", &port, "-4"]);
    let said = client.wait_for_stderr("SHA-256 of its key");
    for wanted in [
        "> 127.0.0.1:",
        "bytes: ClientHello\n",
        "HelloVerifyRequest (cookie)",
        "ServerKeyExchange",
        "ServerHelloDone",
        "ChangeCipherSpec Finished (encrypted",
        "certificate: CN=localhost",
        "for: dns:localhost",
        "issuer: CN=Test CA",
        "valid: ",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    ] {
        assert!(said.contains(wanted), "no {wanted:?} in {said}");
    }
    client.end_input();
    assert_eq!(client.ended(), Some(0));
}

#[test]
fn certificates_both_ways() {
    let papers = Papers::new();
    let file = |name: &str| papers.name(name);
    let (server, port) = Process::listener(&[
        "--cert",
        &file("server.pem"),
        "--key",
        &file("server.key"),
        "--cafile",
        &file("ca.pem"),
    ]);
    let mut client = Process::nc(&[
        "127.0.0.1",
        &port,
        "--cafile",
        &file("ca.pem"),
        "--servername",
        "localhost",
        "-c",
        &file("device.pem"),
        "-k",
        &file("device.key"),
        "--send-only",
    ]);
    client.say("mutual\n");
    server.wait_for("mutual");
    server.wait_for_stderr("certificate: CN=device-1");
    client.end_input();
    assert_eq!(client.ended(), Some(0));
}

#[test]
fn raw_public_keys_both_ways() {
    let papers = Papers::new();
    let file = |name: &str| papers.name(name);
    let (server, port) = Process::listener(&[
        "--key",
        &file("server.key"),
        "--peer-keys",
        &file("device.pub"),
    ]);
    let mut client = Process::nc(&[
        "127.0.0.1",
        &port,
        "--key",
        &file("device.key"),
        "--peer-keys",
        &file("server.pub"),
        "-v",
    ]);
    client.say("raw\n");
    server.wait_for("raw");
    client.wait_for_stderr("raw public key");
    client.end_input();
    assert_eq!(client.ended(), Some(0));
}

#[test]
fn nobody_needs_a_name_where_that_is_asked_for() {
    let (server, port) = Process::listener(&["--insecure"]);
    let mut client = Process::nc(&["127.0.0.1", &port, "--insecure", "-v"]);
    client.say("anonymous\n");
    server.wait_for("anonymous");
    client.wait_for_stderr("NOT VERIFIED");
    client.end_input();
    assert_eq!(client.ended(), Some(0));
}

#[test]
fn sessions_and_secrets_are_kept_for_their_owner_alone() {
    let papers = Papers::new();
    let file = |name: &str| papers.name(name);
    let (session, log) = (file("session"), file("keys.log"));
    let (server, port) =
        Process::listener(&["--cert", &file("server.pem"), "--key", &file("server.key")]);
    let ca = file("ca.pem");
    let common = [
        "127.0.0.1",
        &port,
        "--cafile",
        &ca,
        "--servername",
        "localhost",
        "--send-only",
        "-v",
    ];
    std::fs::write(papers.path("session"), "of somebody else").unwrap();
    std::fs::set_permissions(
        papers.path("session"),
        std::fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    let first = ["--sess-out", &session, "--keylogfile", &log];
    let mut client = Process::nc(&[&common[..], &first].concat());
    client.say("first\n");
    client.end_input();
    assert_eq!(client.ended(), Some(0), "{}", client.stderr());
    assert!(!client.stderr().contains("resumed"));
    for name in ["session", "keys.log"] {
        let mode = std::fs::metadata(papers.path(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.starts_with("CLIENT_RANDOM "), "{log}");
    let mut client = Process::nc(&[&common[..], &["--sess-in", &session]].concat());
    client.say("second\n");
    server.wait_for("second");
    client.end_input();
    assert_eq!(client.ended(), Some(0));
    assert!(client.stderr().contains("resumed"), "{}", client.stderr());
}

#[test]
fn a_client_that_moves_is_known_by_its_connection_id() {
    let (server, port) = Process::listener(&["--psk", PSK]);
    let mut client = Process::nc(&[
        "127.0.0.1",
        &port,
        "--psk",
        PSK,
        "--cid",
        "--rebind",
        "--line",
        "-v",
    ]);
    for word in ["one\n", "two\n", "three\n"] {
        client.say(word);
        server.wait_for(word.trim());
    }
    let moves = client.stderr().matches("now from").count();
    assert_eq!(moves, 2, "{}", client.stderr());
    client.end_input();
    assert_eq!(client.ended(), Some(0));
}

#[test]
fn twenty_clients_at_once_and_input_for_all_of_them() {
    let (mut server, port) = Process::listener(&["--psk", PSK, "--line"]);
    let mut clients: Vec<_> = (0..20)
        .map(|_| Process::nc(&["127.0.0.1", &port, "--psk", PSK]))
        .collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.say(&format!("client {number}.\n"));
    }
    for number in 0..20 {
        server.wait_for(&format!("client {number}."));
    }
    server.say("to all of you\n");
    for client in &mut clients {
        client.wait_for("to all of you");
        client.end_input();
    }
    for client in &mut clients {
        assert_eq!(client.ended(), Some(0));
    }
    server.end_input();
    assert_eq!(server.ended(), Some(0));
}

#[test]
fn input_is_cut_into_lines_or_into_what_was_read() {
    let (server, port) = Process::listener(&["--psk", PSK, "--recv-only", "-x", "/dev/stderr"]);
    let mut client = Process::nc(&["127.0.0.1", &port, "--psk", PSK, "--line", "--send-only"]);
    client.say("a\nbc\ndef\n");
    client.end_input();
    assert_eq!(client.ended(), Some(0));
    server.wait_for("def");
    let said = server.wait_for_stderr("< 4 bytes");
    assert!(
        said.contains("< 2 bytes") && said.contains("< 3 bytes"),
        "{said}"
    );
    // More than a record holds, and more than fits the path.
    let long = "x".repeat(40_000);
    let mut client = Process::nc(&["127.0.0.1", &port, "--psk", PSK, "--send-only"]);
    client.say(&long);
    client.say("end\n");
    client.end_input();
    assert_eq!(client.ended(), Some(0));
    server.wait_for("end");
    let received = server.stdout().matches('x').count();
    assert_eq!(received, 40_000);
}

#[test]
fn signals_say_goodbye() {
    for signal in [Signal::INT, Signal::TERM] {
        let (mut server, port) = Process::listener(&["--psk", PSK]);
        let mut client = Process::nc(&["127.0.0.1", &port, "--psk", PSK]);
        client.say("here\n");
        server.wait_for("here");
        server.signal(signal);
        assert_eq!(server.ended(), Some(0));
        // It was told, and its input is still open.
        assert_eq!(client.ended(), Some(0));
    }
}
