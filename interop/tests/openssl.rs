//! OpenSSL's `s_client` through the proxy to a plain UDP echo, with every suite.

use lockgate_interop::{Echo, Proxy, peers};

fn echoes_with(suite: &str) {
    if !peers::openssl() {
        return;
    }
    let backend = Echo::start();
    let mut proxy = Proxy::start(backend.address(), &[]);
    let mut client = peers::s_client(proxy.address(), &["-cipher", suite]);
    let line = client.wait_for("Cipher is ");
    assert!(line.contains("TLSv1.2") && line.ends_with(suite), "{line}");
    client.wait_for("Secure Renegotiation IS supported");
    client.wait_for("Extended master secret: yes");
    peers::echo(&mut client, "the first line");
    peers::echo(&mut client, "and another one");
    assert_eq!(backend.datagrams(), 2, "one record is one datagram");
    proxy.wait_for_log("Client_identity");
    // A line that is only a Q: s_client closes the session, with an alert.
    client.type_line("Q");
    client.wait();
    proxy.stop();
}

#[test]
fn psk_aes128_ccm8_echoes() {
    echoes_with("PSK-AES128-CCM8");
}

#[test]
fn psk_aes128_ccm_echoes() {
    echoes_with("PSK-AES128-CCM");
}

#[test]
fn psk_aes256_ccm8_echoes() {
    echoes_with("PSK-AES256-CCM8");
}

#[test]
fn psk_aes256_ccm_echoes() {
    echoes_with("PSK-AES256-CCM");
}

#[test]
fn psk_aes128_gcm_echoes() {
    echoes_with("PSK-AES128-GCM-SHA256");
}

#[test]
fn psk_aes256_gcm_echoes() {
    echoes_with("PSK-AES256-GCM-SHA384");
}

#[test]
fn psk_chacha20_poly1305_echoes() {
    echoes_with("PSK-CHACHA20-POLY1305");
}

#[test]
fn the_proxy_says_goodbye_when_it_stops() {
    if !peers::openssl() {
        return;
    }
    let backend = Echo::start();
    let proxy = Proxy::start(backend.address(), &[]);
    let mut client = peers::s_client(proxy.address(), &[]);
    client.wait_for("Extended master secret: yes");
    peers::echo(&mut client, "here I am");
    proxy.stop();
    // s_client ends by itself only when close_notify comes.
    client.wait_for("closed");
    client.wait();
}

#[test]
fn only_suites_that_the_proxy_was_given_are_taken() {
    if !peers::openssl() {
        return;
    }
    let backend = Echo::start();
    let flags = ["--cipher-suites", "TLS_PSK_WITH_AES_128_CCM_8"];
    let mut proxy = Proxy::start(backend.address(), &flags);
    let mut client = peers::s_client(proxy.address(), &["-cipher", "PSK-AES128-GCM-SHA256"]);
    client.wait_for("alert handshake failure");
    proxy.wait_for_log("no common");
    let mut client = peers::s_client(proxy.address(), &["-cipher", "PSK-AES128-CCM8"]);
    client.wait_for("Extended master secret: yes");
    peers::echo(&mut client, "this one is fine");
}
