//! Runs the image in the emulator against `lockgate proxy` and a backend, and checks what was said.
//!
//! ```text
//! dialogue PROXY COMMAND…    PORT and SEED in the command are filled in
//! ```
//!
//! The last line says whether all held; the exit code is 0 only then. Every process ends with it.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lockgate_firmware_host::{Proxy, start_device, told};

/// How long all of it may take.
const LIMIT: Duration = Duration::from_mins(1);
/// Reports before sleep, and the report that brings a command down.
const REPORTS: u32 = 20;
const COMMAND_AT: u32 = 10;
/// The last report, after waking up.
const LAST: u32 = 23;

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
    let start = Instant::now();
    let backend_socket = UdpSocket::bind("127.0.0.1:0").map_err(told("backend"))?;
    let backend_address = backend_socket.local_addr().map_err(told("backend"))?;
    backend_socket
        .set_read_timeout(Some(Duration::from_millis(10)))
        .map_err(told("backend"))?;
    let proxy = Proxy::start(proxy, backend_address)?;
    let (mut device, device_lines) = start_device(device, proxy.port)?;
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
    let proxy_log = proxy.stop()?;
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
