//! Whoever reads the log may stop or go away: the proxy goes on, and still ends when it is told to.

use std::io::{PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use lockgate_tokio::{Client, ClientOptions};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(10);
const KEY: &[u8] = b"secretPSK";
const PSK: &str = "--psk=device:73656372657450534b";

struct Proxy {
    process: Child,
    address: SocketAddr,
    backend: UdpSocket,
}

impl Proxy {
    /// With the reading end of its standard error, and another writing end of it.
    fn start(prepare: impl FnOnce(&mut Command)) -> (Self, PipeReader, PipeWriter) {
        let (mut log, writer) = pipe().unwrap();
        let backend = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        backend.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
        command
            .args(["proxy", "--bind=127.0.0.1:0", PSK, "--connect"])
            .arg(backend.local_addr().unwrap().to_string())
            .env_remove("RUST_LOG")
            .env_remove("NOTIFY_SOCKET")
            .stderr(writer.try_clone().unwrap());
        prepare(&mut command);
        let process = command.spawn().unwrap();
        // Byte by byte, so that nothing is read ahead.
        let mut said = String::new();
        let mut byte = [0];
        while !(said.contains("listening") && said.ends_with('\n')) {
            log.read_exact(&mut byte).unwrap();
            said.push(byte[0].into());
        }
        let (_, address) = said.split_once("address=").unwrap();
        let address = address.split(' ').next().unwrap().parse().unwrap();
        let proxy = Self {
            process,
            address,
            backend,
        };
        (proxy, log, writer)
    }

    /// A new session, and a datagram that goes through it.
    async fn serves(&self) {
        let connecting = Client::connect(self.address, ClientOptions::new(b"device", KEY));
        let connected = tokio::time::timeout(PATIENCE, connecting).await;
        let mut device = connected.expect("a handshake in time").unwrap();
        device.send(b"21.5 C").await.unwrap();
        let mut buf = [0; 16];
        let len = self.backend.recv(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"21.5 C");
    }

    fn terminate(&mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        ended(&mut self.process)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How it ended, within 5 s.
fn ended(process: &mut Child) -> ExitStatus {
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        if let Some(status) = process.try_wait().unwrap() {
            return status;
        }
        sleep(Duration::from_millis(5));
    }
    let _ = process.kill();
    panic!("it does not end");
}

/// Writes until nothing more fits.
fn fill(mut pipe: PipeWriter) {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    // It ends with the reader.
    spawn(move || {
        while pipe.write_all(b"\n").is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut before = 0;
    loop {
        sleep(Duration::from_millis(200));
        let now = written.load(Ordering::Relaxed);
        if now > 0 && now == before {
            return;
        }
        before = now;
    }
}

#[tokio::test]
async fn a_log_reader_that_goes_away_takes_nothing_with_it() {
    let (mut proxy, log, writer) = Proxy::start(|_| {});
    drop((log, writer));
    proxy.serves().await;
    proxy.serves().await;
    assert_eq!(proxy.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_log_reader_that_stops_reading_holds_nothing_up() {
    let (mut proxy, log, writer) = Proxy::start(|command| {
        command.arg("-vv");
    });
    fill(writer);
    for _ in 0..20 {
        proxy.serves().await;
    }
    assert_eq!(proxy.terminate().code(), Some(0));
    drop(log);
}

#[tokio::test]
async fn lines_that_are_dropped_are_counted() {
    let (mut proxy, mut log, writer) = Proxy::start(|_| {});
    let own = writer.try_clone().unwrap();
    fill(writer);
    // One line each, and more of them than the queue and the pipe hold.
    let pid = Pid::from_child(&proxy.process);
    for _ in 0..6000 {
        kill_process(pid, Signal::USR1).unwrap();
        sleep(Duration::from_micros(200));
    }
    drop(own);
    let reader = spawn(move || {
        let mut said = Vec::new();
        let mut buf = [0; 4096];
        while !String::from_utf8_lossy(&said).contains("log lines were dropped") {
            let len = log.read(&mut buf).unwrap();
            said.extend_from_slice(&buf[..len]);
            said.drain(..said.len().saturating_sub(8192));
        }
        log
    });
    let until = Instant::now() + PATIENCE;
    while !reader.is_finished() {
        assert!(Instant::now() < until, "the drops are not told");
        sleep(Duration::from_millis(5));
    }
    drop(reader.join());
    proxy.terminate();
}

#[test]
fn a_failure_that_nobody_reads_ends_all_the_same() {
    let (log, writer) = pipe().unwrap();
    fill(writer.try_clone().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
    let mut process = command.arg("proxy").stderr(writer).spawn().unwrap();
    assert_eq!(ended(&mut process).code(), Some(1));
    drop(log);
}

/// The resolver of the C library reads the file of `HOSTALIASES` for a name without a dot, and nobody ever writes to
/// this one.
#[tokio::test]
async fn a_name_that_never_resolves_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let aliases = dir.path().join("aliases");
    mknodat(CWD, &aliases, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let (mut proxy, log, _writer) = Proxy::start(|command| {
        command
            .env("HOSTALIASES", &aliases)
            .arg("--psk-rest=http://keyservice/k");
    });
    let options = ClientOptions::new(b"stranger", KEY);
    let connecting = Client::connect(proxy.address, options);
    let connected = tokio::time::timeout(Duration::from_secs(1), connecting).await;
    assert!(connected.is_err(), "the look-up hangs");
    assert_eq!(proxy.terminate().code(), Some(0));
    drop(log);
}
