//! `lockgate demo` tells its story, and means it.

use std::process::Command;

#[test]
fn the_story_is_told_to_its_end() {
    let output = Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .args(["demo", "--once"])
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let logged = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{logged}");
    let mut rest = said.as_str();
    for step in [
        "openssl s_client -dtls1_2 -psk ",
        " -psk_identity visitor -cipher PSK-AES128-GCM-SHA256 -connect 127.0.0.1:",
        "coap-client -m get -u visitor -k ",
        "coaps://127.0.0.1:",
        "(Debian calls it coap-client-openssl or coap-client-gnutls)\n",
        "sensor-1 connects",
        "connection ID",
        "sends \"21.5 C\"; the backend's echo is back",
        "sleeps",
        "wakes up behind another port",
        "sends \"21.7 C\"; the backend's echo is back",
        "followed it from 127.0.0.1:",
        "no handshake",
        "says goodbye",
    ] {
        let at = rest
            .find(step)
            .unwrap_or_else(|| panic!("no {step:?} in {said}"));
        rest = &rest[at + step.len()..];
    }
    assert_eq!(logged.matches("session started").count(), 1, "{logged}");
    assert_eq!(logged.matches("session ended").count(), 1, "{logged}");
}

#[test]
fn a_port_that_cannot_be_had_is_one_line() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .args(["demo", "--once", "--bind", &bind])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with(&format!("lockgate: cannot bind {bind}: ")),
        "{said}"
    );
}
