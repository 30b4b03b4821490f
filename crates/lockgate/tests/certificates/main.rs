//! `lockgate proxy` with certificates and raw public keys, met by OpenSSL and `GnuTLS`, with files of `lockgate keygen`.

mod demo;
mod faults;
mod identities;
mod reload;
mod resumption;

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
/// What clients type, and read again when they are served.
const HELLO: &str = "hello, is anybody there";

/// A folder with a test authority (`ca.pem`), and a server for `localhost` (`server.pem`, `server-key.pem`).
fn pki() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    keygen(dir.path(), "ca --out .");
    keygen(dir.path(), "server --ca . --out . localhost 127.0.0.1");
    dir
}

/// Runs `lockgate keygen` in `dir`; `line` is split at blanks.
fn keygen(dir: &Path, line: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .arg("keygen")
        .args(line.split_whitespace())
        .current_dir(dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "keygen {line}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether one of these programs is not there and that is allowed.
fn skipped(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| {
        let asked = Command::new(program).arg("--version").output();
        asked.is_err()
    });
    let Some(missing) = missing else {
        return false;
    };
    assert!(
        std::env::var_os("LOCKGATE_ALLOW_SKIP").is_some_and(|v| v == "1"),
        "there is no {missing}; get it, or set LOCKGATE_ALLOW_SKIP=1"
    );
    eprintln!("skipped: {missing} is not installed");
    true
}

/// A running proxy in front of an echo.
struct Proxy {
    process: Child,
    lines: Receiver<String>,
    address: SocketAddr,
}

impl Proxy {
    /// Starts it in `dir`; `flags` are split at blanks.
    fn start(dir: &Path, flags: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
        command
            .args(["proxy", "--bind=127.0.0.1:0", "-v", "--connect"])
            .arg(echo().to_string())
            .args(flags.split_whitespace());
        Self::launch(dir, &mut command)
    }

    fn launch(dir: &Path, command: &mut Command) -> Self {
        let mut process = command
            .current_dir(dir)
            .env_remove("RUST_LOG")
            .env_remove("NOTIFY_SOCKET")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
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
        };
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

    /// What the log says when the next session starts.
    fn started(&self) -> String {
        self.line_with("session started")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Meets it with OpenSSL from `dir`; `flags` are split at blanks.
    fn openssl(&self, dir: &Path, flags: &str) -> Met {
        let line = format!(
            "openssl s_client -dtls1_2 -connect {} {flags}",
            self.address
        );
        meet(dir, &line)
    }

    /// Meets it with `GnuTLS`, whose priorities get these additions.
    fn gnutls(&self, dir: &Path, priority: &str, flags: &str) -> Met {
        let line = format!(
            "gnutls-cli --udp --insecure --port {} --priority NORMAL:-VERS-ALL:+VERS-DTLS1.2{priority} {flags} {}",
            self.address.port(),
            self.address.ip()
        );
        meet(dir, &line)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How a client fared.
#[derive(Debug)]
struct Met {
    /// What it said came back.
    served: bool,
    /// All that it printed.
    text: String,
}

impl Met {
    #[track_caller]
    fn is_served(&self) -> &str {
        assert!(self.served, "{}", self.text);
        &self.text
    }

    #[track_caller]
    fn is_refused(&self, alert: &str) {
        assert!(!self.served && self.text.contains(alert), "{}", self.text);
    }

    /// Whether OpenSSL went on with an earlier session.
    fn is_resumed(&self) -> bool {
        assert!(self.served, "{}", self.text);
        let resumed = self.text.contains("Reused, TLSv1.2");
        assert!(
            resumed || self.text.contains("New, TLSv1.2"),
            "{}",
            self.text
        );
        resumed
    }
}

/// Runs a client by its command line until it is served or has ended.
fn meet(dir: &Path, line: &str) -> Met {
    let mut client = Command::new("timeout")
        .arg(PATIENCE.as_secs().to_string())
        .args(["stdbuf", "-oL", "-eL", "sh", "-c", &format!("exec {line}")])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, printed) = channel();
    let streams: [Box<dyn Read + Send>; 2] = [
        Box::new(client.stdout.take().unwrap()),
        Box::new(client.stderr.take().unwrap()),
    ];
    for mut stream in streams {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(len @ 1..) = stream.read(&mut buf) {
                let _ = sender.send(String::from_utf8_lossy(&buf[..len]).into_owned());
            }
        });
    }
    drop(sender);
    let mut stdin = client.stdin.take();
    let mut typed = false;
    let mut met = Met {
        served: false,
        text: String::new(),
    };
    let until = Instant::now() + PATIENCE;
    while let Ok(text) = printed.recv_timeout(until.saturating_duration_since(Instant::now())) {
        met.text += &text;
        let ready =
            met.text.contains("Verify return code") || met.text.contains("Simple Client Mode");
        if ready
            && !typed
            && let Some(stdin) = &mut stdin
        {
            typed = true;
            let _ = writeln!(stdin, "{HELLO}");
        }
        if met.text.contains(HELLO) && stdin.take().is_some() {
            met.served = true;
        }
    }
    drop(stdin);
    let _ = client.wait();
    met
}

/// Sends everything back.
fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buf = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buf) {
            let _ = socket.send_to(&buf[..len], from);
        }
    });
    address
}
