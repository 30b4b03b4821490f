//! `lockgate proxy`, run as a user runs it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::Process;

/// The identity that the proxy knows in tests.
pub const IDENTITY: &str = "Client_identity";
/// Its key, for programs that take text.
pub const PSK: &str = "secretPSK";
/// The same key in hexadecimal.
pub const PSK_HEX: &str = "73656372657450534b";

/// The program `lockgate`, built with the profile of the tests, or the one that `LOCKGATE_BIN` names.
pub fn lockgate() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| std::env::var("LOCKGATE_BIN").unwrap_or_else(|_| build()))
}

/// Where cargo puts programs: `target/PROFILE`. Tests are one level below.
pub(crate) fn programs() -> PathBuf {
    let mut folder = std::env::current_exe().expect("the path of this program");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder
}

fn build() -> String {
    let folder = programs();
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let cargo = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "lockgate"])
        .args(["--manifest-path", manifest, "--profile", profile])
        .status()
        .expect("cargo");
    assert!(cargo.success(), "lockgate does not build");
    folder
        .join("lockgate")
        .into_os_string()
        .into_string()
        .expect("a path in UTF-8")
}

/// A running proxy with one key, [`PSK`] of [`IDENTITY`].
pub struct Proxy {
    process: Process,
    address: SocketAddr,
}

impl Proxy {
    /// Starts it in front of `backend`, with further flags.
    pub fn start(backend: SocketAddr, flags: &[&str]) -> Self {
        let psk = format!("{IDENTITY}:{PSK_HEX}");
        let mut command = Command::new(lockgate());
        command
            .args(["proxy", "--psk", &psk, "--log-format", "json"])
            .args(["--bind", "127.0.0.1:0", "--connect", &backend.to_string()])
            .args(flags)
            .env_remove("RUST_LOG");
        let mut process = Process::spawn("lockgate proxy", &mut command);
        let line = parse(&process.wait_for("\"message\":\"listening\""));
        let address = line["address"].as_str().map(str::parse);
        let Some(Ok(address)) = address else {
            panic!("the proxy does not say where it listens: {line}");
        };
        Self { process, address }
    }

    /// Where it takes DTLS.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for a line of its log (one JSON object) that contains `needle`, and returns it.
    pub fn wait_for_log(&mut self, needle: &str) -> serde_json::Value {
        parse(&self.process.wait_for(needle))
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// Asks it to stop as `systemctl stop` does, and checks that it leaves in peace.
    pub fn stop(mut self) -> String {
        self.process.signal("TERM");
        let status = self.process.wait();
        assert!(status.success(), "SIGTERM ends the proxy with {status}");
        self.process.output()
    }
}

fn parse(line: &str) -> serde_json::Value {
    serde_json::from_str(line)
        .unwrap_or_else(|error| panic!("a line of the log is not JSON ({error}): {line}"))
}
