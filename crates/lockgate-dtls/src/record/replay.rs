//! The anti-replay window of RFC 6347 §4.1.2.6.

use crate::drop_reason::DropReason;

/// Which of the newest sequence numbers have been seen. Touched only after a record's tag has verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplayWindow {
    /// One above the highest number seen; 0 when none has been.
    next: u64,
    /// Bit `i` of the whole: the number `next - 1 - i` has been seen.
    seen: [u64; 2],
}

impl ReplayWindow {
    /// A window as it was stored.
    pub(crate) const fn restore(next: u64, seen: [u64; 2]) -> Self {
        Self { next, seen }
    }

    /// One above the highest number seen.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// The bits, newest lowest, for storing.
    pub(crate) const fn bits(&self) -> [u64; 2] {
        self.seen
    }

    /// Whether a record with this number may be opened, with a window of `width` numbers.
    pub(crate) fn check(&self, sequence: u64, width: u8) -> Result<(), DropReason> {
        if sequence >= self.next {
            return Ok(());
        }
        let age = self.next - 1 - sequence;
        if age >= u64::from(width) || age >= 128 {
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
        let [low, high] = self.seen;
        self.seen = match by {
            0 => [low, high],
            1..64 => [low << by, high << by | low >> (64 - by)],
            64..128 => [0, low << (by - 64)],
            _ => [0, 0],
        };
    }
}
