//! What an endpoint sends of its own accord: flights, alerts, repeats.

use super::Endpoint;
use super::slots::Life;
use crate::address::Address;
use crate::crypto::Provider;
use crate::time::Instant;

/// One datagram to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<A> {
    /// Where it goes.
    pub path: A,
    /// How many bytes of the buffer it takes.
    pub len: usize,
}

impl<P: Provider, A: Address> Endpoint<P, A> {
    /// Writes the next datagram to `buf`, which should hold [`Config::mtu`](crate::Config::mtu) bytes.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit<A>> {
        while let Some(&slot) = self.transmits.front() {
            let transmit = self.transmit_of(now, slot, buf);
            let more = self.settle_after_transmit(slot);
            // What could not be written now never will be: it must not stand in everybody's way.
            if !more || transmit.is_none() {
                self.transmits.pop_front();
                if let Some(s) = self.slots.get_mut(slot) {
                    s.queued = false;
                }
                self.remove_if_over(slot);
            }
            if transmit.is_some() {
                return transmit;
            }
        }
        None
    }

    fn transmit_of(&mut self, now: Instant, slot: u32, buf: &mut [u8]) -> Option<Transmit<A>> {
        let s = self.slots.get_mut(slot)?;
        let path = s.path?;
        let len = match &mut s.life {
            Life::Vacant => None,
            Life::Handshaking(index) => {
                let entry = self.handshakes.get_mut(*index as usize)?.as_mut()?;
                entry.handshake.poll_transmit(now, &self.config.config, buf)
            }
            Life::Established(association) => {
                let provider = &self.provider;
                let keys = self
                    .keys
                    .get(slot, &mut s.cached, || association.expand(provider))
                    .ok()?;
                association.poll_transmit::<P>(keys, &self.config.config, buf)
            }
        }?;
        Some(Transmit { path, len })
    }

    /// Arms the timer after a flight went out, and says whether more is waiting.
    fn settle_after_transmit(&mut self, slot: u32) -> bool {
        match self.slots.get(slot).map(|s| &s.life) {
            Some(Life::Handshaking(index)) => {
                let index = *index;
                self.arm(slot, index);
                self.entry_mut(index)
                    .is_some_and(|e| e.handshake.is_pending())
            }
            Some(Life::Established(association)) => association.is_pending(),
            _ => false,
        }
    }

    /// A connection whose last words are out is over.
    fn remove_if_over(&mut self, slot: u32) {
        if self.slots.get(slot).is_some_and(|s| s.closed) {
            self.remove(slot);
        }
    }
}
