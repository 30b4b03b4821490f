//! What the two ends of a handshake show and how they judge it: a small authority of P-256, and the answers to an
//! endpoint's questions.

use std::collections::HashMap;
use std::sync::Arc;

use lockgate_aws_lc::{AwsLc, PrivateKey};
use lockgate_dtls::certificate::CertificateType;
use lockgate_dtls::crypto::{KeyType, SigningKey as _};
use lockgate_dtls::{
    ConnectionHandle, Credential, Endpoint, Event, Instant, ResumptionRequest, Role, Session,
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
}

/// Both ends' papers, and what each knows of the other.
pub struct Papers {
    /// The client's.
    pub client: Paper,
    /// The server's.
    pub server: Paper,
    /// The authority's certificate, as DER.
    pub authority: Vec<u8>,
    /// What both check by; without it whatever is shown is taken, and only its key proved.
    verifier: Option<Verifier>,
}

impl Papers {
    /// Certificates by one authority, which each end checks the other's against.
    ///
    /// # Panics
    /// When they cannot be made.
    pub fn certificates() -> Self {
        let (client, server, authority) = issue();
        let verifier = Verifier::builder(algorithms::AWS_LC)
            .anchors(&Source::new("authority", authority.clone()))
            .expect("a certificate")
            .build();
        Self {
            client,
            server,
            authority,
            verifier: Some(verifier),
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
            Paper {
                kind: CertificateType::RawPublicKey,
                der: key.public_key_info().to_vec(),
                key,
            }
        });
        let verifier = Verifier::builder(algorithms::AWS_LC)
            .key(KeyHash::of(&client.der))
            .key(KeyHash::of(&server.der))
            .build();
        Self {
            client,
            server,
            authority: Vec::new(),
            verifier: Some(verifier),
        }
    }
}

/// An authority of P-256, a client's and a server's certificate by it.
fn issue() -> (Paper, Paper, Vec<u8>) {
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
    let authority = params.self_signed(&key).expect(made).der().to_vec();
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
        }
    };
    let client = paper("device-01.example", ExtendedKeyUsagePurpose::ClientAuth);
    let server = paper(SERVER_NAME, ExtendedKeyUsagePurpose::ServerAuth);
    (client, server, authority)
}

/// One end's caller: it answers what its endpoint asks.
pub struct Caller {
    role: Role,
    papers: Option<Arc<Papers>>,
    /// Sessions by their ID, on a server.
    store: HashMap<Vec<u8>, Session>,
    /// The newest session of this end's.
    pub session: Option<Session>,
}

impl Caller {
    /// An end that has these, or only the pre-shared key.
    pub fn new(role: Role, papers: Option<Arc<Papers>>) -> Self {
        Self {
            role,
            papers,
            store: HashMap::new(),
            session: None,
        }
    }

    /// Answers one event's question, if it is one.
    ///
    /// # Panics
    /// When there is no good answer: nothing here is meant to fail.
    pub fn answer(
        &mut self,
        endpoint: &mut Endpoint<AwsLc>,
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
                if let Some(verifier) = &self.papers().verifier {
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

    fn papers(&self) -> &Papers {
        self.papers.as_deref().expect("an end with papers")
    }

    fn own(&self) -> &Paper {
        match self.role {
            Role::Client => &self.papers().client,
            Role::Server => &self.papers().server,
        }
    }
}
