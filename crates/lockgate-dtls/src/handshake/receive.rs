//! Records into messages, and messages into the states of the handshake.

use super::Handshake;
use crate::association::Refused;
use crate::crypto::Provider;
use crate::drop_reason::DropReason;
use crate::error::{HandshakeError, PeerMisbehaved};
#[cfg(feature = "resumption")]
use crate::flight::MAX_EARLY_RECORD_LEN;
use crate::v12::{Context, Message, State};
use crate::wire::{
    Alert, AlertLevel, ContentType, DTLS_1_0, DTLS_1_2, HandshakeHeader, HandshakeType, Reader,
    RecordHeader,
};

impl<P: Provider, B: AsMut<[u8]> + AsRef<[u8]>> Handshake<P, B> {
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
            Err(Refused::Drop(reason)) => {
                if reason == DropReason::Unauthenticated {
                    self.core.undecryptable = self.core.undecryptable.saturating_add(1);
                }
                return Err(reason);
            }
            Err(Refused::LimitReached(limit)) => {
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
    pub(super) fn open_early(&mut self, cx: &mut Context<'_, P>) {
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
            && (self.reassembly.holds_protected() || protected && self.is_ahead(reader))
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

    pub(super) fn process_ready(&mut self, cx: &mut Context<'_, P>) {
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
        // The keys may be there only now.
        #[cfg(feature = "resumption")]
        if self.core.keys.is_some()
            && !self.core.is_paused()
            && !matches!(self.core.state, State::Failed(_) | State::Established)
        {
            self.open_early(cx);
        }
    }

    pub(super) fn after(&mut self, step: Result<(), HandshakeError>) {
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
}
