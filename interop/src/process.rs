//! A program under test, with deadlines on everything.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// What the program has printed, standard output and standard error as they came.
#[derive(Default)]
struct Printed {
    text: String,
    /// How many of the two streams are still open.
    open: u8,
}

#[derive(Default)]
struct Shared {
    printed: Mutex<Printed>,
    changed: Condvar,
}

/// A running program: input and output are pipes, and the end of this value is the end of the program.
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    shared: Arc<Shared>,
    /// What [`Process::wait_for`] has found lies before.
    seen: usize,
}

impl Process {
    /// Starts `program`. Its output comes line by line, although it goes into a pipe.
    pub fn start(program: &str, args: &[&str]) -> Self {
        // GNU's `stdbuf` becomes the program, so the process id stays the one that is ended.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "-eL", program]).args(args);
        Self::spawn(program, &mut command)
    }

    /// Starts `command`, called `name` in messages.
    pub fn spawn(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let shared = Arc::new(Shared::default());
        shared.printed.lock().expect("no panic holds it").open = 2;
        follow(child.stdout.take().expect("piped"), &shared);
        follow(child.stderr.take().expect("piped"), &shared);
        Self {
            name: name.into(),
            stdin: child.stdin.take(),
            child,
            shared,
            seen: 0,
        }
    }

    /// Types a line. A program that has ended already does not mind.
    pub fn type_line(&mut self, line: &str) {
        if let Some(stdin) = &mut self.stdin {
            // In one write: some peers make a record of what one read gives them.
            let _ = stdin.write_all(format!("{line}\n").as_bytes());
        }
    }

    /// Ends the program's input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for `needle` behind what was found before, and returns the line that it stands in.
    pub fn wait_for(&mut self, needle: &str) -> String {
        self.wait_for_within(needle, PATIENCE)
    }

    /// [`Process::wait_for`] with a time of its own.
    pub fn wait_for_within(&mut self, needle: &str, time: Duration) -> String {
        match self.find_within(needle, time) {
            Some(line) => line,
            None => panic!(
                "{} did not print {needle:?} within {time:?}; it printed:\n{}",
                self.name,
                self.output()
            ),
        }
    }

    /// [`Process::wait_for_within`], but `None` when the line does not come.
    pub fn find_within(&mut self, needle: &str, time: Duration) -> Option<String> {
        let deadline = Instant::now() + time;
        let mut printed = self.shared.printed.lock().expect("no panic holds it");
        loop {
            let text = &printed.text;
            if let Some(at) = text[self.seen..].find(needle) {
                let at = self.seen + at;
                let end = text[at..].find('\n').map(|len| at + len);
                if end.is_some() || printed.open == 0 {
                    let end = end.unwrap_or(text.len());
                    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                    let line = text[start..end].into();
                    self.seen = end;
                    return Some(line);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || printed.open == 0 {
                return None;
            }
            printed = self
                .shared
                .changed
                .wait_timeout(printed, left)
                .expect("no panic holds it")
                .0;
        }
    }

    /// All that has been printed so far.
    pub fn output(&self) -> String {
        let printed = self.shared.printed.lock().expect("no panic holds it");
        printed.text.clone()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end of the program and of its output.
    pub fn wait(&mut self) -> ExitStatus {
        self.exit_within(PATIENCE).unwrap_or_else(|| {
            panic!(
                "{} did not end within {PATIENCE:?}; it printed:\n{}",
                self.name,
                self.output()
            )
        })
    }

    /// How the program ended, when it does within `time`.
    pub fn exit_within(&mut self, time: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + time;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                // What it printed last may still be in the pipes.
                let printed = self.shared.printed.lock().expect("no panic holds it");
                let rest =
                    self.shared
                        .changed
                        .wait_timeout_while(printed, Duration::from_secs(1), |p| p.open > 0);
                drop(rest.expect("no panic holds it"));
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal by its name, as `kill` knows it.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([format!("-{signal}"), self.id().to_string()])
            .status()
            .expect("kill");
        assert!(status.success(), "kill -{signal} {}", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- {} printed:\n{}---", self.name, self.output());
        }
    }
}

fn follow(mut stream: impl Read + Send + 'static, shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        loop {
            let len = stream.read(&mut chunk).unwrap_or(0);
            let mut printed = shared.printed.lock().expect("no panic holds it");
            if len == 0 {
                printed.open -= 1;
            }
            printed
                .text
                .push_str(&String::from_utf8_lossy(&chunk[..len]));
            shared.changed.notify_all();
            if len == 0 {
                return;
            }
        }
    });
}
