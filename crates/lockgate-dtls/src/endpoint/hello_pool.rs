//! `ClientHello`s in fragments: the one thing that is kept of addresses that have proved nothing, so there are few, small
//! and short-lived places for them, and they can be switched off.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use crate::address::Address;
use crate::drop_reason::DropReason;
use crate::flight::Reassembly;
use crate::time::Instant;
use crate::wire::HandshakeHeader;

/// Longest `ClientHello` that is put together, in bytes.
pub(crate) const MAX_FRAGMENTED_HELLO_LEN: u32 = 8192;

/// Memory of one place: the message, and a bit for each of its bytes.
const PLACE_LEN: usize = MAX_FRAGMENTED_HELLO_LEN as usize / 8 * 9;

/// How long a place waits for the rest.
const PATIENCE: Duration = Duration::from_secs(5);

struct Place<A> {
    path: A,
    message_seq: u16,
    since: Instant,
    reassembly: Reassembly,
    bytes: Box<[u8]>,
}

/// A `ClientHello` that has been put together.
pub(crate) struct WholeHello {
    pub(crate) message_seq: u16,
    bytes: Box<[u8]>,
    body: Range<usize>,
}

impl WholeHello {
    pub(crate) fn body(&self) -> &[u8] {
        self.bytes.get(self.body.clone()).unwrap_or_default()
    }
}

/// Places for `ClientHello`s that are not whole yet.
pub(crate) struct HelloPool<A> {
    places: Vec<Place<A>>,
    max: usize,
}

impl<A: Address> HelloPool<A> {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            places: Vec::new(),
            max,
        }
    }

    /// Takes a fragment in; gives the message once it is whole.
    pub(crate) fn insert(
        &mut self,
        now: Instant,
        path: A,
        header: &HandshakeHeader,
        fragment: &[u8],
    ) -> Result<Option<WholeHello>, DropReason> {
        if self.max == 0 || header.length > MAX_FRAGMENTED_HELLO_LEN {
            return Err(DropReason::FragmentedClientHello);
        }
        self.places
            .retain(|place| now.saturating_since(place.since) < PATIENCE);
        let found = self.places.iter().position(|place| place.path == path);
        let index = match found {
            Some(index) if self.places[index].message_seq == header.message_seq => index,
            // A client that begins anew gives up what it began before.
            Some(index) => {
                self.places.swap_remove(index);
                self.open(now, path, header.message_seq)
            }
            None => self.open(now, path, header.message_seq),
        };
        let place = &mut self.places[index];
        place
            .reassembly
            .insert(&mut place.bytes, header, false, fragment)?;
        let Some(ready) = place.reassembly.ready() else {
            return Ok(None);
        };
        let place = self.places.swap_remove(index);
        Ok(Some(WholeHello {
            message_seq: header.message_seq,
            bytes: place.bytes,
            body: ready.body,
        }))
    }

    /// A new place, which is the oldest one when there is no more room.
    fn open(&mut self, now: Instant, path: A, message_seq: u16) -> usize {
        let place = Place {
            path,
            message_seq,
            since: now,
            reassembly: Reassembly::new(message_seq),
            bytes: vec![0; PLACE_LEN].into_boxed_slice(),
        };
        if self.places.len() < self.max {
            self.places.push(place);
            return self.places.len() - 1;
        }
        let oldest = (0..self.places.len())
            .min_by_key(|&i| self.places[i].since)
            .unwrap_or(0);
        self.places[oldest] = place;
        oldest
    }
}
