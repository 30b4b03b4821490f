//! Leases on record sequence numbers, so that a session that is brought back never uses a number twice.
//!
//! An exported association is only bytes, and bytes cannot know that they are an old copy. So before a session sends
//! under a sequence number, the number has been claimed in a [`LeaseStore`] that outlives the session's memory, and
//! bringing a session back first takes its lease over: the copy that did it first wins, every other is refused.

use core::fmt;

/// Names the lease of one association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub [u8; 8]);

/// What an association holds of its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    /// How often the session has been brought back.
    pub(crate) generation: u32,
    /// Numbers below this one are claimed.
    pub(crate) end: u64,
}

/// Where claims are kept: a table of `id -> (generation, end)` whose updates are atomic, and durable when they return.
pub trait LeaseStore {
    /// Why the store itself failed.
    type Error;

    /// Claims all numbers below `end` for `generation` of `id`: a compare-and-set that succeeds when the stored
    /// generation is `generation` and the stored end is at most `end`. An unknown `id` is entered when `generation` is
    /// 0, and refused otherwise: a store that lost its memory must not let an old copy pass.
    fn advance(
        &mut self,
        id: LeaseId,
        generation: u32,
        end: u64,
    ) -> Result<(), LeaseError<Self::Error>>;

    /// Burns the lease of `generation` and claims all numbers below its end plus `count` for `generation + 1`: a
    /// compare-and-set that succeeds only when the stored generation is `generation`. Returns the end as it was,
    /// from which the new owner counts on.
    fn take_over(
        &mut self,
        id: LeaseId,
        generation: u32,
        count: u64,
    ) -> Result<u64, LeaseError<Self::Error>>;
}

/// Why a claim was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseError<E> {
    /// Another generation holds the lease: this is an old copy.
    Superseded,
    /// The store does not know the lease.
    Unknown,
    /// The store itself failed; nothing was claimed.
    Store(E),
}

impl<E: fmt::Display> fmt::Display for LeaseError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superseded => {
                f.write_str("the session has been brought back elsewhere: this is an old copy")
            }
            Self::Unknown => f.write_str("the lease store does not know this session"),
            Self::Store(error) => write!(f, "the lease store failed: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for LeaseError<E> {}

/// Leases in memory: for tests, and for sessions that move only within one process.
#[cfg(feature = "endpoint")]
#[derive(Debug, Default)]
pub struct MemoryLeaseStore {
    leases: alloc::collections::BTreeMap<LeaseId, (u32, u64)>,
}

#[cfg(feature = "endpoint")]
impl LeaseStore for MemoryLeaseStore {
    type Error = core::convert::Infallible;

    fn advance(
        &mut self,
        id: LeaseId,
        generation: u32,
        end: u64,
    ) -> Result<(), LeaseError<Self::Error>> {
        match self.leases.get_mut(&id) {
            Some((held, claimed)) if *held == generation && *claimed <= end => *claimed = end,
            Some(_) => return Err(LeaseError::Superseded),
            None if generation == 0 => {
                self.leases.insert(id, (0, end));
            }
            None => return Err(LeaseError::Unknown),
        }
        Ok(())
    }

    fn take_over(
        &mut self,
        id: LeaseId,
        generation: u32,
        count: u64,
    ) -> Result<u64, LeaseError<Self::Error>> {
        let (held, claimed) = self.leases.get_mut(&id).ok_or(LeaseError::Unknown)?;
        if *held != generation {
            return Err(LeaseError::Superseded);
        }
        let previous = *claimed;
        *held = held.wrapping_add(1);
        *claimed = previous.saturating_add(count);
        Ok(previous)
    }
}
