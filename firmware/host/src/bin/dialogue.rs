//! Runs the image in the emulator against `lockgate proxy` and a backend, and checks what was said.
//!
//! ```text
//! dialogue PROXY COMMAND…    PORT and SEED in the command are filled in
//! ```
//!
//! The last line says whether all held; the exit code is 0 only then. Every process ends with it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Reports before sleep, and the report that brings a command down.
const REPORTS: u32 = 20;
const COMMAND_AT: u32 = 10;
/// The last report, after waking up.
const LAST: u32 = 23;

/// A process that ends when this is dropped, by its own handle.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the backend heard.
#[derive(Default)]
struct Backend {
    reports: BTreeSet<u32>,
    done: Vec<String>,
    sources: BTreeSet<SocketAddr>,
}

impl Backend {
    /// Takes one datagram in and gives the answer.
    fn hear(&mut self, text: &str, from: SocketAddr) -> Option<&'static str> {
        self.sources.insert(from);
        if let Some(done) = text.strip_prefix("done ") {
            self.done.push(done.to_owned());
            return None;
        }
        let number = text
            .strip_prefix("report ")?
            .split(' ')
            .next()?
            .parse()
            .ok()?;
        self.reports.insert(number);
        Some(match number {
            COMMAND_AT => "led on",
            REPORTS => "sleep",
            LAST => "close",
            _ => "ok",
        })
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let proxy = arguments.next().unwrap_or_default();
    let device: Vec<String> = arguments.collect();
    match run(&proxy, &device) {
        Ok(summary) => {
            println!("dialogue: all held: {summary}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("dialogue: FAILED: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(proxy: &str, device: &[String]) -> Result<String, String> {
    let told = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    let start = Instant::now();
    let backend_socket = UdpSocket::bind("127.0.0.1:0").map_err(told("backend"))?;
    let backend_address = backend_socket.local_addr().map_err(told("backend"))?;
    backend_socket
        .set_read_timeout(Some(Duration::from_millis(10)))
        .map_err(told("backend"))?;
    // A port that is free now.
    let port = UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .map_err(told("port"))?
        .port();

    let mut proxy = Command::new(proxy)
        .args(["proxy", "--bind", &format!("127.0.0.1:{port}")])
        .args(["--connect", &backend_address.to_string()])
        .args(["--psk", "sensor-17:736563726574206f662073656e736f72"])
        .args(["--log-format", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map(Process)
        .map_err(told("lockgate proxy"))?;
    let (proxy_lines, _) = lines(&mut proxy.0);
    let mut proxy_log = Vec::new();
    while !proxy_log
        .iter()
        .any(|line: &String| line.contains("\"listening\""))
    {
        let line = proxy_lines.recv_timeout(Duration::from_secs(10));
        proxy_log.push(line.map_err(|_| format!("the proxy does not listen: {proxy_log:?}"))?);
    }

    let seed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    let fill = |word: &String| {
        word.replace("PORT", &port.to_string())
            .replace("SEED", &seed.to_string())
    };
    let (program, rest) = device
        .split_first()
        .ok_or("usage: dialogue PROXY COMMAND…")?;
    let mut device = Command::new(fill(program))
        .args(rest.iter().map(fill))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map(Process)
        .map_err(told("the device"))?;
    let (device_lines, _) = lines(&mut device.0);

    let mut backend = Backend::default();
    let mut buffer = [0; 2048];
    let status = loop {
        if let Ok((len, from)) = backend_socket.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
            if let Some(answer) = backend.hear(&text, from) {
                backend_socket
                    .send_to(answer.as_bytes(), from)
                    .map_err(told("backend"))?;
            }
        }
        if let Some(status) = device.0.try_wait().map_err(told("the device"))? {
            break status;
        }
        if start.elapsed() > LIMIT {
            let said: Vec<_> = device_lines.try_iter().collect();
            return Err(format!(
                "not done after {LIMIT:?}; the device said {said:?}"
            ));
        }
    };
    let said: Vec<String> = device_lines.iter().collect();
    terminate(&proxy.0)?;
    proxy_log.extend(drain(&proxy_lines));
    for line in &said {
        println!("device: {line}");
    }
    check(&said, &backend, &proxy_log)?;
    if !status.success() {
        return Err(format!("the device ended with {status}"));
    }
    Ok(format!(
        "{} reports, 1 downlink command, sleep and wake behind another port, 1 handshake, {:.1} s",
        backend.reports.len(),
        start.elapsed().as_secs_f32()
    ))
}

fn check(said: &[String], backend: &Backend, proxy_log: &[String]) -> Result<(), String> {
    let count = |what: &str| said.iter().filter(|line| line.starts_with(what)).count();
    for (what, times) in [
        ("opening", 1),
        ("connected", 1),
        ("command led on", 1),
        ("asleep in ", 1),
        ("awake", 1),
        ("second wake refused", 1),
        ("closed", 1),
        ("lost", 0),
    ] {
        if count(what) != times {
            return Err(format!(
                "the device said {what:?} {} times, not {times}: {said:?}",
                count(what)
            ));
        }
    }
    if !(1..=LAST).all(|number| backend.reports.contains(&number)) {
        return Err(format!("reports are missing: {:?}", backend.reports));
    }
    if backend.done != ["led on", "sleep", "close"] {
        return Err(format!("commands were answered so: {:?}", backend.done));
    }
    if backend.sources.len() != 1 {
        return Err(format!(
            "the backend saw more than one session: {:?}",
            backend.sources
        ));
    }
    let started = proxy_log
        .iter()
        .filter(|line| line.contains("\"session started\""))
        .count();
    if started != 1 {
        return Err(format!(
            "the proxy started {started} sessions: {proxy_log:#?}"
        ));
    }
    let counters = proxy_log
        .iter()
        .find(|line| line.contains("\"stopped\""))
        .cloned()
        .unwrap_or_default();
    for counter in ["handshakes_completed=1 ", "address_changes=1 "] {
        if !counters.contains(counter) {
            return Err(format!("the proxy did not count {counter}: {counters}"));
        }
    }
    Ok(())
}

/// What a process prints, line by line, from both of its outputs.
fn lines(child: &mut Child) -> (Receiver<String>, usize) {
    let (sender, receiver) = channel();
    let outputs: Vec<Box<dyn Read + Send>> = [
        child
            .stdout
            .take()
            .map(|out| Box::new(out) as Box<dyn Read + Send>),
        child
            .stderr
            .take()
            .map(|out| Box::new(out) as Box<dyn Read + Send>),
    ]
    .into_iter()
    .flatten()
    .collect();
    let count = outputs.len();
    for output in outputs {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line.trim_end().to_owned()).is_err() {
                    return;
                }
            }
        });
    }
    (receiver, count)
}

/// Asks a process to end, so that it says its last words.
fn terminate(child: &Child) -> Result<(), String> {
    let status = Command::new("kill").arg(child.id().to_string()).status();
    status.map(|_| ()).map_err(|error| format!("kill: {error}"))
}

/// Everything up to the end of the process.
fn drain(lines: &Receiver<String>) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(line) = lines.recv_timeout(Duration::from_secs(10)) {
        all.push(line);
    }
    all
}
