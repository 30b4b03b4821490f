//! One connection on one link, without a heap: what a device needs.
//!
//! It is a client; a server's side of many connections is [`Endpoint`](crate::Endpoint)'s. The link and the peer's
//! address are the caller's.

#[cfg(feature = "resumption")]
mod answers;

use core::ops::Range;

use crate::association::{Association, Opened, Refused};
use crate::bytes::OwnCid;
use crate::config::{Config, MAX_OWN_CID_LEN};
use crate::crypto::Provider;
use crate::datagram::Datagram;
use crate::drop_reason::DropReason;
use crate::error::{ApiError, CloseReason, HandshakeError, Limit, SendError};
use crate::event::{Event, EventFlags};
use crate::export::{Dormant, ExportError, ExportKey};
use crate::handshake::Handshake;
use crate::lease::LeaseStore;
use crate::record::KeyPair;
use crate::time::Instant;
use crate::v12::{Context, State};
use crate::wire::{ContentType, RANDOM_LEN};

/// Longest session with its ticket that a connection keeps, in bytes.
#[cfg(feature = "resumption")]
const MAX_KEPT_SESSION_LEN: usize = 640;

/// What one record of a datagram led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Application data; it stands at this place in the datagram's bytes.
    Application(Range<usize>),
    /// The connection went on: poll events and transmits.
    Progress,
    /// It led nowhere.
    Dropped(DropReason),
}

/// The two lives of a connection.
#[allow(
    clippy::large_enum_variant,
    reason = "without a heap there is nowhere else to put a handshake"
)]
enum Life<P: Provider, B> {
    Handshaking(Handshake<P, B>),
    Established {
        association: Association,
        keys: KeyPair<P::AeadKey>,
    },
    Over,
}

/// A client's connection. `B` is the scratch memory of its handshake, at least
/// [`MIN_CLIENT_SCRATCH_LEN`](crate::MIN_CLIENT_SCRATCH_LEN) bytes: a `&mut [u8]` on devices.
pub struct Connection<'c, P: Provider, B> {
    provider: P,
    config: &'c Config,
    life: Life<P, B>,
    /// The memory for handshakes, while none is under way.
    scratch: B,
    flags: EventFlags,
    closed: Option<CloseReason>,
    /// How many bytes of the memory for handshakes a session takes that can be resumed.
    #[cfg(feature = "resumption")]
    session_len: u16,
}

impl<'c, P: Provider, B: AsMut<[u8]> + AsRef<[u8]> + Default> Connection<'c, P, B> {
    /// A connection that has not begun: [`Connection::start`] or [`Connection::resume`] is next.
    pub const fn idle(provider: P, config: &'c Config, scratch: B) -> Self {
        Self {
            provider,
            config,
            life: Life::Over,
            scratch,
            flags: EventFlags::NONE,
            closed: None,
            #[cfg(feature = "resumption")]
            session_len: 0,
        }
    }

    /// Begins a handshake. `server_name` is the host name to ask for (RFC 6066), or empty.
    pub fn connect(
        provider: P,
        config: &'c Config,
        now: Instant,
        scratch: B,
        server_name: &[u8],
    ) -> Result<Self, ApiError> {
        let mut this = Self::idle(provider, config, scratch);
        this.start(now, server_name)?;
        Ok(this)
    }

    /// Begins a handshake in the same memory; what was before it, a session or another handshake, ends without a
    /// word to the peer.
    ///
    /// # Errors
    /// [`ApiError::ScratchTooSmall`] also for a connection that [`Connection::wake`] made: it was lent no memory.
    pub fn start(&mut self, now: Instant, server_name: &[u8]) -> Result<(), ApiError> {
        self.begin(
            now,
            server_name,
            #[cfg(feature = "resumption")]
            None,
        )
    }

    /// As [`Connection::start`], offering to go on with an earlier session, where [`Config::resumption`] is on and the
    /// session fits. The server may still want a full handshake.
    #[cfg(feature = "resumption")]
    pub fn start_with(
        &mut self,
        now: Instant,
        server_name: &[u8],
        session: &[u8],
    ) -> Result<(), ApiError> {
        self.begin(now, server_name, Some(session))
    }

    fn begin(
        &mut self,
        now: Instant,
        server_name: &[u8],
        #[cfg(feature = "resumption")] session: Option<&[u8]>,
    ) -> Result<(), ApiError> {
        self.config
            .validate(&self.provider)
            .map_err(ApiError::Config)?;
        self.forget();
        let mut cid = [0; MAX_OWN_CID_LEN];
        let cid = cid
            .get_mut(..usize::from(self.config.cid.own_len()))
            .ok_or(ApiError::BadLength)?;
        self.provider.random(cid)?;
        let own_cid = OwnCid::new(cid).ok_or(ApiError::BadLength)?;
        let mut client_random = [0; RANDOM_LEN];
        self.provider.random(&mut client_random)?;
        self.place_handshake(now, own_cid, client_random);
        let Life::Handshaking(handshake) = &mut self.life else {
            return Err(ApiError::NotRequested);
        };
        let begun = handshake.say_hello(
            &mut self.provider,
            self.config,
            server_name,
            #[cfg(feature = "resumption")]
            session,
        );
        if begun.is_err() {
            self.forget();
        }
        begun
    }

    /// Apart, so that its large frame is gone before anything else is called.
    #[inline(never)]
    fn place_handshake(&mut self, now: Instant, own_cid: OwnCid, client_random: [u8; RANDOM_LEN]) {
        #[cfg(feature = "resumption")]
        {
            self.session_len = 0;
        }
        let scratch = core::mem::take(&mut self.scratch);
        self.life = Life::Handshaking(Handshake::client(
            self.config,
            now,
            scratch,
            own_cid,
            client_random,
        ));
    }

    /// Forgets the session or the handshake, without a word to the peer and without an event.
    pub fn forget(&mut self) {
        self.reclaim();
        #[cfg(feature = "resumption")]
        self.wipe_session();
        self.life = Life::Over;
        self.flags = EventFlags::NONE;
        self.closed = None;
    }

    fn reclaim(&mut self) {
        if let Life::Handshaking(handshake) = &mut self.life {
            self.scratch = handshake.take_buffer();
        }
    }

    /// Brings an exported session back (decision 6 of the architecture); see [`Dormant::wake`].
    pub fn wake<S: LeaseStore>(
        provider: P,
        config: &'c Config,
        store: &mut S,
        key: &ExportKey,
        blob: &[u8],
        count: u64,
    ) -> Result<Self, ExportError<S::Error>> {
        let mut this = Self::idle(provider, config, B::default());
        this.resume(store, key, blob, count)?;
        Ok(this)
    }

    /// As [`Connection::wake`], in the memory of a connection that is there already. What was before it ends without a
    /// word to the peer, but stays when the export is refused.
    pub fn resume<S: LeaseStore>(
        &mut self,
        store: &mut S,
        key: &ExportKey,
        blob: &[u8],
        count: u64,
    ) -> Result<(), ExportError<S::Error>> {
        let association = Dormant::open(&self.provider, key, blob)?.wake(store, count)?;
        let keys = association.expand(&self.provider)?;
        self.forget();
        self.life = Life::Established { association, keys };
        Ok(())
    }

    /// The established session, or `None` before and after.
    pub fn association(&self) -> Option<&Association> {
        match &self.life {
            Life::Established { association, .. } if !association.is_closed() => Some(association),
            _ => None,
        }
    }

    /// The server's PSK identity hint, perhaps empty; `None` once the handshake is over.
    pub fn psk_identity_hint(&self) -> Option<&[u8]> {
        match &self.life {
            Life::Handshaking(handshake) => Some(handshake.psk_identity()),
            _ => None,
        }
    }

    /// Takes the next record of a datagram in; `None` when it has no more. Poll events and transmits afterwards.
    pub fn handle(&mut self, now: Instant, datagram: &mut Datagram<'_>) -> Option<Outcome> {
        // A session that was brought back keeps the length it was made with.
        let own_cid_len = match &self.life {
            Life::Established { association, .. } => association.own_cid.len() as u8,
            _ => self.config.cid.own_len(),
        };
        let (header, start, record) = match datagram.next_record(own_cid_len)? {
            Ok(record) => record,
            Err(reason) => return Some(Outcome::Dropped(reason)),
        };
        let outcome = match &mut self.life {
            Life::Over => Outcome::Dropped(DropReason::Closing),
            Life::Handshaking(handshake) => {
                let mut cx = Context {
                    provider: &mut self.provider,
                    config: self.config,
                    now,
                    events: &mut self.flags,
                    #[cfg(feature = "endpoint")]
                    tickets: None,
                };
                let result = handshake.handle_record(&mut cx, &header, record);
                self.after_handshake_step();
                result.map_or_else(Outcome::Dropped, |()| Outcome::Progress)
            }
            // Beside an established session clear text means nothing.
            Life::Established { .. } if header.epoch == 0 => {
                Outcome::Dropped(DropReason::UnknownEpoch)
            }
            Life::Established { association, keys } => {
                if let Err(reason) = association.precheck(self.config, &header) {
                    return Some(Outcome::Dropped(reason));
                }
                match association.handle_record::<P>(keys, self.config, now, &header, record) {
                    Ok((opened, _)) => match opened {
                        Opened::Application(range) => {
                            Outcome::Application(range.start + start..range.end + start)
                        }
                        #[cfg(feature = "resumption")]
                        Opened::LastFlightAgain => Outcome::Progress,
                        #[cfg(feature = "endpoint")]
                        Opened::Misbehaved(what) => {
                            self.closed = Some(CloseReason::PeerMisbehaved(what));
                            Outcome::Progress
                        }
                        Opened::RenegotiationRefused => Outcome::Progress,
                        Opened::CloseNotify => {
                            self.closed = Some(CloseReason::PeerClosed);
                            Outcome::Progress
                        }
                        Opened::FatalAlert(description) => {
                            self.closed = Some(CloseReason::PeerAlert(description));
                            Outcome::Progress
                        }
                        Opened::Ignored(reason) => Outcome::Dropped(reason),
                    },
                    Err(Refused::Drop(reason)) => Outcome::Dropped(reason),
                    Err(Refused::LimitReached(limit)) => {
                        association.close();
                        self.closed = Some(CloseReason::Limit(limit));
                        Outcome::Dropped(DropReason::Unauthenticated)
                    }
                }
            }
        };
        Some(outcome)
    }

    /// Answers [`Event::PskRequested`] with our identity and key.
    #[inline(never)] // The frame of the key schedule must not lie under every record that the caller handles.
    pub fn provide_identity(
        &mut self,
        now: Instant,
        identity: &[u8],
        psk: &[u8],
    ) -> Result<(), ApiError> {
        self.answer(now, |handshake, cx| {
            handshake.answer(cx, |core, cx, scratch| {
                core.provide_client_psk(cx, scratch, identity, psk)
            })
        })
    }

    /// Lets an answer of the caller's act, and then does what follows from the new state.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        step: impl FnOnce(&mut Handshake<P, B>, &mut Context<'_, P>) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let Life::Handshaking(handshake) = &mut self.life else {
            return Err(ApiError::NotRequested);
        };
        let mut cx = Context {
            provider: &mut self.provider,
            config: self.config,
            now,
            events: &mut self.flags,
            #[cfg(feature = "endpoint")]
            tickets: None,
        };
        let result = step(handshake, &mut cx);
        self.after_handshake_step();
        result
    }

    fn after_handshake_step(&mut self) {
        let Life::Handshaking(handshake) = &mut self.life else {
            return;
        };
        match handshake.state() {
            State::Established => {
                #[cfg(feature = "resumption")]
                let session = {
                    let mut bytes = zeroize::Zeroizing::new([0; MAX_KEPT_SESSION_LEN]);
                    let role = crate::association::Role::Client;
                    let len = handshake.write_session(self.config, role, &mut *bytes);
                    len.map(|len| (bytes, len))
                };
                if let Some((association, keys)) = handshake.take_association() {
                    self.scratch = handshake.take_buffer();
                    #[cfg(feature = "resumption")]
                    self.keep_session(session);
                    self.life = Life::Established { association, keys };
                }
            }
            State::Failed(error) if self.closed.is_none() && !self.flags.closed_told => {
                self.flags.connected = false;
                self.closed = Some(CloseReason::HandshakeFailed(*error));
            }
            _ => {}
        }
    }

    /// Wipes the session that can be resumed.
    #[cfg(feature = "resumption")]
    fn wipe_session(&mut self) {
        let len = usize::from(core::mem::take(&mut self.session_len));
        if let Some(bytes) = self.scratch.as_mut().get_mut(..len) {
            zeroize::Zeroize::zeroize(bytes);
        }
    }

    /// Puts a session that can be resumed into the memory for handshakes, which is free now.
    #[cfg(feature = "resumption")]
    fn keep_session(
        &mut self,
        session: Option<(zeroize::Zeroizing<[u8; MAX_KEPT_SESSION_LEN]>, usize)>,
    ) {
        self.session_len = 0;
        if let Some((bytes, len)) = session
            && let Some(room) = self.scratch.as_mut().get_mut(..len)
        {
            room.copy_from_slice(&bytes[..len]);
            self.session_len = len as u16;
        }
    }

    /// A session that can be resumed, after a handshake in which the server gave one, until the next handshake begins: for
    /// [`Connection::start_with`]. Its bytes hold a secret.
    #[cfg(feature = "resumption")]
    pub fn session(&self) -> Option<&[u8]> {
        let len = usize::from(self.session_len);
        (len > 0).then(|| self.scratch.as_ref().get(..len))?
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        #[cfg(feature = "key-log")]
        if let Some(entry) = self.flags.key_log.take() {
            return Some(Event::KeyLog(entry));
        }
        if let Some(request) = self.flags.request.take() {
            return Some(request.into());
        }
        if core::mem::take(&mut self.flags.connected) {
            return Some(Event::Connected);
        }
        let reason = self.closed.take()?;
        self.flags.closed_told = true;
        Some(Event::Closed(reason))
    }

    /// Writes the next datagram to `buf`, which should hold [`Config::mtu`] bytes, and returns its length.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        match &mut self.life {
            Life::Handshaking(handshake) => {
                let len = handshake.poll_transmit(now, self.config, buf);
                if matches!(handshake.state(), State::Failed(_)) && !handshake.is_pending() {
                    self.scratch = handshake.take_buffer();
                    self.life = Life::Over;
                }
                len
            }
            Life::Established { association, keys } => {
                let len = association.poll_transmit::<P>(keys, self.config, buf);
                if association.is_closed() && !association.is_pending() {
                    self.life = Life::Over;
                }
                len
            }
            Life::Over => None,
        }
    }

    /// When [`Connection::handle_timeout`] is due; `None` when nothing is waited for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.life {
            Life::Handshaking(handshake) => Some(handshake.deadline()),
            _ => None,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Life::Handshaking(handshake) = &mut self.life {
            handshake.handle_timeout(now, self.config);
            self.after_handshake_step();
        }
    }

    /// Protects one application datagram into `out`, and returns the record's length.
    pub fn send(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, SendError> {
        let Life::Established { association, keys } = &mut self.life else {
            return Err(SendError::NotConnected);
        };
        if association.is_closed() {
            return Err(SendError::NotConnected);
        }
        let content_type = ContentType::APPLICATION_DATA;
        let sealed = association.seal_into::<P>(keys, self.config, content_type, payload, out);
        if sealed == Err(SendError::KeyExhausted) {
            association.close();
            self.closed = Some(CloseReason::Limit(Limit::Seals));
        }
        sealed
    }

    /// Ends the connection: `close_notify` goes out next, and [`Event::Closed`] comes.
    pub fn close(&mut self) {
        match &mut self.life {
            Life::Established { association, .. } if !association.is_closed() => {
                association.close();
                self.closed = Some(CloseReason::Local);
            }
            Life::Handshaking(handshake) if !matches!(handshake.state(), State::Failed(_)) => {
                handshake.fail(HandshakeError::Canceled);
                self.after_handshake_step();
            }
            _ => {}
        }
    }

    /// Takes the session out of memory, and ends this connection without a word to the peer; see
    /// [`Association::export`]. Returns the length.
    pub fn sleep<S: LeaseStore>(
        &mut self,
        store: &mut S,
        key: &ExportKey,
        out: &mut [u8],
    ) -> Result<usize, ExportError<S::Error>> {
        match &mut self.life {
            Life::Established { association, .. } if !association.is_closed() => {
                let len = association.export(&mut self.provider, store, key, out)?;
                self.life = Life::Over;
                Ok(len)
            }
            _ => Err(ExportError::NotConnected),
        }
    }

    /// Claims `count` more sequence numbers; see [`Association::claim`].
    pub fn claim<S: LeaseStore>(
        &mut self,
        store: &mut S,
        count: u64,
    ) -> Result<(), ExportError<S::Error>> {
        match &mut self.life {
            Life::Established { association, .. } => {
                association.claim(&mut self.provider, store, count)
            }
            _ => Err(ExportError::NotConnected),
        }
    }
}
