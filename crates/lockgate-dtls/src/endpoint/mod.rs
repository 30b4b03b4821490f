//! Many associations on one socket: routing by connection ID and address, stateless cookies, admission limits.
//!
//! Nothing is allocated for a peer that has not proved its address. A handshake and the session that it makes share one
//! slot, first with a place in the slab of handshakes, then without: an idle session never pays for a handshake.

mod admission;
mod answers;
mod cid;
mod cookie;
mod hello_pool;
mod key_cache;
mod lifecycle;
mod receive;
mod sessions;
mod slots;
mod tables;
mod ticket;
mod transmit;

use alloc::boxed::Box;
use alloc::collections::{BinaryHeap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

pub use cid::{CidKey, CidRoute, Placement};
pub use receive::Received;
pub(crate) use ticket::TicketJar;
pub use ticket::TicketSecret;
pub use transmit::Transmit;

use crate::address::{Address, UdpPath};
use crate::association::Role;
use crate::bytes::{OwnCid, PeerCid};
use crate::config::{Config, ConfigError};
use crate::crypto::{NamedGroup, Provider};
use crate::error::{ApiError, CloseReason, HandshakeError};
use crate::event::{Event, EventFlags};
use crate::handshake::{Handshake, MAX_SCRATCH_LEN, MIN_SCRATCH_LEN};
use crate::session::Session;
use crate::suite::CipherSuite;
use crate::time::Instant;
use admission::Admission;
use cid::{CidCodec, RecentRoutes};
use cookie::CookieJar;
use hello_pool::HelloPool;
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
    pub cid_key: Option<CidKey>,
    /// How many connections there may be, established or not, up to 2^24. Default 2^20.
    pub max_connections: u32,
    /// How many handshakes may be under way. Default 10,000.
    pub max_half_open: u32,
    /// How many handshakes may be under way from one IPv4 address or IPv6 /64. Default 1,024.
    pub max_half_open_per_address: u32,
    /// How many `ClientHello`s in fragments are put together at a time, up to 8 KiB each for up to 5 s. They come from
    /// addresses that have proved nothing, so the oldest gives way when there are more; 0 refuses them. Default 64.
    pub max_fragmented_hellos: usize,
    /// How many sessions' keys are kept expanded. Default 4,096.
    pub key_cache: usize,
    /// Scratch memory of one handshake in bytes, [`MIN_SCRATCH_LEN`] to [`MAX_SCRATCH_LEN`]. Default `None`: 1,024 for
    /// pre-shared keys alone, 2,048 with resumption; 20 KiB where certificates are shown one way, and 40 KiB where both
    /// sides show theirs.
    pub scratch_len: Option<usize>,
    /// How long a ticket key is the newest; its tickets hold once as long again. Default 12 hours.
    pub ticket_lifetime: Duration,
    /// What ticket keys are made from, where several endpoints are to take each other's tickets; their clocks must agree.
    /// Default `None`: random keys.
    pub ticket_secret: Option<TicketSecret>,
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
            max_fragmented_hellos: 64,
            key_cache: 4096,
            scratch_len: None,
            ticket_lifetime: Duration::from_hours(12),
            ticket_secret: None,
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
    /// Longest payload that one record carries to the peer, in bytes: by the peer's limit, and by the path's MTU where
    /// [`Endpoint::set_mtu`] said it.
    pub max_payload: usize,
    /// Bytes that a record adds around a payload, without padding.
    pub record_overhead: usize,
    /// The handshake went on with an earlier session.
    pub resumed: bool,
    /// The group of the ephemeral key exchange; `None` where there was none, or the session was brought back.
    pub group: Option<NamedGroup>,
    /// SHA-256 of the `SubjectPublicKeyInfo` that the peer proved itself with, if it did with one.
    pub peer_key_hash: Option<[u8; 32]>,
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
    /// When last flights with memory of their own can be forgotten, soonest first.
    settling: VecDeque<(Instant, ConnectionHandle)>,
    hellos: HelloPool<A>,
    tickets: TicketJar<P::AeadKey>,
    scratch_len: usize,
}

impl<P: Provider, A: Address> Endpoint<P, A> {
    /// An endpoint without connections.
    pub fn new(
        mut provider: P,
        now: Instant,
        mut config: EndpointConfig,
    ) -> Result<Self, ConfigError> {
        config.config.validate(&provider)?;
        let scratch_len = config
            .scratch_len
            .unwrap_or_else(|| config.config.default_scratch_len());
        if !(MIN_SCRATCH_LEN..=MAX_SCRATCH_LEN).contains(&scratch_len) {
            return Err(ConfigError::ScratchLen);
        }
        let key = match &config.cid_key {
            Some(key) => key.clone(),
            None => CidKey::random(&mut provider).map_err(ConfigError::Crypto)?,
        };
        let mask = provider.mask(key.bytes()).map_err(ConfigError::Crypto)?;
        let cids = CidCodec::new(mask, config.placement, config.config.cid.own_len())?;
        // It moves on with time; nothing of it is to stay behind.
        let ticket_secret = config.ticket_secret.take();
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
            settling: VecDeque::new(),
            hellos: HelloPool::new(config.max_fragmented_hellos),
            tickets: TicketJar::new(now, config.ticket_lifetime, ticket_secret),
            scratch_len,
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
        self.connect_with(now, path, server_name, None)
    }

    /// As [`Endpoint::connect`], offering to go on with an earlier session, where [`Config::resumption`] is on and the
    /// session fits. The server may still want a full handshake.
    pub fn connect_with(
        &mut self,
        now: Instant,
        path: A,
        server_name: &[u8],
        session: Option<&Session>,
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
                let scratch = vec![0; self.scratch_len].into_boxed_slice();
                Handshake::connect(
                    &mut self.provider,
                    &self.config.config,
                    now,
                    scratch,
                    own_cid,
                    server_name,
                    session.map(Session::as_bytes),
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

    /// What is known of an established connection.
    pub fn info(&self, handle: ConnectionHandle) -> Option<ConnectionInfo<A>> {
        let (association, path) = self.established(handle)?;
        Some(ConnectionInfo {
            role: association.role(),
            cipher_suite: association.cipher_suite(),
            path,
            own_cid: association.own_cid,
            peer_cid: association.peer_cid,
            max_payload: association.max_datagram_payload(),
            record_overhead: association.record_overhead(),
            resumed: association.resumed,
            group: Some(association.group).filter(|group| group.0 != 0),
            peer_key_hash: association.peer_key_hash,
        })
    }

    /// The application protocol that was agreed (RFC 7301), if one was.
    pub fn protocol(&self, handle: ConnectionHandle) -> Option<&[u8]> {
        let (association, _) = self.established(handle)?;
        let place = usize::from(association.protocol).checked_sub(1)?;
        self.config.config.protocols.iter().nth(place)
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

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<(ConnectionHandle, Event)> {
        self.events.pop_front()
    }

    /// When [`Endpoint::handle_timeout`] is due; it may turn out that nothing was.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let handshakes = self.timers.peek().map(|Reverse((at, ..))| *at);
        let settling = self.settling.front().map(|(at, _)| *at);
        handshakes.into_iter().chain(settling).min()
    }

    /// Does what is due: retransmissions, and ends of handshakes that took too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.settle_last_flights(now);
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
}
