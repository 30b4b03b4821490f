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
    /// Its number stands in the list of freed slots.
    in_free: bool,
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
            in_free: false,
        }
    }

    pub(crate) const fn is_vacant(&self) -> bool {
        matches!(self.life, Life::Vacant)
    }
}

pub(crate) struct Slots<A> {
    /// Chunks that hold no slot in use yet may be missing.
    chunks: Vec<Option<Box<[Slot<A>]>>>,
    /// Freed slots, each once; one that was taken again by number still stands here.
    free: Vec<u32>,
    /// Numbers from here on are not in `free`.
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
            .as_ref()?
            .get((index % CHUNK) as usize)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Slot<A>> {
        self.chunks
            .get_mut((index / CHUNK) as usize)?
            .as_mut()?
            .get_mut((index % CHUNK) as usize)
    }

    /// A vacant slot, which the caller fills.
    pub(crate) fn allocate(&mut self) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        while let Some(index) = self.free.pop() {
            if let Some(slot) = self.get_mut(index) {
                slot.in_free = false;
                if slot.is_vacant() {
                    self.occupied += 1;
                    return Some(index);
                }
            }
        }
        // Those that were brought back by number are passed over.
        while self.get(self.fresh).is_some_and(|slot| !slot.is_vacant()) {
            self.fresh += 1;
        }
        let index = self.fresh;
        if index >= self.max {
            return None;
        }
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
        self.grow(index);
        self.occupied += 1;
        Some(())
    }

    /// Gives back a slot that was allocated and never filled.
    pub(crate) fn put_back(&mut self, index: u32) {
        if self.get(index).is_some_and(Slot::is_vacant) {
            self.occupied -= 1;
            self.enter_free(index);
        }
    }

    /// Empties a slot; its next connection is of another generation.
    pub(crate) fn release(&mut self, index: u32) {
        if let Some(slot) = self.get_mut(index)
            && !slot.is_vacant()
        {
            *slot = Slot {
                generation: slot.generation.wrapping_add(1),
                in_free: slot.in_free,
                ..Slot::vacant()
            };
            self.occupied -= 1;
            self.enter_free(index);
        }
    }

    fn enter_free(&mut self, index: u32) {
        let fresh = self.fresh;
        if let Some(slot) = self.get_mut(index)
            && !slot.in_free
            && index < fresh
        {
            slot.in_free = true;
            self.free.push(index);
        }
    }

    /// All occupied slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Slot<A>)> {
        (0..).zip(&self.chunks).flat_map(|(chunk, slots)| {
            let slots = slots.iter().flatten();
            (chunk * CHUNK..).zip(slots).filter(|(_, s)| !s.is_vacant())
        })
    }

    fn grow(&mut self, index: u32) {
        let chunk = (index / CHUNK) as usize;
        if self.chunks.len() <= chunk {
            self.chunks.resize_with(chunk + 1, || None);
        }
        self.chunks[chunk].get_or_insert_with(|| (0..CHUNK).map(|_| Slot::vacant()).collect());
    }
}
