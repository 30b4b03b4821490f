//! `lockgate bench` against other people's servers.

use std::process::Command;

use lockgate_interop::{IDENTITY, PSK, PSK_HEX, Process, free_port, lockgate, peers};
use serde_json::Value;

/// The figures of a bench that ends by itself.
fn bench(server: &str, flags: &[&str]) -> Value {
    let mut command = Command::new(lockgate());
    command
        .args([
            "bench",
            server,
            "--json",
            "-",
            "--quiet",
            "--timeout",
            "10s",
        ])
        .arg(format!("--psk={IDENTITY}:{PSK_HEX}"))
        .args(flags);
    let mut process = Process::spawn("lockgate bench", &mut command);
    let status = process.wait();
    let said = process.output();
    assert!(status.success(), "{said}");
    serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"))
}

fn count(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value}: no count"))
}

#[test]
fn many_devices_get_a_resource_of_libcoap() {
    for library in ["openssl", "gnutls"] {
        let server = format!("coap-server-{library}");
        if !peers::libcoap(library) || !peers::available(&server, "libcoap3-bin") {
            return;
        }
        // It takes DTLS at the port above the one that it is given.
        let address = free_port();
        let (host, port) = (address.ip().to_string(), address.port());
        let plain = (port - 1).to_string();
        let args = [
            "-A", &host, "-p", &plain, "-k", PSK, "-h", "hint", "-v", "7",
        ];
        let mut server = Process::start(&server, &args);
        server.wait_for("created DTLS endpoint");
        let server = format!("{host}:{port}");
        let flags = [
            "-n",
            "300",
            "--coap",
            "/example_data",
            "--rate",
            "300",
            "-d",
            "1s",
        ];
        let figures = bench(&server, &flags);
        let traffic = &figures["traffic"];
        assert_eq!(figures["sessions"]["at_end"], 300, "{figures:#}");
        assert!(count(&traffic["sent"]) >= 290, "{traffic:#}");
        assert_eq!(traffic["lost"], 0, "{library}: {traffic:#}");
        assert_eq!(traffic["altered"], 0, "{library}: {traffic:#}");
    }
}

#[test]
fn one_device_writes_to_s_server() {
    if !peers::openssl() {
        return;
    }
    let address = free_port();
    let accept = address.to_string();
    let mut args = vec!["s_server", "-dtls1_2", "-accept", &accept, "-nocert"];
    args.extend(["-psk", PSK_HEX, "-psk_identity", IDENTITY]);
    let mut server = Process::start("openssl", &args);
    server.wait_for("ACCEPT");
    // It prints what it gets, and answers nothing.
    let flags = ["-n", "1", "--expect", "none", "--rate", "50", "-d", "500ms"];
    let figures = bench(&accept, &flags);
    let traffic = &figures["traffic"];
    assert_eq!(figures["sessions"]["connected"], 1, "{figures:#}");
    assert!((24..=25).contains(&count(&traffic["sent"])), "{traffic:#}");
    assert_eq!(
        (&traffic["answered"], &traffic["lost"]),
        (&0.into(), &0.into())
    );
    // 64 bytes each, which begin with the time and the number of the device.
    server.wait_for("ZZZZZZZZZZ");
}
