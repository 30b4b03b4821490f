//! Certificates in handshakes: what we show, what we sign, and whom we let in.

use std::sync::Arc;

use lockgate_dtls::certificate::{CertificateType, PeerCertificate};
use lockgate_dtls::crypto::{CryptoError, KeyType, MAX_SIGNATURE_LEN, SignatureScheme, SigningKey};
use lockgate_dtls::wire::AlertDescription;
use lockgate_dtls::{ConnectionHandle, Credential};
use lockgate_tokio::Io;
use lockgate_webpki::{KeyHash, Mismatch, OwnedIdentity, Request, Time, Usage};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tracing::error;

use super::identity::{Identity, Label};
use super::{Command, FailureReason, Relay};
use crate::certificates::{Own, expires};

/// Longer texts of a certificate's are cut in the log, in characters.
const MAX_LOGGED: usize = 256;

/// What a signature came to.
pub(crate) type Signature = Result<Box<[u8]>, CryptoError>;

/// Makes signatures that take long, beside the worker.
pub(super) struct Signers {
    /// Bounds how many are made at once, for all workers ([`Shared::signatures`](super::Shared)).
    places: Arc<Semaphore>,
    runtime: Handle,
    answers: mpsc::UnboundedSender<Command>,
}

impl Signers {
    pub(super) const fn new(
        places: Arc<Semaphore>,
        runtime: Handle,
        answers: mpsc::UnboundedSender<Command>,
    ) -> Self {
        Self {
            places,
            runtime,
            answers,
        }
    }

    /// Begins a signature; it comes as [`Command::Signature`], unless it is aborted.
    fn start(
        &self,
        connection: ConnectionHandle,
        own: Arc<Own>,
        scheme: SignatureScheme,
        message: Box<[u8]>,
    ) -> AbortHandle {
        let (places, answers) = (Arc::clone(&self.places), self.answers.clone());
        let task = self.runtime.spawn(async move {
            // Whoever gives up while waiting here costs nothing more.
            let place = places.acquire_owned().await;
            let signed = tokio::task::spawn_blocking(move || {
                let _place = place;
                sign(&own, scheme, &message)
            });
            let signature = signed.await.unwrap_or(Err(CryptoError::Unsupported));
            // The proxy may be gone by now.
            let _ = answers.send(Command::Signature {
                connection,
                signature,
            });
        });
        task.abort_handle()
    }
}

fn sign(own: &Own, scheme: SignatureScheme, message: &[u8]) -> Signature {
    let mut signature = [0; MAX_SIGNATURE_LEN];
    let len = own.key().sign(scheme, message, &mut signature)?;
    Ok(signature[..len].into())
}

impl Relay {
    /// The client may take a certificate or raw public key of ours.
    pub(super) fn on_credential_requested(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let now = io.now();
        let Some(handshake) = self.sessions.handshake(connection) else {
            return;
        };
        // From here on the handshake is a full one, whatever session was offered.
        handshake.identity = Identity::default();
        let current = self.certificates.as_ref().map(|c| c.current());
        let chosen = {
            let Some(request) = io.endpoint().credential_request(connection) else {
                return;
            };
            let types: Vec<_> = request.certificate_types().iter().collect();
            let key_types: Vec<_> = [
                KeyType::EcdsaP256,
                KeyType::EcdsaP384,
                KeyType::Ed25519,
                KeyType::Rsa,
            ]
            .into_iter()
            .filter(|&key_type| request.takes(key_type))
            .collect();
            let groups: Option<Vec<_>> = request.groups().map(Iterator::collect);
            let schemes: Vec<_> = request.schemes().collect();
            let authorities: Vec<_> = request.authorities().collect();
            let wanted = Request {
                server_name: str::from_utf8(request.server_name())
                    .ok()
                    .filter(|name| !name.is_empty()),
                schemes: schemes.iter().copied(),
                key_types: Some(&key_types),
                groups: groups.as_deref(),
                types: &types,
                authorities: &authorities,
            };
            match &current {
                Some(current) => current
                    .own
                    .select(&wanted)
                    .map(|(own, scheme)| (Arc::clone(own), scheme)),
                None => Err(Mismatch::NoCredential),
            }
        };
        let answered = match (chosen, &current) {
            (Ok((own, scheme)), Some(current)) => {
                let chain: Vec<&[u8]> = own.chain().collect();
                let authorities: Vec<&[u8]> =
                    current.authorities.iter().map(Vec::as_slice).collect();
                let credential = Credential {
                    certificate_type: own.certificate_type(),
                    chain: &chain,
                    key_type: own.key().key_type(),
                    scheme,
                    authorities: &authorities,
                };
                handshake.own = Some(Arc::clone(&own));
                io.endpoint()
                    .provide_credential(now, connection, &credential)
            }
            (chosen, _) => {
                handshake.mismatch = chosen.err();
                io.endpoint().decline_credential(now, connection)
            }
        };
        if let Err(error) = answered {
            let why = format_args!("our certificate cannot be shown: {error}");
            self.tell(io, connection, FailureReason::Internal, why);
            io.endpoint()
                .abort(connection, AlertDescription::INTERNAL_ERROR);
        }
    }

    /// The engine wants a signature with the key of what was chosen.
    pub(super) fn on_signature_requested(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let Some(handshake) = self.sessions.handshake(connection) else {
            return;
        };
        let Some(own) = handshake.own.take() else {
            return self.on_signature(io, connection, Err(CryptoError::Unsupported));
        };
        let Some(request) = io.endpoint().signature_request(connection) else {
            return;
        };
        if own.key().key_type() == KeyType::Rsa {
            let (scheme, message) = (request.scheme, request.message.into());
            let task = self.signers.start(connection, own, scheme, message);
            handshake.task = Some(task);
        } else {
            let signature = sign(&own, request.scheme, request.message);
            self.on_signature(io, connection, signature);
        }
    }

    /// A signature is there.
    pub(super) fn on_signature(
        &mut self,
        io: &mut Io,
        connection: ConnectionHandle,
        signature: Signature,
    ) {
        let Some(handshake) = self.sessions.handshake(connection) else {
            return; // It was given up meanwhile.
        };
        handshake.task = None;
        let now = io.now();
        let failed = match signature {
            Ok(signature) => {
                let taken = io.endpoint().provide_signature(now, connection, &signature);
                let Err(error) = taken else {
                    return;
                };
                error.to_string()
            }
            Err(error) => error.to_string(),
        };
        let why = format_args!("our private key made no signature: {failed}");
        self.tell(io, connection, FailureReason::Internal, why);
        io.endpoint()
            .abort(connection, AlertDescription::INTERNAL_ERROR);
    }

    /// The client has shown a certificate or raw public key.
    pub(super) fn on_peer_certificate(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let now = io.now();
        let Some(current) = self.certificates.as_ref().map(|c| c.current()) else {
            return;
        };
        let shown = {
            let Some(shown) = io.endpoint().peer_certificate(connection) else {
                return;
            };
            let verdict = current.verifier.verify(&shown, Usage::Client, Time::now());
            match verdict {
                Ok(identity) => {
                    let name = current.name_of(&identity);
                    let label = Label::new(expires(&shown), current.trust, name);
                    Ok((label, identity.to_owned()))
                }
                Err(error) => Err((error, claimed(&shown))),
            }
        };
        let answered = match shown {
            Ok((label, owned)) => {
                let Some(handshake) = self.sessions.handshake(connection) else {
                    return;
                };
                handshake.identity = Identity::certificate(&label.name, owned.key_hash);
                handshake.shown = Some(Box::new(owned));
                io.endpoint()
                    .accept_peer(now, connection, &label.to_bytes())
            }
            Err((error, claimed)) => {
                if let Some(handshake) = self.sessions.handshake(connection) {
                    handshake.shown = claimed.map(Box::new);
                }
                self.tell(io, connection, FailureReason::CertificateRefused, error);
                io.endpoint().refuse_peer(connection, error)
            }
        };
        if let Err(error) = answered {
            error!(%error, "the engine did not take the verdict on a certificate");
        }
    }
}

/// Who somebody says to be whom we do not believe.
fn claimed(shown: &PeerCertificate<'_>) -> Option<OwnedIdentity> {
    let own = shown.chain().next()?;
    match shown.certificate_type() {
        CertificateType::X509 => lockgate_webpki::Identity::of_certificate(own).ok(),
        CertificateType::RawPublicKey => Some(lockgate_webpki::Identity::of_public_key(own)),
    }
    .map(|identity| identity.to_owned())
}

/// What a certificate says, as it stands in log lines: subject, alternative names, key.
pub(super) struct Shown {
    pub(super) subject: Option<String>,
    pub(super) names: Option<String>,
    pub(super) key: Option<String>,
}

impl Shown {
    pub(super) fn new(owned: Option<&OwnedIdentity>) -> Self {
        let names = owned.map(|owned| owned.alternative_names.join(" "));
        Self {
            subject: owned.and_then(|owned| owned.subject.as_deref()).map(cut),
            names: names.filter(|names| !names.is_empty()).as_deref().map(cut),
            key: owned.map(|owned| key(&owned.key_hash)),
        }
    }
}

fn key(hash: &KeyHash) -> String {
    crate::certificates::short(&hash.0).to_string()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_LOGGED) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.into(),
    }
}
