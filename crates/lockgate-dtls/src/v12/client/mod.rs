//! The client: `ClientHello` -> (`HelloVerifyRequest` -> `ClientHello`) -> `ServerHello` (`Certificate`)
//! (`ServerKeyExchange`) (`CertificateRequest`) `ServerHelloDone` -> (`Certificate`) `ClientKeyExchange`
//! (`CertificateVerify`) `ChangeCipherSpec` `Finished` -> (`NewSessionTicket`) `ChangeCipherSpec` `Finished`. What stands
//! in brackets may be missing.
//!
//! A session that goes on is shorter: `ServerHello` (`NewSessionTicket`) `ChangeCipherSpec` `Finished` ->
//! `ChangeCipherSpec` `Finished`.

mod flight;
mod hello;

use core::fmt;

use zeroize::Zeroize;

#[cfg(feature = "resumption")]
use super::keys::Secret;
use super::{Context, Core, Message, Scratch, State as CoreState, check_finished, malformed};
#[cfg(feature = "certificates")]
use crate::certificate::{CertificateError, PeerCertificate};
use crate::config::MAX_COOKIE_ROUNDS;
use crate::crypto::Provider;
use crate::error::{HandshakeError, PeerMisbehaved, WaitingFor};
use crate::event::Request;
use crate::suite::KeyExchangeAlgorithm;
#[cfg(feature = "resumption")]
use crate::wire::NewSessionTicket;
use crate::wire::{
    HandshakeType, HelloVerifyRequest, PskServerKeyExchange, Reader, VERIFY_DATA_LEN,
};
#[cfg(feature = "certificates")]
use crate::{
    session::{KnownPeer, PeerIdentity},
    v12::{
        StepError,
        exchange::{MAX_SIGNED_PARAMS_LEN, SharedSecret, key_hash},
    },
    wire::{CertificateMessage, CertificateRequest, EcdheParams, Signed, Writer},
};

/// The client's states in protocol order.
#[allow(
    clippy::enum_variant_names,
    reason = "a state is named by what it expects; all of a client's do"
)]
#[derive(Debug)]
pub(crate) enum State {
    ExpectServerHello(ExpectServerHello),
    /// The caller is asked whether the session goes on.
    #[cfg(feature = "resumption")]
    ExpectResumption {
        ticket: bool,
    },
    #[cfg(feature = "certificates")]
    ExpectCertificate,
    /// The caller is asked about the server's certificate.
    #[cfg(feature = "certificates")]
    ExpectVerdict,
    ExpectServerKeyExchange,
    ExpectServerHelloDone,
    /// The server's hint, perhaps empty, is put aside.
    ExpectPsk,
    /// The caller is asked for a certificate; the server's request is put aside.
    #[cfg(feature = "certificates")]
    ExpectCredential,
    /// The caller is asked to sign.
    #[cfg(feature = "certificates")]
    ExpectSignature(Secret),
    #[cfg(feature = "resumption")]
    ExpectNewSessionTicket(Secret),
    ExpectFinished(ExpectFinished),
}

/// Our `Finished` is out, or will be in a session that goes on.
pub(crate) struct ExpectFinished {
    /// What the server's has to say: nothing comes between the two, so it is known already, and the master secret
    /// and the transcript need not be kept.
    verify_data: [u8; VERIFY_DATA_LEN],
    /// What ours will say, in a session that goes on.
    #[cfg(feature = "resumption")]
    of_client: Option<[u8; VERIFY_DATA_LEN]>,
}

impl Drop for ExpectFinished {
    fn drop(&mut self) {
        self.verify_data.zeroize();
        #[cfg(feature = "resumption")]
        self.of_client.zeroize();
    }
}

impl fmt::Debug for ExpectFinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpectFinished").finish_non_exhaustive()
    }
}

/// `ClientHello` is out.
#[derive(Debug, Default)]
pub(crate) struct ExpectServerHello {
    cookie_rounds: u8,
}

impl State {
    pub(super) const fn waiting_for(&self) -> WaitingFor {
        match self {
            Self::ExpectServerHello(_) => WaitingFor::Hello,
            Self::ExpectServerKeyExchange | Self::ExpectServerHelloDone => {
                WaitingFor::ServerHelloDone
            }
            Self::ExpectPsk => WaitingFor::Psk,
            Self::ExpectFinished(_) => WaitingFor::Finished,
            #[cfg(feature = "certificates")]
            Self::ExpectCertificate => WaitingFor::ServerHelloDone,
            #[cfg(feature = "certificates")]
            Self::ExpectVerdict | Self::ExpectCredential | Self::ExpectSignature(_) => {
                WaitingFor::Caller
            }
            #[cfg(feature = "resumption")]
            Self::ExpectResumption { .. } => WaitingFor::Caller,
            // Said apart from Finished: a ticket comes in clear text.
            #[cfg(feature = "resumption")]
            Self::ExpectNewSessionTicket(_) => WaitingFor::NewSessionTicket,
        }
    }

    pub(super) const fn is_paused(&self) -> bool {
        matches!(self.waiting_for(), WaitingFor::Psk | WaitingFor::Caller)
    }

    /// Whether no `ServerHello` has settled a version yet.
    pub(crate) const fn is_before_version(&self) -> bool {
        matches!(self, Self::ExpectServerHello(_))
    }
}

impl<P: Provider> Core<P> {
    pub(super) fn on_client_message(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), HandshakeError> {
        use HandshakeType as T;
        let CoreState::Client(state) = &mut self.state else {
            return Err(PeerMisbehaved::Unexpected(message.msg_type).into());
        };
        match (state, message.msg_type) {
            (State::ExpectServerHello(state), T::HELLO_VERIFY_REQUEST) => {
                state.cookie_rounds += 1;
                if state.cookie_rounds > MAX_COOKIE_ROUNDS {
                    return Err(PeerMisbehaved::TooManyCookies.into());
                }
                let request =
                    HelloVerifyRequest::parse(message.body).map_err(|_| malformed(message))?;
                self.timer.new_flight(cx.config);
                self.repeat_client_hello(scratch, request.cookie)
            }
            (State::ExpectServerHello(_), T::SERVER_HELLO) => {
                self.on_server_hello(cx, message, scratch)
            }
            #[cfg(feature = "certificates")]
            (State::ExpectCertificate, T::CERTIFICATE) => {
                self.on_server_certificate(cx, message, scratch)
            }
            (State::ExpectServerKeyExchange, T::SERVER_KEY_EXCHANGE) => {
                self.on_server_key_exchange(cx, message, scratch)
            }
            #[cfg(feature = "certificates")]
            (State::ExpectServerHelloDone, T::CERTIFICATE_REQUEST) => {
                self.on_certificate_request(cx, message, scratch)
            }
            (State::ExpectServerKeyExchange, T::SERVER_HELLO_DONE) => {
                // Only plain PSK does without a key exchange of the server's.
                if self.parameters()?.key_exchange != KeyExchangeAlgorithm::Psk {
                    return Err(PeerMisbehaved::Unexpected(message.msg_type).into());
                }
                self.on_server_hello_done(cx, message, scratch)
            }
            (State::ExpectServerHelloDone, T::SERVER_HELLO_DONE) => {
                self.on_server_hello_done(cx, message, scratch)
            }
            #[cfg(feature = "resumption")]
            (State::ExpectNewSessionTicket(secret), T::NEW_SESSION_TICKET) => {
                let secret = core::mem::replace(secret, zeroize::Zeroizing::new([0; 48]));
                self.on_new_session_ticket(cx, message, scratch, &secret)
            }
            (State::ExpectFinished(state), T::FINISHED) => {
                check_finished(message, &state.verify_data)?;
                #[cfg(feature = "resumption")]
                let of_client = state.of_client;
                #[cfg(feature = "endpoint")]
                if let Some(association) = &mut self.association {
                    association.peer_message_seq = Some(message.message_seq);
                }
                #[cfg(feature = "resumption")]
                if let (Some(verify_data), Some(association)) = (of_client, &mut self.association) {
                    let mut flight = crate::association::LastFlight::new(
                        cx.now + cx.config.settle_time,
                        self.epoch_0_next,
                        0,
                    );
                    flight.finish(self.next_message_seq, &verify_data);
                    association.last_flight = Some(flight);
                }
                #[cfg(feature = "certificates")]
                self.settle();
                self.state = CoreState::Established;
                cx.events.connected = true;
                Ok(())
            }
            // RFC 5246 §7.4.1.1: ignored while a handshake runs.
            (_, T::HELLO_REQUEST) => Ok(()),
            (_, other) => Err(PeerMisbehaved::Unexpected(other).into()),
        }
    }

    #[cfg(feature = "certificates")]
    fn on_server_certificate(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), HandshakeError> {
        let shown = CertificateMessage::parse(message.body, self.exchange.peer_type)
            .map_err(|_| malformed(message))?;
        if shown.is_empty {
            // RFC 5246 §7.4.2: a server's list is never empty.
            return Err(CertificateError::Malformed.into());
        }
        let kind = self.parameters()?.key_exchange;
        self.exchange.take_peer_key(shown.certificate, Some(kind))?;
        self.hash_message(message, scratch)?;
        self.timer.pause();
        self.state = CoreState::Client(State::ExpectVerdict);
        cx.events.request = Some(Request::PeerCertificate);
        Ok(())
    }

    /// The caller takes the server's certificate.
    #[cfg(feature = "certificates")]
    pub(crate) fn accept_server(
        &mut self,
        cx: &mut Context<'_, P>,
        certificate: PeerCertificate<'_>,
        name: &[u8],
    ) -> Result<(), StepError> {
        self.peer = KnownPeer::new(PeerIdentity::Certificate {
            name,
            key_hash: key_hash(cx.provider, certificate)?,
        });
        // Our hello is repeated until the rest of the server's flight is there.
        self.timer.sent(cx.now);
        self.state = CoreState::Client(State::ExpectServerKeyExchange);
        Ok(())
    }

    #[cfg_attr(
        not(feature = "certificates"),
        expect(unused_variables, reason = "plain PSK has nothing to check")
    )]
    fn on_server_key_exchange(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), HandshakeError> {
        let kind = self.parameters()?.key_exchange;
        if kind == KeyExchangeAlgorithm::Psk {
            let exchange =
                PskServerKeyExchange::parse(message.body).map_err(|_| malformed(message))?;
            self.keep_hint(scratch, exchange.identity_hint);
        }
        #[cfg(feature = "certificates")]
        if kind != KeyExchangeAlgorithm::Psk {
            self.on_ephemeral_key(cx, message, scratch, kind)?;
        }
        self.hash_message(message, scratch)?;
        self.state = CoreState::Client(State::ExpectServerHelloDone);
        Ok(())
    }

    /// The server's ephemeral key: checked, and answered with one of ours.
    #[cfg(feature = "certificates")]
    fn on_ephemeral_key(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &mut Scratch<'_>,
        kind: KeyExchangeAlgorithm,
    ) -> Result<(), HandshakeError> {
        let mut reader = Reader::new(message.body);
        if kind.uses_psk() {
            let hint = reader.vec16().map_err(|_| malformed(message))?;
            self.keep_hint(scratch, hint);
        }
        let before = reader.rest();
        let params = EcdheParams::parse(&mut reader).map_err(|_| malformed(message))?;
        let group = params.group;
        if kind.uses_psk() {
            reader.end().map_err(|_| malformed(message))?;
        } else {
            let params = before
                .get(..before.len() - reader.rest().len())
                .unwrap_or_default();
            let signed = Signed::parse(&mut reader).map_err(|_| malformed(message))?;
            self.check_key_signature(cx, params, &signed)?;
        }
        if !cx
            .config
            .usable_groups(cx.provider)
            .any(|ours| ours == group)
        {
            return Err(PeerMisbehaved::IllegalGroup.into());
        }
        let ephemeral = cx.provider.key_exchange(group)?;
        self.exchange.group = group;
        self.exchange.own_public =
            crate::bytes::ShortBytes::new(crate::crypto::KeyExchange::public_value(&ephemeral))
                .unwrap_or_default();
        self.exchange.shared = Some(SharedSecret::agree(ephemeral, params.public_value)?);
        Ok(())
    }

    #[cfg(feature = "certificates")]
    fn check_key_signature(
        &self,
        cx: &Context<'_, P>,
        params: &[u8],
        signed: &Signed<'_>,
    ) -> Result<(), HandshakeError> {
        let mut bytes = [0; MAX_SIGNED_PARAMS_LEN];
        let mut said = Writer::new(&mut bytes);
        let written = said
            .put(&self.client_random)
            .and_then(|()| said.put(&self.server_random))
            .and_then(|()| said.put(params));
        // Longer than any group of ours.
        written.map_err(|_| PeerMisbehaved::IllegalGroup)?;
        let offered = cx
            .config
            .usable_schemes(cx.provider)
            .any(|scheme| scheme == signed.scheme);
        self.exchange.check_signature(
            cx.provider,
            offered,
            signed.scheme,
            said.written(),
            signed.signature,
        )
    }

    #[cfg(feature = "certificates")]
    fn on_certificate_request(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), HandshakeError> {
        // Once, and never of a client with a pre-shared key (RFC 5246 §7.4.4).
        if self.exchange.client_auth || self.parameters()?.key_exchange.uses_psk() {
            return Err(PeerMisbehaved::Unexpected(message.msg_type).into());
        }
        CertificateRequest::parse(message.body).map_err(|_| malformed(message))?;
        self.hash_message(message, scratch)?;
        self.exchange.client_auth = true;
        if !cx.config.own_certificate_types.is_empty() {
            self.put_aside(scratch.outgoing, message.body)?;
        }
        Ok(())
    }

    fn on_server_hello_done(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), HandshakeError> {
        Reader::new(message.body)
            .end()
            .map_err(|_| malformed(message))?;
        self.hash_message(message, scratch)?;
        self.outgoing.clear();
        self.timer.pause();
        #[cfg(feature = "certificates")]
        if !self.parameters()?.key_exchange.uses_psk() {
            return self.begin_signed_flight(cx, scratch);
        }
        self.state = CoreState::Client(State::ExpectPsk);
        cx.events.request = Some(Request::Psk);
        Ok(())
    }

    #[cfg(feature = "resumption")]
    fn on_new_session_ticket(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &mut Scratch<'_>,
        secret: &Secret,
    ) -> Result<(), HandshakeError> {
        let ticket = NewSessionTicket::parse(message.body).map_err(|_| malformed(message))?;
        self.hash_message(message, scratch)?;
        // One that finds no room is as if there were none.
        if self.put_aside(scratch.outgoing, ticket.ticket).is_ok() {
            self.ticket_lifetime = ticket.lifetime_hint;
        }
        self.expect_server_finished(cx, secret)
    }
}
