//! The short life of a connection: records, fragments and timers around the states of [`crate::v12`].
//!
//! The scratch memory is lent and split in three: our flight, messages on their way in, and on a server one early
//! record.

use crate::association::{Association, change_cipher_spec};
use crate::bytes::OwnCid;
use crate::config::Config;
use crate::crypto::Provider;
use crate::drop_reason::DropReason;
use crate::error::{ApiError, HandshakeError, Timeout, WaitingFor};
#[cfg(feature = "endpoint")]
use crate::flight::MAX_EARLY_RECORD_LEN;
use crate::flight::{Expired, Piece, Protection, Reassembly};
use crate::record::{KeyPair, Layout};
use crate::time::Instant;
#[cfg(feature = "endpoint")]
use crate::v12::server::Answer;
use crate::v12::{Context, Core, Message, PskError, State};
#[cfg(feature = "endpoint")]
use crate::wire::ClientHello;
use crate::wire::{
    Alert, AlertLevel, ContentType, DTLS_1_0, DTLS_1_2, HANDSHAKE_HEADER_LEN, HandshakeHeader,
    HandshakeType, RANDOM_LEN, RECORD_HEADER_LEN, Reader, RecordHeader, Writer,
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

/// Below this many bytes of a body, a fragment waits for the next datagram rather than fill this one up.
const MIN_FRAGMENT_LEN: usize = 32;

/// A handshake under way.
pub(crate) struct Handshake<P: Provider, B> {
    core: Core<P>,
    reassembly: Reassembly,
    buffer: B,
    /// How much of the buffer is for an early record.
    early_room: u16,
    #[cfg(feature = "endpoint")]
    early_len: u16,
    /// The early record's header, to open it when there are keys.
    #[cfg(feature = "endpoint")]
    early_header: Option<RecordHeader>,
    alert: Option<Alert>,
}

/// The three parts of the scratch memory.
struct Parts<'a> {
    outgoing: &'a mut [u8],
    incoming: &'a mut [u8],
    #[cfg(feature = "endpoint")]
    early: &'a mut [u8],
}

fn split(buffer: &mut [u8], early_room: u16) -> Parts<'_> {
    let early_at = buffer.len().saturating_sub(usize::from(early_room));
    let parts = buffer.split_at_mut(early_at);
    let (outgoing, incoming) = parts.0.split_at_mut(parts.0.len() / 2);
    Parts {
        outgoing,
        incoming,
        #[cfg(feature = "endpoint")]
        early: parts.1,
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
    ) -> Result<Self, ApiError> {
        let mut client_random = [0; RANDOM_LEN];
        provider.random(&mut client_random)?;
        let mut this = Self::client(config, now, buffer, own_cid, client_random);
        this.say_hello(provider, config, server_name)?;
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
        Self::new(core, Reassembly::new(0), buffer, 0)
    }

    /// Puts `ClientHello` into the flight.
    pub(crate) fn say_hello(
        &mut self,
        provider: &P,
        config: &Config,
        server_name: &[u8],
    ) -> Result<(), ApiError> {
        let buffer = self.buffer.as_mut();
        let needed = MIN_CLIENT_SCRATCH_LEN;
        if buffer.len() > MAX_SCRATCH_LEN {
            return Err(ApiError::BadLength);
        }
        if buffer.len() < needed {
            return Err(ApiError::ScratchTooSmall { needed });
        }
        let outgoing = split(buffer, 0).outgoing;
        self.core
            .send_client_hello(provider, config, outgoing, server_name)
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
        hello: &ClientHello<'_>,
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
        let mut this = Self::new(core, reassembly, buffer, MAX_EARLY_RECORD_LEN as u16);
        let parts = split(this.buffer.as_mut(), this.early_room);
        if let Err(error) = this
            .core
            .on_client_hello(cx, message, hello, parts.outgoing)
        {
            this.fail(error);
        }
        this
    }

    fn new(core: Core<P>, reassembly: Reassembly, buffer: B, early_room: u16) -> Self {
        Self {
            core,
            reassembly,
            buffer,
            early_room,
            #[cfg(feature = "endpoint")]
            early_len: 0,
            #[cfg(feature = "endpoint")]
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
            State::Client(state) => state.hint(self.buffer.as_ref()),
            #[cfg(feature = "endpoint")]
            _ => self.core.psk_identity.as_slice(),
            #[cfg(not(feature = "endpoint"))]
            _ => &[],
        }
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
                let alert = Alert::parse(content).map_err(|_| DropReason::Malformed)?;
                self.handle_alert(alert)
            }
            // It moves nothing: the epoch of a record says which keys it is under.
            ContentType::CHANGE_CIPHER_SPEC if content == [1] => Ok(()),
            ContentType::CHANGE_CIPHER_SPEC => Err(DropReason::Malformed),
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
            #[cfg(feature = "endpoint")]
            return self.keep_early(header, record);
            #[cfg(not(feature = "endpoint"))]
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
                let alert = Alert::parse(content).map_err(|_| DropReason::Malformed)?;
                self.handle_alert(alert)
            }
            ContentType::APPLICATION_DATA => Err(DropReason::EarlyApplicationData),
            _ => Err(DropReason::UnknownContentType),
        }
    }

    /// Keeps a protected record that came before its keys, when it can be the peer's `Finished`.
    #[cfg(feature = "endpoint")]
    fn keep_early(&mut self, header: &RecordHeader, record: &[u8]) -> Result<(), DropReason> {
        // Of the agreed form; and the newest counts, so that a forged one is not in the way of a genuine one.
        let expected = if self.core.receives_with_cid() {
            header.content_type == ContentType::TLS12_CID
        } else {
            header.content_type == ContentType::HANDSHAKE
        };
        let early = split(self.buffer.as_mut(), self.early_room).early;
        if !expected || header.epoch != 1 || record.len() > early.len() {
            return Err(DropReason::EarlyRecord);
        }
        early[..record.len()].copy_from_slice(record);
        self.early_len = record.len() as u16;
        self.early_header = Some(*header);
        Ok(())
    }

    #[cfg(feature = "endpoint")]
    fn open_early(&mut self, cx: &mut Context<'_, P>) {
        let Some(header) = self.early_header.take() else {
            return;
        };
        let mut record = [0; MAX_EARLY_RECORD_LEN];
        let len = usize::from(self.early_len);
        let Some(record) = record.get_mut(..len) else {
            return;
        };
        record.copy_from_slice(&split(self.buffer.as_mut(), self.early_room).early[..len]);
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
        let mut result = Err(DropReason::Malformed);
        while !reader.is_empty()
            && !matches!(self.core.state, State::Failed(_) | State::Established)
        {
            let Ok((header, fragment)) = HandshakeHeader::parse(&mut reader) else {
                return result.map_err(|_| DropReason::Malformed);
            };
            let step = self.handle_fragment(cx, protected, &header, fragment);
            if result.is_err() {
                result = step;
            }
        }
        result
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
        if header.message_seq == self.reassembly.next() && header.is_whole() {
            let message = Message {
                msg_type: header.msg_type,
                message_seq: header.message_seq,
                protected,
                body: fragment,
            };
            let parts = split(self.buffer.as_mut(), self.early_room);
            let step = self.core.on_message(cx, message, parts.outgoing);
            self.reassembly.consume(parts.incoming);
            self.after(step);
        } else {
            let parts = split(self.buffer.as_mut(), self.early_room);
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
            && let Some(ready) = self.reassembly.ready()
        {
            let parts = split(self.buffer.as_mut(), self.early_room);
            let message = Message {
                msg_type: ready.msg_type,
                message_seq: self.reassembly.next(),
                protected: ready.protected,
                body: parts.incoming.get(ready.body).unwrap_or_default(),
            };
            let step = self.core.on_message(cx, message, parts.outgoing);
            self.reassembly.consume(parts.incoming);
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
            State::Client(_) => self.core.waiting_for() != WaitingFor::Psk,
            #[cfg(feature = "endpoint")]
            State::Server(_) => self.core.waiting_for() == WaitingFor::ClientKeyExchange,
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

    /// The client's key.
    pub(crate) fn provide_client_psk(
        &mut self,
        cx: &mut Context<'_, P>,
        identity: &[u8],
        psk: &[u8],
    ) -> Result<(), ApiError> {
        let parts = split(self.buffer.as_mut(), self.early_room);
        let step = self
            .core
            .provide_client_psk(cx, parts.outgoing, identity, psk);
        self.after_psk(cx, step)
    }

    /// The server's key, or that there is none.
    #[cfg(feature = "endpoint")]
    pub(crate) fn provide_server_psk(
        &mut self,
        cx: &mut Context<'_, P>,
        answer: Answer<'_>,
    ) -> Result<(), ApiError> {
        let step = self.core.provide_server_psk(cx, answer);
        self.after_psk(cx, step)
    }

    fn after_psk(
        &mut self,
        cx: &mut Context<'_, P>,
        step: Result<(), PskError>,
    ) -> Result<(), ApiError> {
        match step {
            Ok(()) => {
                #[cfg(feature = "endpoint")]
                self.open_early(cx);
                self.process_ready(cx);
                Ok(())
            }
            Err(PskError::Api(error)) => Err(error),
            Err(PskError::Handshake(error)) => {
                self.fail(error);
                Ok(())
            }
        }
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
        let mtu = self.core.timer.mtu(config).min(buf.len());
        let room = buf.get_mut(..mtu)?;
        let mut len = 0;
        while self.core.outgoing.is_pending() {
            match self.emit_piece(config, &mut room[len..], len == 0) {
                Some(written) => len += written,
                None => break,
            }
        }
        if len > 0 && !self.core.outgoing.is_pending() {
            // Only what went out starts the timer: a caller may ask as often as it likes.
            self.core.timer.sent(now);
        } else if len == 0 && self.core.outgoing.is_pending() {
            // Nothing fits this buffer: do not offer it for ever.
            self.core.outgoing.clear();
        }
        (len > 0).then_some(len)
    }

    /// Writes one record of the flight, if it fits; a fragment when the datagram would otherwise stay empty or has
    /// decent room.
    fn emit_piece(&mut self, config: &Config, room: &mut [u8], first: bool) -> Option<usize> {
        let outgoing = split(self.buffer.as_mut(), self.early_room).outgoing;
        let (header, protection, rest, length) = match self.core.outgoing.peek(outgoing)? {
            Piece::ChangeCipherSpec => {
                let written = change_cipher_spec(self.core.epoch_0_next, room)?;
                self.core.epoch_0_next += 1;
                self.core.outgoing.advance(outgoing, 0);
                return Some(written);
            }
            Piece::Fragment {
                protection,
                msg_type,
                message_seq,
                length,
                offset,
                rest,
            } => {
                let header = HandshakeHeader {
                    msg_type,
                    length: u32::from(length),
                    message_seq,
                    fragment_offset: u32::from(offset),
                    fragment_length: 0,
                };
                (header, protection, rest, rest.len())
            }
        };
        let (before, after) = match (protection, &self.core.association) {
            (Protection::ClearText, _) => (RECORD_HEADER_LEN, 0),
            (Protection::Protected, Some(association)) => {
                let layout = Layout::new(association.parameters().aead, association.peer_cid.len());
                (layout.before(), layout.after())
            }
            (Protection::Protected, None) => return None,
        };
        let available = room
            .len()
            .checked_sub(before + HANDSHAKE_HEADER_LEN + after)?;
        let take = length.min(available);
        if take < length && !first && take < MIN_FRAGMENT_LEN || take == 0 && length > 0 {
            return None;
        }
        let header = HandshakeHeader {
            fragment_length: take as u32,
            ..header
        };
        let content = before..before + HANDSHAKE_HEADER_LEN + take;
        let target = room.get_mut(content.clone())?;
        target[..HANDSHAKE_HEADER_LEN].copy_from_slice(&header.to_bytes());
        target[HANDSHAKE_HEADER_LEN..].copy_from_slice(rest.get(..take)?);
        let written = match (protection, &mut self.core.association, &self.core.keys) {
            (Protection::Protected, Some(association), Some(keys)) => {
                association
                    .seal::<P>(keys, config, ContentType::HANDSHAKE, room, content)
                    .ok()?
                    .end
            }
            (Protection::Protected, _, _) => return None,
            (Protection::ClearText, _, _) => {
                let header = RecordHeader {
                    content_type: ContentType::HANDSHAKE,
                    version: DTLS_1_2,
                    epoch: 0,
                    sequence: self.core.epoch_0_next,
                    cid_len: 0,
                    length: content.len() as u16,
                };
                header.emit(&[], &mut Writer::new(room)).ok()?;
                self.core.epoch_0_next += 1;
                content.end
            }
        };
        self.core.outgoing.advance(outgoing, take);
        Some(written)
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
