//! The anti-replay window of RFC 6347 §4.1.2.6.

use crate::drop_reason::DropReason;

/// How many words of bits a window has: a device needs less.
pub(crate) const WINDOW_WORDS: usize = if cfg!(feature = "endpoint") { 4 } else { 2 };

/// Widest window in records.
pub(crate) const MAX_REPLAY_WINDOW: u16 = WINDOW_WORDS as u16 * 64;

/// Which of the newest sequence numbers have been seen. Touched only after a record's tag has verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplayWindow {
    /// One above the highest number seen; 0 when none has been.
    next: u64,
    /// Bit `i` of the whole: the number `next - 1 - i` has been seen.
    seen: [u64; WINDOW_WORDS],
}

impl ReplayWindow {
    /// A window as it was stored.
    pub(crate) const fn restore(next: u64, seen: [u64; WINDOW_WORDS]) -> Self {
        Self { next, seen }
    }

    /// One above the highest number seen.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// The bits, newest lowest, for storing.
    pub(crate) const fn bits(&self) -> [u64; WINDOW_WORDS] {
        self.seen
    }

    /// Whether a record with this number may be opened, with a window of `width` numbers.
    pub(crate) fn check(&self, sequence: u64, width: u16) -> Result<(), DropReason> {
        if sequence >= self.next {
            return Ok(());
        }
        let age = self.next - 1 - sequence;
        if age >= u64::from(width.min(MAX_REPLAY_WINDOW)) {
            return Err(DropReason::TooOld);
        }
        let bit = self.seen[(age / 64) as usize] >> (age % 64) & 1;
        if bit == 1 {
            Err(DropReason::Replayed)
        } else {
            Ok(())
        }
    }

    /// Marks a number as seen, and says whether it is newer than all before it.
    pub(crate) fn mark(&mut self, sequence: u64) -> bool {
        if sequence >= self.next {
            self.shift(sequence - self.next + 1);
            self.next = sequence + 1;
            self.seen[0] |= 1;
            true
        } else {
            let age = self.next - 1 - sequence;
            if let Some(word) = self.seen.get_mut((age / 64) as usize) {
                *word |= 1 << (age % 64);
            }
            false
        }
    }

    fn shift(&mut self, by: u64) {
        if by >= u64::from(MAX_REPLAY_WINDOW) {
            self.seen = [0; WINDOW_WORDS];
            return;
        }
        let (words, bits) = ((by / 64) as usize, by % 64);
        for i in (0..WINDOW_WORDS).rev() {
            let word = |at: Option<usize>| at.map_or(0, |at| self.seen[at]);
            let high = word(i.checked_sub(words));
            let low = word(i.checked_sub(words + 1));
            self.seen[i] = high << bits | low.checked_shr(64 - bits as u32).unwrap_or(0);
        }
    }
}
