//! The short life of a connection: records, fragments and timers around the states of [`crate::v12`].
//!
//! The scratch memory is lent and split in three: our flight, messages on their way in, and on a server one early
//! record.

mod answers;
mod layout;
mod receive;

use crate::association::Association;
#[cfg(feature = "certificates")]
use crate::association::Role;
use crate::bytes::OwnCid;
use crate::config::Config;
use crate::crypto::Provider;
use crate::error::{ApiError, HandshakeError, Timeout, WaitingFor};
#[cfg(feature = "resumption")]
use crate::flight::MAX_EARLY_RECORD_LEN;
use crate::flight::{Expired, Reassembly};
use crate::record::KeyPair;
use crate::time::Instant;
use crate::transmit::{Records, emit_flight};
#[cfg(feature = "endpoint")]
use crate::v12::{Context, Message};
use crate::v12::{Core, State};
use crate::wire::{Alert, ContentType, DTLS_1_0, DTLS_1_2, RANDOM_LEN, RecordHeader, Writer};
#[cfg(feature = "endpoint")]
use crate::wire::{ClientHello, HandshakeType};

/// Scratch memory that a handshake can use at most, in bytes: places in it are 16-bit numbers.
pub const MAX_SCRATCH_LEN: usize = u16::MAX as usize;

/// Scratch memory that a server's PSK handshake needs at least, in bytes: both flights with the longest identity, and
/// one early record.
pub const MIN_SCRATCH_LEN: usize = 960;

/// Scratch memory that a client's PSK handshake needs at least, in bytes; no early record ever comes to a client.
///
/// Half of it holds our flight: a `ClientHello` with a cookie of 150 bytes and the server's hint behind it, or the
/// longest identity. Half holds what arrives in pieces or out of order. A long host name, cookie (up to 255 bytes) or
/// list of suites needs more, twice what it is over.
pub const MIN_CLIENT_SCRATCH_LEN: usize = 480;

use layout::Layout;

/// A handshake under way.
pub(crate) struct Handshake<P: Provider, B> {
    core: Core<P>,
    reassembly: Reassembly,
    buffer: B,
    layout: Layout,
    #[cfg(feature = "resumption")]
    early_len: u16,
    /// The early record's header, to open it when there are keys.
    #[cfg(feature = "resumption")]
    early_header: Option<RecordHeader>,
    alert: Option<Alert>,
}

impl<P: Provider, B: AsMut<[u8]> + AsRef<[u8]>> Handshake<P, B> {
    /// Starts as a client.
    #[cfg(feature = "endpoint")]
    pub(crate) fn connect(
        provider: &mut P,
        config: &Config,
        now: Instant,
        buffer: B,
        own_cid: OwnCid,
        server_name: &[u8],
        session: Option<&[u8]>,
    ) -> Result<Self, ApiError> {
        let mut client_random = [0; RANDOM_LEN];
        provider.random(&mut client_random)?;
        let mut this = Self::client(config, now, buffer, own_cid, client_random);
        this.say_hello(provider, config, server_name, session)?;
        Ok(this)
    }

    /// A client's handshake before its first word, so that it can be put where it stays before anything can fail:
    /// copies of it on the way would be most of a device's stack.
    pub(crate) fn client(
        config: &Config,
        now: Instant,
        buffer: B,
        own_cid: OwnCid,
        client_random: [u8; RANDOM_LEN],
    ) -> Self {
        let core = Core::client(config, now, own_cid, client_random);
        let len = buffer.as_ref().len();
        // Only a session that goes on lets a server's protected record overtake its clear ones.
        #[cfg(feature = "resumption")]
        let early = if config.resumption {
            MAX_EARLY_RECORD_LEN
        } else {
            0
        };
        #[cfg(not(feature = "resumption"))]
        let early = 0;
        #[cfg(feature = "certificates")]
        let layout = Layout::new(config, Role::Client, len, early);
        #[cfg(not(feature = "certificates"))]
        let layout = Layout::halves(len, early);
        Self::new(core, Reassembly::new(0), buffer, layout)
    }

    /// Puts `ClientHello` into the flight.
    pub(crate) fn say_hello(
        &mut self,
        provider: &mut P,
        config: &Config,
        server_name: &[u8],
        #[cfg(feature = "resumption")] session: Option<&[u8]>,
    ) -> Result<(), ApiError> {
        let buffer = self.buffer.as_mut();
        let needed = MIN_CLIENT_SCRATCH_LEN;
        if buffer.len() > MAX_SCRATCH_LEN {
            return Err(ApiError::BadLength);
        }
        if buffer.len() < needed {
            return Err(ApiError::ScratchTooSmall { needed });
        }
        let mut scratch = self.layout.split(buffer).scratch;
        self.core
            .send_client_hello(
                provider,
                config,
                &mut scratch,
                server_name,
                #[cfg(feature = "resumption")]
                session,
            )
            .map_err(|_| ApiError::BadLength)
    }

    /// Starts as a server, with a `ClientHello` whose cookie holds. A fault of the hello leaves the handshake failed.
    #[cfg(feature = "endpoint")]
    pub(crate) fn accept(
        cx: &mut Context<'_, P>,
        buffer: B,
        own_cid: OwnCid,
        record_sequence: u64,
        message: Message<'_>,
        hello: Result<&ClientHello<'_>, HandshakeError>,
    ) -> Self {
        let core = Core::accept(
            cx.now,
            cx.config,
            own_cid,
            message.message_seq,
            record_sequence,
        );
        // RFC 6347 §4.2.1: the first answer takes the ClientHello's record number.
        let reassembly = Reassembly::new(message.message_seq.wrapping_add(1));
        let len = buffer.as_ref().len();
        let layout = Layout::new(cx.config, Role::Server, len, MAX_EARLY_RECORD_LEN);
        let mut this = Self::new(core, reassembly, buffer, layout);
        let mut scratch = layout.split(this.buffer.as_mut()).scratch;
        let answered =
            hello.and_then(|hello| this.core.on_client_hello(cx, message, hello, &mut scratch));
        this.after(answered);
        this
    }

    fn new(core: Core<P>, reassembly: Reassembly, buffer: B, layout: Layout) -> Self {
        Self {
            core,
            reassembly,
            buffer,
            layout,
            #[cfg(feature = "resumption")]
            early_len: 0,
            #[cfg(feature = "resumption")]
            early_header: None,
            alert: None,
        }
    }

    pub(crate) const fn state(&self) -> &State {
        &self.core.state
    }

    #[cfg(feature = "endpoint")]
    pub(crate) fn client_random(&self) -> &[u8; RANDOM_LEN] {
        self.core.client_random()
    }

    /// Server: the client's identity. Client: the server's hint.
    pub(crate) fn psk_identity(&self) -> &[u8] {
        match &self.core.state {
            State::Client(_) => self
                .core
                .psk_hint(self.layout.outgoing(self.buffer.as_ref())),
            #[cfg(feature = "endpoint")]
            _ => self.core.peer.name.as_slice(),
            #[cfg(not(feature = "endpoint"))]
            _ => &[],
        }
    }

    /// What the caller is asked about an earlier session.
    #[cfg(feature = "resumption")]
    pub(crate) fn resumption_request(&self) -> Option<crate::v12::ResumptionRequest<'_>> {
        match &self.core.state {
            State::Client(_) => self.core.client_resumption_request(),
            #[cfg(feature = "endpoint")]
            State::Server(_) => self.core.server_resumption_request(),
            _ => None,
        }
    }

    /// Whether the caller is asked something.
    #[cfg(feature = "certificates")]
    pub(crate) fn is_paused(&self) -> bool {
        self.core.is_paused()
    }

    /// Which end we are.
    #[cfg(feature = "endpoint")]
    pub(crate) fn role(&self) -> Role {
        self.core.role
    }

    /// Gives the lent memory back; nothing can be sent any more.
    pub(crate) fn take_buffer(&mut self) -> B
    where
        B: Default,
    {
        self.core.outgoing.clear();
        core::mem::take(&mut self.buffer)
    }

    #[cfg(feature = "endpoint")]
    pub(crate) fn server_name(&self) -> &[u8] {
        self.core.server_name.as_slice()
    }

    /// The association and its expanded keys, once the handshake is [`State::Established`].
    pub(crate) fn take_association(&mut self) -> Option<(Association, KeyPair<P::AeadKey>)> {
        if !matches!(self.core.state, State::Established) {
            return None;
        }
        let keys = self.core.keys.take()?;
        let association = self.core.association.take()?;
        Some((association, keys))
    }

    /// Ends the handshake; the alert that says why goes out next.
    pub(crate) fn fail(&mut self, error: HandshakeError) {
        self.alert = error.alert().map(Alert::fatal);
        self.core.outgoing.clear();
        self.core.timer.pause();
        self.core.state = State::Failed(error);
    }

    /// When [`Handshake::handle_timeout`] is due.
    pub(crate) fn deadline(&self) -> Instant {
        self.core.timer.deadline()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, config: &Config) {
        if matches!(self.core.state, State::Failed(_) | State::Established) {
            return;
        }
        match self.core.timer.expire(now, config) {
            Expired::NotYet => {}
            Expired::Retransmit => {
                self.core.outgoing.rewind();
            }
            Expired::GiveUp => {
                let error = self.time_out();
                self.fail(error);
            }
        }
    }

    /// Why it took too long.
    fn time_out(&self) -> HandshakeError {
        #[cfg(feature = "endpoint")]
        if matches!(&self.core.state, State::Server(state) if state.identity_unknown()) {
            return HandshakeError::UnknownPskIdentity { revealed: false };
        }
        HandshakeError::Timeout(Timeout {
            waiting_for: self.core.waiting_for(),
            undecryptable: self.core.undecryptable,
        })
    }

    /// Whether [`Handshake::poll_transmit`] has something to write.
    pub(crate) const fn is_pending(&self) -> bool {
        self.alert.is_some() || self.core.outgoing.is_pending()
    }

    /// Writes the next datagram and returns its length.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        config: &Config,
        buf: &mut [u8],
    ) -> Option<usize> {
        if let Some(alert) = self.alert.take() {
            return self.emit_alert(config, alert, buf);
        }
        let hello = self.core.waiting_for() == WaitingFor::Hello;
        let mtu = self.core.timer.mtu(config, hello).min(buf.len());
        let room = buf.get_mut(..mtu)?;
        let core = &mut self.core;
        // Before a version is settled clear text says the lowest there ever was (RFC 6347 §4.1).
        let version = match &core.state {
            State::Client(state) if state.is_before_version() => DTLS_1_0,
            _ => DTLS_1_2,
        };
        let mut records = Records::<P> {
            association: core.association.as_mut(),
            keys: core.keys.as_ref(),
            epoch_0_next: &mut core.epoch_0_next,
            version,
        };
        let memory = self.layout.outgoing(self.buffer.as_ref());
        let len = emit_flight(&mut core.outgoing, memory, &mut records, config, room);
        if len > 0 && !core.outgoing.is_pending() {
            // Only what went out starts the timer: a caller may ask as often as it likes.
            core.timer.sent(now);
        } else if len == 0 && core.outgoing.is_pending() {
            // Nothing fits this buffer: do not offer it for ever.
            core.outgoing.clear();
        }
        (len > 0).then_some(len)
    }

    fn emit_alert(&mut self, config: &Config, alert: Alert, buf: &mut [u8]) -> Option<usize> {
        if self.core.write_protected
            && let (Some(association), Some(keys)) = (&mut self.core.association, &self.core.keys)
        {
            return association
                .seal_into::<P>(keys, config, ContentType::ALERT, &alert.to_bytes(), buf)
                .ok();
        }
        let written = clear_text_alert(self.core.epoch_0_next, alert, buf)?;
        self.core.epoch_0_next += 1;
        Some(written)
    }

    /// Whether this is the `ClientHello` that the handshake answered, so that a repeat of it starts nothing new.
    #[cfg(feature = "endpoint")]
    pub(crate) fn answers(&self, hello: &ClientHello<'_>, message_seq: u16) -> bool {
        self.client_random() == hello.random && message_seq < self.reassembly.next()
    }
}

/// Writes an alert in clear text and returns the record's length.
fn clear_text_alert(sequence: u64, alert: Alert, buf: &mut [u8]) -> Option<usize> {
    let header = RecordHeader {
        content_type: ContentType::ALERT,
        version: DTLS_1_2,
        epoch: 0,
        sequence,
        cid_len: 0,
        length: 2,
    };
    let mut out = Writer::new(buf);
    header.emit(&[], &mut out).ok()?;
    out.put(&alert.to_bytes()).ok()?;
    Some(out.len())
}

/// The type of the first handshake message in a clear-text record, for routing.
#[cfg(feature = "endpoint")]
pub(crate) fn first_message_type(header: &RecordHeader, record: &[u8]) -> Option<HandshakeType> {
    (header.content_type == ContentType::HANDSHAKE && header.epoch == 0)
        .then(|| record.get(header.header_len()).copied().map(HandshakeType))
        .flatten()
}
