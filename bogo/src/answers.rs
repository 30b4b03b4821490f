//! What a handshake asks its caller, answered as the runner's flags say.

use lockgate_dtls::certificate::CertificateError;
use lockgate_dtls::crypto::{MAX_SIGNATURE_LEN, SigningKey as _};
use lockgate_dtls::wire::AlertDescription;
use lockgate_dtls::{
    ConnectionHandle, Credential, CredentialRequest, Event, PeerIdentity, ResumptionRequest, Role,
    Session,
};

use crate::credentials::Wanted;
use crate::engine::Engine;
use crate::faults::Failure;
use crate::options::{AlpnAnswer, CredentialKind, Options};

/// What a peer is called whose certificate was found good, and one that only came in because nobody cared.
const GOOD: &[u8] = b"good";
const BAD: &[u8] = b"bad";

/// What came up during one handshake.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// The number of the credential that we showed.
    credential: Option<i32>,
    /// The host name that the client asked for.
    server_name: Vec<u8>,
    /// What the peer is called.
    peer: Vec<u8>,
    /// There is a new session: whether it has an ID of its own, and no ticket.
    new_session: Option<bool>,
}

impl Notes {
    /// Looks whether the handshake came to what the runner expects.
    pub(crate) fn check(
        &self,
        engine: &Engine,
        handle: ConnectionHandle,
        options: &Options,
        resumes: bool,
    ) -> Result<(), Failure> {
        let o = options;
        let info = engine.info(handle)?;
        let expect =
            |is: bool, what: &str| is.then_some(()).ok_or_else(|| Failure::expectation(what));
        expect(
            info.resumed == (resumes && !o.expect_session_miss),
            "the session was resumed, or was not, against what was expected",
        )?;
        expect(
            o.expect_credential
                .is_none_or(|n| self.credential == Some(n)),
            "another credential was shown",
        )?;
        expect(
            o.expect_server_name.is_empty() || o.expect_server_name == self.server_name,
            "the client asked for another host name",
        )?;
        let protocol = match &o.alpn_answer {
            AlpnAnswer::Select(name) if o.server => name,
            _ => &o.expect_alpn,
        };
        // One that we did not offer has no name here.
        expect(
            o.allow_unknown_alpn || engine.protocol(handle) == protocol.as_slice(),
            "another application protocol was agreed",
        )?;
        expect(
            !o.expect_verify_result || self.peer == if o.verify_fail { BAD } else { GOOD },
            "the verdict on the peer's certificate was not kept",
        )?;
        if o.server {
            let by_id = self.new_session == Some(true);
            expect(
                resumes || o.expect_session_id.is_none_or(|wanted| by_id == wanted),
                "the session was kept under an ID, or was not, against what was expected",
            )?;
        } else if info.resumed {
            expect(
                self.new_session.is_some() == o.expect_ticket_renewal,
                "the ticket was renewed, or was not, against what was expected",
            )?;
        }
        Ok(())
    }
}

impl Engine {
    /// Answers what the engine asks, or takes note of what it tells.
    pub(crate) fn answer(
        &mut self,
        handle: ConnectionHandle,
        event: Event,
        options: &Options,
        notes: &mut Notes,
    ) -> Result<(), Failure> {
        if options.server
            && let Some(name) = self.endpoint.server_name(handle)
        {
            notes.server_name = name.to_vec();
        }
        match event {
            Event::PskRequested => self.answer_psk(handle, options),
            Event::CredentialRequested => self.show_credential(handle, options, notes),
            Event::SignatureRequested => self.sign(handle, notes),
            Event::PeerCertificate => self.judge_peer(handle, options, notes),
            Event::ResumptionRequested => self.resume(handle, options, notes),
            Event::NewSession(session) => {
                self.keep(session, options, notes);
                Ok(())
            }
            Event::Connected | Event::PathChanged | Event::Closed(_) | Event::KeyLog(_) => Ok(()),
        }
    }

    fn answer_psk(&mut self, handle: ConnectionHandle, options: &Options) -> Result<(), Failure> {
        let shown = self.endpoint.psk_identity(handle).unwrap_or_default();
        let ours = shown == options.psk_identity;
        if options.server {
            if ours {
                self.endpoint.provide_psk(self.now, handle, &options.psk)?;
            } else {
                self.endpoint.refuse_psk(self.now, handle)?;
            }
        } else if ours {
            self.endpoint.provide_identity(
                self.now,
                handle,
                &options.psk_identity,
                &options.psk,
            )?;
        } else {
            return Err(Failure::expectation("the server hints at another identity"));
        }
        Ok(())
    }

    fn show_credential(
        &mut self,
        handle: ConnectionHandle,
        options: &Options,
        notes: &mut Notes,
    ) -> Result<(), Failure> {
        if options.server && options.alpn_answer == AlpnAnswer::SelectEmpty {
            // The engine takes no such answer in the first place.
            self.abort(handle, AlertDescription::INTERNAL_ERROR);
            return Err(Failure::new(
                "illegal-protocol",
                "a protocol without a name",
            ));
        }
        let request = self
            .endpoint
            .credential_request(handle)
            .ok_or_else(|| Failure::new("api-misuse", "no credential is asked for"))?;
        let wanted = wanted(&request);
        if self.keyring.is_empty() {
            return Ok(self.endpoint.decline_credential(self.now, handle)?);
        }
        let (number, scheme) = match self.keyring.choose(&wanted) {
            Ok(choice) => choice,
            Err(why) => {
                self.abort(handle, AlertDescription::HANDSHAKE_FAILURE);
                return Err(why);
            }
        };
        let Some(own) = self.keyring.get(number) else {
            return Err(Failure::new("api-misuse", "the chosen credential is gone"));
        };
        let chain: Vec<&[u8]> = own.chain.iter().map(Vec::as_slice).collect();
        let credential = Credential {
            certificate_type: own.certificate_type,
            chain: &chain,
            key_type: own.key.key_type(),
            scheme,
            authorities: &[],
        };
        self.endpoint
            .provide_credential(self.now, handle, &credential)?;
        notes.credential = Some(number);
        Ok(())
    }

    fn sign(&mut self, handle: ConnectionHandle, notes: &Notes) -> Result<(), Failure> {
        let request = self.endpoint.signature_request(handle);
        let own = notes.credential.and_then(|number| self.keyring.get(number));
        let (Some(request), Some(own)) = (request, own) else {
            return Err(Failure::new("api-misuse", "no signature is asked for"));
        };
        let mut signature = [0; MAX_SIGNATURE_LEN];
        let len = own
            .key
            .sign(request.scheme, request.message, &mut signature)
            .map_err(|error| Failure::new("crypto", error))?;
        Ok(self
            .endpoint
            .provide_signature(self.now, handle, &signature[..len])?)
    }

    /// The verdict is not on the certificate: the runner's flags say what it shall be.
    fn judge_peer(
        &mut self,
        handle: ConnectionHandle,
        options: &Options,
        notes: &mut Notes,
    ) -> Result<(), Failure> {
        let mut kinds = options.more_credentials.iter().map(|c| c.kind);
        if !options.server && kinds.any(|kind| kind == CredentialKind::ImportedPsk) {
            // Whoever has only such a key cannot go on with 1.2, which the server has chosen.
            self.abort(handle, AlertDescription::PROTOCOL_VERSION);
            return Err(Failure::new(
                "no-common-version",
                "an imported pre-shared key needs DTLS 1.3",
            ));
        }
        let cares = options.verify_peer || options.require_client_certificate;
        if options.verify_fail && cares {
            let refusal = refusal(options);
            return Ok(self.endpoint.refuse_peer(handle, refusal)?);
        }
        let name = if options.verify_fail { BAD } else { GOOD };
        notes.peer = name.to_vec();
        Ok(self.endpoint.accept_peer(self.now, handle, name)?)
    }

    fn resume(
        &mut self,
        handle: ConnectionHandle,
        options: &Options,
        notes: &mut Notes,
    ) -> Result<(), Failure> {
        let session = match self.endpoint.resumption_request(handle) {
            Some(ResumptionRequest::SessionId(id)) => match self.sessions.get(id) {
                Some(session) => Some(session),
                None => return Ok(self.endpoint.refuse_resumption(self.now, handle)?),
            },
            Some(ResumptionRequest::Known(peer)) => {
                notes.peer = name_of(peer);
                None
            }
            None => return Err(Failure::new("api-misuse", "no session is asked for")),
        };
        if let Some(session) = session {
            notes.peer = name_of(session.peer());
            self.endpoint.provide_session(self.now, handle, session)?;
        } else if options.verify_again_on_resume && options.verify_fail {
            self.endpoint.refuse_peer(handle, refusal(options))?;
        } else {
            self.endpoint.accept_resumption(self.now, handle)?;
        }
        Ok(())
    }

    fn keep(&mut self, session: Session, options: &Options, notes: &mut Notes) {
        notes.new_session = Some(!session.has_ticket());
        if options.server {
            self.sessions.insert(session.id().to_vec(), session);
        } else {
            self.newest = Some(session);
        }
    }
}

fn name_of(peer: PeerIdentity<'_>) -> Vec<u8> {
    match peer {
        PeerIdentity::Certificate { name, .. } => name.to_vec(),
        PeerIdentity::Anonymous | PeerIdentity::Psk { .. } => Vec::new(),
    }
}

/// The reference has one alert for each of its two ways to refuse.
fn refusal(options: &Options) -> CertificateError {
    CertificateError::Refused(if options.custom_verify {
        AlertDescription::CERTIFICATE_UNKNOWN
    } else {
        AlertDescription::HANDSHAKE_FAILURE
    })
}

fn wanted(request: &CredentialRequest<'_>) -> Wanted {
    use lockgate_dtls::crypto::KeyType;
    Wanted {
        server: request.role() == Role::Server,
        certificate_types: request.certificate_types().iter().collect(),
        key_types: (
            request.takes(KeyType::Rsa),
            request.takes(KeyType::EcdsaP256),
        ),
        groups: request.groups().map(Iterator::collect),
        schemes: request.schemes().collect(),
        authorities: request.authorities().map(<[u8]>::to_vec).collect(),
    }
}
