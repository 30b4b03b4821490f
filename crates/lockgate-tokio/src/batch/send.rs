//! Collecting what is to go.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use lockgate_dtls::config::{MAX_HEADROOM, MAX_TAILROOM};

use super::kernel::{self, Letter, MAX_MESSAGES, Message};
use crate::port::may_be_of_another;
use crate::{MAX_DATAGRAM_LEN, Path};

/// The room that there is for each datagram, in bytes: the longest payload, sealed.
const ROOM: usize = MAX_HEADROOM + MAX_DATAGRAM_LEN + MAX_TAILROOM;
/// How many bytes are collected at most before they go.
const COLLECTED: usize = 128 << 10;

/// Datagrams that go to the kernel together, in the order in which they came in.
///
/// They lie one behind the other, so that many small ones cost few cache lines.
pub struct SendBatch {
    memory: Box<[u8]>,
    used: usize,
    messages: Vec<(Range<usize>, Path)>,
    letters: Box<[Letter]>,
}

impl SendBatch {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            memory: vec![0; COLLECTED + ROOM].into(),
            used: 0,
            messages: Vec::with_capacity(MAX_MESSAGES),
            letters: vec![Letter::new(); MAX_MESSAGES].into(),
        }
    }

    /// Where the next datagram can be written, longest payload and what sealing adds included. What is in it stays
    /// until the next [`SendBatch::push`] or [`SendBatch::send`].
    ///
    /// # Panics
    /// When it [is full](SendBatch::is_full).
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.memory[self.used..self.used + ROOM]
    }

    /// The datagram that stands at `datagram` in [`SendBatch::room`] is to go along `path`: to its peer, from its
    /// local address where that is known, by the socket with its number.
    ///
    /// # Panics
    /// When it [is full](SendBatch::is_full), or `datagram` is beyond the room.
    pub fn push(&mut self, datagram: Range<usize>, path: Path) {
        assert!(!self.is_full() && datagram.end <= ROOM, "room for one more");
        let datagram = self.used + datagram.start..self.used + datagram.end;
        self.used = datagram.end;
        self.messages.push((datagram, path));
    }

    /// Whether it must be sent before the next datagram comes in.
    pub fn is_full(&self) -> bool {
        self.messages.len() == MAX_MESSAGES || self.used > COLLECTED
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Hands all of them to the kernel. `socket` names a socket by its number. `told` hears what came of each: its length,
    /// or why it is lost.
    pub fn send<'s>(
        &mut self,
        socket: impl Fn(u8) -> Option<BorrowedFd<'s>>,
        mut told: impl FnMut(&Path, io::Result<usize>),
    ) {
        let mut rest = &self.messages[..];
        let mut tried_again = false;
        while let Some((_, path)) = rest.first() {
            let number = path.socket();
            let together = rest.iter().take_while(|(_, path)| path.socket() == number);
            let messages = together.map(|(datagram, path)| Message {
                bytes: &self.memory[datagram.clone()],
                to: path.remote(),
                from: path.local(),
            });
            let result = match socket(number) {
                Some(socket) => kernel::send(socket, messages, &mut self.letters),
                None => Err(io::ErrorKind::NotConnected.into()),
            };
            match result {
                Ok(sent) => {
                    let (gone, left) = rest.split_at(sent.clamp(1, rest.len()));
                    for (datagram, path) in gone {
                        told(path, Ok(datagram.len()));
                    }
                    rest = left;
                    tried_again = false;
                }
                // What is reported may be an earlier datagram's ICMP error; then this one has not been sent.
                Err(error) if may_be_of_another(&error) && !tried_again => tried_again = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // There is no room for the others either.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    while let Some(((_, path), left)) = rest.split_first()
                        && path.socket() == number
                    {
                        told(path, Err(io::ErrorKind::WouldBlock.into()));
                        rest = left;
                    }
                    tried_again = false;
                }
                Err(error) => {
                    told(path, Err(error));
                    rest = &rest[1..];
                    tried_again = false;
                }
            }
        }
        self.messages.clear();
        self.used = 0;
    }
}

/// Hands one datagram to the kernel now.
pub(crate) fn send_one(socket: BorrowedFd<'_>, path: &Path, bytes: &[u8]) -> io::Result<usize> {
    let message = Message {
        bytes,
        to: path.remote(),
        from: path.local(),
    };
    kernel::send(socket, std::iter::once(message), &mut [Letter::new()])?;
    Ok(bytes.len())
}

impl Default for SendBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendBatch")
            .field("len", &self.messages.len())
            .finish_non_exhaustive()
    }
}
