//! The server, from a `ClientHello` whose cookie holds: `ServerHello` (`Certificate`) (`ServerKeyExchange`)
//! (`CertificateRequest`) `ServerHelloDone` -> (`Certificate`) `ClientKeyExchange` (`CertificateVerify`) `Finished` ->
//! (`NewSessionTicket`) `ChangeCipherSpec` `Finished`. What stands in brackets may be missing.
//!
//! A session that goes on is shorter: `ServerHello` (`NewSessionTicket`) `ChangeCipherSpec` `Finished` -> `Finished`.

mod finish;
mod flight;
mod hello;
mod resume;

use alloc::boxed::Box;
use core::fmt;

use zeroize::{Zeroize, Zeroizing};

use super::exchange::{SharedSecret, key_hash};
use super::keys::Secret;
use super::{Context, Core, Message, Scratch, State as CoreState, StepError, malformed};
use crate::bytes::{OwnCid, ShortBytes};
use crate::certificate::{CertificateError, ClientAuth, PeerCertificate};
use crate::config::Config;
use crate::crypto::Provider;
use crate::error::{ApiError, HandshakeError, Limit, PeerMisbehaved, WaitingFor};
use crate::event::Request;
use crate::key_schedule::PremasterParts;
use crate::session::{KnownPeer, PeerIdentity};
use crate::suite::KeyExchangeAlgorithm;
use crate::time::Instant;
use crate::wire::{
    CertificateMessage, EcdheClientKeyExchange, HandshakeType, PskClientKeyExchange, Reader,
    Signed, VERIFY_DATA_LEN,
};

/// The server's states in protocol order.
#[derive(Debug)]
pub(crate) enum State {
    /// `ClientHello` is being answered.
    Hello,
    /// The caller is asked whether an earlier session goes on; the `ClientHello` is put aside.
    ExpectResumption(Hello),
    /// The caller is asked for a certificate; the `ClientHello` is put aside.
    ExpectCredential(Hello),
    /// The caller is asked to sign.
    ExpectSignature(ExpectSignature),
    ExpectCertificate,
    /// The caller is asked about the client's certificate.
    ExpectVerdict,
    ExpectClientKeyExchange {
        /// The client has shown a certificate, and has yet to prove that it is its own.
        proves: bool,
    },
    ExpectPsk(ExpectPsk),
    ExpectCertificateVerify(Secret),
    ExpectFinished(ExpectFinished),
}

/// The number of the `ClientHello` that is put aside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hello {
    message_seq: u16,
}

/// What is put aside: first what is to be signed, behind it the authorities for `CertificateRequest`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpectSignature {
    signed_len: u16,
}

/// The caller looks for the key.
#[derive(Debug)]
pub(crate) struct ExpectPsk {
    /// In `ECDHE_PSK`.
    shared: Option<SharedSecret>,
}

/// The keys are there, and so is what both `Finished` have to say: nothing comes between, so neither the master secret
/// nor the transcript need be kept.
pub(crate) struct ExpectFinished {
    /// The keys come from a random PSK, because the identity is not known.
    identity_unknown: bool,
    of_client: [u8; VERIFY_DATA_LEN],
    /// What ours says; `None` when it is out already, in a session that goes on.
    of_server: Option<[u8; VERIFY_DATA_LEN]>,
    /// A `NewSessionTicket` to go before it, and its number.
    ticket: Option<(u16, Box<[u8]>)>,
}

impl Drop for ExpectFinished {
    fn drop(&mut self) {
        self.of_client.zeroize();
        self.of_server.zeroize();
    }
}

impl fmt::Debug for ExpectFinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpectFinished")
            .field("identity_unknown", &self.identity_unknown)
            .finish_non_exhaustive()
    }
}

/// How a server answers [`Event::PskRequested`](crate::Event::PskRequested).
#[derive(Clone, Copy)]
pub(crate) enum Answer<'a> {
    Key(&'a [u8]),
    Unknown,
}

impl State {
    pub(super) const fn waiting_for(&self) -> WaitingFor {
        match self {
            Self::Hello | Self::ExpectClientKeyExchange { .. } => WaitingFor::ClientKeyExchange,
            Self::ExpectResumption(_)
            | Self::ExpectCredential(_)
            | Self::ExpectSignature(_)
            | Self::ExpectVerdict => WaitingFor::Caller,
            Self::ExpectCertificate | Self::ExpectCertificateVerify(_) => {
                WaitingFor::ClientCertificate
            }
            Self::ExpectPsk(_) => WaitingFor::Psk,
            Self::ExpectFinished(_) => WaitingFor::Finished,
        }
    }

    pub(super) const fn is_paused(&self) -> bool {
        matches!(
            self,
            Self::ExpectResumption(_)
                | Self::ExpectCredential(_)
                | Self::ExpectSignature(_)
                | Self::ExpectVerdict
                | Self::ExpectPsk(_)
        )
    }

    /// Whether a repeat of the client's last flight asks for ours. Once a server has part of the client's answer, a
    /// repeat says nothing of its own flight, and two sides that answered each other's repeats would never stop.
    pub(crate) const fn is_unanswered(&self) -> bool {
        matches!(
            self,
            Self::ExpectCertificate | Self::ExpectClientKeyExchange { proves: false }
        ) || matches!(
            self,
            Self::ExpectFinished(ExpectFinished {
                of_server: None,
                ..
            })
        )
    }

    /// Whether the identity turned out to be unknown.
    pub(crate) const fn identity_unknown(&self) -> bool {
        matches!(self, Self::ExpectFinished(state) if state.identity_unknown)
    }
}

impl<P: Provider> Core<P> {
    /// A handshake that is about to answer a `ClientHello`.
    pub(crate) fn accept(
        now: Instant,
        config: &Config,
        own_cid: OwnCid,
        message_seq: u16,
        record_sequence: u64,
    ) -> Self {
        let mut this = Self::new(now, config, CoreState::Server(State::Hello), own_cid);
        // RFC 6347 §4.2.1: ServerHello takes the numbers of the ClientHello it answers.
        this.next_message_seq = message_seq;
        this.epoch_0_next = record_sequence;
        this
    }

    pub(super) fn on_server_message(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), HandshakeError> {
        use HandshakeType as T;
        let CoreState::Server(state) = &mut self.state else {
            return Err(PeerMisbehaved::Unexpected(message.msg_type).into());
        };
        match (state, message.msg_type) {
            (State::ExpectCertificate, T::CERTIFICATE) => {
                self.on_client_certificate(cx, message, scratch)
            }
            (State::ExpectClientKeyExchange { proves }, T::CLIENT_KEY_EXCHANGE) => {
                let proves = *proves;
                self.on_client_key_exchange(cx, message, scratch, proves)
            }
            (State::ExpectCertificateVerify(secret), T::CERTIFICATE_VERIFY) => {
                let secret = core::mem::replace(secret, Zeroizing::new([0; 48]));
                self.on_certificate_verify(cx, message, scratch, &secret)
            }
            (State::ExpectFinished(_), T::FINISHED) => self.on_finished(cx, message),
            (_, other) => Err(PeerMisbehaved::Unexpected(other).into()),
        }
    }

    fn on_client_certificate(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), HandshakeError> {
        self.outgoing.hold();
        self.hash_message(message, scratch)?;
        let shown = CertificateMessage::parse(message.body, self.exchange.peer_type)
            .map_err(|_| malformed(message))?;
        if shown.is_empty {
            if cx.config.client_auth == ClientAuth::Required {
                return Err(CertificateError::Missing.into());
            }
            self.exchange.keeping = false;
            self.timer.sent(cx.now);
            self.state = CoreState::Server(State::ExpectClientKeyExchange { proves: false });
            return Ok(());
        }
        self.exchange.take_peer_key(shown.certificate, None)?;
        self.timer.pause();
        self.state = CoreState::Server(State::ExpectVerdict);
        cx.events.request = Some(Request::PeerCertificate);
        Ok(())
    }

    /// The caller takes the client's certificate.
    pub(super) fn accept_client(
        &mut self,
        cx: &mut Context<'_, P>,
        certificate: PeerCertificate<'_>,
        name: &[u8],
    ) -> Result<(), StepError> {
        self.peer = KnownPeer::new(PeerIdentity::Certificate {
            name,
            key_hash: key_hash(cx.provider, certificate)?,
        });
        self.timer.sent(cx.now);
        self.state = CoreState::Server(State::ExpectClientKeyExchange { proves: true });
        Ok(())
    }

    fn on_client_key_exchange(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &mut Scratch<'_>,
        proves: bool,
    ) -> Result<(), HandshakeError> {
        self.outgoing.hold();
        let kind = self.parameters()?.key_exchange;
        if kind == KeyExchangeAlgorithm::Psk {
            let exchange =
                PskClientKeyExchange::parse(message.body).map_err(|_| malformed(message))?;
            return self.ask_for_psk(cx, message, scratch, exchange.identity, None);
        }
        let exchange = EcdheClientKeyExchange::parse(message.body, kind.uses_psk())
            .map_err(|_| malformed(message))?;
        let ephemeral = self
            .exchange
            .ephemeral
            .take()
            .ok_or(PeerMisbehaved::Unexpected(message.msg_type))?;
        let shared = SharedSecret::agree(ephemeral, exchange.public_value)?;
        if let Some(identity) = exchange.identity {
            return self.ask_for_psk(cx, message, scratch, identity, Some(shared));
        }
        self.hash_message(message, scratch)?;
        let premaster = PremasterParts {
            psk: None,
            shared: Some(shared.as_slice()),
        };
        let secret = match self.derive_keys(cx, premaster) {
            Ok(secret) => secret,
            Err(StepError::Handshake(error)) => return Err(error),
            Err(StepError::Api(_)) => return Err(PeerMisbehaved::BadPublicValue.into()),
        };
        self.timer.sent(cx.now);
        if proves {
            self.state = CoreState::Server(State::ExpectCertificateVerify(secret));
            Ok(())
        } else {
            self.expect_finished(cx, &secret, false)
        }
    }

    fn ask_for_psk(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &mut Scratch<'_>,
        identity: &[u8],
        shared: Option<SharedSecret>,
    ) -> Result<(), HandshakeError> {
        ShortBytes::<{ crate::config::MAX_PSK_IDENTITY_LEN }>::new(identity)
            .ok_or(Limit::PskIdentity)?;
        self.peer = KnownPeer::new(PeerIdentity::Psk { identity });
        self.hash_message(message, scratch)?;
        self.timer.pause();
        // Nothing is hashed while the key is looked up, so the transcript stays the session hash.
        self.state = CoreState::Server(State::ExpectPsk(ExpectPsk { shared }));
        cx.events.request = Some(Request::Psk);
        Ok(())
    }

    fn on_certificate_verify(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &mut Scratch<'_>,
        secret: &Secret,
    ) -> Result<(), HandshakeError> {
        let signed =
            Signed::parse(&mut Reader::new(message.body)).map_err(|_| malformed(message))?;
        let offered = cx
            .config
            .usable_schemes(cx.provider)
            .any(|scheme| scheme == signed.scheme);
        let said = scratch
            .transcript
            .get(..usize::from(self.exchange.kept))
            .unwrap_or_default();
        self.exchange.check_signature(
            cx.provider,
            offered,
            signed.scheme,
            said,
            signed.signature,
        )?;
        self.exchange.keeping = false;
        self.hash_message(message, scratch)?;
        self.expect_finished(cx, secret, false)
    }

    /// The caller's answer to [`Event::PskRequested`](crate::Event::PskRequested).
    pub(crate) fn provide_server_psk(
        &mut self,
        cx: &mut Context<'_, P>,
        answer: Answer<'_>,
    ) -> Result<(), StepError> {
        let CoreState::Server(State::ExpectPsk(ExpectPsk { shared })) = &self.state else {
            return Err(StepError::Api(ApiError::NotRequested));
        };
        // An unknown identity runs on with a random key, so that it ends as a wrong key does (RFC 4279 §2).
        let mut random = Zeroizing::new([0; 32]);
        let (psk, identity_unknown) = match answer {
            Answer::Key(psk) => (psk, false),
            Answer::Unknown if cx.config.reveal_unknown_identity => {
                return Err(HandshakeError::UnknownPskIdentity { revealed: true }.into());
            }
            Answer::Unknown => {
                cx.provider.random(&mut *random)?;
                (random.as_slice(), true)
            }
        };
        let shared = shared.clone();
        let premaster = PremasterParts {
            psk: Some(psk),
            shared: shared.as_ref().map(SharedSecret::as_slice),
        };
        premaster.check().map_err(StepError::Api)?;
        let secret = self.derive_keys(cx, premaster)?;
        self.expect_finished(cx, &secret, identity_unknown)?;
        // Our flight has been answered in part; should the rest be lost, a repeat of ours asks for it.
        self.timer.sent(cx.now);
        Ok(())
    }
}
