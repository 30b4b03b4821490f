//! Datagrams and records that must stay small.

use lockgate_interop::{Direction, Echo, Link, PSK_HEX, Proxy, Relay, Seen, peers};

const HANDSHAKE: u8 = 22;

fn longest(seen: &[Seen], direction: Direction, content_type: u8) -> usize {
    seen.iter()
        .filter(|seen| seen.direction == direction && seen.content_type() == content_type)
        .map(|seen| seen.bytes.len())
        .max()
        .expect("there was one")
}

#[test]
fn a_client_with_a_small_mtu_gets_in() {
    if !peers::openssl() {
        return;
    }
    let backend = Echo::start();
    let identity = "x".repeat(128);
    let key = format!("{identity}:{PSK_HEX}");
    let proxy = Proxy::start(backend.address(), &["--psk", &key]);
    let relay = Relay::start(proxy.address(), Link::default());
    // The least that OpenSSL takes. One suite only, because a ClientHello in fragments is refused: keeping its pieces
    // would need memory for a peer that has not proved its address.
    let flags = [
        "-mtu",
        "256",
        "-cipher",
        "PSK-AES128-CCM8",
        "-psk_identity",
        &identity,
    ];
    let mut client = peers::s_client(relay.address(), &flags);
    client.wait_for("Extended master secret: yes");
    peers::echo(&mut client, "small is fine");
    assert!(longest(&relay.seen(), Direction::Up, HANDSHAKE) <= 256);
}

#[test]
fn flights_of_the_proxy_stay_within_its_mtu() {
    if !peers::openssl() {
        return;
    }
    let backend = Echo::start();
    let proxy = Proxy::start(backend.address(), &["--mtu", "256"]);
    let relay = Relay::start(proxy.address(), Link::default());
    let mut client = peers::s_client(relay.address(), &[]);
    client.wait_for("Extended master secret: yes");
    peers::echo(&mut client, "small is fine");
    assert!(longest(&relay.seen(), Direction::Down, HANDSHAKE) <= 256);
}

#[test]
fn openssl_asks_for_a_max_fragment_length_and_gets_it() {
    if !peers::openssl() {
        return;
    }
    let backend = Echo::start();
    let proxy = Proxy::start(backend.address(), &[]);
    let relay = Relay::start(proxy.address(), Link::default());
    let mut client = peers::s_client(relay.address(), &["-maxfraglen", "512"]);
    client.wait_for("Extended master secret: yes");
    peers::echo(&mut client, &"x".repeat(400));
    // RFC 6066 §4: extension 1, one byte, 1 for 512.
    let agreed = [0, 1, 0, 1, 1];
    let answered = relay.seen().iter().any(|seen| {
        seen.direction == Direction::Down
            && seen.content_type() == HANDSHAKE
            && seen.bytes.windows(agreed.len()).any(|w| w == agreed)
    });
    assert!(answered, "the ServerHello repeats the extension");
}

#[test]
fn gnutls_offers_a_record_size_limit_and_the_session_works() {
    if !peers::gnutls() {
        return;
    }
    let backend = Echo::start();
    let proxy = Proxy::start(backend.address(), &[]);
    let priority = peers::gnutls_priority("AES-128-CCM-8");
    let flags = ["--recordsize", "512"];
    let mut client = peers::gnutls_cli(proxy.address(), &priority, &flags);
    client.wait_for("- Simple Client Mode:");
    peers::echo(&mut client, &"x".repeat(400));
}
