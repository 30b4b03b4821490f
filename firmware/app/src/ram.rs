//! Retention RAM as two slots.

use core::convert::Infallible;

use lockgate_embedded::{Flash, Slot};

/// A piece of memory that outlives sleep, each half one slot.
#[derive(Debug)]
pub struct Ram<'m> {
    slots: (&'m mut [u8], &'m mut [u8]),
}

impl<'m> Ram<'m> {
    /// Both slots in `bytes`.
    pub const fn new(bytes: &'m mut [u8]) -> Self {
        let half = bytes.len() / 2;
        Self {
            slots: bytes.split_at_mut(half),
        }
    }

    fn slot(&mut self, slot: Slot) -> &mut [u8] {
        match slot {
            Slot::A => self.slots.0,
            Slot::B => self.slots.1,
        }
    }
}

impl Flash for Ram<'_> {
    type Error = Infallible;

    fn slot_len(&self) -> usize {
        self.slots.0.len()
    }

    fn read(&mut self, slot: Slot, offset: usize, out: &mut [u8]) -> Result<(), Infallible> {
        let bytes = self.slot(slot).get(offset..).unwrap_or_default();
        for (to, from) in out.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(())
    }

    fn erase(&mut self, slot: Slot) -> Result<(), Infallible> {
        self.slot(slot).fill(0xFF);
        Ok(())
    }

    fn write(&mut self, slot: Slot, offset: usize, data: &[u8]) -> Result<(), Infallible> {
        let bytes = self.slot(slot).get_mut(offset..).unwrap_or_default();
        for (to, from) in bytes.iter_mut().zip(data) {
            *to = *from;
        }
        Ok(())
    }
}
