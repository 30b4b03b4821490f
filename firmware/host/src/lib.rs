//! What the dialogue and the measurements share: a proxy and a device that end with the program.

mod server;

pub use server::{Proof, Server};

use std::io::{BufRead, BufReader, Error, Read};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

/// A process that ends when this is dropped, by its own handle.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running `lockgate proxy`.
pub struct Proxy {
    process: Process,
    lines: Receiver<String>,
    log: Vec<String>,
    /// Its UDP port on the loopback.
    pub port: u16,
}

impl Proxy {
    /// Starts `program` before `backend`, and waits until it listens.
    pub fn start(program: &str, backend: SocketAddr) -> Result<Self, String> {
        // A port that is free now.
        let port = UdpSocket::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .map_err(told("port"))?
            .port();
        let mut process = Command::new(program)
            .args(["proxy", "--bind", &format!("127.0.0.1:{port}")])
            .args(["--connect", &backend.to_string()])
            .args(["--psk", "sensor-17:736563726574206f662073656e736f72"])
            .args(["--log-format", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map(Process)
            .map_err(told("lockgate proxy"))?;
        let lines = lines(&mut process.0);
        let mut log = Vec::new();
        while !log
            .iter()
            .any(|line: &String| line.contains("\"listening\""))
        {
            let line = lines.recv_timeout(Duration::from_secs(10));
            log.push(line.map_err(|_| format!("the proxy does not listen: {log:?}"))?);
        }
        Ok(Self {
            process,
            lines,
            log,
            port,
        })
    }

    /// Asks it to end, and gives all that it logged.
    pub fn stop(mut self) -> Result<Vec<String>, String> {
        let id = self.process.0.id().to_string();
        Command::new("kill")
            .arg(id)
            .status()
            .map_err(told("kill"))?;
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(10)) {
            self.log.push(line);
        }
        Ok(self.log)
    }
}

/// Starts a device; `PORT` and `SEED` in its command are filled in.
pub fn start_device(command: &[String], port: u16) -> Result<(Process, Receiver<String>), String> {
    let seed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    let fill = |word: &String| {
        word.replace("PORT", &port.to_string())
            .replace("SEED", &seed.to_string())
    };
    let (program, rest) = command.split_first().ok_or("no command for the device")?;
    let mut device = Command::new(fill(program))
        .args(rest.iter().map(fill))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map(Process)
        .map_err(told("the device"))?;
    let lines = lines(&mut device.0);
    Ok((device, lines))
}

/// Says what failed.
pub fn told(what: &'static str) -> impl Fn(Error) -> String {
    move |error| format!("{what}: {error}")
}

/// What a process prints, line by line, from both of its outputs.
fn lines(child: &mut Child) -> Receiver<String> {
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
    receiver
}
