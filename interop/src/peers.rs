//! How each peer is called.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::proxy::programs;
use crate::{IDENTITY, PSK, PSK_HEX, Process};

/// The suites that every peer here has, by the names of OpenSSL and of `GnuTLS`'s cipher (both 1.2, plain PSK).
pub const SUITES: [(&str, &str); 7] = [
    ("PSK-AES128-CCM8", "AES-128-CCM-8"),
    ("PSK-AES128-CCM", "AES-128-CCM"),
    ("PSK-AES256-CCM8", "AES-256-CCM-8"),
    ("PSK-AES256-CCM", "AES-256-CCM"),
    ("PSK-AES128-GCM-SHA256", "AES-128-GCM"),
    ("PSK-AES256-GCM-SHA384", "AES-256-GCM"),
    ("PSK-CHACHA20-POLY1305", "CHACHA20-POLY1305"),
];

/// Whether `program` is there. When it is not, the test fails, unless `LOCKGATE_ALLOW_SKIP=1`: then this says so and
/// returns false, and the test returns.
pub fn available(program: &str, package: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_ok() {
        return true;
    }
    missing(program, &format!("Debian package {package}"));
    false
}

/// Says that `program`, which is had by `remedy`, is missing. This fails the test, unless `LOCKGATE_ALLOW_SKIP=1`.
fn missing(program: &str, remedy: &str) {
    assert!(
        std::env::var_os("LOCKGATE_ALLOW_SKIP").is_some_and(|value| value == "1"),
        "there is no {program} ({remedy}); get it, or set LOCKGATE_ALLOW_SKIP=1"
    );
    println!("SKIPPED: there is no {program} ({remedy})");
}

/// A program of `interop/peers`: what `LOCKGATE_PEERS` has in its folder, or what `./test --only peers` has built.
///
/// # Errors
/// How to get it.
pub fn built(name: &str) -> Result<String, String> {
    let folder = std::env::var_os("LOCKGATE_PEERS")
        .map_or_else(|| programs().join("../peers/debug"), PathBuf::from);
    let program = folder.join(name);
    if program.exists() {
        return Ok(program.into_os_string().into_string().expect("UTF-8"));
    }
    Err(format!(
        "there is no {name} (./test --only peers builds it)"
    ))
}

/// The program `mbedtls-peer`; for `None`, see [`available`].
pub fn mbedtls() -> Option<String> {
    let program = built("mbedtls-peer").ok();
    if program.is_none() {
        missing("mbedtls-peer", "./test --only peers builds it");
    }
    program
}

/// OpenSSL is there; see [`available`].
pub fn openssl() -> bool {
    available("openssl", "openssl")
}

/// `GnuTLS`'s tools are there; see [`available`].
pub fn gnutls() -> bool {
    available("gnutls-cli", "gnutls-bin")
}

/// The libcoap client for the TLS library `library` (`openssl` or `gnutls`) is there; see [`available`].
pub fn libcoap(library: &str) -> bool {
    available(&format!("coap-client-{library}"), "libcoap3-bin")
}

/// `openssl s_client` on its way to `server`, with our identity and key and further flags, which win.
pub fn s_client(server: SocketAddr, flags: &[&str]) -> Process {
    let server = server.to_string();
    let mut args = vec!["s_client", "-dtls1_2", "-connect", &server];
    for (flag, value) in [("-psk_identity", IDENTITY), ("-psk", PSK_HEX)] {
        if !flags.contains(&flag) {
            args.extend([flag, value]);
        }
    }
    args.extend(flags);
    Process::start("openssl", &args)
}

/// Types a line that the server is to send back, and reads it.
pub fn echo(client: &mut Process, line: &str) {
    client.type_line(line);
    client.wait_for(line);
}

/// The priority string of `GnuTLS` for one PSK suite of DTLS 1.2.
pub fn gnutls_priority(cipher: &str) -> String {
    // The hash is part of the suite.
    format!("NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+PSK:-CIPHER-ALL:+{cipher}")
}

/// `gnutls-cli --udp` on its way to `server`, with our identity and key and further flags.
pub fn gnutls_cli(server: SocketAddr, priority: &str, flags: &[&str]) -> Process {
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    let mut args = vec!["--udp", "--port", &port, "--priority", priority];
    args.extend(["--pskusername", IDENTITY, "--pskkey", PSK_HEX]);
    args.extend(flags);
    args.push(&host);
    Process::start("gnutls-cli", &args)
}

/// libcoap's client with a request (such as `-m get`) for `path`, for the TLS library `library`.
pub fn coap_client(library: &str, server: SocketAddr, path: &str, flags: &[&str]) -> Process {
    let uri = format!("coaps://{server}/{path}");
    let mut args = vec!["-u", IDENTITY, "-k", PSK, "-B", "20"];
    args.extend(flags);
    args.push(&uri);
    Process::start(&format!("coap-client-{library}"), &args)
}

/// libcoap's example server on plain UDP: the backend of the CoAP tests.
pub fn coap_server(address: SocketAddr) -> Process {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let mut server = Process::start("coap-server-notls", &["-A", &host, "-p", &port, "-v", "7"]);
    server.wait_for("created UDP  endpoint");
    server
}
