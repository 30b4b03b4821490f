//! The session that the next handshake may go on with.

use core::fmt;

/// How many bytes before the session say how long it is, and whether there is one.
const HEADER_LEN: usize = 4;

/// How many bytes [`Session::with_resumption`](crate::Session::with_resumption) has use for at most: a ticket may take
/// 500 bytes, those of our servers take less than half of it.
pub const MAX_RESUMPTION_LEN: usize = HEADER_LEN + 640;

/// A session in memory of the caller's, behind its length and the complement of that: memory that holds anything at first
/// holds no session.
pub(crate) struct Kept<'m> {
    memory: &'m mut [u8],
    /// The server took the offer.
    pub(crate) taken: bool,
}

impl<'m> Kept<'m> {
    /// No session, and no memory for one.
    pub(crate) const fn none() -> Self {
        Self::new(&mut [])
    }

    pub(crate) const fn new(memory: &'m mut [u8]) -> Self {
        Self {
            memory,
            taken: false,
        }
    }

    pub(crate) fn get(&self) -> Option<&[u8]> {
        let (header, rest) = self.memory.split_first_chunk::<HEADER_LEN>()?;
        let [a, b, c, d] = *header;
        let len = u16::from_be_bytes([a, b]);
        if len == 0 || u16::from_be_bytes([c, d]) != !len {
            return None;
        }
        rest.get(..usize::from(len))
    }

    /// Keeps `session`; one that is too long is as if there were none.
    pub(crate) fn put(&mut self, session: &[u8]) {
        self.forget();
        let len = session.len() as u16;
        if let Some((header, rest)) = self.memory.split_first_chunk_mut::<HEADER_LEN>()
            && let Some(room) = rest.get_mut(..session.len())
        {
            room.copy_from_slice(session);
            let [a, b] = len.to_be_bytes();
            let [c, d] = (!len).to_be_bytes();
            *header = [a, b, c, d];
        }
    }

    /// Wipes it.
    pub(crate) fn forget(&mut self) {
        self.memory.fill(0);
    }
}

impl fmt::Debug for Kept<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}
