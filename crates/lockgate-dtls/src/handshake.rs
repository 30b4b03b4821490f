//! The short life of a connection: records, fragments and timers around the states of [`crate::v12`].
//!
//! The scratch memory is lent and split in three: our flight, messages on their way in, and on a server one early
//! record.

use crate::association::Association;
#[cfg(feature = "resumption")]
use crate::association::Role;
use crate::bytes::OwnCid;
use crate::config::Config;
use crate::crypto::Provider;
use crate::drop_reason::DropReason;
use crate::error::{ApiError, HandshakeError, PeerMisbehaved, Timeout, WaitingFor};
#[cfg(feature = "resumption")]
use crate::flight::MAX_EARLY_RECORD_LEN;
use crate::flight::{Expired, Reassembly};
use crate::record::KeyPair;
use crate::time::Instant;
use crate::transmit::{Records, emit_flight};
use crate::v12::{Context, Core, Message, Scratch, State, StepError};
#[cfg(feature = "endpoint")]
use crate::wire::ClientHello;
use crate::wire::{
    Alert, AlertLevel, ContentType, DTLS_1_0, DTLS_1_2, HandshakeHeader, HandshakeType, RANDOM_LEN,
    Reader, RecordHeader, Writer,
};

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

/// How the scratch memory is shared out, in bytes: what is left of it is for messages on their way in.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// For an early record, at its end.
    #[cfg(feature = "resumption")]
    early: u16,
    /// For the transcript, before that.
    #[cfg(feature = "certificates")]
    transcript: u16,
    /// For our flight, at its start.
    outgoing: u16,
}

/// The parts of the scratch memory.
struct Parts<'a> {
    scratch: Scratch<'a>,
    incoming: &'a mut [u8],
    #[cfg(feature = "resumption")]
    early: &'a mut [u8],
}

impl Layout {
    /// With half for each direction.
    const fn halves(len: usize, early: usize) -> Self {
        Self {
            #[cfg(feature = "resumption")]
            early: early as u16,
            #[cfg(feature = "certificates")]
            transcript: 0,
            outgoing: (len.saturating_sub(early) / 2) as u16,
        }
    }

    /// With certificates: half for a transcript that is kept, the rest for both directions; without it a client, who is
    /// shown a chain and shows none, takes in more than it sends.
    #[cfg(feature = "certificates")]
    fn new(config: &Config, role: Role, len: usize, early: usize) -> Self {
        let room = len.saturating_sub(early);
        let mut this = Self::halves(len, early);
        if config.keeps_transcript(role) {
            this.transcript = (room / 2) as u16;
            this.outgoing = (room / 4) as u16;
        } else if role == Role::Client && !config.peer_certificate_types.is_empty() {
            this.outgoing = (room / 4) as u16;
        }
        this
    }

    #[cfg(not(feature = "certificates"))]
    fn split(self, buffer: &mut [u8]) -> Parts<'_> {
        #[cfg(feature = "resumption")]
        let (buffer, early) =
            buffer.split_at_mut(buffer.len().saturating_sub(usize::from(self.early)));
        let (outgoing, incoming) =
            buffer.split_at_mut(usize::from(self.outgoing).min(buffer.len()));
        Parts {
            scratch: Scratch { outgoing },
            incoming,
            #[cfg(feature = "resumption")]
            early,
        }
    }

    #[cfg(feature = "certificates")]
    fn split(self, buffer: &mut [u8]) -> Parts<'_> {
        let (rest, early) =
            buffer.split_at_mut(buffer.len().saturating_sub(usize::from(self.early)));
        let (rest, transcript) =
            rest.split_at_mut(rest.len().saturating_sub(usize::from(self.transcript)));
        let (outgoing, incoming) = rest.split_at_mut(usize::from(self.outgoing).min(rest.len()));
        Parts {
            scratch: Scratch {
                outgoing,
                transcript,
            },
            incoming,
            early,
        }
    }

    /// Where our flight stands.
    fn outgoing(self, buffer: &[u8]) -> &[u8] {
        buffer.get(..usize::from(self.outgoing)).unwrap_or_default()
    }
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

    /// Takes one record in.
    pub(crate) fn handle_record(
        &mut self,
        cx: &mut Context<'_, P>,
        header: &RecordHeader,
        record: &mut [u8],
    ) -> Result<(), DropReason> {
        if matches!(self.core.state, State::Failed(_) | State::Established) {
            return Err(DropReason::Closing);
        }
        match header.epoch {
            0 => self.handle_clear_text(cx, header, record),
            _ => self.handle_protected(cx, header, record),
        }
    }

    fn handle_clear_text(
        &mut self,
        cx: &mut Context<'_, P>,
        header: &RecordHeader,
        record: &[u8],
    ) -> Result<(), DropReason> {
        // A HelloVerifyRequest may come as DTLS 1.0, and the version of clear text says nothing more.
        if header.version != DTLS_1_2 && header.version != DTLS_1_0 {
            return Err(DropReason::UnsupportedVersion);
        }
        let content = record
            .get(header.header_len()..)
            .ok_or(DropReason::Malformed)?;
        match header.content_type {
            ContentType::HANDSHAKE => self.handle_messages(cx, false, content),
            ContentType::ALERT => {
                let alert = Alert::parse(content).map_err(|_| DropReason::MalformedAlert)?;
                self.handle_alert(alert)
            }
            // It moves nothing: the epoch of a record says which keys it is under.
            ContentType::CHANGE_CIPHER_SPEC if content == [1] => Ok(()),
            ContentType::CHANGE_CIPHER_SPEC => Err(DropReason::MalformedChangeCipherSpec),
            ContentType::APPLICATION_DATA => Err(DropReason::ClearTextApplicationData),
            _ => Err(DropReason::UnknownContentType),
        }
    }

    fn handle_protected(
        &mut self,
        cx: &mut Context<'_, P>,
        header: &RecordHeader,
        record: &mut [u8],
    ) -> Result<(), DropReason> {
        let (Some(association), Some(keys)) = (&mut self.core.association, &self.core.keys) else {
            #[cfg(feature = "resumption")]
            return self.keep_early(header, record);
            #[cfg(not(feature = "resumption"))]
            return Err(DropReason::EarlyRecord);
        };
        association.precheck(cx.config, header)?;
        let opened = association.open::<P>(keys, cx.config, header, record);
        let (content_type, range) = match opened {
            Ok((content_type, range, _)) => (content_type, range),
            Err(crate::association::Refused::Drop(reason)) => {
                if reason == DropReason::Unauthenticated {
                    self.core.undecryptable = self.core.undecryptable.saturating_add(1);
                }
                return Err(reason);
            }
            Err(crate::association::Refused::LimitReached(limit)) => {
                self.fail(limit.into());
                return Err(DropReason::Unauthenticated);
            }
        };
        let content = record.get(range).ok_or(DropReason::Malformed)?;
        match content_type {
            ContentType::HANDSHAKE => self.handle_messages(cx, true, content),
            ContentType::ALERT => {
                let alert = Alert::parse(content).map_err(|_| DropReason::MalformedAlert)?;
                self.handle_alert(alert)
            }
            ContentType::APPLICATION_DATA => Err(DropReason::EarlyApplicationData),
            _ => Err(DropReason::UnknownContentType),
        }
    }

    /// Keeps a protected record that came before its keys, when it can be the peer's `Finished`.
    #[cfg(feature = "resumption")]
    fn keep_early(&mut self, header: &RecordHeader, record: &[u8]) -> Result<(), DropReason> {
        // Of the agreed form; and the newest counts, so that a forged one is not in the way of a genuine one.
        let expected = if self.core.receives_with_cid() {
            header.content_type == ContentType::TLS12_CID
        } else {
            header.content_type == ContentType::HANDSHAKE
        };
        let early = self.layout.split(self.buffer.as_mut()).early;
        if !expected || header.epoch != 1 || record.len() > early.len() {
            return Err(DropReason::EarlyRecord);
        }
        early[..record.len()].copy_from_slice(record);
        self.early_len = record.len() as u16;
        self.early_header = Some(*header);
        Ok(())
    }

    #[cfg(feature = "resumption")]
    fn open_early(&mut self, cx: &mut Context<'_, P>) {
        let Some(header) = self.early_header.take() else {
            return;
        };
        let mut record = [0; MAX_EARLY_RECORD_LEN];
        let len = usize::from(self.early_len);
        let Some(record) = record.get_mut(..len) else {
            return;
        };
        record.copy_from_slice(&self.layout.split(self.buffer.as_mut()).early[..len]);
        // If it leads nowhere, the peer sends it again.
        let _ = self.handle_protected(cx, &header, record);
    }

    fn handle_alert(&mut self, alert: Alert) -> Result<(), DropReason> {
        if alert.level == AlertLevel::Warning && alert != Alert::CLOSE_NOTIFY {
            return Err(DropReason::IgnoredAlert);
        }
        self.fail(HandshakeError::PeerAlert(alert.description));
        self.alert = None;
        Ok(())
    }

    /// Takes in the messages and fragments that one record carries.
    fn handle_messages(
        &mut self,
        cx: &mut Context<'_, P>,
        protected: bool,
        content: &[u8],
    ) -> Result<(), DropReason> {
        let mut reader = Reader::new(content);
        let mut result = Err(DropReason::MalformedHandshakeRecord);
        while !reader.is_empty()
            && !matches!(self.core.state, State::Failed(_) | State::Established)
        {
            let Ok((header, fragment)) = HandshakeHeader::parse(&mut reader) else {
                return Err(DropReason::MalformedHandshakeRecord);
            };
            let step = self.handle_fragment(cx, protected, &header, fragment);
            if result.is_err() {
                result = step;
            }
        }
        if matches!(self.core.state, State::Established)
            && (self.reassembly.holds_protected() || self.is_ahead(reader))
        {
            self.fail(PeerMisbehaved::ExcessHandshakeData.into());
        }
        result
    }

    /// Whether there is a message among `rest` that counts on from the last one that was expected.
    fn is_ahead(&self, mut rest: Reader<'_>) -> bool {
        while let Ok((header, _)) = HandshakeHeader::parse(&mut rest) {
            if header.message_seq.wrapping_sub(self.reassembly.next()) < 0x8000 {
                return true;
            }
        }
        false
    }

    fn handle_fragment(
        &mut self,
        cx: &mut Context<'_, P>,
        protected: bool,
        header: &HandshakeHeader,
        fragment: &[u8],
    ) -> Result<(), DropReason> {
        // Where only the peer's Finished can follow, nothing else in clear text may so much as end the handshake.
        let ahead = header.message_seq.wrapping_sub(self.reassembly.next()) < 0x8000;
        if ahead
            && !protected
            && header.msg_type != HandshakeType::FINISHED
            && self.core.only_finished_is_left()
        {
            return Err(DropReason::UnexpectedHandshake);
        }
        #[cfg(feature = "certificates")]
        let (direct, too_long) = {
            let certificate = header.msg_type == HandshakeType::CERTIFICATE;
            (
                // The caller is asked about a certificate, which must have its place.
                !certificate && !self.core.is_paused(),
                self.core.expects_certificate()
                    && certificate
                    && header.length > u32::from(cx.config.max_certificate_list),
            )
        };
        #[cfg(not(feature = "certificates"))]
        let (direct, too_long) = (!self.core.is_paused(), false);
        if too_long && header.message_seq == self.reassembly.next() {
            self.fail(crate::error::Limit::CertificateList.into());
            return Ok(());
        }
        if direct && header.message_seq == self.reassembly.next() && header.is_whole() {
            let message = Message {
                msg_type: header.msg_type,
                message_seq: header.message_seq,
                protected,
                body: fragment,
            };
            let mut parts = self.layout.split(self.buffer.as_mut());
            let step = self.core.on_message(cx, message, &mut parts.scratch);
            self.reassembly.consume(parts.incoming);
            self.after(step);
        } else {
            let parts = self.layout.split(self.buffer.as_mut());
            if let Err(reason) = self
                .reassembly
                .insert(parts.incoming, header, protected, fragment)
            {
                if reason == DropReason::DuplicateMessage {
                    self.answer_repeat(cx, header.message_seq);
                }
                return Err(reason);
            }
        }
        self.process_ready(cx);
        Ok(())
    }

    fn process_ready(&mut self, cx: &mut Context<'_, P>) {
        while !matches!(self.core.state, State::Failed(_) | State::Established)
            && !self.core.is_paused()
            && let Some(ready) = self.reassembly.ready()
        {
            let mut parts = self.layout.split(self.buffer.as_mut());
            let message = Message {
                msg_type: ready.msg_type,
                message_seq: self.reassembly.next(),
                protected: ready.protected,
                body: parts.incoming.get(ready.body).unwrap_or_default(),
            };
            let step = self.core.on_message(cx, message, &mut parts.scratch);
            #[cfg(feature = "certificates")]
            let held = self.core.holds_message();
            #[cfg(not(feature = "certificates"))]
            let held = false;
            if !held {
                self.reassembly.consume(parts.incoming);
            }
            self.after(step);
        }
    }

    fn after(&mut self, step: Result<(), HandshakeError>) {
        if let Err(error) = step {
            self.fail(error);
        }
    }

    /// The peer repeats the last message it sent: our answer was lost (RFC 6347 §4.2.4).
    pub(crate) fn answer_repeat(&mut self, cx: &Context<'_, P>, message_seq: u16) {
        let last = self.reassembly.next().wrapping_sub(1);
        // Once a server has the client's key exchange, a repeat says nothing of its own flight, and two sides that
        // answered each other's repeats would never stop.
        let answerable = match &self.core.state {
            State::Client(_) => !self.core.is_paused(),
            #[cfg(feature = "endpoint")]
            State::Server(state) => state.is_unanswered(),
            State::Established | State::Failed(_) => false,
        };
        if message_seq == last
            && answerable
            && !self.core.outgoing.is_pending()
            && self.core.timer.may_answer_repeat(cx.now, cx.config)
        {
            self.core.outgoing.rewind();
        }
    }

    /// Lets the caller's answer act, and then what has waited for it.
    pub(crate) fn answer(
        &mut self,
        cx: &mut Context<'_, P>,
        step: impl FnOnce(&mut Core<P>, &mut Context<'_, P>, &mut Scratch<'_>) -> Result<(), StepError>,
    ) -> Result<(), ApiError> {
        let mut parts = self.layout.split(self.buffer.as_mut());
        match step(&mut self.core, cx, &mut parts.scratch) {
            Ok(()) => {
                self.process_ready(cx);
                // Now, because the keys may be those that a message made which has waited.
                #[cfg(feature = "resumption")]
                self.open_early(cx);
                Ok(())
            }
            Err(StepError::Api(error)) => Err(error),
            Err(StepError::Handshake(error)) => {
                self.fail(error);
                Ok(())
            }
        }
    }

    /// Our flight's memory and the transcript, for what the caller is asked about.
    #[cfg(feature = "certificates")]
    pub(crate) fn memory(&self) -> (&Core<P>, &[u8], &[u8]) {
        let buffer = self.buffer.as_ref();
        let end = buffer.len().saturating_sub(usize::from(self.layout.early));
        let start = end.saturating_sub(usize::from(self.layout.transcript));
        (
            &self.core,
            self.layout.outgoing(buffer),
            buffer.get(start..end).unwrap_or_default(),
        )
    }

    /// What the peer showed, while the caller is asked about it.
    #[cfg(feature = "certificates")]
    pub(crate) fn peer_certificate(&self) -> Option<crate::certificate::PeerCertificate<'_>> {
        if !self.core.holds_message() {
            return None;
        }
        let body = self.reassembly.held()?;
        let at = usize::from(self.layout.outgoing);
        let body = self.buffer.as_ref().get(at..)?.get(body)?;
        self.core.shown(body)
    }

    /// The caller takes what the peer showed.
    #[cfg(feature = "certificates")]
    pub(crate) fn accept_peer(
        &mut self,
        cx: &mut Context<'_, P>,
        name: &[u8],
    ) -> Result<(), ApiError> {
        if !self.core.holds_message() {
            return Err(ApiError::NotRequested);
        }
        let body = self.reassembly.held().ok_or(ApiError::NotRequested)?;
        let parts = self.layout.split(self.buffer.as_mut());
        let certificate = parts
            .incoming
            .get(body)
            .and_then(|body| self.core.shown(body))
            .ok_or(ApiError::NotRequested)?;
        let step = self.core.accept_peer(cx, certificate, name);
        self.reassembly.consume(parts.incoming);
        self.answer(cx, |_, _, _| step)
    }

    /// The session that can be resumed, once the handshake is over.
    #[cfg(feature = "resumption")]
    pub(crate) fn write_session(
        &self,
        config: &Config,
        role: Role,
        out: &mut [u8],
    ) -> Option<usize> {
        let outgoing = self.layout.outgoing(self.buffer.as_ref());
        self.core.write_session(config, role, outgoing, out)
    }

    /// What the peer proved itself with, as far as it has.
    #[cfg(feature = "resumption")]
    pub(crate) fn peer_identity(&self) -> crate::session::PeerIdentity<'_> {
        self.core.peer.identity()
    }

    /// Changes the first time-out of this handshake's flights.
    #[cfg(feature = "endpoint")]
    pub(crate) fn set_initial_timeout(&mut self, initial: crate::time::Duration, config: &Config) {
        self.core.timer.set_initial(initial, config);
    }

    /// What the path is known to take, in bytes of UDP payload.
    #[cfg(feature = "endpoint")]
    pub(crate) fn set_mtu(&mut self, mtu: u16) {
        self.core.timer.set_mtu(mtu);
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
