//! What an endpoint does with a datagram: one record after the other, each to the connection it belongs to.

use alloc::boxed::Box;
use alloc::vec;
use core::ops::Range;

use super::cookie::HELLO_VERIFY_REQUEST_LEN;
use super::hello_pool::WholeHello;
use super::slots::Life;
use super::{ConnectionHandle, Endpoint};
use crate::address::Address;
use crate::association::{Opened, Refused};
use crate::config::{AddressPolicy, MAX_COOKIE_ROUNDS};
use crate::crypto::Provider;
use crate::datagram::Datagram;
use crate::drop_reason::DropReason;
use crate::error::{CloseReason, HandshakeError, PeerMisbehaved};
use crate::event::{Event, EventFlags};
use crate::flight::MAX_EARLY_RECORD_LEN;
use crate::handshake::{Handshake, first_message_type};
use crate::record::SEQUENCE_END;
use crate::time::Instant;
use crate::v12::{Context, Message, State};
use crate::wire::{ClientHello, ContentType, HandshakeHeader, HandshakeType, Reader, RecordHeader};

/// What one record of a datagram led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Application data; it stands at `payload` in the datagram's bytes.
    Application {
        /// From whom.
        connection: ConnectionHandle,
        /// Where.
        payload: Range<usize>,
    },
    /// A connection went on: poll events and transmits.
    Progress(ConnectionHandle),
    /// An answer that nothing is remembered of: send these bytes of the datagram back to where it came from.
    Reply(Range<usize>),
    /// Part of a `ClientHello` whose rest is awaited for a while.
    Kept,
    /// It led nowhere.
    Dropped {
        /// Why.
        reason: DropReason,
        /// Whose it was, where that is known.
        connection: Option<ConnectionHandle>,
    },
}

impl Received {
    const fn dropped(reason: DropReason) -> Self {
        Self::Dropped {
            reason,
            connection: None,
        }
    }
}

impl<P: Provider, A: Address> Endpoint<P, A> {
    /// Takes the next record of a datagram in; `None` when it has no more. Poll events and transmits afterwards.
    ///
    /// Nothing that is in a datagram is an error of the endpoint's.
    pub fn handle(
        &mut self,
        now: Instant,
        path: A,
        datagram: &mut Datagram<'_>,
    ) -> Option<Received> {
        let (header, start, record) = match datagram.next_record(self.cids.len())? {
            Ok(record) => record,
            Err(reason) => return Some(Received::dropped(reason)),
        };
        let received = self.handle_record(now, path, &header, record);
        Some(match received {
            Received::Application {
                connection,
                payload,
            } => Received::Application {
                connection,
                payload: payload.start + start..payload.end + start,
            },
            Received::Reply(range) => Received::Reply(range.start + start..range.end + start),
            other => other,
        })
    }

    fn handle_record(
        &mut self,
        now: Instant,
        path: A,
        header: &RecordHeader,
        record: &mut [u8],
    ) -> Received {
        if header.content_type == ContentType::TLS12_CID {
            let cid = record.get(
                RecordHeader::CID_OFFSET..RecordHeader::CID_OFFSET + usize::from(header.cid_len),
            );
            return match cid.and_then(|cid| self.find_cid(cid)) {
                Some(slot) => self.handle_in_slot(now, path, slot, header, record),
                None => Received::dropped(DropReason::UnknownConnectionId),
            };
        }
        if header.epoch > 0 {
            return self.handle_protected(now, path, header, record);
        }
        if first_message_type(header, record) == Some(HandshakeType::CLIENT_HELLO) {
            return self.handle_client_hello(now, path, header, record);
        }
        match self.find_handshake(self.hasher.hash_address(&path), &path) {
            Some(slot) => self.handle_in_slot(now, path, slot, header, record),
            // Where every address counts as proved, one that begins with something else is told so.
            None if header.content_type == ContentType::HANDSHAKE
                && !self.config.cookies
                && self.config.server
                && self
                    .find_session(self.hasher.hash_address(&path), &path)
                    .is_none() =>
            {
                self.refuse_beginning(now, path, header, record)
            }
            // Beside an established session clear text means nothing.
            None => Received::dropped(match header.content_type {
                ContentType::ALERT if record.len() != header.header_len() + 2 => {
                    DropReason::MalformedAlert
                }
                ContentType::CHANGE_CIPHER_SPEC => DropReason::ChangeCipherSpec,
                ContentType::ALERT => DropReason::IgnoredAlert,
                ContentType::HANDSHAKE => DropReason::UnknownAddress,
                ContentType::APPLICATION_DATA => DropReason::ClearTextApplicationData,
                _ => DropReason::UnknownContentType,
            }),
        }
    }

    /// A handshake that begins with another message than `ClientHello`.
    fn refuse_beginning(
        &mut self,
        now: Instant,
        path: A,
        header: &RecordHeader,
        record: &[u8],
    ) -> Received {
        let content = record.get(header.header_len()..).unwrap_or_default();
        let Ok((message, body)) = HandshakeHeader::parse(&mut Reader::new(content)) else {
            return Received::dropped(DropReason::MalformedHandshakeRecord);
        };
        // What counts on is left over from a handshake that is done.
        if message.message_seq != 0 || header.sequence >= SEQUENCE_END / 2 {
            return Received::dropped(DropReason::UnknownAddress);
        }
        let whole = Message {
            msg_type: message.msg_type,
            message_seq: 0,
            protected: false,
            body,
        };
        let error = PeerMisbehaved::Unexpected(message.msg_type).into();
        match self.accept(now, path, None, header.sequence, whole, Err(error)) {
            Ok(connection) => Received::Progress(connection),
            Err(reason) => Received::dropped(reason),
        }
    }

    /// The slot whose connection gave out this ID.
    fn find_cid(&mut self, cid: &[u8]) -> Option<u32> {
        if let Some(slot) = self.recent.get(cid)
            && let Some(Life::Established(association)) = self.slots.get(slot).map(|s| &s.life)
            && association.own_cid() == cid
        {
            return Some(slot);
        }
        let slot = self.decode_cid(cid)?;
        self.recent.put(cid, slot);
        Some(slot)
    }

    fn decode_cid(&self, cid: &[u8]) -> Option<u32> {
        let route = self.route(cid)?;
        let placement = self.cids.placement();
        if route.node != placement.node || route.worker != placement.worker {
            return None;
        }
        let slot = self.slots.get(route.slot)?;
        if slot.generation % super::cid::GENERATIONS != route.generation {
            return None;
        }
        match &slot.life {
            Life::Vacant => None,
            // The tag decides; the rest of a long ID is compared where the association is.
            Life::Handshaking(_) => Some(route.slot),
            Life::Established(association) => (association.own_cid() == cid).then_some(route.slot),
        }
    }

    /// A protected record without a connection ID: the address says whose it is.
    fn handle_protected(
        &mut self,
        now: Instant,
        path: A,
        header: &RecordHeader,
        record: &mut [u8],
    ) -> Received {
        let hash = self.hasher.hash_address(&path);
        let session = self.find_session(hash, &path);
        let handshake = self.find_handshake(hash, &path);
        let for_handshake = header.content_type != ContentType::APPLICATION_DATA;
        match (session, handshake) {
            (None, None) => Received::dropped(DropReason::UnknownAddress),
            (Some(slot), None) | (None, Some(slot)) => {
                self.handle_in_slot(now, path, slot, header, record)
            }
            (Some(session), Some(handshake)) => {
                // A new handshake beside the old session: both count in epoch 1, and only the tag can tell.
                if for_handshake && record.len() <= MAX_EARLY_RECORD_LEN {
                    let mut copy = [0; MAX_EARLY_RECORD_LEN];
                    let copy = &mut copy[..record.len()];
                    copy.copy_from_slice(record);
                    let received = self.handle_in_slot(now, path, handshake, header, copy);
                    if matches!(received, Received::Progress(_)) && !self.is_handshaking(handshake)
                    {
                        return received;
                    }
                }
                self.handle_in_slot(now, path, session, header, record)
            }
        }
    }

    fn is_handshaking(&self, slot: u32) -> bool {
        matches!(
            self.slots.get(slot).map(|s| &s.life),
            Some(Life::Handshaking(_))
        )
    }

    fn handle_in_slot(
        &mut self,
        now: Instant,
        path: A,
        index: u32,
        header: &RecordHeader,
        record: &mut [u8],
    ) -> Received {
        let Some(slot) = self.slots.get_mut(index) else {
            return Received::dropped(DropReason::Internal);
        };
        let connection = ConnectionHandle {
            slot: index,
            generation: slot.generation,
        };
        let dropped = |reason| Received::Dropped {
            reason,
            connection: Some(connection),
        };
        match &mut slot.life {
            Life::Vacant => Received::dropped(DropReason::Internal),
            Life::Handshaking(handshake) => {
                let Some(Some(entry)) = self.handshakes.get_mut(*handshake as usize) else {
                    return Received::dropped(DropReason::Internal);
                };
                let mut flags = EventFlags::default();
                let mut cx = Context {
                    provider: &mut self.provider,
                    config: &self.config.config,
                    now,
                    events: &mut flags,
                    tickets: Some(&mut self.tickets),
                };
                let result = entry.handshake.handle_record(&mut cx, header, record);
                self.after_handshake_step(index, flags);
                match result {
                    Ok(()) => Received::Progress(connection),
                    Err(reason) => dropped(reason),
                }
            }
            Life::Established(association) => {
                // What needs no key is checked before any is fetched: old records must not drive keys out of the cache.
                if let Err(reason) = association.precheck(&self.config.config, header) {
                    return dropped(reason);
                }
                let provider = &self.provider;
                let Ok(keys) = self
                    .keys
                    .get(index, &mut slot.cached, || association.expand(provider))
                else {
                    return dropped(DropReason::Internal);
                };
                let config = &self.config.config;
                let opened = association.handle_record::<P>(keys, config, now, header, record);
                let (opened, newest) = match opened {
                    Ok(opened) => opened,
                    Err(Refused::Drop(reason)) => return dropped(reason),
                    Err(Refused::LimitReached(limit)) => {
                        association.close();
                        self.tell_closed(index, CloseReason::Limit(limit));
                        self.queue(index);
                        return dropped(DropReason::Unauthenticated);
                    }
                };
                let moves = newest
                    && config.address_policy == AddressPolicy::NewestRecord
                    && !association.own_cid.is_empty()
                    && slot.path != Some(path);
                if moves {
                    slot.path = Some(path);
                    self.events.push_back((connection, Event::PathChanged));
                }
                self.act_on(index, connection, opened)
            }
        }
    }

    fn act_on(&mut self, slot: u32, connection: ConnectionHandle, opened: Opened) -> Received {
        match opened {
            Opened::Application(range) => {
                return Received::Application {
                    connection,
                    payload: range.start..range.end,
                };
            }
            Opened::LastFlightAgain | Opened::RenegotiationRefused => self.queue(slot),
            Opened::CloseNotify => {
                self.tell_closed(slot, CloseReason::PeerClosed);
                self.queue(slot);
            }
            Opened::Misbehaved(what) => {
                self.tell_closed(slot, CloseReason::PeerMisbehaved(what));
                self.queue(slot);
            }
            Opened::FatalAlert(description) => {
                self.tell_closed(slot, CloseReason::PeerAlert(description));
                self.remove(slot);
            }
            Opened::Ignored(reason) => {
                return Received::Dropped {
                    reason,
                    connection: Some(connection),
                };
            }
        }
        Received::Progress(connection)
    }

    fn handle_client_hello(
        &mut self,
        now: Instant,
        path: A,
        header: &RecordHeader,
        record: &mut [u8],
    ) -> Received {
        if !self.config.server {
            return Received::dropped(DropReason::NotAServer);
        }
        // What the record says of versions means nothing here (RFC 5246 appendix E.1).
        // Our own records count on from the client's number, and must never reach the end.
        if header.sequence >= SEQUENCE_END / 2 {
            return Received::dropped(DropReason::Malformed);
        }
        let content = record.get(header.header_len()..).unwrap_or_default();
        let Ok((message, body)) = HandshakeHeader::parse(&mut Reader::new(content)) else {
            return Received::dropped(DropReason::MalformedHandshakeRecord);
        };
        // A hello is the first message of its client, or follows a few cookies.
        if message.message_seq > u16::from(MAX_COOKIE_ROUNDS) {
            return Received::dropped(DropReason::MessageTooFarAhead);
        }
        let answer = if message.is_whole() {
            self.answer_hello(now, path, header.sequence, message.message_seq, body)
        } else {
            match self.collect_hello(now, path, content) {
                Ok(Some(whole)) => {
                    let seq = whole.message_seq;
                    self.answer_hello(now, path, header.sequence, seq, whole.body())
                }
                Ok(None) => return Received::Kept,
                Err(reason) => return Received::dropped(reason),
            }
        };
        match answer {
            HelloAnswer::Received(received) => received,
            // Never answer with more than was received: an address that has proved nothing gets no amplifier.
            HelloAnswer::Cookie(reply) => match record.get_mut(..reply.len()) {
                Some(room) => {
                    room.copy_from_slice(&reply);
                    Received::Reply(0..HELLO_VERIFY_REQUEST_LEN)
                }
                None => Received::dropped(DropReason::TooShortToAnswer),
            },
        }
    }

    /// Takes in the fragments that one record carries; gives the message once it is whole.
    fn collect_hello(
        &mut self,
        now: Instant,
        path: A,
        content: &[u8],
    ) -> Result<Option<WholeHello>, DropReason> {
        let mut reader = Reader::new(content);
        let mut message_seq = None;
        let mut result = Err(DropReason::MalformedHandshakeRecord);
        while !reader.is_empty() {
            let Ok((message, fragment)) = HandshakeHeader::parse(&mut reader) else {
                return Err(DropReason::MalformedHandshakeRecord);
            };
            // One record, one hello: a place is not begun anew for each few bytes.
            if message.msg_type != HandshakeType::CLIENT_HELLO
                || *message_seq.get_or_insert(message.message_seq) != message.message_seq
            {
                return Err(DropReason::UnexpectedHandshake);
            }
            match self.hellos.insert(now, path, &message, fragment) {
                Ok(Some(whole)) => return Ok(Some(whole)),
                Ok(None) => result = Ok(None),
                Err(reason) if result.is_err() => result = Err(reason),
                Err(_) => {}
            }
        }
        result
    }

    /// What follows from a whole `ClientHello`.
    fn answer_hello(
        &mut self,
        now: Instant,
        path: A,
        record_sequence: u64,
        message_seq: u16,
        body: &[u8],
    ) -> HelloAnswer {
        let whole = Message {
            msg_type: HandshakeType::CLIENT_HELLO,
            message_seq,
            protected: false,
            body,
        };
        let dropped = |reason| HelloAnswer::Received(Received::dropped(reason));
        let under_way = self.find_handshake(self.hasher.hash_address(&path), &path);
        if under_way.is_some_and(|slot| self.is_our_own(slot)) {
            return dropped(DropReason::OwnHandshake);
        }
        let hello = match ClientHello::parse(body) {
            Ok(hello) => Ok(hello),
            // Only an address that is proved, or counts as such, is told what is wrong.
            Err(_) if self.config.cookies => return dropped(DropReason::MalformedClientHello),
            Err(Some(extension)) => Err(PeerMisbehaved::MalformedExtension(extension.0)),
            Err(None) => Err(PeerMisbehaved::Malformed(HandshakeType::CLIENT_HELLO)),
        };
        if let (Some(slot), Ok(hello)) = (under_way, &hello)
            && let Some(received) = self.handle_repeated_hello(now, slot, hello, message_seq)
        {
            return HelloAnswer::Received(received);
        }
        if let Ok(hello) = &hello
            && self.config.cookies
        {
            self.cookies.rotate(&mut self.provider, now);
            if !self.cookies.holds(&path, hello, body) {
                let cookies = &self.cookies;
                return HelloAnswer::Cookie(cookies.emit(
                    &path,
                    hello,
                    body,
                    record_sequence,
                    message_seq,
                ));
            }
        }
        let hello = hello.as_ref().map_err(|&error| error.into());
        match self.accept(now, path, under_way, record_sequence, whole, hello) {
            Ok(connection) => HelloAnswer::Received(Received::Progress(connection)),
            Err(reason) => dropped(reason),
        }
    }

    /// Whether we are the client of the handshake in this slot.
    fn is_our_own(&self, slot: u32) -> bool {
        self.handshake(self.handle_of(slot))
            .is_some_and(|entry| matches!(entry.handshake.state(), State::Client(_)))
    }

    /// A `ClientHello` that the handshake under way has answered, or the one before its cookie.
    fn handle_repeated_hello(
        &mut self,
        now: Instant,
        slot: u32,
        hello: &ClientHello<'_>,
        message_seq: u16,
    ) -> Option<Received> {
        let connection = self.handle_of(slot);
        let index = self.handshake_index(connection)?;
        let entry = self.handshakes.get_mut(index as usize)?.as_mut()?;
        if !entry.handshake.answers(hello, message_seq) {
            return None;
        }
        let mut flags = EventFlags::default();
        let cx = Context {
            provider: &mut self.provider,
            config: &self.config.config,
            now,
            events: &mut flags,
            tickets: Some(&mut self.tickets),
        };
        entry.handshake.answer_repeat(&cx, message_seq);
        self.after_handshake_step(slot, flags);
        Some(Received::Dropped {
            reason: DropReason::DuplicateMessage,
            connection: Some(connection),
        })
    }

    /// Begins a handshake with a client whose address is proved.
    fn accept(
        &mut self,
        now: Instant,
        path: A,
        under_way: Option<u32>,
        record_sequence: u64,
        message: Message<'_>,
        hello: Result<&ClientHello<'_>, HandshakeError>,
    ) -> Result<ConnectionHandle, DropReason> {
        if let Some(older) = under_way {
            // The client began again; only handshakes give way to handshakes.
            self.tell_closed(
                older,
                CloseReason::HandshakeFailed(HandshakeError::Restarted),
            );
            self.remove(older);
        }
        let group = path.admission_group();
        if self.slots.is_full() {
            return Err(DropReason::TableFull);
        }
        self.admission.admit(group)?;
        let Some(slot) = self.slots.allocate() else {
            self.admission.release(group);
            return Err(DropReason::TableFull);
        };
        let connection = self.handle_of(slot);
        let Ok(own_cid) = self
            .cids
            .encode(&mut self.provider, slot, connection.generation)
        else {
            self.admission.release(group);
            self.slots.put_back(slot);
            return Err(DropReason::Internal);
        };
        let scratch: Box<[u8]> = vec![0; self.scratch_len].into_boxed_slice();
        let mut flags = EventFlags::default();
        let mut cx = Context {
            provider: &mut self.provider,
            config: &self.config.config,
            now,
            events: &mut flags,
            tickets: Some(&mut self.tickets),
        };
        let handshake =
            Handshake::accept(&mut cx, scratch, own_cid, record_sequence, message, hello);
        self.enter_handshake(slot, path, handshake, Some(group));
        self.after_handshake_step(slot, flags);
        Ok(connection)
    }
}

/// What a `ClientHello` led to.
enum HelloAnswer {
    Received(Received),
    /// A `HelloVerifyRequest` to send back.
    Cookie([u8; HELLO_VERIFY_REQUEST_LEN]),
}
