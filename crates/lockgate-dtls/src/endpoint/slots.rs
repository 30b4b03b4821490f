//! The slab of connections. It grows by chunks, so that no session is ever moved, and a slot number with its generation
//! names a connection for ever.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::key_cache::NOT_CACHED;
use crate::association::Association;

const CHUNK: u32 = 256;

/// What lives in a slot.
#[allow(
    clippy::large_enum_variant,
    reason = "a slot is made to hold a session; one that is half open is soon one or gone"
)]
pub(crate) enum Life {
    Vacant,
    /// The number of the handshake in its own slab.
    Handshaking(u32),
    Established(Association),
}

pub(crate) struct Slot<A> {
    pub(crate) life: Life,
    /// Where the peer is; `None` only while vacant.
    pub(crate) path: Option<A>,
    pub(crate) generation: u32,
    /// Where its expanded keys were last seen.
    pub(crate) cached: u32,
    /// It stands in the queue of those with something to send.
    pub(crate) queued: bool,
    /// Its end has been told.
    pub(crate) closed: bool,
}

impl<A> Slot<A> {
    const fn vacant() -> Self {
        Self {
            life: Life::Vacant,
            path: None,
            generation: 0,
            cached: NOT_CACHED,
            queued: false,
            closed: false,
        }
    }

    pub(crate) const fn is_vacant(&self) -> bool {
        matches!(self.life, Life::Vacant)
    }
}

pub(crate) struct Slots<A> {
    chunks: Vec<Box<[Slot<A>]>>,
    /// Freed slots; one that was taken again by number may still stand here.
    free: Vec<u32>,
    /// The lowest number never used.
    fresh: u32,
    occupied: u32,
    max: u32,
}

impl<A> Slots<A> {
    pub(crate) const fn new(max: u32) -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            fresh: 0,
            occupied: 0,
            max,
        }
    }

    pub(crate) const fn occupied(&self) -> u32 {
        self.occupied
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.occupied >= self.max
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Slot<A>> {
        self.chunks
            .get((index / CHUNK) as usize)?
            .get((index % CHUNK) as usize)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Slot<A>> {
        self.chunks
            .get_mut((index / CHUNK) as usize)?
            .get_mut((index % CHUNK) as usize)
    }

    /// A vacant slot, which the caller fills.
    pub(crate) fn allocate(&mut self) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        while let Some(index) = self.free.pop() {
            if self.get(index).is_some_and(Slot::is_vacant) {
                self.occupied += 1;
                return Some(index);
            }
        }
        let index = self.fresh;
        self.fresh += 1;
        self.grow(index);
        self.occupied += 1;
        Some(index)
    }

    /// This very slot, if it is vacant; for sessions that are brought back.
    pub(crate) fn allocate_at(&mut self, index: u32) -> Option<()> {
        if self.is_full()
            || index >= self.max
            || self.get(index).is_some_and(|slot| !slot.is_vacant())
        {
            return None;
        }
        if index >= self.fresh {
            self.free.extend(self.fresh..index);
            self.fresh = index + 1;
            self.grow(index);
        }
        self.occupied += 1;
        Some(())
    }

    /// Gives back a slot that was allocated and never filled.
    pub(crate) fn put_back(&mut self, index: u32) {
        if self.get(index).is_some_and(Slot::is_vacant) {
            self.occupied -= 1;
            self.free.push(index);
        }
    }

    /// Empties a slot; its next connection is of another generation.
    pub(crate) fn release(&mut self, index: u32) {
        if let Some(slot) = self.get_mut(index)
            && !slot.is_vacant()
        {
            let generation = slot.generation.wrapping_add(1);
            *slot = Slot {
                generation,
                ..Slot::vacant()
            };
            self.occupied -= 1;
            self.free.push(index);
        }
    }

    /// All occupied slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Slot<A>)> {
        (0..self.fresh)
            .filter_map(|index| self.get(index).map(|slot| (index, slot)))
            .filter(|(_, s)| !s.is_vacant())
    }

    fn grow(&mut self, index: u32) {
        while self.chunks.len() as u32 * CHUNK <= index {
            self.chunks
                .push((0..CHUNK).map(|_| Slot::vacant()).collect());
        }
    }
}
