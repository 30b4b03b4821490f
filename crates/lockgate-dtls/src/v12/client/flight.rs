//! A client's second flight: from `ServerHelloDone`, or from a session that goes on, to what the server has to say.

use zeroize::Zeroizing;

use super::{ExpectFinished, State};
#[cfg(feature = "certificates")]
use crate::association::Role;
use crate::config::MAX_PSK_IDENTITY_LEN;
use crate::crypto::Provider;
use crate::error::{ApiError, HandshakeError, Limit};
#[cfg(feature = "certificates")]
use crate::event::Request;
use crate::flight::Protection;
use crate::key_schedule::{MASTER_SECRET_LEN, PremasterParts};
#[cfg(feature = "resumption")]
use crate::session::{KnownPeer, PeerIdentity};
use crate::v12::{Context, Core, Scratch, State as CoreState, StepError};
#[cfg(feature = "certificates")]
use crate::v12::{Credential, CredentialRequest, SignatureRequest, exchange::SharedSecret};
#[cfg(feature = "certificates")]
use crate::wire::{CertificateMessage, CertificateRequest, EcdheClientKeyExchange, Signed};
use crate::wire::{HandshakeType, PskClientKeyExchange};

impl<P: Provider> Core<P> {
    /// The caller's answer to [`Event::PskRequested`](crate::Event::PskRequested).
    pub(crate) fn provide_client_psk(
        &mut self,
        cx: &mut Context<'_, P>,
        scratch: &mut Scratch<'_>,
        identity: &[u8],
        psk: &[u8],
    ) -> Result<(), StepError> {
        if !matches!(self.state, CoreState::Client(State::ExpectPsk)) {
            return Err(StepError::Api(ApiError::NotRequested));
        }
        if identity.len() > MAX_PSK_IDENTITY_LEN {
            return Err(StepError::Api(ApiError::BadLength));
        }
        let premaster = PremasterParts {
            psk: Some(psk),
            #[cfg(feature = "certificates")]
            shared: None,
        };
        premaster.check().map_err(StepError::Api)?;
        #[cfg(feature = "resumption")]
        {
            self.peer = KnownPeer::new(PeerIdentity::Psk {
                identity: &[],
                key_hash: [0; 32],
            });
        }
        // The hint has done its work: what is put aside from now on is a ticket.
        self.aside = (0, 0);
        self.send_key_exchange(scratch, Some(identity))?;
        #[cfg(feature = "certificates")]
        let shared = self.exchange.shared.take();
        #[cfg(feature = "certificates")]
        let premaster = PremasterParts {
            shared: shared.as_ref().map(SharedSecret::as_slice),
            ..premaster
        };
        let secret = self.derive_keys(cx, premaster)?;
        self.finish_flight(cx, scratch, &secret)
    }

    /// `ClientKeyExchange`, with the identity of a pre-shared key.
    fn send_key_exchange(
        &mut self,
        scratch: &mut Scratch<'_>,
        identity: Option<&[u8]>,
    ) -> Result<(), HandshakeError> {
        #[cfg(feature = "certificates")]
        if self.exchange.shared.is_some() {
            let own_public = self.exchange.own_public;
            let exchange = EcdheClientKeyExchange {
                identity,
                public_value: own_public.as_slice(),
            };
            return self.send_message(
                scratch,
                Protection::ClearText,
                HandshakeType::CLIENT_KEY_EXCHANGE,
                |w| exchange.emit(w),
            );
        }
        let exchange = PskClientKeyExchange {
            identity: identity.unwrap_or_default(),
        };
        self.send_message(
            scratch,
            Protection::ClearText,
            HandshakeType::CLIENT_KEY_EXCHANGE,
            |w| exchange.emit(w),
        )
    }

    /// The end of our flight.
    fn finish_flight(
        &mut self,
        cx: &mut Context<'_, P>,
        scratch: &mut Scratch<'_>,
        secret: &Zeroizing<[u8; MASTER_SECRET_LEN]>,
    ) -> Result<(), StepError> {
        self.timer.new_flight(cx.config);
        self.outgoing
            .change_cipher_spec(scratch.outgoing)
            .map_err(|_| Limit::Scratch)?;
        let verify_data = self.verify_data(cx.provider, secret, true)?;
        self.send_message(
            scratch,
            Protection::Protected,
            HandshakeType::FINISHED,
            |w| w.put(&verify_data),
        )?;
        // What waited for a signature goes out from its start.
        #[cfg(feature = "certificates")]
        self.outgoing.rewind();
        self.write_protected = true;
        #[cfg(feature = "resumption")]
        if self.ticket_expected {
            self.state = CoreState::Client(State::ExpectNewSessionTicket(secret.clone()));
            return Ok(());
        }
        self.expect_server_finished(cx, secret)?;
        Ok(())
    }

    /// Computes what the server's `Finished` has to say, and in a session that goes on what ours will.
    pub(super) fn expect_server_finished(
        &mut self,
        cx: &mut Context<'_, P>,
        secret: &[u8; MASTER_SECRET_LEN],
    ) -> Result<(), HandshakeError> {
        let verify_data = self.verify_data(cx.provider, secret, false)?;
        #[cfg(feature = "resumption")]
        let of_client = if self.resumed {
            self.hash_finished(self.peer_message_seq, &verify_data);
            Some(self.verify_data(cx.provider, secret, true)?)
        } else {
            None
        };
        self.transcript = None;
        self.state = CoreState::Client(State::ExpectFinished(ExpectFinished {
            verify_data,
            #[cfg(feature = "resumption")]
            of_client,
        }));
        Ok(())
    }

    /// The caller lets the session go on.
    #[cfg(feature = "resumption")]
    pub(crate) fn resume_client(&mut self, cx: &mut Context<'_, P>) -> Result<(), StepError> {
        let CoreState::Client(State::ExpectResumption { ticket }) = self.state else {
            return Err(StepError::Api(ApiError::NotRequested));
        };
        let session = self
            .resumable
            .take()
            .ok_or(StepError::Api(ApiError::NotRequested))?;
        self.peer = session.peer;
        self.resume_keys(cx, &session.master_secret)?;
        // The server sends its Finished until ours is there.
        self.outgoing.clear();
        if ticket {
            let secret = session.master_secret.clone();
            self.state = CoreState::Client(State::ExpectNewSessionTicket(secret));
            return Ok(());
        }
        self.expect_server_finished(cx, &session.master_secret)?;
        Ok(())
    }

    /// Our flight of a handshake with a server's certificate: with ours, where it is asked for.
    #[cfg(feature = "certificates")]
    pub(super) fn begin_signed_flight(
        &mut self,
        cx: &mut Context<'_, P>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), HandshakeError> {
        if self.exchange.client_auth && !cx.config.own_certificate_types.is_empty() {
            self.state = CoreState::Client(State::ExpectCredential);
            cx.events.request = Some(Request::Credential);
            return Ok(());
        }
        match self.signed_flight(cx, scratch, None) {
            Ok(()) => Ok(()),
            Err(StepError::Handshake(error)) => Err(error),
            Err(StepError::Api(_)) => Err(Limit::Scratch.into()),
        }
    }

    /// What the caller is asked about a certificate.
    #[cfg(feature = "certificates")]
    pub(crate) fn client_credential_request<'a>(
        &'a self,
        config: &crate::config::Config,
        outgoing: &'a [u8],
    ) -> Option<CredentialRequest<'a>> {
        let CoreState::Client(State::ExpectCredential) = &self.state else {
            return None;
        };
        let request = CertificateRequest::parse(self.aside(outgoing)).ok()?;
        let agreed = self.exchange.own_type;
        let types = if config.own_certificate_types.contains(agreed) {
            crate::certificate::CertificateTypes::new(&[agreed])
        } else {
            crate::certificate::CertificateTypes::EMPTY
        };
        Some(CredentialRequest {
            role: Role::Client,
            server_name: &[],
            schemes: request.signature_algorithms,
            groups: None,
            certificate_types: types,
            key_types: (request.accepts(true), request.accepts(false)),
            authorities: request.authorities,
            suites: &[],
        })
    }

    /// The caller's answer about a certificate; `None` when it has none that fits.
    #[cfg(feature = "certificates")]
    pub(crate) fn provide_client_credential(
        &mut self,
        cx: &mut Context<'_, P>,
        scratch: &mut Scratch<'_>,
        credential: Option<&Credential<'_>>,
    ) -> Result<(), StepError> {
        let request = self
            .client_credential_request(cx.config, scratch.outgoing)
            .ok_or(StepError::Api(ApiError::NotRequested))?;
        if credential.is_some_and(|credential| !request.lets(credential)) {
            return Err(StepError::Api(ApiError::UnusableCredential));
        }
        self.aside = (0, 0);
        self.signed_flight(cx, scratch, credential)
    }

    #[cfg(feature = "certificates")]
    fn signed_flight(
        &mut self,
        cx: &mut Context<'_, P>,
        scratch: &mut Scratch<'_>,
        credential: Option<&Credential<'_>>,
    ) -> Result<(), StepError> {
        if self.exchange.client_auth {
            let kind = self.exchange.own_type;
            let chain = credential.map_or(&[][..], |c| c.chain);
            self.send_message(
                scratch,
                Protection::ClearText,
                HandshakeType::CERTIFICATE,
                |w| CertificateMessage::emit(kind, chain, w),
            )?;
        }
        self.send_key_exchange(scratch, None)?;
        let shared = self
            .exchange
            .shared
            .take()
            .ok_or(StepError::Api(ApiError::NotRequested))?;
        let premaster = PremasterParts {
            psk: None,
            shared: Some(shared.as_slice()),
        };
        let secret = self.derive_keys(cx, premaster)?;
        let Some(credential) = credential else {
            self.exchange.keeping = false;
            return self.finish_flight(cx, scratch, &secret);
        };
        self.exchange.scheme = credential.scheme;
        self.outgoing.hold();
        self.state = CoreState::Client(State::ExpectSignature(secret));
        cx.events.request = Some(Request::Signature);
        Ok(())
    }

    /// What our key is to sign: everything that was said so far (RFC 5246 §7.4.8).
    #[cfg(feature = "certificates")]
    pub(crate) fn client_signature_request<'a>(
        &self,
        transcript: &'a [u8],
    ) -> Option<SignatureRequest<'a>> {
        let CoreState::Client(State::ExpectSignature(_)) = &self.state else {
            return None;
        };
        Some(SignatureRequest {
            scheme: self.exchange.scheme,
            message: transcript.get(..usize::from(self.exchange.kept))?,
        })
    }

    /// The signature is there: the rest of our flight.
    #[cfg(feature = "certificates")]
    pub(crate) fn provide_client_signature(
        &mut self,
        cx: &mut Context<'_, P>,
        scratch: &mut Scratch<'_>,
        signature: &[u8],
    ) -> Result<(), StepError> {
        let CoreState::Client(State::ExpectSignature(secret)) = &mut self.state else {
            return Err(StepError::Api(ApiError::NotRequested));
        };
        let secret = core::mem::replace(secret, Zeroizing::new([0; MASTER_SECRET_LEN]));
        let signed = Signed {
            scheme: self.exchange.scheme,
            signature,
        };
        self.exchange.keeping = false;
        self.send_message(
            scratch,
            Protection::ClearText,
            HandshakeType::CERTIFICATE_VERIFY,
            |w| signed.emit(w),
        )?;
        self.finish_flight(cx, scratch, &secret)
    }
}
