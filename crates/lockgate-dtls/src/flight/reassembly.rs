//! The peer's flight: fragments put together, messages put in order, within the scratch memory that was lent.
//!
//! Slots are keyed by `message_seq`; the first fragment fixes a message's type and length, and a fragment that says
//! otherwise is dropped. What does not fit is dropped too: the peer sends it again.

use core::ops::Range;

use crate::drop_reason::DropReason;
use crate::wire::{HandshakeHeader, HandshakeType};

/// How many messages are kept at once: the next one and those that overtook it.
pub(crate) const MAX_MESSAGES: usize = 6;

/// Longest protected record that is kept until there are keys for it, in bytes: a `Finished` under the longest
/// connection ID and tag, with room for padding.
#[cfg(feature = "resumption")]
pub(crate) const MAX_EARLY_RECORD_LEN: usize = 160;

#[derive(Clone, Copy, Debug)]
struct Slot {
    message_seq: u16,
    msg_type: HandshakeType,
    length: u16,
    /// The fragments came under the new keys.
    protected: bool,
    /// How many bytes of the body have arrived.
    received: u16,
    /// Where the body stands in the scratch, followed by one bit for each of its bytes.
    offset: u16,
}

impl Slot {
    fn footprint(&self) -> usize {
        footprint(usize::from(self.length))
    }

    fn body(&self) -> Range<usize> {
        let offset = usize::from(self.offset);
        offset..offset + usize::from(self.length)
    }
}

const fn footprint(length: usize) -> usize {
    length + length.div_ceil(8)
}

/// A message that is whole and next in order.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) msg_type: HandshakeType,
    pub(crate) protected: bool,
    /// Where its body stands in the scratch.
    pub(crate) body: Range<usize>,
}

/// Messages on their way in.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    next: u16,
    used: u16,
    slots: [Option<Slot>; MAX_MESSAGES],
}

impl Reassembly {
    /// Expects `next` as the first message.
    pub(crate) fn new(next: u16) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    /// The number of the message that is expected.
    pub(crate) const fn next(&self) -> u16 {
        self.next
    }

    /// Takes a fragment in. A whole message that is the expected one need not come here.
    pub(crate) fn insert(
        &mut self,
        scratch: &mut [u8],
        header: &HandshakeHeader,
        protected: bool,
        fragment: &[u8],
    ) -> Result<(), DropReason> {
        let ahead = header.message_seq.wrapping_sub(self.next);
        if ahead >= 0x8000 {
            return Err(DropReason::DuplicateMessage);
        }
        if usize::from(ahead) >= MAX_MESSAGES {
            return Err(DropReason::MessageTooFarAhead);
        }
        if fragment.is_empty() && header.length != 0 {
            return Err(DropReason::InconsistentFragment);
        }
        let found = self
            .slots
            .iter()
            .position(|s| s.is_some_and(|s| s.message_seq == header.message_seq));
        if let Some(index) = found
            && protected
            && self.slots[index].is_some_and(|s| !s.protected)
        {
            // What is authenticated takes the place of what anybody could have sent.
            self.release(scratch, index);
            return self.insert(scratch, header, protected, fragment);
        }
        let index = match found {
            Some(index) => index,
            None => self.open(scratch, header, protected)?,
        };
        let Some(slot) = &mut self.slots[index] else {
            return Err(DropReason::ReassemblyFull);
        };
        if slot.protected != protected {
            return Err(DropReason::MixedEpochs);
        }
        if slot.msg_type != header.msg_type || u32::from(slot.length) != header.length {
            return Err(DropReason::FragmentMismatch);
        }
        let body = slot.body();
        let from = header.fragment_offset as usize;
        let (bodies, bits) = scratch
            .split_at_mut_checked(body.end)
            .ok_or(DropReason::ReassemblyFull)?;
        let target = bodies
            .get_mut(body)
            .and_then(|b| b.get_mut(from..from + fragment.len()));
        let target = target.ok_or(DropReason::InconsistentFragment)?;
        // As nearly all are: whole, and the first of it.
        if slot.received == 0 && target.len() == usize::from(slot.length) {
            let seen = bits.get_mut(..target.len().div_ceil(8));
            seen.ok_or(DropReason::ReassemblyFull)?.fill(0xFF);
            target.copy_from_slice(fragment);
            slot.received = slot.length;
            return Ok(());
        }
        for (i, (to, byte)) in target.iter_mut().zip(fragment).enumerate() {
            let at = from + i;
            let bit = 1 << (at % 8);
            let Some(seen) = bits.get_mut(at / 8) else {
                return Err(DropReason::ReassemblyFull);
            };
            // What arrived first stays: an overlap cannot rewrite it.
            if *seen & bit == 0 {
                *seen |= bit;
                *to = *byte;
                slot.received += 1;
            }
        }
        Ok(())
    }

    /// The expected message, when it is whole.
    pub(crate) fn ready(&self) -> Option<Ready> {
        let slot = self
            .slots
            .iter()
            .flatten()
            .find(|s| s.message_seq == self.next)?;
        (slot.received == slot.length).then(|| Ready {
            msg_type: slot.msg_type,
            protected: slot.protected,
            body: slot.body(),
        })
    }

    /// Whether there is more of what came under the new keys.
    pub(crate) fn holds_protected(&self) -> bool {
        self.slots.iter().flatten().any(|slot| slot.protected)
    }

    /// Where the expected message's body stands, while the caller is asked about it.
    #[cfg(feature = "certificates")]
    pub(crate) fn held(&self) -> Option<Range<usize>> {
        self.ready().map(|ready| ready.body)
    }

    /// The expected message has been processed.
    pub(crate) fn consume(&mut self, scratch: &mut [u8]) {
        let seq = self.next;
        self.next = self.next.wrapping_add(1);
        if let Some(index) = self
            .slots
            .iter()
            .position(|s| s.is_some_and(|s| s.message_seq == seq))
        {
            self.release(scratch, index);
        }
    }

    fn open(
        &mut self,
        scratch: &mut [u8],
        header: &HandshakeHeader,
        protected: bool,
    ) -> Result<usize, DropReason> {
        let length = u16::try_from(header.length).map_err(|_| DropReason::ReassemblyFull)?;
        let needed = footprint(usize::from(length));
        if needed > scratch.len() {
            return Err(DropReason::ReassemblyFull);
        }
        // A message that comes sooner in order takes the place of those that come later: they will be sent again,
        // and without the sooner one they are of no use.
        while usize::from(self.used) + needed > scratch.len()
            || self.slots.iter().all(Option::is_some)
        {
            let last = (0..MAX_MESSAGES)
                .filter_map(|i| self.slots[i].map(|s| (s.message_seq.wrapping_sub(self.next), i)))
                .max();
            match last {
                Some((ahead, index)) if ahead > header.message_seq.wrapping_sub(self.next) => {
                    self.release(scratch, index);
                }
                _ => return Err(DropReason::ReassemblyFull),
            }
        }
        let index = self
            .slots
            .iter()
            .position(Option::is_none)
            .ok_or(DropReason::ReassemblyFull)?;
        let offset = self.used;
        let at = usize::from(offset);
        scratch[at + usize::from(length)..at + needed].fill(0);
        self.slots[index] = Some(Slot {
            message_seq: header.message_seq,
            msg_type: header.msg_type,
            length,
            protected,
            received: 0,
            offset,
        });
        self.used = u16::try_from(at + needed).map_err(|_| DropReason::ReassemblyFull)?;
        Ok(index)
    }

    /// Frees a slot and closes the gap in the scratch.
    fn release(&mut self, scratch: &mut [u8], index: usize) {
        let Some(slot) = self.slots[index].take() else {
            return;
        };
        let start = usize::from(slot.offset);
        let gap = slot.footprint();
        scratch.copy_within(start + gap..usize::from(self.used), start);
        self.used -= gap as u16;
        for other in self.slots.iter_mut().flatten() {
            if other.offset > slot.offset {
                other.offset -= gap as u16;
            }
        }
    }
}
