//! Two shims against each other, with this test in the runner's place between them.
//!
//! The runner itself is another project's and comes from outside; this holds the packet protocol, the clock and the exit
//! codes without it.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

fn shim() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bogo-shim"))
}

/// A shim that runs, and our end of its connection.
struct Shim {
    child: Child,
    stream: TcpStream,
}

impl Shim {
    fn start(id: u64, args: &[&str]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let child = shim()
            .args(["-port", &port.to_string(), "-shim-id", &id.to_string()])
            .args(["-dtls", "-psk", "secret", "-psk-identity", "sensor"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the shim starts");
        let (mut stream, _) = listener.accept().expect("the shim connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let mut said = [0; 8];
        stream.read_exact(&mut said).expect("its number");
        assert_eq!(u64::from_le_bytes(said), id);
        Self { child, stream }
    }

    fn put(&mut self, opcode: u8, rest: &[u8]) {
        let mut packet = vec![opcode];
        packet.extend_from_slice(rest);
        // A shim that has failed reads no more.
        let _ = self.stream.write_all(&packet);
    }

    fn give(&mut self, datagram: &[u8]) {
        let mut rest = u32::try_from(datagram.len())
            .expect("short")
            .to_be_bytes()
            .to_vec();
        rest.extend_from_slice(datagram);
        self.put(b'P', &rest);
    }

    /// Every datagram that the shim sends before it has nothing more to do: no time passing is a question that it
    /// answers in its turn.
    fn collect(&mut self) -> Vec<Vec<u8>> {
        self.advance(Duration::ZERO)
    }

    fn advance(&mut self, time: Duration) -> Vec<Vec<u8>> {
        let nanos = u64::try_from(time.as_nanos()).expect("short");
        self.put(b'T', &nanos.to_be_bytes());
        let mut datagrams = Vec::new();
        loop {
            let mut opcode = [0];
            match self.stream.read_exact(&mut opcode) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return datagrams,
                answer => answer.expect("an answer or an end"),
            }
            match opcode[0] {
                b't' => return datagrams,
                b'P' => {
                    let mut len = [0; 4];
                    self.stream.read_exact(&mut len).expect("a length");
                    let mut datagram = vec![0; u32::from_be_bytes(len) as usize];
                    self.stream.read_exact(&mut datagram).expect("a datagram");
                    datagrams.push(datagram);
                }
                other => panic!("opcode {other}"),
            }
        }
    }

    fn expect_timeout(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).expect("short");
        self.put(b'E', &nanos.to_be_bytes());
    }

    /// Hangs up; the exit code and what stood on standard error.
    fn end(mut self) -> (Option<i32>, String) {
        // It may have gone already.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        let _ = self.stream.read_to_end(&mut Vec::new());
        drop(self.stream);
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().expect("a child").is_none() {
            if Instant::now() > deadline {
                self.child.kill().expect("a child");
                panic!("the shim does not end");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = self.child.wait_with_output().expect("it has ended");
        let errors = String::from_utf8(output.stderr).expect("text");
        (output.status.code(), errors)
    }
}

/// Carries datagrams between both until neither has one, at most so many times; says what types of records came last.
fn relay(client: &mut Shim, server: &mut Shim, rounds: usize) -> Vec<u8> {
    let mut last = Vec::new();
    for _ in 0..rounds {
        let to_server = client.collect();
        let to_client = server.collect();
        if to_server.is_empty() && to_client.is_empty() {
            break;
        }
        last = to_server.iter().chain(&to_client).map(|d| d[0]).collect();
        for datagram in &to_server {
            server.give(datagram);
        }
        for datagram in &to_client {
            client.give(datagram);
        }
    }
    last
}

#[test]
fn a_handshake_and_an_echo_end_well() {
    let mut server = Shim::start(7, &["-server"]);
    let mut client = Shim::start(1 << 40, &["-shim-writes-first"]);
    // Each sends back what the other sent: this goes on for as long as it is carried.
    assert_eq!(relay(&mut client, &mut server, 20), [APPLICATION_DATA]);
    assert_eq!(client.end(), (Some(0), String::new()));
    assert_eq!(server.end(), (Some(0), String::new()));
}

#[test]
fn both_export_the_same() {
    let args = ["-export-keying-material", "32", "-export-label", "l"];
    let with = |args: &[&'static str], more: &[&'static str]| [args, more].concat();
    let mut server = Shim::start(1, &with(&args, &["-server", "-use-export-context"]));
    let mut client = Shim::start(2, &with(&args, &["-async", "-use-export-context"]));
    let last = relay(&mut client, &mut server, 20);
    assert!(last.contains(&APPLICATION_DATA), "{last:?}");
    assert_eq!(client.end(), (Some(0), String::new()));
    assert_eq!(server.end(), (Some(0), String::new()));
}

#[test]
fn time_passes_when_the_runner_says_so() {
    let mut client = Shim::start(3, &[]);
    let first = client.collect();
    assert_eq!(first.len(), 1);
    for half in [200, 400, 800] {
        client.expect_timeout(Duration::from_millis(2 * half));
        assert!(client.advance(Duration::from_millis(half)).is_empty());
        client.expect_timeout(Duration::from_millis(half));
        // Almost is enough.
        assert!(client.advance(Duration::from_millis(half - 10)).is_empty());
        let again = client.collect();
        assert_eq!(again.len(), 1);
        assert_eq!(
            again[0][13..],
            first[0][13..],
            "the same message in a new record"
        );
    }
    client.expect_timeout(Duration::from_secs(1));
    let (code, errors) = client.end();
    assert_eq!(code, Some(1));
    assert!(errors.contains("[expectation]"), "{errors}");
}

#[test]
fn thirteen_time_outs_end_a_handshake() {
    let mut client = Shim::start(4, &["-initial-timeout-duration-ms", "250"]);
    let mut sent = client.collect().len();
    for n in 0..13 {
        let time_out = Duration::from_millis(250 << n).min(Duration::from_mins(1));
        client.expect_timeout(time_out);
        client.advance(time_out);
        if n < 12 {
            sent += client.collect().len();
        }
    }
    assert_eq!(sent, 13);
    let (code, errors) = client.end();
    assert_eq!(code, Some(1));
    assert!(errors.contains("[handshake-timeout]"), "{errors}");
}

#[test]
fn a_fault_is_named_and_the_peer_is_told() {
    let mut server = Shim::start(5, &["-server"]);
    let mut client = Shim::start(6, &["-psk-identity", "another"]);
    relay(&mut client, &mut server, 20);
    let (code, errors) = client.end();
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("[expectation] the server hints"),
        "{errors}"
    );

    // A message of a type that does not exist, in answer to the ClientHello.
    let mut client = Shim::start(8, &[]);
    let hello = client.collect();
    assert_eq!(hello[0][0], HANDSHAKE);
    let mut wrong = vec![HANDSHAKE, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12];
    wrong.extend_from_slice(&[44, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    client.give(&wrong);
    let mut answer = [0; 5 + 15];
    client.stream.read_exact(&mut answer).expect("an alert");
    assert_eq!((answer[5], answer[18..].to_vec()), (ALERT, vec![2, 10]));
    let (code, errors) = client.end();
    assert_eq!(code, Some(1));
    assert!(errors.contains("[unexpected-message]"), "{errors}");
}

#[test]
fn a_runner_that_hangs_up_early_is_an_error() {
    let (code, errors) = Shim::start(9, &["-server"]).end();
    assert_eq!(code, Some(1));
    assert!(errors.contains("[runner-gone]"), "{errors}");
}

#[test]
fn what_is_not_implemented_exits_with_89() {
    for args in [
        &["-quic"][..],
        &["-dtls", "-enable-early-data"],
        &["-server"],
    ] {
        let output = shim().args(args).output().expect("the shim starts");
        assert_eq!(output.status.code(), Some(89), "{args:?}");
    }
    let output = shim().arg("-is-handshaker-supported").output();
    assert_eq!(output.expect("the shim starts").stdout, b"No\n");
    let off = ["-dtls", "-psk", "x", "-no-tls1", "-no-tls12", "-no-tls13"];
    let output = shim().args(off).output().expect("the shim starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        output
            .stderr
            .windows(20)
            .any(|w| w == b"[no-version-enabled]")
    );
}
