//! Programs with pipes to all three ends.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

type Text = Arc<Mutex<Vec<u8>>>;

pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Text,
    stderr: Text,
}

fn collect(mut pipe: impl std::io::Read + Send + 'static) -> Text {
    let text = Text::default();
    let ours = Arc::clone(&text);
    std::thread::spawn(move || {
        let mut buf = [0; 4096];
        while let Ok(len @ 1..) = pipe.read(&mut buf) {
            ours.lock().unwrap().extend(&buf[..len]);
        }
    });
    text
}

impl Process {
    pub(crate) fn nc(args: &[&str]) -> Self {
        let all: Vec<&str> = ["nc"].into_iter().chain(args.iter().copied()).collect();
        Self::start(env!("CARGO_BIN_EXE_lockgate"), &all)
    }

    /// A listener on a free port of this machine, and where it is.
    pub(crate) fn listener(args: &[&str]) -> (Self, String) {
        let all: Vec<&str> = ["-l", "-s", "127.0.0.1", "-vv"]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        let listener = Self::nc(&all);
        let line = listener.wait_for_stderr("Hosting at: 127.0.0.1:");
        let (_, port) = line.split_once("Hosting at: 127.0.0.1:").unwrap();
        let port = port.lines().next().unwrap().to_owned();
        (listener, port)
    }

    pub(crate) fn start(program: &str, args: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        Self {
            stdin: child.stdin.take(),
            stdout: collect(child.stdout.take().unwrap()),
            stderr: collect(child.stderr.take().unwrap()),
            child,
        }
    }

    pub(crate) fn say(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("it is open");
        stdin.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().unwrap()).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// Waits until standard output holds `text`.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait(text, Self::stdout)
    }

    pub(crate) fn wait_for_stderr(&self, text: &str) -> String {
        self.wait(text, Self::stderr)
    }

    fn wait(&self, text: &str, of: impl Fn(&Self) -> String) -> String {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let said = of(self);
            // With the whole line.
            if said.find(text).is_some_and(|at| said[at..].contains('\n')) {
                return said;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("no {text:?} in {:?} and {:?}", self.stdout(), self.stderr());
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The exit code; what it printed is complete then, or nearly so.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                std::thread::sleep(Duration::from_millis(50));
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!(
            "it does not end: {:?} and {:?}",
            self.stdout(),
            self.stderr()
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_port() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.local_addr().unwrap()
}
