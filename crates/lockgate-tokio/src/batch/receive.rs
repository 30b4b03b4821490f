//! Taking what waits at a socket.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use super::kernel::{self, Letter};
use crate::MAX_DATAGRAM_LEN;

/// How many datagrams are taken in one call.
const SLOTS: usize = 32;
/// How far apart slots lie, in bytes: room for the longest datagram, and three cache lines, so that the first bytes of
/// all slots do not compete for the same places in the cache.
const STRIDE: usize = 65_536 + 192;
/// How many are asked for at least: to prepare a slot costs little, but is for nothing where a datagram comes at a time.
const FEWEST: usize = 4;

/// Datagrams that were taken from a socket in one call.
///
/// It is 2 MiB of address space; of a slot only those pages become memory that a datagram has reached.
pub struct ReceiveBatch {
    memory: Box<[u8]>,
    letters: Box<[Letter]>,
    filled: usize,
    /// How many to ask for next.
    wanted: usize,
}

/// One datagram of a [`ReceiveBatch`].
#[derive(Debug)]
pub struct Arrived<'a> {
    /// The datagram; the batch needs it no more.
    pub bytes: &'a mut [u8],
    /// Who sent it.
    pub from: SocketAddr,
    /// The address of ours that it came to, where the socket tells it.
    pub to: Option<IpAddr>,
}

impl ReceiveBatch {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            memory: vec![0; SLOTS * STRIDE].into(),
            letters: vec![Letter::new(); SLOTS].into(),
            filled: 0,
            wanted: FEWEST,
        }
    }

    /// Takes datagrams from a non-blocking socket in place of those that it held; `WouldBlock` when there are none. Returns
    /// whether there may be more: when not, the kernel has found the socket empty. `addresses` is whether the socket has
    /// been told to say which address of ours datagrams come to.
    pub fn receive(&mut self, socket: &impl AsFd, addresses: bool) -> io::Result<bool> {
        self.filled = 0;
        let slots = self.memory.chunks_exact_mut(STRIDE);
        let slots = slots.map(|slot| &mut slot[..MAX_DATAGRAM_LEN]);
        let letters = &mut self.letters[..self.wanted];
        let asked = letters.len();
        self.filled = kernel::receive(socket.as_fd(), slots, letters, addresses)?;
        let more = self.filled == asked;
        self.wanted = (2 * self.filled).clamp(FEWEST, SLOTS);
        Ok(more)
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.filled
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The one at `n`; `None` beyond the last, and for one without a sender, which no UDP socket gives.
    pub fn get(&mut self, n: usize) -> Option<Arrived<'_>> {
        let letter = self.letters[..self.filled].get(n)?;
        Some(Arrived {
            bytes: &mut self.memory[n * STRIDE..][..letter.len],
            from: letter.from?,
            to: letter.to,
        })
    }

    /// Forgets what it holds.
    pub(crate) const fn clear(&mut self) {
        self.filled = 0;
    }

    /// The memory of the first datagram, which is lost, for one that is taken otherwise.
    pub(crate) fn scratch(&mut self) -> &mut [u8] {
        self.filled = 0;
        &mut self.memory[..MAX_DATAGRAM_LEN]
    }
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for ReceiveBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceiveBatch")
            .field("len", &self.filled)
            .finish_non_exhaustive()
    }
}
