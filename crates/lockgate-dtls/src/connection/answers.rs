//! What a handshake asks a client, and the client's answers.

use super::{Connection, Life};
use crate::crypto::Provider;
use crate::error::ApiError;
#[cfg(feature = "certificates")]
use crate::error::HandshakeError;
use crate::session::PeerIdentity;
use crate::time::Instant;
use crate::v12::ResumptionRequest;
#[cfg(feature = "certificates")]
use crate::{
    certificate::{CertificateError, PeerCertificate},
    v12::{Credential, CredentialRequest, SignatureRequest},
};

impl<P: Provider, B: AsMut<[u8]> + AsRef<[u8]> + Default> Connection<'_, P, B> {
    /// What the server proves itself with, as far as it is known. Until [`Event::Connected`](crate::Event::Connected) it
    /// has proved nothing. `None` when no handshake is under way.
    pub fn peer_identity(&self) -> Option<PeerIdentity<'_>> {
        match &self.life {
            Life::Handshaking(handshake) => Some(handshake.peer_identity()),
            _ => None,
        }
    }

    /// What [`Event::ResumptionRequested`](crate::Event::ResumptionRequested) is about; `None` when it is not asked.
    pub fn resumption_request(&self) -> Option<ResumptionRequest<'_>> {
        match &self.life {
            Life::Handshaking(handshake) => handshake.resumption_request(),
            _ => None,
        }
    }

    /// Answers [`Event::ResumptionRequested`](crate::Event::ResumptionRequested): the session goes on.
    pub fn accept_resumption(&mut self, now: Instant) -> Result<(), ApiError> {
        self.answer(now, |handshake, cx| {
            handshake.answer(cx, |core, cx, _| core.resume_client(cx))
        })
    }

    /// Answers [`Event::ResumptionRequested`](crate::Event::ResumptionRequested): the session does not go on. The server has
    /// decided already, so the handshake ends.
    pub fn refuse_resumption(&mut self, now: Instant) -> Result<(), ApiError> {
        self.answer(now, |handshake, cx| {
            handshake.answer(cx, |core, _, _| core.refuse_client_resumption())
        })
    }

    /// What [`Event::CredentialRequested`](crate::Event::CredentialRequested) is about; `None` when it is not asked.
    #[cfg(feature = "certificates")]
    pub fn credential_request(&self) -> Option<CredentialRequest<'_>> {
        match &self.life {
            Life::Handshaking(handshake) => {
                let (core, outgoing, _) = handshake.memory();
                core.client_credential_request(self.config, outgoing)
            }
            _ => None,
        }
    }

    /// Answers [`Event::CredentialRequested`](crate::Event::CredentialRequested) with what we show; the signature is asked
    /// for next.
    ///
    /// # Errors
    /// [`ApiError::UnusableCredential`] when it is not what the request lets: the question stays open.
    #[cfg(feature = "certificates")]
    pub fn provide_credential(
        &mut self,
        now: Instant,
        credential: &Credential<'_>,
    ) -> Result<(), ApiError> {
        self.answer(now, |handshake, cx| {
            handshake.answer(cx, |core, cx, scratch| {
                core.provide_client_credential(cx, scratch, Some(credential))
            })
        })
    }

    /// Answers [`Event::CredentialRequested`](crate::Event::CredentialRequested) when nothing fits: none is shown, and it is
    /// left to the server.
    #[cfg(feature = "certificates")]
    pub fn decline_credential(&mut self, now: Instant) -> Result<(), ApiError> {
        self.answer(now, |handshake, cx| {
            handshake.answer(cx, |core, cx, scratch| {
                core.provide_client_credential(cx, scratch, None)
            })
        })
    }

    /// What [`Event::SignatureRequested`](crate::Event::SignatureRequested) is about; `None` when it is not asked.
    #[cfg(feature = "certificates")]
    pub fn signature_request(&self) -> Option<SignatureRequest<'_>> {
        match &self.life {
            Life::Handshaking(handshake) => {
                let (core, _, transcript) = handshake.memory();
                core.client_signature_request(transcript)
            }
            _ => None,
        }
    }

    /// Answers [`Event::SignatureRequested`](crate::Event::SignatureRequested).
    #[cfg(feature = "certificates")]
    pub fn provide_signature(&mut self, now: Instant, signature: &[u8]) -> Result<(), ApiError> {
        self.answer(now, |handshake, cx| {
            handshake.answer(cx, |core, cx, scratch| {
                core.provide_client_signature(cx, scratch, signature)
            })
        })
    }

    /// What [`Event::PeerCertificate`](crate::Event::PeerCertificate) is about; `None` when it is not asked.
    #[cfg(feature = "certificates")]
    pub fn peer_certificate(&self) -> Option<PeerCertificate<'_>> {
        match &self.life {
            Life::Handshaking(handshake) => handshake.peer_certificate(),
            _ => None,
        }
    }

    /// SHA-256 of the `SubjectPublicKeyInfo` of [`Connection::peer_certificate`], for callers that know keys by it; `None`
    /// when it is not asked, or cannot be found.
    #[cfg(feature = "certificates")]
    pub fn peer_key_hash(&self) -> Option<[u8; 32]> {
        let shown = self.peer_certificate()?;
        crate::v12::key_hash(&self.provider, shown).ok()
    }

    /// Answers [`Event::PeerCertificate`](crate::Event::PeerCertificate): the server may go on, if it can prove that the
    /// certificate is its own. `name` is what it is called from now on, for resumed sessions too, up to
    /// [`MAX_PEER_NAME_LEN`](crate::config::MAX_PEER_NAME_LEN) bytes.
    #[cfg(feature = "certificates")]
    pub fn accept_peer(&mut self, now: Instant, name: &[u8]) -> Result<(), ApiError> {
        if name.len() > crate::config::MAX_PEER_NAME_LEN {
            return Err(ApiError::BadLength);
        }
        self.answer(now, |handshake, cx| handshake.accept_peer(cx, name))
    }

    /// Answers [`Event::PeerCertificate`](crate::Event::PeerCertificate) or
    /// [`Event::ResumptionRequested`](crate::Event::ResumptionRequested): the handshake ends with this error's alert.
    #[cfg(feature = "certificates")]
    pub fn refuse_peer(&mut self, error: CertificateError) -> Result<(), ApiError> {
        match &mut self.life {
            Life::Handshaking(handshake) if handshake.is_paused() => {
                handshake.fail(HandshakeError::Certificate(error));
                self.after_handshake_step();
                Ok(())
            }
            _ => Err(ApiError::NotRequested),
        }
    }
}
