//! What the two ends of a handshake show and how they judge it: a small authority of P-256, and the answers to an
//! endpoint's questions.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use lockgate_aws_lc::{AwsLc, PrivateKey};
use lockgate_dtls::certificate::CertificateType;
use lockgate_dtls::crypto::{KeyType, SigningKey as _};
use lockgate_dtls::{
    Address, ConnectionHandle, Credential, Endpoint, Event, Instant, ResumptionRequest, Role,
    Session,
};
use lockgate_webpki::{KeyHash, ServerName, Source, Time, Usage, Verifier, algorithms};

use crate::loopback::{IDENTITY, KEY};

/// The host name of every server here.
pub const SERVER_NAME: &str = "gate.example";

/// Longest signature of ECDSA on P-256, in bytes.
pub const MAX_ECDSA_LEN: usize = 72;

/// What the two ends of a handshake prove themselves with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// One pre-shared key.
    Psk,
    /// A certificate of the server's.
    Server,
    /// Certificates of both.
    Mutual,
    /// Raw public keys of both.
    RawKeys,
}

/// One end's certificate or raw public key, all of P-256.
pub struct Paper {
    /// Which of the two.
    pub kind: CertificateType,
    /// The certificate, or the `SubjectPublicKeyInfo`, as DER. The authority's certificate is not shown.
    pub der: Vec<u8>,
    /// The key to it.
    pub key: PrivateKey,
    /// The certificate and the key as PEM, for programs that read files; of a raw public key, nothing.
    pub pem: Option<[String; 2]>,
}

/// Both ends' papers, and what each knows of the other.
pub struct Papers {
    /// The client's.
    pub client: Arc<Paper>,
    /// The server's.
    pub server: Arc<Paper>,
    /// The authority's certificate, as DER.
    pub authority: Vec<u8>,
    /// The same as PEM; empty where there is none.
    pub authority_pem: String,
    /// What both check by; without it whatever is shown is taken, and only its key proved.
    verifier: Option<Arc<Verifier>>,
}

impl Paper {
    /// A certificate and the key to it.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn load(der: &Path, key_pem: &Path) -> io::Result<Self> {
        let key = PrivateKey::from_pem(&fs::read(key_pem)?).map_err(io::Error::other)?;
        Ok(Self {
            kind: CertificateType::X509,
            der: fs::read(der)?,
            key,
            pem: None,
        })
    }
}

/// What certificates by `authority` (DER) are checked with.
///
/// # Panics
/// When it is no certificate.
pub fn verifier(authority: Vec<u8>) -> Arc<Verifier> {
    let builder = Verifier::builder(algorithms::AWS_LC)
        .anchors(&Source::new("authority", authority))
        .expect("a certificate");
    Arc::new(builder.build())
}

impl Papers {
    /// Certificates by one authority, which each end checks the other's against.
    ///
    /// # Panics
    /// When they cannot be made.
    pub fn certificates() -> Self {
        let Issued {
            client,
            server,
            authority,
            authority_pem,
        } = issue();
        Self {
            client: Arc::new(client),
            server: Arc::new(server),
            verifier: Some(verifier(authority.clone())),
            authority,
            authority_pem,
        }
    }

    /// The same, where both take the other's as it is: no chain is checked.
    pub fn unchecked() -> Self {
        Self {
            verifier: None,
            ..Self::certificates()
        }
    }

    /// Raw public keys that each knows of the other.
    ///
    /// # Panics
    /// When they cannot be made.
    pub fn raw_keys() -> Self {
        let [client, server] = [(), ()].map(|()| {
            let key = PrivateKey::generate(KeyType::EcdsaP256).expect("randomness");
            Arc::new(Paper {
                kind: CertificateType::RawPublicKey,
                der: key.public_key_info().to_vec(),
                key,
                pem: None,
            })
        });
        let verifier = Verifier::builder(algorithms::AWS_LC)
            .key(KeyHash::of(&client.der))
            .key(KeyHash::of(&server.der))
            .build();
        Self {
            client,
            server,
            authority: Vec::new(),
            authority_pem: String::new(),
            verifier: Some(Arc::new(verifier)),
        }
    }
}

/// What [`issue`] makes.
struct Issued {
    client: Paper,
    server: Paper,
    authority: Vec<u8>,
    authority_pem: String,
}

/// An authority of P-256, a client's and a server's certificate by it.
fn issue() -> Issued {
    use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa};
    use rcgen::{Issuer, KeyPair, KeyUsagePurpose};
    let made = "a certificate that rcgen makes";
    let mut params = CertificateParams::new(Vec::new()).expect(made);
    params
        .distinguished_name
        .push(DnType::CommonName, "authority.example");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().expect(made);
    let authority = params.self_signed(&key).expect(made);
    let issuer = Issuer::new(params, key);
    let paper = |name: &str, purpose| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect(made);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().expect(made);
        let certificate = params.signed_by(&key, &issuer).expect(made);
        Paper {
            kind: CertificateType::X509,
            der: certificate.der().to_vec(),
            key: PrivateKey::from_der(key.serialized_der()).expect(made),
            pem: Some([certificate.pem(), key.serialize_pem()]),
        }
    };
    Issued {
        client: paper("device-01.example", ExtendedKeyUsagePurpose::ClientAuth),
        server: paper(SERVER_NAME, ExtendedKeyUsagePurpose::ServerAuth),
        authority: authority.der().to_vec(),
        authority_pem: authority.pem(),
    }
}

/// One end's caller: it answers what its endpoint asks.
pub struct Caller {
    role: Role,
    own: Option<Arc<Paper>>,
    verifier: Option<Arc<Verifier>>,
    /// Sessions by their ID, on a server.
    store: HashMap<Vec<u8>, Session>,
    /// The newest session of this end's.
    pub session: Option<Session>,
}

impl Caller {
    /// An end that has these, or only the pre-shared key.
    pub fn new(role: Role, papers: Option<Arc<Papers>>) -> Self {
        let own = papers.as_ref().map(|papers| match role {
            Role::Client => Arc::clone(&papers.client),
            Role::Server => Arc::clone(&papers.server),
        });
        Self::with(role, own, papers.and_then(|papers| papers.verifier.clone()))
    }

    /// An end that shows `own` and checks with `verifier` what it is shown; without one, it takes anything.
    pub fn with(role: Role, own: Option<Arc<Paper>>, verifier: Option<Arc<Verifier>>) -> Self {
        Self {
            role,
            own,
            verifier,
            store: HashMap::new(),
            session: None,
        }
    }

    /// Answers one event's question, if it is one.
    ///
    /// # Panics
    /// When there is no good answer: nothing here is meant to fail.
    pub fn answer<A: Address>(
        &mut self,
        endpoint: &mut Endpoint<AwsLc, A>,
        now: Instant,
        handle: ConnectionHandle,
        event: Event,
    ) {
        match event {
            Event::PskRequested => match self.role {
                Role::Client => endpoint.provide_identity(now, handle, IDENTITY, KEY),
                Role::Server => {
                    let known = endpoint.psk_identity(handle) == Some(IDENTITY);
                    assert!(known, "the identity that the client was given");
                    endpoint.provide_psk(now, handle, KEY)
                }
            }
            .expect("asked for"),
            Event::CredentialRequested => {
                let paper = self.own();
                let request = endpoint.credential_request(handle).expect("asked for");
                let scheme = request.schemes().find(|&s| paper.key.supports(s));
                let credential = Credential {
                    certificate_type: paper.kind,
                    chain: &[&paper.der],
                    key_type: paper.key.key_type(),
                    scheme: scheme.expect("ECDSA on P-256"),
                    authorities: &[],
                };
                endpoint
                    .provide_credential(now, handle, &credential)
                    .expect("usable");
            }
            Event::SignatureRequested => {
                let request = endpoint.signature_request(handle).expect("asked for");
                let mut signature = [0; MAX_ECDSA_LEN];
                let signed = (self.own().key).sign(request.scheme, request.message, &mut signature);
                let len = signed.expect("a scheme of the key's");
                endpoint
                    .provide_signature(now, handle, &signature[..len])
                    .expect("asked for");
            }
            Event::PeerCertificate => {
                let shown = endpoint.peer_certificate(handle).expect("asked for");
                if let Some(verifier) = &self.verifier {
                    let usage = match self.role {
                        Role::Client => Usage::Server {
                            name: ServerName::parse(SERVER_NAME),
                        },
                        Role::Server => Usage::Client,
                    };
                    verifier
                        .verify(&shown, usage, Time::now())
                        .expect("issued by the authority, or known");
                }
                endpoint
                    .accept_peer(now, handle, b"the peer")
                    .expect("asked for");
            }
            Event::ResumptionRequested => {
                match endpoint.resumption_request(handle).expect("asked for") {
                    ResumptionRequest::SessionId(id) => {
                        let session = self.store.get(id).expect("a session of ours");
                        endpoint.provide_session(now, handle, session)
                    }
                    ResumptionRequest::Known(_) => endpoint.accept_resumption(now, handle),
                }
                .expect("asked for");
            }
            Event::NewSession(session) => {
                if self.role == Role::Server {
                    self.store.insert(session.id().to_vec(), session.clone());
                }
                self.session = Some(session);
            }
            Event::Closed(reason) => panic!("the {:?} ended: {reason:?}", self.role),
            _ => {}
        }
    }

    fn own(&self) -> &Paper {
        self.own.as_deref().expect("an end with papers")
    }
}
