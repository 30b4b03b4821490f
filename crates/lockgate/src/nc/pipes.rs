//! Standard input and output, each in a thread of its own: both may block for ever.

use std::fs::File;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::thread;

use lockgate_tokio::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::args::Framing;
use crate::Failure;

/// How many datagrams wait between a pipe and the network.
const WAITING: usize = 64;

/// Reads datagrams of at most `limit` bytes from standard input, until its end.
pub(super) fn input(framing: Framing, limit: usize) -> mpsc::Receiver<Result<Bytes, Failure>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    thread::spawn(move || {
        // Not buffered: what one write put into a pipe is not to be mixed with the next.
        let stdin = match io::stdin().as_fd().try_clone_to_owned() {
            Ok(stdin) => File::from(stdin),
            Err(error) => {
                let _ = sender.blocking_send(Err(format!("standard input: {error}")));
                return;
            }
        };
        let mut lines = io::BufReader::new(&stdin);
        let mut datagram = vec![0; limit];
        loop {
            let read = match framing {
                Framing::Datagram => (&stdin).read(&mut datagram),
                Framing::Line => {
                    datagram.clear();
                    (&mut lines)
                        .take(limit as u64)
                        .read_until(b'\n', &mut datagram)
                }
            };
            let read = match read {
                Ok(0) => return,
                Ok(len) => Ok(Bytes::copy_from_slice(&datagram[..len])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(format!("standard input: {error}")),
            };
            let last = read.is_err();
            if sender.blocking_send(read).is_err() || last {
                return;
            }
        }
    });
    receiver
}

/// Standard output. Datagrams that are still on their way are written when it is closed.
pub(super) struct Output {
    pub(super) datagrams: mpsc::Sender<Bytes>,
    /// Tells how it ended: at once when nobody reads any more.
    pub(super) ended: oneshot::Receiver<io::Result<()>>,
}

impl Output {
    /// One write is one datagram; with [`Framing::Line`] each ends with a line.
    pub(super) fn start(framing: Framing) -> Self {
        let (datagrams, mut receiver) = mpsc::channel::<Bytes>(WAITING);
        let (sender, ended) = oneshot::channel();
        thread::spawn(move || {
            let stdout = match io::stdout().as_fd().try_clone_to_owned() {
                Ok(stdout) => File::from(stdout),
                Err(error) => return drop(sender.send(Err(error))),
            };
            let write = |datagram: &Bytes| {
                if framing == Framing::Line && datagram.last() != Some(&b'\n') {
                    let mut line = datagram.to_vec();
                    line.push(b'\n');
                    (&stdout).write_all(&line)
                } else {
                    (&stdout).write_all(datagram)
                }
            };
            let mut outcome = Ok(());
            while let Some(datagram) = receiver.blocking_recv() {
                outcome = write(&datagram);
                if outcome.is_err() {
                    break;
                }
            }
            let _ = sender.send(outcome);
        });
        Self { datagrams, ended }
    }
}

/// Why standard output is gone.
pub(super) fn output_failure(ended: Result<io::Result<()>, oneshot::error::RecvError>) -> Failure {
    match ended {
        Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            "standard output: nobody reads it any more".into()
        }
        Ok(Err(error)) => format!("standard output: {error}"),
        _ => "standard output: it is closed".into(),
    }
}
