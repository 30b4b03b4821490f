//! What a handshake asks its caller, and the caller's answers.

use super::slots::Life;
use super::{ConnectionHandle, Endpoint};
use crate::address::Address;
use crate::certificate::{CertificateError, PeerCertificate};
use crate::crypto::Provider;
use crate::error::{ApiError, CloseReason, HandshakeError};
use crate::session::{PeerIdentity, Session};
use crate::time::{Duration, Instant};
use crate::v12::server::Answer;
use crate::v12::{Credential, CredentialRequest, ResumptionRequest, SignatureRequest, State};
use crate::wire::{AlertDescription, MAX_PLAINTEXT_LEN};

impl<P: Provider, A: Address> Endpoint<P, A> {
    /// What the handshake shows of PSK identities: on a server the client's identity once it asks for a key, on a
    /// client the server's hint, perhaps empty. `None` when no handshake of this handle is under way.
    pub fn psk_identity(&self, handle: ConnectionHandle) -> Option<&[u8]> {
        self.handshake(handle)
            .map(|entry| entry.handshake.psk_identity())
    }

    /// The host name that a client asked for (RFC 6066), or empty. `None` when no handshake of this handle is under way.
    pub fn server_name(&self, handle: ConnectionHandle) -> Option<&[u8]> {
        self.handshake(handle)
            .map(|entry| entry.handshake.server_name())
    }

    /// What the peer proves itself with, as far as it is known. Until [`Event::Connected`](crate::Event::Connected) it has
    /// proved nothing. `None` when no handshake of this handle is under way.
    pub fn peer_identity(&self, handle: ConnectionHandle) -> Option<PeerIdentity<'_>> {
        self.handshake(handle)
            .map(|entry| entry.handshake.peer_identity())
    }

    /// Answers [`Event::PskRequested`](crate::Event::PskRequested) on a server with the key of the client's identity, 1 to
    /// [`MAX_PSK_LEN`](crate::config::MAX_PSK_LEN) bytes.
    pub fn provide_psk(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        psk: &[u8],
    ) -> Result<(), ApiError> {
        self.step_handshake(now, handle, |handshake, cx| {
            handshake.answer(cx, |core, cx, _| {
                core.provide_server_psk(cx, Answer::Key(psk))
            })
        })
    }

    /// Answers [`Event::PskRequested`](crate::Event::PskRequested) on a server that has no key for the client's identity.
    /// Unless [`Config::reveal_unknown_identity`](crate::Config::reveal_unknown_identity) is set, the handshake runs on and
    /// ends as with a wrong key.
    pub fn refuse_psk(&mut self, now: Instant, handle: ConnectionHandle) -> Result<(), ApiError> {
        self.step_handshake(now, handle, |handshake, cx| {
            handshake.answer(cx, |core, cx, _| {
                core.provide_server_psk(cx, Answer::Unknown)
            })
        })
    }

    /// Answers [`Event::PskRequested`](crate::Event::PskRequested) on a server that cannot find out whether there is a key:
    /// the handshake ends at once, with `internal_error`, and the client may try again.
    pub fn fail_psk(&mut self, handle: ConnectionHandle) -> Result<(), ApiError> {
        self.end_handshake(handle, HandshakeError::NoPskAnswer)
    }

    /// Answers [`Event::PskRequested`](crate::Event::PskRequested) on a client with its identity, up to
    /// [`MAX_PSK_IDENTITY_LEN`](crate::config::MAX_PSK_IDENTITY_LEN) bytes, and key.
    pub fn provide_identity(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        identity: &[u8],
        psk: &[u8],
    ) -> Result<(), ApiError> {
        self.step_handshake(now, handle, |handshake, cx| {
            handshake.answer(cx, |core, cx, scratch| {
                core.provide_client_psk(cx, scratch, identity, psk)
            })
        })
    }

    /// What [`Event::CredentialRequested`](crate::Event::CredentialRequested) is about; `None` when it is not asked.
    pub fn credential_request(&self, handle: ConnectionHandle) -> Option<CredentialRequest<'_>> {
        let (core, outgoing, _) = self.handshake(handle)?.handshake.memory();
        let config = &self.config.config;
        match &core.state {
            State::Client(_) => core.client_credential_request(config, outgoing),
            State::Server(_) => core.server_credential_request(config, outgoing),
            _ => None,
        }
    }

    /// Answers [`Event::CredentialRequested`](crate::Event::CredentialRequested) with what we show; the signature is asked
    /// for next.
    ///
    /// # Errors
    /// [`ApiError::UnusableCredential`] when it is not what the request lets: the question stays open.
    pub fn provide_credential(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        credential: &Credential<'_>,
    ) -> Result<(), ApiError> {
        self.answer_credential(now, handle, Some(credential))
    }

    /// Answers [`Event::CredentialRequested`](crate::Event::CredentialRequested) when nothing fits: a client shows none and
    /// leaves it to the server, a server goes on with a pre-shared key if the client can.
    pub fn decline_credential(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
    ) -> Result<(), ApiError> {
        self.answer_credential(now, handle, None)
    }

    fn answer_credential(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        credential: Option<&Credential<'_>>,
    ) -> Result<(), ApiError> {
        self.step_handshake(now, handle, |handshake, cx| {
            handshake.answer(cx, |core, cx, scratch| match &core.state {
                State::Client(_) => core.provide_client_credential(cx, scratch, credential),
                _ => core.provide_server_credential(cx, scratch, credential),
            })
        })
    }

    /// What [`Event::SignatureRequested`](crate::Event::SignatureRequested) is about; `None` when it is not asked.
    pub fn signature_request(&self, handle: ConnectionHandle) -> Option<SignatureRequest<'_>> {
        let (core, outgoing, transcript) = self.handshake(handle)?.handshake.memory();
        match &core.state {
            State::Client(_) => core.client_signature_request(transcript),
            State::Server(_) => core.server_signature_request(outgoing),
            _ => None,
        }
    }

    /// Answers [`Event::SignatureRequested`](crate::Event::SignatureRequested).
    pub fn provide_signature(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        signature: &[u8],
    ) -> Result<(), ApiError> {
        self.step_handshake(now, handle, |handshake, cx| {
            handshake.answer(cx, |core, cx, scratch| match &core.state {
                State::Client(_) => core.provide_client_signature(cx, scratch, signature),
                _ => core.provide_server_signature(cx, scratch, signature),
            })
        })
    }

    /// What [`Event::PeerCertificate`](crate::Event::PeerCertificate) is about; `None` when it is not asked.
    pub fn peer_certificate(&self, handle: ConnectionHandle) -> Option<PeerCertificate<'_>> {
        self.handshake(handle)?.handshake.peer_certificate()
    }

    /// Answers [`Event::PeerCertificate`](crate::Event::PeerCertificate): the peer may go on, if it can prove that the
    /// certificate is its own. `name` is what it is called from now on, for resumed sessions too, up to
    /// [`MAX_PEER_NAME_LEN`](crate::config::MAX_PEER_NAME_LEN) bytes.
    pub fn accept_peer(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        name: &[u8],
    ) -> Result<(), ApiError> {
        if name.len() > crate::config::MAX_PEER_NAME_LEN {
            return Err(ApiError::BadLength);
        }
        self.step_handshake(now, handle, |handshake, cx| handshake.accept_peer(cx, name))
    }

    /// Answers [`Event::PeerCertificate`](crate::Event::PeerCertificate), or on a client
    /// [`Event::ResumptionRequested`](crate::Event::ResumptionRequested): the handshake ends with this error's alert.
    pub fn refuse_peer(
        &mut self,
        handle: ConnectionHandle,
        error: CertificateError,
    ) -> Result<(), ApiError> {
        self.end_handshake(handle, HandshakeError::Certificate(error))
    }

    /// What [`Event::ResumptionRequested`](crate::Event::ResumptionRequested) is about; `None` when it is not asked.
    pub fn resumption_request(&self, handle: ConnectionHandle) -> Option<ResumptionRequest<'_>> {
        self.handshake(handle)?.handshake.resumption_request()
    }

    /// Answers [`Event::ResumptionRequested`](crate::Event::ResumptionRequested) of a session that is known: it goes on.
    pub fn accept_resumption(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
    ) -> Result<(), ApiError> {
        self.answer_resumption(now, handle, None, true)
    }

    /// Answers [`Event::ResumptionRequested`](crate::Event::ResumptionRequested) of an ID with the session that it names.
    /// One that does not fit what the client offers leads to a full handshake.
    pub fn provide_session(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        session: &Session,
    ) -> Result<(), ApiError> {
        self.answer_resumption(now, handle, Some(session.as_bytes()), true)
    }

    /// Answers [`Event::ResumptionRequested`](crate::Event::ResumptionRequested): the session does not go on. A server makes
    /// a full handshake; a client, whose server has decided already, ends this one with `handshake_failure`.
    pub fn refuse_resumption(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
    ) -> Result<(), ApiError> {
        self.answer_resumption(now, handle, None, false)
    }

    fn answer_resumption(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        session: Option<&[u8]>,
        go_on: bool,
    ) -> Result<(), ApiError> {
        self.step_handshake(now, handle, |handshake, cx| {
            handshake.answer(cx, |core, cx, scratch| match &core.state {
                State::Client(_) if go_on => core.resume_client(cx),
                State::Client(_) => core.refuse_client_resumption(),
                _ => core.resume_server(cx, scratch, session, go_on),
            })
        })
    }

    /// Ends a connection with an alert of the caller's choice, established or not; [`Event::Closed`](crate::Event::Closed)
    /// comes.
    pub fn abort(&mut self, handle: ConnectionHandle, alert: AlertDescription) {
        let Some(slot) = self.live(handle) else {
            return;
        };
        match self.slots.get_mut(slot).map(|s| &mut s.life) {
            Some(Life::Established(association)) if !association.is_closed() => {
                association.abort(alert);
                self.tell_closed(slot, CloseReason::Aborted(alert));
                self.queue(slot);
            }
            Some(Life::Handshaking(index)) => {
                let index = *index;
                self.fail_handshake(slot, index, HandshakeError::Aborted(alert));
            }
            _ => {}
        }
    }

    /// What the path to a peer takes, in bytes of UDP payload, at least [`MIN_MTU`](crate::config::MIN_MTU): from an ICMP
    /// message that the caller has reason to believe, or from probing. Flights are cut to it, and
    /// [`ConnectionInfo::max_payload`](super::ConnectionInfo::max_payload) follows.
    pub fn set_mtu(&mut self, handle: ConnectionHandle, mtu: usize) -> Result<(), ApiError> {
        let mtu = mtu.clamp(crate::config::MIN_MTU, MAX_PLAINTEXT_LEN) as u16;
        let slot = self.live(handle).ok_or(ApiError::UnknownConnection)?;
        match self.slots.get_mut(slot).map(|s| &mut s.life) {
            Some(Life::Established(association)) => association.path_mtu = mtu,
            Some(Life::Handshaking(index)) => {
                let index = *index;
                if let Some(entry) = self.entry_mut(index) {
                    entry.handshake.set_mtu(mtu);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Changes the first retransmission time-out of a handshake that is under way: a running timer goes on as if it had
    /// begun with it.
    pub fn set_initial_timeout(
        &mut self,
        handle: ConnectionHandle,
        timeout: Duration,
    ) -> Result<(), ApiError> {
        let slot = self.live(handle).ok_or(ApiError::UnknownConnection)?;
        let index = self.handshake_index(handle).ok_or(ApiError::NotRequested)?;
        let config = self.config.config;
        if let Some(entry) = self.entry_mut(index) {
            entry.handshake.set_initial_timeout(timeout, &config);
            entry.armed = None;
        }
        // The deadline may be a later one now.
        self.timers
            .retain(|core::cmp::Reverse((_, armed, _))| *armed != slot);
        self.arm(slot, index);
        Ok(())
    }

    fn end_handshake(
        &mut self,
        handle: ConnectionHandle,
        error: HandshakeError,
    ) -> Result<(), ApiError> {
        let slot = self.live(handle).ok_or(ApiError::UnknownConnection)?;
        let index = self.handshake_index(handle).ok_or(ApiError::NotRequested)?;
        if !self
            .handshake(handle)
            .is_some_and(|entry| entry.handshake.is_paused())
        {
            return Err(ApiError::NotRequested);
        }
        self.fail_handshake(slot, index, error);
        Ok(())
    }
}
