//! Logs go to standard error: standard output belongs to what a subcommand is for.
//!
//! Whoever reads standard error may stop reading or go away. Neither may hold up traffic, so a thread of its own writes,
//! behind a queue that drops lines when it is full and says how many.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use lockgate_gateway::config::{LogFormat, LogOptions};
use tracing_subscriber::{EnvFilter, fmt};

use crate::Failure;

/// How many lines wait for a slow reader before more are dropped.
const QUEUED_LINES: usize = 4096;
/// How long the end of the process waits for a slow reader.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// Sets the logging of the whole process up; once, before anything else logs. The lines logged until [`Logging`] is
/// dropped are written, unless nobody reads them.
pub(crate) fn init(options: &LogOptions) -> Result<Logging, Failure> {
    let filter = match &options.filter {
        Some(filter) => EnvFilter::try_new(filter).map_err(|e| format!("--log-level: {e}"))?,
        // A mistake in the environment of somebody's shell is no reason not to start.
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
    };
    let failed = |e: &dyn std::fmt::Display| format!("cannot set up logging: {e}");
    let queue = Queue::start().map_err(|e| failed(&e))?;
    let logging = Logging(queue.clone());
    let log = fmt()
        .with_env_filter(filter)
        // Or it would panic when standard error is gone.
        .log_internal_errors(false)
        .with_writer(move || queue.clone());
    let done = match options.format {
        LogFormat::Json => log.json().flatten_event(true).try_init(),
        _ => log.with_ansi(stderr().is_terminal()).try_init(),
    };
    done.map_err(|e| failed(&e))?;
    Ok(logging)
}

/// Writes the one line of a failure; gives up when nobody reads it.
pub(crate) fn last_words(failure: &str) {
    let line = format!("lockgate: {failure}\n");
    let (done, wait) = channel();
    let writer = thread::Builder::new().spawn(move || {
        let _ = stderr().write_all(line.as_bytes());
        let _ = done.send(());
    });
    if writer.is_ok() {
        let _ = wait.recv_timeout(LAST_WAIT);
    }
}

/// Dropping it waits until all lines are written, but not for long.
pub(crate) struct Logging(Queue);

impl Drop for Logging {
    fn drop(&mut self) {
        let until = Instant::now() + LAST_WAIT;
        let (done, wait) = channel();
        let mut message = Message::Flush(done);
        while let Err(TrySendError::Full(back)) = self.0.messages.try_send(message) {
            if Instant::now() >= until {
                return;
            }
            message = back;
            thread::sleep(Duration::from_millis(5));
        }
        let _ = wait.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

enum Message {
    Line(Vec<u8>),
    /// Answered when all lines before it are written.
    Flush(Sender<()>),
}

/// Where lines wait. Each `write` is a line, as the formatter does it.
#[derive(Clone)]
struct Queue {
    messages: SyncSender<Message>,
    /// Lines dropped since that was last said.
    dropped: Arc<AtomicU64>,
}

thread_local! {
    /// Whether this is the thread that writes; what it logs itself must not wait in its own queue.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

impl Queue {
    fn start() -> io::Result<Self> {
        let (messages, receiver) = sync_channel(QUEUED_LINES);
        let dropped = Arc::<AtomicU64>::default();
        let count = Arc::clone(&dropped);
        thread::Builder::new()
            .name("log".into())
            .spawn(move || write_all(&receiver, &count))?;
        Ok(Self { messages, dropped })
    }
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if WRITES.get() {
            let _ = stderr().write_all(line);
        } else if self.messages.try_send(Message::Line(line.into())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(messages: &Receiver<Message>, dropped: &AtomicU64) {
    WRITES.set(true);
    for message in messages {
        let lines = dropped.swap(0, Ordering::Relaxed);
        if lines > 0 {
            tracing::warn!(lines, "log lines were dropped, they were read too slowly");
        }
        match message {
            // When standard error is gone, so are the lines.
            Message::Line(line) => drop(stderr().write_all(&line)),
            Message::Flush(done) => drop(done.send(())),
        }
    }
}
