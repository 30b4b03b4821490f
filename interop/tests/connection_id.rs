//! Connection IDs (RFC 9146) with Mbed TLS, in both roles: sessions that outlive their addresses.
//!
//! Debian ships no peer with connection IDs. `interop/peers` builds one from the sources in a crate; that needs cmake,
//! libclang and a minute or two, and `./test` does it.

use std::net::SocketAddr;
use std::time::Duration;

use lockgate_interop::{
    Direction, Echo, IDENTITY, Link, PSK, PSK_HEX, Process, Proxy, Relay, free_port, peers,
};
use lockgate_tokio::dtls::{CidConfig, CipherSuite, Config, SuiteList};
use lockgate_tokio::{Client, ClientOptions};

const APPLICATION_DATA: u8 = 23;
const HANDSHAKE: u8 = 22;
const TLS12_CID: u8 = 25;

/// Mbed TLS in `role`, or `None` when it is not there and need not be.
fn peer(role: &str, address: SocketAddr, suite: CipherSuite, cid: &str) -> Option<Process> {
    let program = peers::mbedtls()?;
    let (address, suite) = (address.to_string(), format!("{:04x}", suite.0));
    let args = [role, &address, IDENTITY, PSK_HEX, &suite, cid];
    Some(Process::start(&program, &args))
}

fn behind_relay(flags: &[&str]) -> (Echo, Proxy, Relay) {
    let backend = Echo::start();
    let proxy = Proxy::start(backend.address(), flags);
    let relay = Relay::start(proxy.address(), Link::default());
    (backend, proxy, relay)
}

fn handshake_records(relay: &Relay) -> usize {
    let seen = relay.seen();
    seen.iter()
        .filter(|seen| seen.content_type() == HANDSHAKE)
        .count()
}

/// Connects, changes the port twice in the middle of the session, and goes on without a handshake.
fn follows_with(suite: CipherSuite) {
    let (backend, mut proxy, relay) = behind_relay(&["-v"]);
    let Some(mut client) = peer("client", relay.address(), suite, "c1d0") else {
        return;
    };
    let line = client.wait_for("connected ");
    assert!(line.contains("cid=on"), "{line}");
    peers::echo(&mut client, "at home");
    let handshake = handshake_records(&relay);
    for line in ["behind another port", "and behind a third"] {
        let address = relay.rebind();
        peers::echo(&mut client, line);
        let moved = proxy.wait_for_log("session moved");
        assert!(moved.to_string().contains(&address.to_string()), "{moved}");
    }
    assert_eq!(handshake_records(&relay), handshake, "no new handshake");
    let protected = relay.seen().split_off(handshake);
    for direction in [Direction::Up, Direction::Down] {
        let mut records = protected.iter().filter(|seen| seen.direction == direction);
        assert!(records.any(|seen| seen.content_type() == TLS12_CID));
    }
    assert_eq!(backend.datagrams(), 3);
    client.end_input();
    assert!(client.wait().success());
    proxy.stop();
}

#[test]
fn a_session_with_ccm_8_follows_mbedtls_to_other_ports() {
    follows_with(CipherSuite::PSK_AES_128_CCM_8);
}

#[test]
fn a_session_with_gcm_follows_mbedtls_to_other_ports() {
    follows_with(CipherSuite::PSK_AES_128_GCM_SHA256);
}

#[test]
fn a_session_with_sha384_follows_mbedtls_to_other_ports() {
    follows_with(CipherSuite::PSK_AES_256_GCM_SHA384);
}

#[test]
fn a_session_with_chacha20_follows_mbedtls_to_other_ports() {
    follows_with(CipherSuite::PSK_CHACHA20_POLY1305_SHA256);
}

#[test]
fn a_client_that_wants_no_cid_itself_uses_ours() {
    let (_backend, _proxy, relay) = behind_relay(&["--cid-length", "12"]);
    let suite = CipherSuite::PSK_AES_128_CCM_8;
    let Some(mut client) = peer("client", relay.address(), suite, "") else {
        return;
    };
    let line = client.wait_for("connected ");
    let (_, cid) = line.rsplit_once("peer_cid=").expect("the proxy's CID");
    assert_eq!(cid.len(), 24, "twelve bytes: {line}");
    peers::echo(&mut client, "one way is enough");
    relay.rebind();
    peers::echo(&mut client, "to be followed");
    let data = |seen: &lockgate_interop::Seen| seen.content_type() == APPLICATION_DATA;
    let down = relay.seen();
    assert!(
        down.iter()
            .any(|s| s.direction == Direction::Down && data(s)),
        "records to a client without a CID are plain ones"
    );
}

#[test]
fn without_the_extension_there_is_no_cid() {
    let (_backend, _proxy, relay) = behind_relay(&[]);
    let suite = CipherSuite::PSK_AES_128_CCM_8;
    let Some(mut client) = peer("client", relay.address(), suite, "-") else {
        return;
    };
    let line = client.wait_for("connected ");
    assert!(line.contains("cid=off"), "{line}");
    peers::echo(&mut client, "the old way");
    assert!(relay.seen().iter().all(|s| s.content_type() != TLS12_CID));
}

#[test]
fn mbedtls_completes_over_a_bad_link() {
    for seed in 41..=43 {
        let backend = Echo::start();
        let proxy = Proxy::start(backend.address(), &[]);
        let relay = Relay::start(proxy.address(), Link::bad(seed));
        let suite = CipherSuite::PSK_AES_128_CCM_8;
        let Some(mut client) = peer("client", relay.address(), suite, "c1d0") else {
            return;
        };
        client.wait_for_within("connected ", Duration::from_mins(1));
        relay.set_link(Link::default());
        peers::echo(&mut client, "through");
    }
}

#[test]
fn our_client_talks_to_mbedtls_with_connection_ids_both_ways() {
    let address = free_port();
    let suite = CipherSuite::PSK_AES_128_CCM_8;
    let Some(mut server) = peer("server", address, suite, "5e7f3e") else {
        return;
    };
    server.wait_for("listening on");
    let mut options = ClientOptions::new(IDENTITY.as_bytes(), PSK.as_bytes());
    options.config = Config {
        cipher_suites: SuiteList::new(&[suite]),
        cid: CidConfig::Length(8),
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut client = Client::connect(address, options)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", server.output()));
        let info = client.info().expect("connected");
        assert_eq!(info.peer_cid.as_slice(), [0x5E, 0x7F, 0x3E]);
        client.send(b"from the client").await.expect("sent");
        server.wait_for("received from the client");
        client.rebind().await.expect("another port");
        client.send(b"from elsewhere").await.expect("sent");
        server.wait_for("received from elsewhere");
        server.type_line("from the server");
        let mut buf = [0; 64];
        let len = client.recv(&mut buf).await.expect("a datagram");
        assert_eq!(&buf[..len], b"from the server");
        client.close().await.expect("closed");
    });
    server.wait_for("closed");
}
