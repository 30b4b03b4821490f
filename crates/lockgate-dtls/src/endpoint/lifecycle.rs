//! From the first record of a handshake to the end of its session: slots, timers, queues and tables kept in step.

use alloc::boxed::Box;
use core::cmp::Reverse;

use zeroize::Zeroize as _;

use super::slots::{Life, Slots};
use super::tables::KeyedHasher;
use super::{ConnectionHandle, Endpoint, HandshakeEntry};
use crate::address::Address;
use crate::association::{Association, LastFlight};
use crate::crypto::Provider;
use crate::error::{ApiError, CloseReason, HandshakeError};
use crate::event::{Event, EventFlags};
use crate::handshake::Handshake;
use crate::session::Session;
use crate::time::Instant;
use crate::v12::{Context, State};

/// Longest session with its ticket, in bytes.
const MAX_SESSION_WITH_TICKET_LEN: usize = 4096;

/// How many deadlines of handshakes that are gone may stand in the heap, beside two for each that is not.
const MAX_STALE_TIMERS: usize = 1024;

impl<P: Provider, A: Address> Endpoint<P, A> {
    pub(super) fn handle_of(&self, slot: u32) -> ConnectionHandle {
        ConnectionHandle {
            slot,
            generation: self.slots.get(slot).map_or(0, |s| s.generation),
        }
    }

    /// The slot of a handle, if its connection is still there.
    pub(super) fn live(&self, handle: ConnectionHandle) -> Option<u32> {
        let slot = self.slots.get(handle.slot)?;
        (slot.generation == handle.generation && !slot.is_vacant()).then_some(handle.slot)
    }

    pub(super) fn established(&self, handle: ConnectionHandle) -> Option<(&Association, A)> {
        let slot = self.slots.get(self.live(handle)?)?;
        match (&slot.life, slot.path) {
            (Life::Established(association), Some(path)) => Some((association, path)),
            _ => None,
        }
    }

    pub(super) fn handshake_index(&self, handle: ConnectionHandle) -> Option<u32> {
        match self.slots.get(self.live(handle)?)?.life {
            Life::Handshaking(index) => Some(index),
            _ => None,
        }
    }

    pub(super) fn handshake(&self, handle: ConnectionHandle) -> Option<&HandshakeEntry<P>> {
        let index = self.handshake_index(handle)?;
        self.handshakes.get(index as usize)?.as_deref()
    }

    pub(super) fn entry_mut(&mut self, index: u32) -> Option<&mut HandshakeEntry<P>> {
        self.handshakes.get_mut(index as usize)?.as_deref_mut()
    }

    /// Lets `step` act on a handshake, and then does what follows from its new state.
    pub(super) fn step_handshake<T>(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        step: impl FnOnce(&mut Handshake<P, Box<[u8]>>, &mut Context<'_, P>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let slot = self.live(handle).ok_or(ApiError::UnknownConnection)?;
        let index = self.handshake_index(handle).ok_or(ApiError::NotRequested)?;
        let entry = self
            .handshakes
            .get_mut(index as usize)
            .and_then(Option::as_deref_mut);
        let entry = entry.ok_or(ApiError::UnknownConnection)?;
        let mut flags = EventFlags::default();
        let mut cx = Context {
            provider: &mut self.provider,
            config: &self.config.config,
            now,
            events: &mut flags,
            tickets: Some(&mut self.tickets),
        };
        let result = step(&mut entry.handshake, &mut cx);
        self.after_handshake_step(slot, flags);
        result
    }

    pub(super) fn enter_handshake(
        &mut self,
        slot: u32,
        path: A,
        handshake: Handshake<P, Box<[u8]>>,
        group: Option<u64>,
    ) {
        let entry = Some(Box::new(HandshakeEntry {
            handshake,
            group,
            armed: None,
        }));
        let index = if let Some(index) = self.free_handshakes.pop() {
            self.handshakes[index as usize] = entry;
            index
        } else {
            self.handshakes.push(entry);
            self.handshakes.len() as u32 - 1
        };
        if let Some(s) = self.slots.get_mut(slot) {
            s.life = Life::Handshaking(index);
            s.path = Some(path);
        }
        let Self {
            handshakes_by_path,
            slots,
            hasher,
            ..
        } = self;
        handshakes_by_path.insert(hasher.hash_address(&path), slot, |other| {
            hash_of_slot(slots, *hasher, other)
        });
    }

    pub(super) fn enter_session(&mut self, slot: u32, path: A, association: Association) {
        let by_address = association.own_cid.is_empty();
        if let Some(s) = self.slots.get_mut(slot) {
            s.life = Life::Established(association);
            s.path = Some(path);
            s.closed = false;
        }
        if by_address {
            if let Some(older) = self.find_session(self.hasher.hash_address(&path), &path)
                && older != slot
            {
                self.tell_closed(older, CloseReason::Replaced);
                self.remove(older);
            }
            let Self {
                by_path,
                slots,
                hasher,
                ..
            } = self;
            by_path.insert(hasher.hash_address(&path), slot, |other| {
                hash_of_slot(slots, *hasher, other)
            });
        }
    }

    pub(super) fn find_session(&self, hash: u64, path: &A) -> Option<u32> {
        self.by_path.find(hash, |slot| self.is_at(slot, path))
    }

    pub(super) fn find_handshake(&self, hash: u64, path: &A) -> Option<u32> {
        self.handshakes_by_path
            .find(hash, |slot| self.is_at(slot, path))
    }

    pub(super) fn is_at(&self, slot: u32, path: &A) -> bool {
        self.slots.get(slot).is_some_and(|s| s.path == Some(*path))
    }

    /// Events, timers and the queue after a handshake has done something; and its end.
    #[cfg_attr(
        not(feature = "key-log"),
        expect(clippy::needless_pass_by_value, reason = "a key log takes it")
    )]
    pub(super) fn after_handshake_step(&mut self, slot: u32, flags: EventFlags) {
        let handle = self.handle_of(slot);
        #[cfg(feature = "key-log")]
        if let Some(entry) = flags.key_log {
            self.events.push_back((handle, Event::KeyLog(entry)));
        }
        if let Some(request) = flags.request {
            self.events.push_back((handle, request.into()));
        }
        let Some(index) = self.handshake_index(handle) else {
            return;
        };
        let Some(entry) = self.entry_mut(index) else {
            return;
        };
        let pending = entry.handshake.is_pending();
        match entry.handshake.state() {
            State::Established => self.complete(slot, index),
            State::Failed(error) => {
                let reason = CloseReason::HandshakeFailed(*error);
                self.tell_closed(slot, reason);
                if pending {
                    self.queue(slot);
                } else {
                    self.remove(slot);
                }
            }
            State::Client(_) | State::Server(_) => {
                self.arm(slot, index);
                if pending {
                    self.queue(slot);
                }
            }
        }
    }

    /// From handshake to session, in the same slot.
    pub(super) fn complete(&mut self, slot: u32, index: u32) {
        let Some(path) = self.slots.get(slot).and_then(|s| s.path) else {
            return;
        };
        self.offer_session(slot, index);
        let Some((association, keys)) = self
            .entry_mut(index)
            .and_then(|e| e.handshake.take_association())
        else {
            return;
        };
        // A last flight with a ticket has memory of its own, which goes when nobody can ask for it any more.
        let settles = association
            .last_flight
            .as_ref()
            .and_then(LastFlight::settles);
        if let Some(until) = settles {
            self.settling.push_back((until, self.handle_of(slot)));
        }
        self.free_handshake(slot, index);
        let pending = association.is_pending();
        self.enter_session(slot, path, association);
        let place = self.keys.insert(slot, keys);
        if let Some(s) = self.slots.get_mut(slot) {
            s.cached = place;
        }
        self.events
            .push_back((self.handle_of(slot), Event::Connected));
        if pending {
            self.queue(slot);
        }
    }

    /// Hands out the session that can be resumed.
    fn offer_session(&mut self, slot: u32, index: u32) {
        let config = &self.config.config;
        if !config.resumption {
            return;
        }
        let mut bytes = [0; MAX_SESSION_WITH_TICKET_LEN];
        let Some(entry) = self
            .handshakes
            .get(index as usize)
            .and_then(Option::as_deref)
        else {
            return;
        };
        let role = entry.handshake.role();
        let written = entry.handshake.write_session(config, role, &mut bytes);
        let session = written.and_then(|len| Session::from_bytes(bytes.get(..len)?));
        // All of it only where it is not known how far the writing came: that takes longer than the rest.
        let len = written.unwrap_or(bytes.len());
        bytes[..len].zeroize();
        if let Some(session) = session {
            self.events
                .push_back((self.handle_of(slot), Event::NewSession(session)));
        }
    }

    /// Forgets the last flights that nobody can ask for any more. All settle after the same time, so they stand in order.
    pub(super) fn settle_last_flights(&mut self, now: Instant) {
        while let Some(&(until, handle)) = self.settling.front()
            && until <= now
        {
            self.settling.pop_front();
            if let Some(slot) = self.live(handle)
                && let Some(Life::Established(association)) =
                    self.slots.get_mut(slot).map(|s| &mut s.life)
            {
                association.last_flight.take_if(|last| last.until <= now);
            }
        }
    }

    pub(super) fn fail_handshake(&mut self, slot: u32, index: u32, error: HandshakeError) {
        if let Some(entry) = self.entry_mut(index) {
            entry.handshake.fail(error);
            self.after_handshake_step(slot, EventFlags::default());
        }
    }

    /// Sees to it that the handshake's deadline stands in the heap.
    pub(super) fn arm(&mut self, slot: u32, index: u32) {
        let generation = self.handle_of(slot).generation;
        let Some(entry) = self.entry_mut(index) else {
            return;
        };
        let deadline = entry.handshake.deadline();
        if entry.armed == Some(deadline) {
            return;
        }
        entry.armed = Some(deadline);
        self.timers.push(Reverse((deadline, slot, generation)));
        self.prune_timers();
        // Peers that begin again and again leave a deadline behind each time.
        if self.timers.len() > MAX_STALE_TIMERS + 2 * self.handshakes.len() {
            let mut timers = core::mem::take(&mut self.timers);
            timers.retain(|&Reverse((at, slot, generation))| {
                self.is_due_at(at, ConnectionHandle { slot, generation })
            });
            self.timers = timers;
        }
    }

    /// Takes deadlines that mean nothing any more off the top of the heap, so that the next one is a true one.
    fn prune_timers(&mut self) {
        while let Some(&Reverse((at, slot, generation))) = self.timers.peek() {
            if self.is_due_at(at, ConnectionHandle { slot, generation }) {
                return;
            }
            self.timers.pop();
        }
    }

    fn is_due_at(&self, at: Instant, handle: ConnectionHandle) -> bool {
        self.handshake(handle)
            .is_some_and(|entry| entry.armed == Some(at))
    }

    pub(super) fn tell_closed(&mut self, slot: u32, reason: CloseReason) {
        let handle = self.handle_of(slot);
        if let Some(s) = self.slots.get_mut(slot)
            && !s.closed
        {
            s.closed = true;
            self.events.push_back((handle, Event::Closed(reason)));
        }
    }

    pub(super) fn queue(&mut self, slot: u32) {
        if let Some(s) = self.slots.get_mut(slot)
            && !s.queued
        {
            s.queued = true;
            self.transmits.push_back(slot);
        }
    }

    /// Frees the handshake and its path, not the slot.
    pub(super) fn free_handshake(&mut self, slot: u32, index: u32) {
        if let Some(entry) = self
            .handshakes
            .get_mut(index as usize)
            .and_then(Option::take)
        {
            self.free_handshakes.push(index);
            if let Some(group) = entry.group {
                self.admission.release(group);
            }
            if entry.armed.is_some() {
                self.prune_timers();
            }
        }
        if let Some(path) = self.slots.get(slot).and_then(|s| s.path) {
            self.handshakes_by_path
                .remove(self.hasher.hash_address(&path), slot);
        }
    }

    /// Frees everything that belongs to a slot.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(s) = self.slots.get(slot) else {
            return;
        };
        let (path, cached) = (s.path, s.cached);
        match s.life {
            Life::Vacant => return,
            Life::Handshaking(index) => self.free_handshake(slot, index),
            Life::Established(_) => {
                if let Some(path) = path {
                    self.by_path.remove(self.hasher.hash_address(&path), slot);
                }
            }
        }
        self.keys.remove(slot, cached);
        self.slots.release(slot);
    }
}

fn hash_of_slot<A: Address>(slots: &Slots<A>, hasher: KeyedHasher, slot: u32) -> u64 {
    slots
        .get(slot)
        .and_then(|s| s.path)
        .map_or(0, |path| hasher.hash_address(&path))
}
