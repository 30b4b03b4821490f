//! `gnutls-cli --udp` through the proxy to a plain UDP echo, with every suite.

use lockgate_interop::{Echo, Proxy, peers};

fn echoes_with(cipher: &str) {
    if !peers::gnutls() {
        return;
    }
    let backend = Echo::start();
    let proxy = Proxy::start(backend.address(), &[]);
    let priority = peers::gnutls_priority(cipher);
    let mut client = peers::gnutls_cli(proxy.address(), &priority, &[]);
    let line = client.wait_for("- Description: ");
    assert!(line.contains("DTLS1.2"), "{line}");
    assert!(line.ends_with(&format!("-({cipher})")), "{line}");
    client.wait_for("- Options: extended master secret, safe renegotiation");
    client.wait_for("- Simple Client Mode:");
    peers::echo(&mut client, "the first line");
    peers::echo(&mut client, "and another one");
    assert_eq!(backend.datagrams(), 2, "one record is one datagram");
    client.end_input();
    assert!(client.wait().success());
    proxy.stop();
}

#[test]
fn psk_aes128_ccm8_echoes() {
    echoes_with("AES-128-CCM-8");
}

#[test]
fn psk_aes128_ccm_echoes() {
    echoes_with("AES-128-CCM");
}

#[test]
fn psk_aes256_ccm8_echoes() {
    echoes_with("AES-256-CCM-8");
}

#[test]
fn psk_aes256_ccm_echoes() {
    echoes_with("AES-256-CCM");
}

#[test]
fn psk_aes128_gcm_echoes() {
    echoes_with("AES-128-GCM");
}

#[test]
fn psk_aes256_gcm_echoes() {
    echoes_with("AES-256-GCM");
}

#[test]
fn psk_chacha20_poly1305_echoes() {
    echoes_with("CHACHA20-POLY1305");
}
