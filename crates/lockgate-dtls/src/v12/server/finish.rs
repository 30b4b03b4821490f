//! The end of a server's handshake: both `Finished`, and the ticket between them.

use alloc::boxed::Box;
use alloc::vec;

use super::{ExpectFinished, State};
use crate::association::LastFlight;
use crate::crypto::{Hash as _, Provider};
use crate::error::{HandshakeError, Limit, PeerMisbehaved};
use crate::flight::Protection;
use crate::session::{MAX_SESSION_LEN, SessionParts};
use crate::v12::keys::Secret;
use crate::v12::{Context, Core, Message, State as CoreState, check_finished};
use crate::wire::{HandshakeHeader, HandshakeType, NewSessionTicket, Writer};

impl<P: Provider> Core<P> {
    /// Computes what both `Finished` have to say, with the ticket between them.
    pub(super) fn expect_finished(
        &mut self,
        cx: &mut Context<'_, P>,
        secret: &Secret,
        identity_unknown: bool,
    ) -> Result<(), HandshakeError> {
        let of_client = self.verify_data(cx.provider, secret, true)?;
        self.hash_finished(self.peer_message_seq, &of_client);
        let ticket = if self.exchange.give_ticket && !identity_unknown {
            let body = self.new_ticket(cx)?;
            let seq = self.next_message_seq;
            self.next_message_seq = seq.wrapping_add(1);
            if let Some(transcript) = &mut self.transcript {
                let header = HandshakeHeader::whole(
                    HandshakeType::NEW_SESSION_TICKET,
                    seq,
                    body.len() as u32,
                );
                transcript.update(&header.to_bytes());
                transcript.update(&body);
            }
            Some((seq, body))
        } else {
            None
        };
        let of_server = Some(self.verify_data(cx.provider, secret, false)?);
        self.transcript = None;
        self.state = CoreState::Server(State::ExpectFinished(ExpectFinished {
            identity_unknown,
            of_client,
            of_server,
            ticket,
        }));
        Ok(())
    }

    /// The body of a `NewSessionTicket`; an empty ticket when none can be made (RFC 5077 §3.3).
    pub(super) fn new_ticket(
        &mut self,
        cx: &mut Context<'_, P>,
    ) -> Result<Box<[u8]>, HandshakeError> {
        let mut plaintext = zeroize::Zeroizing::new([0; MAX_SESSION_LEN]);
        let mut writer = Writer::new(&mut *plaintext);
        let secret = self.secret.as_ref().ok_or(Limit::Scratch)?;
        let parts = SessionParts {
            role: self.role,
            suite: self.suite,
            extended_master_secret: self.extended_master_secret,
            master_secret: secret,
            id: &[],
            server_name: self.server_name.as_slice(),
            peer: self.peer.identity(),
            lifetime_hint: 0,
            ticket: &[],
        };
        parts.emit(&mut writer).map_err(|_| Limit::Scratch)?;
        let (ticket, lifetime_hint) = match &mut cx.tickets {
            Some(jar) => (
                jar.seal(cx.provider, cx.now, writer.written())?,
                jar.lifetime_hint(),
            ),
            None => (vec![].into_boxed_slice(), 0),
        };
        let mut body = vec![0; 6 + ticket.len()];
        let message = NewSessionTicket {
            lifetime_hint,
            ticket: &ticket,
        };
        message
            .emit(&mut Writer::new(&mut body))
            .map_err(|_| Limit::Scratch)?;
        Ok(body.into_boxed_slice())
    }

    /// The client's `Finished`: the association is there.
    pub(super) fn on_finished(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
    ) -> Result<(), HandshakeError> {
        let CoreState::Server(State::ExpectFinished(state)) = &mut self.state else {
            return Err(PeerMisbehaved::Unexpected(message.msg_type).into());
        };
        check_finished(message, &state.of_client)?;
        let ticket = state.ticket.take();
        let of_server = state.of_server;
        self.outgoing.clear();
        if let Some(association) = &mut self.association {
            association.peer_message_seq = Some(message.message_seq);
            if let Some(verify_data) = of_server {
                let mut flight = LastFlight::new(
                    cx.now + cx.config.settle_time,
                    self.epoch_0_next,
                    ticket.as_ref().map_or(0, |(_, body)| body.len()),
                );
                if let Some((seq, body)) = &ticket {
                    flight.message(
                        Protection::ClearText,
                        HandshakeType::NEW_SESSION_TICKET,
                        *seq,
                        body,
                    );
                }
                flight.finish(self.next_message_seq, &verify_data);
                association.last_flight = Some(flight);
            }
        }
        self.settle();
        self.state = CoreState::Established;
        cx.events.connected = true;
        Ok(())
    }
}
