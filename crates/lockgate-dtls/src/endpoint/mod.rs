//! Many associations on one socket: routing by connection ID and address, stateless cookies, admission limits.
//!
//! Nothing is allocated for a peer that has not proved its address. A handshake and the session that it makes share one
//! slot, first with a place in the slab of handshakes, then without: an idle session never pays for a handshake.

mod admission;
mod cid;
mod cookie;
mod key_cache;
mod receive;
mod slots;
mod tables;
mod transmit;

use alloc::boxed::Box;
use alloc::collections::{BinaryHeap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;
use core::time::Duration;

pub use cid::{CidRoute, Placement};
pub use receive::Received;
pub use transmit::Transmit;

use crate::address::{Address, UdpPath};
use crate::association::{Association, Role};
use crate::bytes::{OwnCid, PeerCid};
use crate::config::{Config, ConfigError};
use crate::crypto::Provider;
use crate::error::{ApiError, CloseReason, HandshakeError, SendError};
use crate::event::{Event, EventFlags};
use crate::export::{Dormant, ExportError, ExportKey};
use crate::handshake::{Handshake, MIN_SCRATCH_LEN};
use crate::lease::LeaseStore;
use crate::suite::CipherSuite;
use crate::time::Instant;
use crate::v12::server::Answer;
use crate::v12::{Context, State};
use admission::Admission;
use cid::{CidCodec, RecentRoutes};
use cookie::CookieJar;
use key_cache::KeyCache;
use slots::{Life, Slots};
use tables::{KeyedHasher, PathTable};

/// Names one connection of an endpoint, for ever: a later connection in the same place has another handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionHandle {
    slot: u32,
    generation: u32,
}

impl ConnectionHandle {
    /// The place in the endpoint's table, below [`EndpointConfig::max_connections`]: an index for the caller's own
    /// table of sessions, unique among those that live.
    pub const fn index(self) -> usize {
        self.slot as usize
    }
}

/// Options of an endpoint, beside those of its handshakes.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// What handshakes and sessions go by.
    pub config: Config,
    /// Answer `ClientHello`s. Default on.
    pub server: bool,
    /// Ask for a cookie before anything is allocated (RFC 6347 §4.2.1). Default on; off only where every address is
    /// known to be true.
    pub cookies: bool,
    /// How long a cookie key is the newest; its cookies hold once as long again. Default 60 s.
    pub cookie_lifetime: Duration,
    /// Which of several endpoints this is, for connection IDs.
    pub placement: Placement,
    /// The key that connection IDs are permuted with. Where sessions are to outlive the endpoint, it must outlive it
    /// too. Default `None`: a random one.
    pub cid_key: Option<[u8; 16]>,
    /// How many connections there may be, established or not, up to 2^24. Default 2^20.
    pub max_connections: u32,
    /// How many handshakes may be under way. Default 10,000.
    pub max_half_open: u32,
    /// How many handshakes may be under way from one IPv4 address or IPv6 /64. Default 1,024.
    pub max_half_open_per_address: u32,
    /// How many sessions' keys are kept expanded. Default 4,096.
    pub key_cache: usize,
    /// Scratch memory of one handshake in bytes, at least [`MIN_SCRATCH_LEN`]. Default 1,024.
    pub scratch_len: usize,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            config: Config::default(),
            server: true,
            cookies: true,
            cookie_lifetime: Duration::from_mins(1),
            placement: Placement::default(),
            cid_key: None,
            max_connections: 1 << 20,
            max_half_open: 10_000,
            max_half_open_per_address: 1024,
            key_cache: 4096,
            scratch_len: 1024,
        }
    }
}

/// What is known of an established connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionInfo<A> {
    /// Which end we are.
    pub role: Role,
    /// The agreed suite.
    pub cipher_suite: CipherSuite,
    /// Where the peer is.
    pub path: A,
    /// The connection ID that the peer's records carry, or empty.
    pub own_cid: OwnCid,
    /// The connection ID that our records carry, or empty.
    pub peer_cid: PeerCid,
    /// Longest payload that one record carries to the peer, in bytes.
    pub max_payload: usize,
    /// Bytes that a record adds around a payload, without padding.
    pub record_overhead: usize,
}

struct HandshakeEntry<P: Provider> {
    handshake: Handshake<P, Box<[u8]>>,
    /// The admission group to release, for handshakes that a peer began.
    group: Option<u64>,
    /// The deadline that stands in the heap.
    armed: Option<Instant>,
}

/// Many connections on one socket.
pub struct Endpoint<P: Provider, A: Address = UdpPath> {
    provider: P,
    config: EndpointConfig,
    cids: CidCodec<P::Mask>,
    cookies: CookieJar<P::Hmac>,
    admission: Admission,
    hasher: KeyedHasher,
    slots: Slots<A>,
    handshakes: Vec<Option<Box<HandshakeEntry<P>>>>,
    free_handshakes: Vec<u32>,
    keys: KeyCache<P::AeadKey>,
    recent: RecentRoutes,
    /// Sessions that are found by address: those that receive without a connection ID.
    by_path: PathTable,
    handshakes_by_path: PathTable,
    timers: BinaryHeap<Reverse<(Instant, u32, u32)>>,
    transmits: VecDeque<u32>,
    events: VecDeque<(ConnectionHandle, Event)>,
}

impl<P: Provider, A: Address> Endpoint<P, A> {
    /// An endpoint without connections.
    pub fn new(mut provider: P, now: Instant, config: EndpointConfig) -> Result<Self, ConfigError> {
        config.config.validate(&provider)?;
        if config.scratch_len < MIN_SCRATCH_LEN {
            return Err(ConfigError::ScratchLen);
        }
        let mut key = config.cid_key.unwrap_or_default();
        if config.cid_key.is_none() {
            provider.random(&mut key).map_err(ConfigError::Crypto)?;
        }
        let mask = provider.mask(&key).map_err(ConfigError::Crypto)?;
        let cids = CidCodec::new(mask, config.placement, config.config.cid.own_len())?;
        let hasher = KeyedHasher::new(&mut provider).map_err(ConfigError::Crypto)?;
        let cookies = CookieJar::new(&mut provider, now, config.cookie_lifetime)
            .map_err(ConfigError::Crypto)?;
        Ok(Self {
            cids,
            cookies,
            admission: Admission::new(
                config.max_half_open,
                config.max_half_open_per_address,
                hasher,
            ),
            hasher,
            slots: Slots::new(config.max_connections.min(cid::MAX_SLOTS)),
            handshakes: Vec::new(),
            free_handshakes: Vec::new(),
            keys: KeyCache::new(config.key_cache),
            recent: RecentRoutes::default(),
            by_path: PathTable::default(),
            handshakes_by_path: PathTable::default(),
            timers: BinaryHeap::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            provider,
            config,
        })
    }

    /// The options.
    pub const fn config(&self) -> &EndpointConfig {
        &self.config
    }

    /// How many connections there are, handshakes included.
    pub const fn connections(&self) -> u32 {
        self.slots.occupied()
    }

    /// How many handshakes that peers began are under way.
    pub const fn half_open(&self) -> u32 {
        self.admission.total()
    }

    /// Every connection, in no order that means anything.
    pub fn handles(&self) -> impl Iterator<Item = ConnectionHandle> + '_ {
        self.slots.iter().map(|(slot, s)| ConnectionHandle {
            slot,
            generation: s.generation,
        })
    }

    /// Where a connection ID of this key's says that its session lives: for a worker or node that must hand it on.
    /// `None` where no connection IDs are given out, or `cid` is too short to be one.
    pub fn route(&self, cid: &[u8]) -> Option<CidRoute> {
        (self.cids.len() != 0).then(|| self.cids.decode(cid))?
    }

    /// Begins a handshake with a server. `server_name` is the host name to ask for (RFC 6066), or empty.
    pub fn connect(
        &mut self,
        now: Instant,
        path: A,
        server_name: &[u8],
    ) -> Result<ConnectionHandle, ApiError> {
        if self
            .find_handshake(self.hasher.hash_address(&path), &path)
            .is_some()
        {
            return Err(ApiError::PathBusy);
        }
        let slot = self.slots.allocate().ok_or(ApiError::TableFull)?;
        let handle = self.handle_of(slot);
        let begun = self
            .cids
            .encode(&mut self.provider, slot, handle.generation)
            .map_err(ApiError::from)
            .and_then(|own_cid| {
                let scratch = vec![0; self.config.scratch_len].into_boxed_slice();
                Handshake::connect(
                    &mut self.provider,
                    &self.config.config,
                    now,
                    scratch,
                    own_cid,
                    server_name,
                )
            });
        match begun {
            Ok(handshake) => {
                self.enter_handshake(slot, path, handshake, None);
                self.after_handshake_step(slot, EventFlags::default());
                Ok(handle)
            }
            Err(error) => {
                // The slot was never filled, so it must be put back by hand.
                self.slots.put_back(slot);
                Err(error)
            }
        }
    }

    /// What the handshake shows of PSK identities: on a server the client's identity once it asks for a key, on a
    /// client the server's hint, perhaps empty. `None` when no handshake of this handle is under way.
    pub fn psk_identity(&self, handle: ConnectionHandle) -> Option<&[u8]> {
        self.handshake(handle)
            .map(|entry| entry.handshake.psk_identity())
    }

    /// The host name that a client asked for (RFC 6066), or empty. `None` when no handshake of this handle is under way.
    pub fn server_name(&self, handle: ConnectionHandle) -> Option<&[u8]> {
        self.handshake(handle)
            .map(|entry| entry.handshake.server_name())
    }

    /// Answers [`Event::PskRequested`] on a server with the key of the client's identity, 1 to
    /// [`MAX_PSK_LEN`](crate::config::MAX_PSK_LEN) bytes.
    pub fn provide_psk(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        psk: &[u8],
    ) -> Result<(), ApiError> {
        self.step_handshake(now, handle, |handshake, cx| {
            handshake.provide_server_psk(cx, Answer::Key(psk))
        })
    }

    /// Answers [`Event::PskRequested`] on a server that has no key for the client's identity. Unless
    /// [`Config::reveal_unknown_identity`] is set, the handshake runs on and ends as with a wrong key.
    pub fn refuse_psk(&mut self, now: Instant, handle: ConnectionHandle) -> Result<(), ApiError> {
        self.step_handshake(now, handle, |handshake, cx| {
            handshake.provide_server_psk(cx, Answer::Unknown)
        })
    }

    /// Answers [`Event::PskRequested`] on a client with its identity, up to
    /// [`MAX_PSK_IDENTITY_LEN`](crate::config::MAX_PSK_IDENTITY_LEN) bytes, and key.
    pub fn provide_identity(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        identity: &[u8],
        psk: &[u8],
    ) -> Result<(), ApiError> {
        self.step_handshake(now, handle, |handshake, cx| {
            handshake.provide_client_psk(cx, identity, psk)
        })
    }

    /// What is known of an established connection.
    pub fn info(&self, handle: ConnectionHandle) -> Option<ConnectionInfo<A>> {
        let (association, path) = self.established(handle)?;
        Some(ConnectionInfo {
            role: association.role(),
            cipher_suite: association.cipher_suite(),
            path,
            own_cid: association.own_cid,
            peer_cid: association.peer_cid,
            max_payload: association.max_payload(),
            record_overhead: association.record_overhead(),
        })
    }

    /// Where a connection's peer is, established or not.
    pub fn path(&self, handle: ConnectionHandle) -> Option<A> {
        self.slots.get(self.live(handle)?)?.path
    }

    /// Keying material for the application (RFC 5705).
    #[cfg(feature = "exporter")]
    pub fn export_keying_material(
        &self,
        handle: ConnectionHandle,
        label: &[u8],
        context: Option<&[u8]>,
        out: &mut [u8],
    ) -> Result<(), ApiError> {
        let (association, _) = self
            .established(handle)
            .ok_or(ApiError::UnknownConnection)?;
        association.export_keying_material(&self.provider, label, context, out)
    }

    /// Ends a connection: `close_notify` goes out next, and [`Event::Closed`] comes.
    pub fn close(&mut self, handle: ConnectionHandle) {
        let Some(slot) = self.live(handle) else {
            return;
        };
        match self.slots.get_mut(slot).map(|s| &mut s.life) {
            Some(Life::Established(association)) if !association.is_closed() => {
                association.close();
                self.tell_closed(slot, CloseReason::Local);
                self.queue(slot);
            }
            Some(Life::Handshaking(index)) => {
                let index = *index;
                self.fail_handshake(slot, index, HandshakeError::Canceled);
            }
            _ => {}
        }
    }

    /// Forgets a connection at once, without a word to the peer and without an event.
    pub fn discard(&mut self, handle: ConnectionHandle) {
        if let Some(slot) = self.live(handle) {
            self.remove(slot);
        }
    }

    /// Protects one application datagram that stands at `payload` in `buf`, in place, with
    /// [`MAX_HEADROOM`](crate::config::MAX_HEADROOM) bytes before it and [`MAX_TAILROOM`](crate::config::MAX_TAILROOM),
    /// with padding more, behind it. Returns where the record stands and the path to send it on.
    pub fn send_in_place(
        &mut self,
        handle: ConnectionHandle,
        buf: &mut [u8],
        payload: Range<usize>,
    ) -> Result<(Range<usize>, A), SendError> {
        let index = self.live(handle).ok_or(SendError::NotConnected)?;
        let slot = self.slots.get_mut(index).ok_or(SendError::NotConnected)?;
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
                    self.tell_closed(index, CloseReason::Limit(crate::Limit::Seals));
                    self.remove(index);
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

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<(ConnectionHandle, Event)> {
        self.events.pop_front()
    }

    /// When [`Endpoint::handle_timeout`] is due; it may turn out that nothing was.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    /// Does what is due: retransmissions, and ends of handshakes that took too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&Reverse((at, slot, generation))) = self.timers.peek() {
            if at > now {
                return;
            }
            self.timers.pop();
            let handle = ConnectionHandle { slot, generation };
            let Some(index) = self.handshake_index(handle) else {
                continue;
            };
            let Some(Some(entry)) = self.handshakes.get_mut(index as usize) else {
                continue;
            };
            if entry.armed == Some(at) {
                entry.armed = None;
                entry.handshake.handle_timeout(now, &self.config.config);
                self.after_handshake_step(slot, EventFlags::default());
            }
        }
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
    /// the endpoint's [`EndpointConfig::cid_key`] and [`EndpointConfig::placement`] to be as they were, and its place to
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
            if let Some(slot) = self.slots.get_mut(route.slot) {
                slot.generation =
                    slot.generation / cid::GENERATIONS * cid::GENERATIONS + route.generation;
            }
            route.slot
        };
        match dormant.wake(store, count) {
            Ok(association) => {
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

    // ----- what the parts above and in `receive` and `transmit` share -----

    fn handle_of(&self, slot: u32) -> ConnectionHandle {
        ConnectionHandle {
            slot,
            generation: self.slots.get(slot).map_or(0, |s| s.generation),
        }
    }

    /// The slot of a handle, if its connection is still there.
    fn live(&self, handle: ConnectionHandle) -> Option<u32> {
        let slot = self.slots.get(handle.slot)?;
        (slot.generation == handle.generation && !slot.is_vacant()).then_some(handle.slot)
    }

    fn established(&self, handle: ConnectionHandle) -> Option<(&Association, A)> {
        let slot = self.slots.get(self.live(handle)?)?;
        match (&slot.life, slot.path) {
            (Life::Established(association), Some(path)) => Some((association, path)),
            _ => None,
        }
    }

    fn handshake_index(&self, handle: ConnectionHandle) -> Option<u32> {
        match self.slots.get(self.live(handle)?)?.life {
            Life::Handshaking(index) => Some(index),
            _ => None,
        }
    }

    fn handshake(&self, handle: ConnectionHandle) -> Option<&HandshakeEntry<P>> {
        let index = self.handshake_index(handle)?;
        self.handshakes.get(index as usize)?.as_deref()
    }

    fn entry_mut(&mut self, index: u32) -> Option<&mut HandshakeEntry<P>> {
        self.handshakes.get_mut(index as usize)?.as_deref_mut()
    }

    /// Lets `step` act on a handshake, and then does what follows from its new state.
    fn step_handshake<T>(
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
        };
        let result = step(&mut entry.handshake, &mut cx);
        self.after_handshake_step(slot, flags);
        result
    }

    fn enter_handshake(
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

    fn enter_session(&mut self, slot: u32, path: A, association: Association) {
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

    fn find_session(&self, hash: u64, path: &A) -> Option<u32> {
        self.by_path.find(hash, |slot| self.is_at(slot, path))
    }

    fn find_handshake(&self, hash: u64, path: &A) -> Option<u32> {
        self.handshakes_by_path
            .find(hash, |slot| self.is_at(slot, path))
    }

    fn is_at(&self, slot: u32, path: &A) -> bool {
        self.slots.get(slot).is_some_and(|s| s.path == Some(*path))
    }

    /// Events, timers and the queue after a handshake has done something; and its end.
    fn after_handshake_step(&mut self, slot: u32, flags: EventFlags) {
        let handle = self.handle_of(slot);
        if let Some(entry) = flags.key_log {
            self.events.push_back((handle, Event::KeyLog(entry)));
        }
        if flags.psk_requested {
            self.events.push_back((handle, Event::PskRequested));
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
    fn complete(&mut self, slot: u32, index: u32) {
        let Some(path) = self.slots.get(slot).and_then(|s| s.path) else {
            return;
        };
        let Some((association, keys)) = self
            .entry_mut(index)
            .and_then(|e| e.handshake.take_association())
        else {
            return;
        };
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

    fn fail_handshake(&mut self, slot: u32, index: u32, error: HandshakeError) {
        if let Some(entry) = self.entry_mut(index) {
            entry.handshake.fail(error);
            self.after_handshake_step(slot, EventFlags::default());
        }
    }

    /// Sees to it that the handshake's deadline stands in the heap.
    fn arm(&mut self, slot: u32, index: u32) {
        let generation = self.handle_of(slot).generation;
        let Some(entry) = self.entry_mut(index) else {
            return;
        };
        let deadline = entry.handshake.deadline();
        if entry.armed.is_none_or(|armed| deadline < armed) {
            entry.armed = Some(deadline);
            self.timers.push(Reverse((deadline, slot, generation)));
        }
    }

    fn tell_closed(&mut self, slot: u32, reason: CloseReason) {
        let handle = self.handle_of(slot);
        if let Some(s) = self.slots.get_mut(slot)
            && !s.closed
        {
            s.closed = true;
            self.events.push_back((handle, Event::Closed(reason)));
        }
    }

    fn queue(&mut self, slot: u32) {
        if let Some(s) = self.slots.get_mut(slot)
            && !s.queued
        {
            s.queued = true;
            self.transmits.push_back(slot);
        }
    }

    /// Frees the handshake and its path, not the slot.
    fn free_handshake(&mut self, slot: u32, index: u32) {
        if let Some(entry) = self
            .handshakes
            .get_mut(index as usize)
            .and_then(Option::take)
        {
            self.free_handshakes.push(index);
            if let Some(group) = entry.group {
                self.admission.release(group);
            }
        }
        if let Some(path) = self.slots.get(slot).and_then(|s| s.path) {
            self.handshakes_by_path
                .remove(self.hasher.hash_address(&path), slot);
        }
    }

    /// Frees everything that belongs to a slot.
    fn remove(&mut self, slot: u32) {
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
