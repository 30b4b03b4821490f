//! The commands that `lockgate keygen demo` prints, against OpenSSL's server.

use std::{
    fs,
    io::Read as _,
    net::UdpSocket,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{PATIENCE, failure, folder, lockgate, names, skipped};

struct Server(Child);

impl Server {
    /// OpenSSL's, on a free port, with what `keygen demo` has made in `dir`.
    fn start(dir: &Path, options: &str) -> (Self, u16) {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let line = format!("s_server -dtls1_2 -accept 127.0.0.1:{port} {options}");
        let mut server = Command::new("openssl")
            .args(line.split_whitespace())
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut out = server.stdout.take().unwrap();
        let mut byte = [0];
        while !said.ends_with("ACCEPT\n") {
            assert_eq!(out.read(&mut byte).unwrap(), 1, "it ended: {said}");
            said.push(byte[0].into());
        }
        // Or it would fail to write.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        (Self(server), port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a client prints; it says goodbye at once, after its handshake.
fn run_client(dir: &Path, command: &str, port: u16) -> String {
    let command = command.replace(":5684", &format!(":{port}"));
    let started = Instant::now();
    let mut shell = Command::new("timeout")
        .args([PATIENCE, "sh", "-c", &command])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Time for the server's last flight or its refusal, then the end of the input.
    sleep(Duration::from_secs(1));
    drop(shell.stdin.take());
    let output = shell.wait_with_output().unwrap();
    assert!(started.elapsed() < Duration::from_secs(30), "{command}");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text += &String::from_utf8_lossy(&output.stderr);
    text
}

#[test]
fn the_commands_of_the_demo_work() {
    if skipped() {
        return;
    }
    let dir = folder();
    let dir = dir.path();
    let output = lockgate(dir, &["demo", "--out", "a demo's"]);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stdout).unwrap();
    let listed = said.lines().filter(|l| l.starts_with("# wrote ")).count();
    assert_eq!(names(&dir.join("a demo's")).len(), listed);
    let key = fs::read_to_string(dir.join("a demo's/psk.csv")).unwrap();
    let key = key.lines().next().unwrap().split_once(',').unwrap().1;
    assert!(!said.contains(key), "a secret is printed");

    let clients: Vec<_> = said
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("openssl s_client"))
        .collect();
    let [device, other_name, revoked, psk] = clients[..] else {
        panic!("{said}");
    };
    let pki = dir.join("a demo's");
    let (_server, port) = Server::start(
        &pki,
        "-cert server.pem -key server-key.pem -CAfile ca.pem -CRL crl.pem -crl_check -Verify 1 \
         -verify_return_error",
    );
    let text = run_client(dir, device, port);
    assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
    assert!(!text.contains("alert"), "{text}");
    let text = run_client(dir, revoked, port);
    assert!(text.contains("certificate revoked"), "{text}");

    let (_server, port) = Server::start(
        &pki,
        "-cert server.pem -key server-key.pem -servername other.example -cert2 other.pem \
         -key2 other-key.pem",
    );
    let text = run_client(dir, other_name, port);
    assert!(text.contains("Verify return code: 0 (ok)"), "{text}");

    let options = format!("-nocert -psk {key} -psk_identity dev-1");
    let (_server, port) = Server::start(&pki, &options);
    let text = run_client(dir, psk, port);
    let suite = text
        .lines()
        .find(|l| l.starts_with("New, TLSv1.2, Cipher is "));
    assert!(suite.is_some_and(|l| l.contains("PSK-")), "{text}");
    assert!(!text.contains("alert"), "{text}");

    assert!(failure(dir, &["demo", "--out", "a demo's"]).contains("exists"));
}
