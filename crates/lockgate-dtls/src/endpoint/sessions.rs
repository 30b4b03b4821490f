//! What is done with an established session: sending, and moving it elsewhere.

use core::ops::Range;

use super::slots::Life;
use super::{ConnectionHandle, Endpoint, cid};
use crate::address::Address;
use crate::crypto::Provider;
use crate::error::{CloseReason, Limit, SendError};
use crate::export::{Dormant, ExportError, ExportKey};
use crate::lease::LeaseStore;

impl<P: Provider, A: Address> Endpoint<P, A> {
    /// Protects one application datagram that stands at `payload` in `buf`, in place, with
    /// [`MAX_HEADROOM`](crate::config::MAX_HEADROOM) bytes before it and [`MAX_TAILROOM`](crate::config::MAX_TAILROOM),
    /// with padding more, behind it. Returns where the record stands and the path to send it on.
    pub fn send_in_place(
        &mut self,
        handle: ConnectionHandle,
        buf: &mut [u8],
        payload: Range<usize>,
    ) -> Result<(Range<usize>, A), SendError> {
        let index = handle.slot;
        let slot = self
            .slots
            .get_mut(index)
            .filter(|slot| slot.generation == handle.generation);
        let slot = slot.ok_or(SendError::NotConnected)?;
        let (Life::Established(association), Some(path)) = (&mut slot.life, slot.path) else {
            return Err(SendError::NotConnected);
        };
        if association.is_closed() {
            return Err(SendError::NotConnected);
        }
        let provider = &self.provider;
        let keys = self
            .keys
            .get(index, &mut slot.cached, || association.expand(provider))
            .map_err(SendError::Crypto)?;
        let content_type = crate::wire::ContentType::APPLICATION_DATA;
        match association.seal::<P>(keys, &self.config.config, content_type, buf, payload) {
            Ok(record) => Ok((record, path)),
            Err(error) => {
                if error == SendError::KeyExhausted {
                    association.close();
                    self.tell_closed(index, CloseReason::Limit(Limit::Seals));
                    self.queue(index);
                }
                Err(error)
            }
        }
    }

    /// Protects one application datagram into `out`; the record stands at its start.
    pub fn send(
        &mut self,
        handle: ConnectionHandle,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<(Range<usize>, A), SendError> {
        let (association, _) = self.established(handle).ok_or(SendError::NotConnected)?;
        let before = association.headroom();
        let at = before..before + payload.len();
        let needed = at.end + association.record_overhead() - before;
        out.get_mut(at.clone())
            .ok_or(SendError::BufferTooSmall { needed })?
            .copy_from_slice(payload);
        self.send_in_place(handle, out, at)
    }

    /// Takes an established session out of memory (decision 6 of the architecture): its lease is entered in `store`, the
    /// encrypted session is written to `out`, which is at least [`MAX_EXPORT_LEN`](crate::export::MAX_EXPORT_LEN) bytes,
    /// and the connection is forgotten without an event. Returns the length.
    pub fn export<S: LeaseStore>(
        &mut self,
        handle: ConnectionHandle,
        store: &mut S,
        key: &ExportKey,
        out: &mut [u8],
    ) -> Result<usize, ExportError<S::Error>> {
        let slot = self.live(handle).ok_or(ExportError::NotConnected)?;
        match self.slots.get_mut(slot).map(|s| &mut s.life) {
            Some(Life::Established(association)) if !association.is_closed() => {
                let len = association.export(&mut self.provider, store, key, out)?;
                self.remove(slot);
                Ok(len)
            }
            _ => Err(ExportError::NotConnected),
        }
    }

    /// Brings an exported session back, with its peer last seen at `path`. A session with a connection ID of ours needs
    /// the endpoint's [`EndpointConfig::cid_key`](super::EndpointConfig::cid_key) and [`EndpointConfig::placement`](super::EndpointConfig::placement) to be as they were, and its place to
    /// be free. `count` sequence numbers are claimed; see [`Endpoint::claim`].
    pub fn import<S: LeaseStore>(
        &mut self,
        path: A,
        store: &mut S,
        key: &ExportKey,
        blob: &[u8],
        count: u64,
    ) -> Result<ConnectionHandle, ExportError<S::Error>> {
        let dormant = Dormant::open(&self.provider, key, blob)?;
        let slot = if dormant.own_cid().is_empty() {
            self.slots.allocate().ok_or(ExportError::PlaceTaken)?
        } else {
            let route = self
                .route(dormant.own_cid())
                .ok_or(ExportError::PlaceTaken)?;
            let placement = self.cids.placement();
            if route.node != placement.node
                || route.worker != placement.worker
                || dormant.own_cid().len() != usize::from(self.cids.len())
            {
                return Err(ExportError::PlaceTaken);
            }
            self.slots
                .allocate_at(route.slot)
                .ok_or(ExportError::PlaceTaken)?;
            route.slot
        };
        let generation = self.route(dormant.own_cid()).map(|route| route.generation);
        match dormant.wake(store, count) {
            Ok(association) => {
                if let Some((slot, generation)) = self.slots.get_mut(slot).zip(generation) {
                    // Only ever up: a handle names one connection for ever.
                    let ahead = generation.wrapping_sub(slot.generation) % cid::GENERATIONS;
                    slot.generation = slot.generation.wrapping_add(ahead);
                }
                self.enter_session(slot, path, association);
                Ok(self.handle_of(slot))
            }
            Err(error) => {
                self.slots.put_back(slot);
                Err(error)
            }
        }
    }

    /// Claims `count` more sequence numbers for a session that is under a lease, or puts it under one.
    pub fn claim<S: LeaseStore>(
        &mut self,
        handle: ConnectionHandle,
        store: &mut S,
        count: u64,
    ) -> Result<(), ExportError<S::Error>> {
        let slot = self.live(handle).ok_or(ExportError::NotConnected)?;
        match self.slots.get_mut(slot).map(|s| &mut s.life) {
            Some(Life::Established(association)) => {
                association.claim(&mut self.provider, store, count)
            }
            _ => Err(ExportError::NotConnected),
        }
    }

    /// How many more records of a session can be sent before [`Endpoint::claim`] is due, or its key is used up.
    pub fn remaining_sequence_numbers(&self, handle: ConnectionHandle) -> Option<u64> {
        let (association, _) = self.established(handle)?;
        Some(association.remaining_sequence_numbers())
    }
}
