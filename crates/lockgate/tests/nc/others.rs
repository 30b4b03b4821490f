//! Against `openssl` and `gnutls`, in both roles.

use crate::process::{Process, free_port};
use crate::{PSK, Papers};

const IDENTITY: &str = "Client_identity";

/// A word each way, then the end.
fn talk(client: &mut Process, server: &mut Process) {
    client.say("from the client\n");
    server.wait_for("from the client");
    server.say("from the server\n");
    client.wait_for("from the server");
}

#[test]
fn openssl_servers() {
    let papers = Papers::new();
    let file = |name: &str| papers.name(name);
    let ca = file("ca.pem");
    let (cert, key) = (file("server.pem"), file("server.key"));
    let (own, own_key) = (file("device.pem"), file("device.key"));
    let psk: [&[&str]; 2] = [
        &[
            "-nocert",
            "-psk_identity",
            IDENTITY,
            "-psk",
            PSK,
            "-cipher",
            "PSK",
        ],
        &["--psk", PSK],
    ];
    let x509: [&[&str]; 2] = [
        &["-cert", &cert, "-key", &key],
        &["--cafile", &ca, "--servername", "localhost"],
    ];
    let mutual: [&[&str]; 2] = [
        &[
            "-cert",
            &cert,
            "-key",
            &key,
            "-CAfile",
            &ca,
            "-Verify",
            "2",
            "-verify_return_error",
        ],
        &[
            "--cafile",
            &ca,
            "--servername",
            "localhost",
            "--cert",
            &own,
            "--key",
            &own_key,
        ],
    ];
    for [theirs, ours] in [psk, x509, mutual] {
        let address = free_port();
        let (port, place) = (address.port().to_string(), address.to_string());
        let start = ["s_server", "-dtls1_2", "-nbio", "-accept", &place];
        let mut server = Process::start("openssl", &[&start[..], theirs].concat());
        server.wait_for("ACCEPT");
        let mut client = Process::nc(&[&["127.0.0.1", &port][..], ours].concat());
        talk(&mut client, &mut server);
        client.end_input();
        assert_eq!(client.ended(), Some(0));
    }
}

#[test]
fn openssl_clients() {
    let papers = Papers::new();
    let file = |name: &str| papers.name(name);
    let ca = file("ca.pem");
    let (cert, key) = (file("server.pem"), file("server.key"));
    let (own, own_key) = (file("device.pem"), file("device.key"));
    let psk: [&[&str]; 2] = [
        &["-psk_identity", IDENTITY, "-psk", PSK, "-cipher", "PSK"],
        &["--psk", PSK],
    ];
    let x509: [&[&str]; 2] = [
        &[
            "-CAfile",
            &ca,
            "-verify_return_error",
            "-verify_hostname",
            "localhost",
        ],
        &["--cert", &cert, "--key", &key],
    ];
    let mutual: [&[&str]; 2] = [
        &[
            "-CAfile",
            &ca,
            "-verify_return_error",
            "-cert",
            &own,
            "-key",
            &own_key,
        ],
        &["--cert", &cert, "--key", &key, "--cafile", &ca],
    ];
    for [theirs, ours] in [psk, x509, mutual] {
        let (mut server, port) = Process::listener(ours);
        let place = format!("127.0.0.1:{port}");
        let start = ["s_client", "-dtls1_2", "-nbio", "-connect", &place];
        let mut client = Process::start("openssl", &[&start[..], theirs].concat());
        talk(&mut client, &mut server);
        server.end_input();
        assert_eq!(server.ended(), Some(0));
    }
}

#[test]
fn gnutls_servers() {
    let papers = Papers::new();
    let file = |name: &str| papers.name(name);
    let ca = file("ca.pem");
    let (cert, key, public) = (file("server.pem"), file("server.key"), file("server.pub"));
    let keys = file("keys");
    std::fs::write(papers.path("keys"), format!("{IDENTITY}:{PSK}\n")).unwrap();
    let psk: (&str, &[&str], &[&str]) = ("PSK", &["--pskpasswd", &keys], &["--psk", PSK]);
    let x509: (&str, &[&str], &[&str]) = (
        "ECDHE-ECDSA",
        &["--x509certfile", &cert, "--x509keyfile", &key],
        &["--cafile", &ca, "--servername", "localhost"],
    );
    let raw: (&str, &[&str], &[&str]) = (
        "ECDHE-ECDSA:-CTYPE-ALL:+CTYPE-SRV-RAWPK:+CTYPE-CLI-RAWPK",
        &["--rawpkfile", &public, "--rawpkkeyfile", &key],
        &["--peer-keys", &public],
    );
    for (exchange, theirs, ours) in [psk, x509, raw] {
        let port = free_port().port().to_string();
        let priority = format!("NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+{exchange}");
        let start = [
            "--udp",
            "--echo",
            "--disable-client-cert",
            "--port",
            &port,
            "--priority",
            &priority,
        ];
        let server = Process::start("gnutls-serv", &[&start[..], theirs].concat());
        server.wait_for_stderr("IPv4");
        let mut client = Process::nc(&[&["127.0.0.1", &port][..], ours].concat());
        client.say("back to me\n");
        client.wait_for("back to me");
        client.end_input();
        assert_eq!(client.ended(), Some(0));
    }
}

#[test]
fn gnutls_clients() {
    let papers = Papers::new();
    let file = |name: &str| papers.name(name);
    let ca = file("ca.pem");
    let (cert, key) = (file("server.pem"), file("server.key"));
    let psk: (&str, &[&str], &[&str]) = (
        "PSK",
        &["--pskusername", IDENTITY, "--pskkey", PSK],
        &["--psk", PSK],
    );
    let x509: (&str, &[&str], &[&str]) = (
        "ECDHE-ECDSA",
        &["--x509cafile", &ca, "--verify-hostname", "localhost"],
        &["--cert", &cert, "--key", &key],
    );
    let raw: (&str, &[&str], &[&str]) = (
        "ECDHE-ECDSA:-CTYPE-ALL:+CTYPE-SRV-RAWPK:+CTYPE-CLI-RAWPK",
        &["--insecure"],
        &["--key", &key],
    );
    for (exchange, theirs, ours) in [psk, x509, raw] {
        let (mut server, port) = Process::listener(ours);
        let priority = format!("NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+{exchange}");
        let start = [
            "--udp",
            "--port",
            &port,
            "--priority",
            &priority,
            "127.0.0.1",
        ];
        let mut client = Process::start("gnutls-cli", &[&start[..], theirs].concat());
        talk(&mut client, &mut server);
        server.end_input();
        assert_eq!(server.ended(), Some(0));
    }
}
