//! Certificates and raw public keys in handshakes: what we show and sign with, whom we believe, and who may go on with an
//! earlier session.
//!
//! Whatever runs an engine keeps one [`Papers`] for each handshake and hands the engine's questions on to here.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;

use lockgate_aws_lc::{AwsLc, PrivateKey};
use lockgate_dtls::certificate::{
    CertificateError, CertificateType, CertificateTypes, PeerCertificate,
};
use lockgate_dtls::config::MAX_PEER_NAME_LEN;
use lockgate_dtls::crypto::{KeyType, MAX_SIGNATURE_LEN, SigningKey as _};
use lockgate_dtls::wire::AlertDescription;
use lockgate_dtls::{
    Address, ApiError, Config, ConnectionHandle, Credential, Endpoint, Event, PeerIdentity, Session,
};
use lockgate_webpki::{
    Credential as OwnCredential, CredentialLoader, CredentialStore, Identity, KeyHash, LoadError,
    OwnedIdentity, Request, ServerName, Source, Time, Usage, Verifier, algorithms,
};

use crate::Instant;

/// What one end shows, and whom it believes. Cheap to clone; it never changes while it is in use.
///
/// ```no_run
/// use lockgate_tokio::Credentials;
///
/// // A client that shows a certificate, and believes servers that this authority vouches for.
/// let credentials = Credentials::new()
///     .with_x509_files("device.pem", "device.key")?
///     .trusting_file("ca.pem")?;
/// # Ok::<(), lockgate_tokio::webpki::LoadError>(())
/// ```
#[derive(Clone, Default)]
pub struct Credentials {
    own: Arc<CredentialStore<PrivateKey>>,
    trust: Trust,
}

#[derive(Clone, Default)]
enum Trust {
    /// Peers prove themselves with pre-shared keys or not at all.
    #[default]
    Nobody,
    Known(Arc<Verifier>),
    Anybody,
}

impl Credentials {
    /// Nothing to show, and nobody to believe.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows what of `store` fits the peer best. It takes the place of what was there.
    #[must_use]
    pub fn with_store(mut self, store: impl Into<Arc<CredentialStore<PrivateKey>>>) -> Self {
        self.own = store.into();
        self
    }

    /// Shows one X.509 chain to everybody: the certificates and the private key from two files, PEM or DER.
    ///
    /// # Errors
    /// What is wrong with which file; that certificate and key belong together and have not expired is checked here.
    pub fn with_x509_files(
        self,
        certificates: impl AsRef<FilePath>,
        key: impl AsRef<FilePath>,
    ) -> Result<Self, LoadError> {
        let source = Source::read(&key)?;
        let private = source.private_key(PrivateKey::from_pem, PrivateKey::from_der)?;
        let loader = CredentialLoader {
            algorithms: algorithms::AWS_LC,
            time: Time::now(),
        };
        let credential = loader.x509(&Source::read(certificates)?, source.name(), private)?;
        Ok(self.with_one(credential))
    }

    /// Shows the bare public key to everybody (RFC 7250).
    #[must_use]
    pub fn with_raw_public_key(self, key: PrivateKey) -> Self {
        self.with_one(OwnCredential::raw_public_key(key))
    }

    fn with_one(self, credential: OwnCredential<PrivateKey>) -> Self {
        let mut store = CredentialStore::new();
        for known in self.own.credentials() {
            store.add(Arc::clone(known));
        }
        store.add(credential);
        self.with_store(store)
    }

    /// Believes peers that `verifier` vouches for.
    #[must_use]
    pub fn trusting(mut self, verifier: impl Into<Arc<Verifier>>) -> Self {
        self.trust = Trust::Known(verifier.into());
        self
    }

    /// Believes peers that the authorities in a file vouch for, PEM or DER.
    pub fn trusting_file(self, authorities: impl AsRef<FilePath>) -> Result<Self, LoadError> {
        let builder = Verifier::builder(algorithms::AWS_LC);
        Ok(self.trusting(builder.anchors(&Source::read(authorities)?)?.build()))
    }

    /// Believes anybody, which leaves the connection open to whoever sits in the middle. For tests, and for looking at
    /// what a peer shows.
    #[must_use]
    pub fn trusting_anybody_insecurely(mut self) -> Self {
        self.trust = Trust::Anybody;
        self
    }

    /// Whether there is nothing to show.
    pub fn shows_nothing(&self) -> bool {
        self.own.is_empty()
    }

    /// Enters in a configuration what can be shown and taken. An end without any keeps what stands there.
    pub(crate) fn configure(&self, config: &mut Config, client: bool) {
        const BOTH: [CertificateType; 2] = [CertificateType::X509, CertificateType::RawPublicKey];
        let shown = |kind: &CertificateType| {
            let mut own = self.own.credentials();
            own.any(|credential| credential.certificate_type() == *kind)
        };
        let mut own: Vec<_> = BOTH.into_iter().filter(shown).collect();
        let peer: Vec<_> = match &self.trust {
            Trust::Nobody => Vec::new(),
            Trust::Known(verifier) => verifier.certificate_types().collect(),
            Trust::Anybody => BOTH.into(),
        };
        if own.is_empty() && client && !peer.is_empty() {
            // So that we hear when a server asks, and can say so when that was why it ended the handshake.
            own.push(CertificateType::X509);
        }
        if !own.is_empty() {
            config.own_certificate_types = CertificateTypes::new(&own);
        }
        if !peer.is_empty() {
            config.peer_certificate_types = CertificateTypes::new(&peer);
        }
    }

    /// For a loop of one's own around the engine: enters in a client's configuration what can be shown and taken.
    pub fn configure_client(&self, config: &mut Config) {
        self.configure(config, true);
    }

    /// For a loop of one's own around the engine: answers what the handshake of a client asks about certificates, ours and
    /// the server's; other events are left alone. `expected` is the name that the server's certificate has to be for, or
    /// empty for any; `papers` are those of this handshake.
    ///
    /// # Errors
    /// As the engine's answers; the handshake is over then.
    pub fn answer_client<A: Address>(
        &self,
        endpoint: &mut Endpoint<AwsLc, A>,
        now: Instant,
        connection: ConnectionHandle,
        event: &Event,
        expected: &str,
        papers: &mut ClientPapers,
    ) -> Result<(), ApiError> {
        let papers = &mut papers.0;
        match event {
            Event::CredentialRequested => self.provide(endpoint, now, connection, papers),
            Event::SignatureRequested => {
                papers.sign(endpoint, now, connection);
                Ok(())
            }
            Event::PeerCertificate => {
                let expected = Expected::Server(expected);
                match self.judge(endpoint, connection, expected, papers) {
                    Ok(name) => endpoint.accept_peer(now, connection, &name),
                    Err(error) => endpoint.refuse_peer(connection, error),
                }
            }
            _ => Ok(()),
        }
    }

    /// Answers `CredentialRequested`.
    pub(crate) fn provide<A: Address>(
        &self,
        endpoint: &mut Endpoint<AwsLc, A>,
        now: Instant,
        connection: ConnectionHandle,
        papers: &mut Papers,
    ) -> Result<(), ApiError> {
        let Some(request) = endpoint.credential_request(connection) else {
            return Ok(());
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
        let chosen = self.own.select(&Request {
            server_name: str::from_utf8(request.server_name())
                .ok()
                .filter(|name| !name.is_empty()),
            schemes: schemes.iter().copied(),
            key_types: Some(&key_types),
            groups: groups.as_deref(),
            types: &types,
            authorities: &authorities,
        });
        let Ok((own, scheme)) = chosen else {
            papers.declined = true;
            return endpoint.decline_credential(now, connection);
        };
        let listed: Vec<Vec<u8>> = match &self.trust {
            Trust::Known(verifier) => verifier.authorities().collect(),
            _ => Vec::new(),
        };
        let listed: Vec<&[u8]> = listed.iter().map(Vec::as_slice).collect();
        let chain: Vec<&[u8]> = own.chain().collect();
        let credential = Credential {
            certificate_type: own.certificate_type(),
            chain: &chain,
            key_type: own.key().key_type(),
            scheme,
            authorities: &listed,
        };
        papers.own = Some(Arc::clone(own));
        endpoint.provide_credential(now, connection, &credential)
    }

    /// Looks at what the peer showed for `PeerCertificate`: what it is called from now on, for `accept_peer`. `server`
    /// is whom a client expects.
    pub(crate) fn judge<A: Address>(
        &self,
        endpoint: &Endpoint<AwsLc, A>,
        connection: ConnectionHandle,
        expected: Expected<'_>,
        papers: &mut Papers,
    ) -> Result<Vec<u8>, CertificateError> {
        let shown = endpoint
            .peer_certificate(connection)
            .ok_or(CertificateError::VerifierFailed)?;
        let (identity, verified) = match &self.trust {
            Trust::Nobody => return Err(CertificateError::UnknownIssuer),
            Trust::Anybody => (claimed(&shown)?, false),
            Trust::Known(verifier) => {
                let usage = expected.usage()?;
                (verifier.verify(&shown, usage, Time::now())?, true)
            }
        };
        let shown = ShownCertificate {
            certificate_type: shown.certificate_type(),
            identity: identity.to_owned(),
            chain: shown.chain().map(Into::into).collect(),
            verified,
        };
        let label = Label {
            verified,
            expected: expected.hash(),
            expires: shown.expires(),
            name: shown.identity.name.clone(),
        };
        papers.name = Some(label.name.clone());
        papers.shown = Some(Arc::new(shown));
        Ok(label.to_bytes())
    }

    /// Whether a session with this peer may go on, as far as its certificate is concerned. Resumption shows no
    /// certificate: what was found then counts, until it expires.
    pub(crate) fn still_believed(&self, peer: PeerIdentity<'_>, expected: Expected<'_>) -> bool {
        let PeerIdentity::Certificate { name, .. } = peer else {
            return true;
        };
        let (Some(label), Time::Unix(now)) = (Label::parse(name), Time::now()) else {
            return false;
        };
        let believed = match self.trust {
            Trust::Nobody => false,
            Trust::Anybody => true,
            Trust::Known(_) => label.verified && label.expected == expected.hash(),
        };
        believed && now <= label.expires
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trust: &dyn fmt::Debug = match &self.trust {
            Trust::Nobody => &"nobody",
            Trust::Known(verifier) => verifier,
            Trust::Anybody => &"anybody",
        };
        f.debug_struct("Credentials")
            .field("own", &self.own)
            .field("trust", trust)
            .finish()
    }
}

/// Who a peer should be.
#[derive(Clone, Copy)]
pub(crate) enum Expected<'a> {
    /// A server with a certificate for this name, or for any when it is empty.
    Server(&'a str),
    Client,
}

impl<'a> Expected<'a> {
    fn usage(self) -> Result<Usage<'a>, CertificateError> {
        Ok(match self {
            Self::Client => Usage::Client,
            Self::Server("") => Usage::Server { name: None },
            Self::Server(name) => {
                // What is no name is nobody's.
                let name = ServerName::parse(name).ok_or(CertificateError::WrongName)?;
                Usage::Server { name: Some(name) }
            }
        })
    }

    fn hash(self) -> [u8; 8] {
        let text = match self {
            Self::Server(name) => name,
            Self::Client => "",
        };
        let hash = KeyHash::of(text.to_ascii_lowercase().as_bytes());
        *hash.0.first_chunk().expect("a hash is longer")
    }
}

/// Who somebody says to be whom nobody vouches for.
fn claimed<'p>(shown: &PeerCertificate<'p>) -> Result<Identity<'p>, CertificateError> {
    let own = shown.chain().next().ok_or(CertificateError::Malformed)?;
    match shown.certificate_type() {
        CertificateType::X509 => {
            Identity::of_certificate(own).map_err(|_| CertificateError::Malformed)
        }
        CertificateType::RawPublicKey => Ok(Identity::of_public_key(own)),
    }
}

/// What a peer showed in the handshake, and has proved to be its own.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShownCertificate {
    /// A chain, or a bare key.
    pub certificate_type: CertificateType,
    /// Subject, names, validity, and the hash of the key.
    pub identity: OwnedIdentity,
    /// The DER of each certificate, the peer's own first; of a raw public key the one `SubjectPublicKeyInfo`.
    pub chain: Vec<Box<[u8]>>,
    /// Somebody vouches for it; not so with [`Credentials::trusting_anybody_insecurely`].
    pub verified: bool,
}

impl ShownCertificate {
    /// The last second at which all of it is valid, since 1970.
    fn expires(&self) -> u64 {
        if self.certificate_type == CertificateType::RawPublicKey {
            return u64::MAX;
        }
        let ends = self.chain.iter().map(|certificate| {
            let identity = Identity::of_certificate(certificate).ok();
            // Nobody needed what cannot be read.
            identity
                .and_then(|identity| identity.validity())
                .map_or(u64::MAX, |validity| validity.not_after)
        });
        ends.min().unwrap_or(0)
    }
}

/// What [`Credentials::answer_client`] keeps during one handshake.
#[derive(Default)]
pub struct ClientPapers(Papers);

impl ClientPapers {
    /// Whether the server asked for a certificate, and we had none that it takes.
    pub const fn declined(&self) -> bool {
        self.0.declined
    }
}

/// What is kept of certificates during one handshake.
#[derive(Default)]
pub(crate) struct Papers {
    own: Option<Arc<OwnCredential<PrivateKey>>>,
    pub(crate) shown: Option<Arc<ShownCertificate>>,
    /// What the peer is called, by its certificate now or in an earlier session.
    pub(crate) name: Option<String>,
    /// The session that can be resumed.
    pub(crate) session: Option<Session>,
    /// The peer asked, and we had nothing to show.
    pub(crate) declined: bool,
}

impl Papers {
    /// Answers `SignatureRequested`.
    pub(crate) fn sign<A: Address>(
        &mut self,
        endpoint: &mut Endpoint<AwsLc, A>,
        now: Instant,
        connection: ConnectionHandle,
    ) {
        let Some(request) = endpoint.signature_request(connection) else {
            return;
        };
        let mut signature = [0; MAX_SIGNATURE_LEN];
        let signed = self.own.take().and_then(|own| {
            let signed = own
                .key()
                .sign(request.scheme, request.message, &mut signature);
            signed.ok()
        });
        let given =
            signed.map(|len| endpoint.provide_signature(now, connection, &signature[..len]));
        if !matches!(given, Some(Ok(()))) {
            endpoint.abort(connection, AlertDescription::INTERNAL_ERROR);
        }
    }

    /// Takes over what an earlier session knows of the peer.
    pub(crate) fn remember(&mut self, peer: PeerIdentity<'_>) {
        self.shown = None;
        self.name = match peer {
            PeerIdentity::Certificate { name, .. } => Label::parse(name).map(|label| label.name),
            _ => None,
        };
    }
}

/// What a session remembers of the certificate that it was made with. The engine keeps it, in tickets too, as the peer's
/// name.
struct Label {
    verified: bool,
    /// Whom it was verified for.
    expected: [u8; 8],
    /// Until when all that the peer showed is valid, in seconds since 1970.
    expires: u64,
    name: String,
}

/// First byte of a label, so that a later form can be told from this one.
const LABEL_VERSION: u8 = 1;

impl Label {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![LABEL_VERSION, u8::from(self.verified)];
        bytes.extend(self.expected);
        bytes.extend(self.expires.to_be_bytes());
        // For people; what is decided is decided by the hash of the key.
        let room = MAX_PEER_NAME_LEN - bytes.len();
        let end = self.name.floor_char_boundary(room);
        bytes.extend(self.name[..end].bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (&[LABEL_VERSION, verified], bytes) = bytes.split_first_chunk()? else {
            return None;
        };
        let (expected, bytes) = bytes.split_first_chunk()?;
        let (expires, name) = bytes.split_first_chunk()?;
        Some(Self {
            verified: verified == 1,
            expected: *expected,
            expires: u64::from_be_bytes(*expires),
            name: str::from_utf8(name).ok()?.into(),
        })
    }
}

/// A server's sessions by their ID, for clients that take no tickets: so many, the oldest goes first.
pub(crate) struct SessionStore {
    capacity: usize,
    sessions: HashMap<Box<[u8]>, Session>,
    order: VecDeque<Box<[u8]>>,
}

impl SessionStore {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            sessions: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(crate) fn insert(&mut self, session: Session) {
        if session.id().is_empty() || self.capacity == 0 {
            return;
        }
        while self.order.len() >= self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.sessions.remove(&oldest);
        }
        let id: Box<[u8]> = session.id().into();
        if self.sessions.insert(id.clone(), session).is_none() {
            self.order.push_back(id);
        }
    }

    pub(crate) fn get(&self, id: &[u8]) -> Option<Session> {
        self.sessions.get(id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_back_and_fit_the_engine() {
        for name in ["", "device", &"ü".repeat(100)] {
            let label = Label {
                verified: true,
                expected: [7; 8],
                expires: 1_800_000_000,
                name: name.into(),
            };
            let bytes = label.to_bytes();
            assert!(bytes.len() <= MAX_PEER_NAME_LEN, "{}", bytes.len());
            let again = Label::parse(&bytes).unwrap();
            assert!(again.verified && again.expected == [7; 8] && again.expires == 1_800_000_000);
            assert!(name.starts_with(&again.name) && again.name.len() >= name.len().min(100));
        }
        assert!(Label::parse(b"").is_none() && Label::parse(&[9; 40]).is_none());
    }

    #[test]
    fn a_session_store_forgets_the_oldest() {
        let session = |id: u8| {
            let mut bytes = vec![1, 0, 0xA8, 1];
            bytes.extend([0x55; 48]);
            bytes.extend([1, id]);
            bytes.extend([0; 10]);
            Session::from_bytes(&bytes).expect("the engine's form")
        };
        let mut store = SessionStore::new(2);
        (1..=3).for_each(|id| store.insert(session(id)));
        assert!(store.get(&[1]).is_none());
        assert!(store.get(&[2]).is_some() && store.get(&[3]).is_some());
        assert_eq!(store.order.len(), 2);
    }
}
