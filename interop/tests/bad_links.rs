//! Sessions over a link that loses one datagram of ten, repeats some and reorders others.

use std::time::Duration;

use lockgate_interop::{Echo, Link, Process, Proxy, Relay, free_port, peers};

/// Enough for several repeated flights: peers wait one second, then two, then four, …
const LONG: Duration = Duration::from_mins(1);

/// Types lines until the answer to one of them has come through: application data is not repeated by DTLS.
fn echo_somehow(client: &mut Process) {
    for attempt in 0..60 {
        let line = format!("line {attempt}");
        client.type_line(&line);
        if client.find_within(&line, Duration::from_secs(1)).is_some() {
            return;
        }
    }
    panic!("nothing came through:\n{}", client.output());
}

fn over_bad_link(seed: u64) -> (Echo, Proxy, Relay) {
    let backend = Echo::start();
    let proxy = Proxy::start(backend.address(), &[]);
    let relay = Relay::start(proxy.address(), Link::bad(seed));
    (backend, proxy, relay)
}

#[test]
fn openssl_completes_over_a_bad_link() {
    if !peers::openssl() {
        return;
    }
    for seed in 1..=5 {
        let (_backend, _proxy, relay) = over_bad_link(seed);
        // On its blocking socket, s_client would hang over a repeated datagram until the next one comes.
        let mut client = peers::s_client(relay.address(), &["-nbio"]);
        client.wait_for_within("Extended master secret: yes", LONG);
        echo_somehow(&mut client);
    }
}

#[test]
fn gnutls_completes_over_a_bad_link() {
    if !peers::gnutls() {
        return;
    }
    for seed in 11..=15 {
        let (_backend, _proxy, relay) = over_bad_link(seed);
        let priority = peers::gnutls_priority("AES-128-GCM");
        let mut client = peers::gnutls_cli(relay.address(), &priority, &[]);
        client.wait_for_within("- Simple Client Mode:", LONG);
        echo_somehow(&mut client);
    }
}

#[test]
fn libcoap_completes_over_a_bad_link() {
    if !peers::libcoap("openssl") {
        return;
    }
    let address = free_port();
    let _server = peers::coap_server(address);
    for seed in 21..=25 {
        let proxy = Proxy::start(address, &[]);
        let relay = Relay::start(proxy.address(), Link::bad(seed));
        let flags = ["-m", "get", "-B", "60"];
        let mut client = peers::coap_client("openssl", relay.address(), "", &flags);
        client.wait_for_within("This is a test server made with libcoap", LONG);
    }
}
