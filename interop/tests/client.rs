//! Our client against other people's servers.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use lockgate_interop::{IDENTITY, Link, PATIENCE, PSK, PSK_HEX, Process, Relay, free_port, peers};
use lockgate_tokio::dtls::{CipherSuite, Config, SuiteList};
use lockgate_tokio::{Client, ClientError, ClientOptions};

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_mins(1), future)
            .await
            .expect("done within a minute")
    })
}

fn options(suite: CipherSuite) -> ClientOptions {
    let mut options = ClientOptions::new(IDENTITY.as_bytes(), PSK.as_bytes());
    options.config = Config {
        cipher_suites: SuiteList::new(&[suite]),
        ..Config::default()
    };
    options
}

async fn receive(client: &mut Client) -> String {
    let mut buf = [0; 2048];
    let len = client.recv(&mut buf).await.expect("a datagram");
    String::from_utf8_lossy(&buf[..len]).into()
}

fn s_server(cipher: &str, flags: &[&str]) -> (SocketAddr, Process) {
    let address = free_port();
    let accept = address.to_string();
    let mut args = vec!["s_server", "-dtls1_2", "-accept", &accept, "-nocert"];
    args.extend(["-psk", PSK_HEX, "-psk_identity", IDENTITY]);
    args.extend(["-cipher", cipher]);
    args.extend(flags);
    let mut server = Process::start("openssl", &args);
    server.wait_for("ACCEPT");
    (address, server)
}

/// A line each way, with every suite, and goodbye at the end.
fn talks_to_s_server(flags: &[&str]) {
    if !peers::openssl() {
        return;
    }
    for (suite, cipher, _) in suites() {
        let (address, mut server) = s_server(cipher, flags);
        run(async {
            let mut client = Client::connect(address, options(suite))
                .await
                .unwrap_or_else(|error| panic!("{suite}: {error}\n{}", server.output()));
            client.send(b"from the client\n").await.expect("sent");
            server.wait_for("from the client");
            server.type_line("from the server");
            assert_eq!(receive(&mut client).await, "from the server\n");
            client.close().await.expect("closed");
        });
        // s_server tells at the end of the session.
        server.wait_for("DONE");
        assert!(server.output().contains(&format!("CIPHER is {cipher}")));
    }
}

/// Our suites with OpenSSL's and `GnuTLS`'s names.
fn suites() -> impl Iterator<Item = (CipherSuite, &'static str, &'static str)> {
    let ours = [
        CipherSuite::PSK_AES_128_CCM_8,
        CipherSuite::PSK_AES_128_CCM,
        CipherSuite::PSK_AES_256_CCM_8,
        CipherSuite::PSK_AES_256_CCM,
        CipherSuite::PSK_AES_128_GCM_SHA256,
        CipherSuite::PSK_AES_256_GCM_SHA384,
        CipherSuite::PSK_CHACHA20_POLY1305_SHA256,
    ];
    ours.into_iter()
        .zip(peers::SUITES)
        .map(|(suite, (openssl, gnutls))| (suite, openssl, gnutls))
}

#[test]
fn every_suite_works_with_openssl_s_server() {
    talks_to_s_server(&["-nbio"]);
}

#[test]
fn a_hint_and_a_stateless_listen_of_openssl_s_server_are_fine() {
    talks_to_s_server(&["-nbio", "-psk_hint", "whose key is it", "-listen"]);
}

#[test]
fn every_suite_works_with_gnutls_serv() {
    if !peers::gnutls() {
        return;
    }
    let mut keys = tempfile::NamedTempFile::new().expect("a temporary file");
    writeln!(keys, "{IDENTITY}:{PSK_HEX}").expect("written");
    let keys = keys.path().to_str().expect("UTF-8");
    for (suite, _, cipher) in suites() {
        let address = free_port();
        let (port, priority) = (address.port().to_string(), peers::gnutls_priority(cipher));
        let mut args = vec!["--udp", "--echo", "--port", &port, "--pskpasswd", keys];
        args.extend(["--priority", &priority]);
        let mut server = Process::start("gnutls-serv", &args);
        server.wait_for("IPv4");
        run(async {
            let mut client = Client::connect(address, options(suite))
                .await
                .unwrap_or_else(|error| panic!("{suite}: {error}\n{}", server.output()));
            client.send(b"there and back").await.expect("sent");
            assert_eq!(receive(&mut client).await, "there and back");
            client.close().await.expect("closed");
        });
        server.wait_for("EOF");
    }
}

#[test]
fn a_coap_request_is_answered_by_libcoap() {
    for library in ["openssl", "gnutls"] {
        if !peers::libcoap(library) {
            return;
        }
        let plain = free_port();
        let port = plain.port().to_string();
        let args = ["-A", "127.0.0.1", "-p", &port, "-k", PSK, "-v", "7"];
        let mut server = Process::start(&format!("coap-server-{library}"), &args);
        server.wait_for("created DTLS endpoint");
        let secure = SocketAddr::new(plain.ip(), plain.port() + 1);
        run(async {
            let mut client = Client::connect(secure, options(CipherSuite::PSK_AES_128_CCM_8))
                .await
                .unwrap_or_else(|error| panic!("{error}\n{}", server.output()));
            // A confirmable GET of the root, message 0x1234 (RFC 7252 §3), is answered with 2.05.
            client.send(&[0x40, 0x01, 0x12, 0x34]).await.expect("sent");
            let answer = receive(&mut client).await;
            assert!(answer.contains("made with libcoap"), "{answer}");
            client.close().await.expect("closed");
        });
    }
}

#[test]
fn our_client_completes_over_a_bad_link() {
    if !peers::openssl() {
        return;
    }
    for seed in 31..=33 {
        let (address, mut server) = s_server("PSK-AES128-CCM8", &["-nbio"]);
        let relay = Relay::start(address, Link::bad(seed));
        run(async {
            let options = options(CipherSuite::PSK_AES_128_CCM_8);
            let mut client = Client::connect(relay.address(), options)
                .await
                .unwrap_or_else(|error| panic!("seed {seed}: {error}\n{}", server.output()));
            relay.set_link(Link::default());
            client.send(b"through\n").await.expect("sent");
            server.wait_for("through");
        });
    }
}

#[test]
fn a_wrong_key_ends_the_handshake_with_an_error() {
    if !peers::openssl() {
        return;
    }
    let (address, _server) = s_server("PSK-AES128-CCM8", &["-nbio"]);
    let mut options = options(CipherSuite::PSK_AES_128_CCM_8);
    options.psk = b"another key".to_vec();
    options.config.handshake_timeout = Duration::from_secs(3);
    let outcome = run(Client::connect(address, options));
    assert!(
        matches!(outcome, Err(ClientError::Handshake(_))),
        "{:?}",
        outcome.err()
    );
}

#[test]
fn no_server_is_an_error_at_once() {
    let begun = std::time::Instant::now();
    let nobody = free_port();
    let outcome = run(Client::connect(
        nobody,
        options(CipherSuite::PSK_AES_128_CCM_8),
    ));
    assert!(
        matches!(outcome, Err(ClientError::Io(_))),
        "{:?}",
        outcome.err()
    );
    assert!(begun.elapsed() < PATIENCE / 4);
}
