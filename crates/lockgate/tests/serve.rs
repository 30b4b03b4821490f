//! `lockgate proxy` as a program: what it says at start, signals, and how it ends.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use lockgate_dtls::CloseReason;
use lockgate_tokio::{Client, ClientError, ClientOptions};
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(10);
const KEY: &[u8] = b"secretPSK";
const PSK: &str = "device:73656372657450534b";

struct Proxy {
    process: Child,
    lines: Receiver<String>,
    address: SocketAddr,
    /// Nobody answers there.
    backend: UdpSocket,
}

impl Proxy {
    fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, |_| {})
    }

    fn start_with(flags: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        Self::launch(Command::new(env!("CARGO_BIN_EXE_lockgate")), flags, prepare)
    }

    /// From a shell that has been told `limit` before.
    fn start_under(limit: &str, flags: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        let lockgate = env!("CARGO_BIN_EXE_lockgate");
        shell.args(["-c", &format!("{limit}; exec \"$0\" \"$@\""), lockgate]);
        Self::launch(shell, flags, |_| {})
    }

    fn launch(mut command: Command, flags: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let backend = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        command
            .args(["proxy", "--bind=127.0.0.1:0", "--psk", PSK, "--connect"])
            .arg(backend.local_addr().unwrap().to_string())
            .args(flags)
            .env_remove("RUST_LOG")
            .env_remove("NOTIFY_SOCKET")
            .stderr(Stdio::piped());
        prepare(&mut command);
        let mut process = command.spawn().unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut proxy = Self {
            process,
            lines,
            address: ([0; 4], 0).into(),
            backend,
        };
        if flags.contains(&"--keylog") {
            let said = proxy.line_with("secrets");
            assert!(said.contains("WARN"), "{said}");
        }
        let said = proxy.line_with("listening");
        let (_, address) = said.split_once("address=").unwrap();
        proxy.address = address.split(' ').next().unwrap().parse().unwrap();
        proxy
    }

    /// The next log line that holds `text`.
    fn line_with(&self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with {text:?} in {seen:#?}")
                }
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).unwrap();
    }

    /// The exit code.
    fn ended(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it does not end");
    }

    async fn connect(&self) -> Client {
        let options = ClientOptions::new(b"device", KEY);
        let connecting = Client::connect(self.address, options);
        let connected = tokio::time::timeout(PATIENCE, connecting).await;
        connected.expect("in time").unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn sigterm_and_sigint_say_goodbye_and_exit_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut proxy = Proxy::start(&[]);
        let mut device = proxy.connect().await;
        proxy.line_with("session started");
        let asked = Instant::now();
        proxy.signal(signal);
        let mut buf = [0; 8];
        let end = tokio::time::timeout(PATIENCE, device.recv(&mut buf));
        let end = end.await.expect("a goodbye").unwrap_err();
        assert!(
            matches!(end, ClientError::Closed(CloseReason::PeerClosed)),
            "{end}"
        );
        assert_eq!(proxy.ended(), Some(0));
        assert!(asked.elapsed() < Duration::from_secs(3));
        let said = proxy.line_with("session ended");
        assert!(said.contains("reason=the proxy stops"), "{said}");
        let said = proxy.line_with("stopped");
        assert!(
            said.contains("handshakes_completed=1") && said.contains("ended.shutdown=1"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn sigusr1_tells_the_numbers_and_sighup_reads_keys_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.csv");
    fs::write(&file, "other,00ff\n").unwrap();
    let proxy = Proxy::start(&["--psk-csv", file.to_str().unwrap()]);
    let _device = proxy.connect().await;
    proxy.signal(Signal::USR1);
    let said = proxy.line_with("counters=");
    assert!(said.contains("sessions=1 handshakes_completed=1"), "{said}");
    proxy.signal(Signal::HUP);
    proxy.line_with("keys read again");
    // Broken keys are refused, and it goes on serving.
    fs::write(&file, "other,xx\n").unwrap();
    proxy.signal(Signal::HUP);
    proxy.line_with("old ones stay");
    proxy.connect().await;
}

#[tokio::test]
async fn the_key_log_is_announced_and_nobody_elses_business() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.log");
    fs::write(&file, "# from before\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let proxy = Proxy::start_with(&["--keylog"], |command| {
        command.arg(&file);
    });
    let _device = proxy.connect().await;
    proxy.line_with("session started");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0], "# from before");
    let words: Vec<_> = lines[1].split(' ').collect();
    assert_eq!(words[0], "CLIENT_RANDOM");
    assert_eq!((words[1].len(), words[2].len()), (64, 96));
    assert!(
        text.bytes()
            .skip(28)
            .all(|b| b.is_ascii_hexdigit() || b.is_ascii_whitespace())
    );
}

#[test]
fn a_taken_port_stops_the_start_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.log");
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .args([
            "proxy",
            "--psk",
            PSK,
            "--connect=127.0.0.1:9",
            "--bind",
            &bind,
        ])
        .arg("--keylog")
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with(&format!("lockgate: cannot bind {bind}: ")),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(!file.exists());
}

#[test]
fn an_unresolvable_backend_stops_the_start() {
    let output = Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .args(["proxy", "--psk", PSK, "--bind=127.0.0.1:0"])
        .arg("--connect=no-such-host.invalid:5683")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("lockgate: cannot resolve the backend no-such-host.invalid:5683"),
        "{said}"
    );
    assert_eq!(
        said.lines().count(),
        1,
        "nothing else before it serves: {said}"
    );
}

#[test]
fn the_service_manager_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut proxy = Proxy::start_with(&[], |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    let mut buf = [0; 256];
    let len = manager.recv(&mut buf).unwrap();
    assert_eq!(&buf[..len].trim_ascii(), b"READY=1");
    proxy.signal(Signal::TERM);
    let len = manager.recv(&mut buf).unwrap();
    assert_eq!(&buf[..len].trim_ascii(), b"STOPPING=1");
    assert_eq!(proxy.ended(), Some(0));
}

#[tokio::test]
async fn without_descriptors_new_sessions_are_turned_away_and_old_ones_live_on() {
    let keys: Vec<_> = (0..40)
        .map(|n| format!("--psk=d{n}:{}", &PSK[7..]))
        .collect();
    let mut flags: Vec<_> = keys.iter().map(String::as_str).collect();
    flags.extend(["--max-sessions", "100"]);
    let proxy = Proxy::start_under("ulimit -n 40", &flags);
    proxy.backend.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut first = None;
    for n in 0..40 {
        let options = ClientOptions::new(format!("d{n}").as_bytes(), KEY);
        let device = Client::connect(proxy.address, options).await.unwrap();
        first.get_or_insert(device);
    }
    let said = proxy.line_with("turned away");
    assert!(
        said.contains("WARN") && said.contains("reason=no socket to the backend"),
        "{said}"
    );
    assert!(said.contains("Too many open files"), "{said}");
    first.unwrap().send(b"still here").await.unwrap();
    let mut buf = [0; 16];
    let len = proxy.backend.recv(&mut buf).unwrap();
    assert_eq!(&buf[..len], b"still here");
}
