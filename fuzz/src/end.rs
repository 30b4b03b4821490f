//! One end: what it is asked, how it answers or does not, and what must have happened before it is connected.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;

use lockgate_dtls::certificate::{CertificateError, ClientAuth};
use lockgate_dtls::crypto::SignatureScheme;
use lockgate_dtls::wire::AlertDescription;
use lockgate_dtls::{
    ApiError, ConnectionHandle, Credential, Endpoint, Event, Instant, ResumptionRequest, Session,
    UdpPath,
};

use crate::options::{MAX_CONNECTIONS, MAX_HALF_OPEN, Options, PROTOCOL, Paper};
use crate::{FuzzProvider, Side, sign};

const IDENTITY: &[u8] = b"device-01";
const KEY: &[u8] = b"0123456789abcdef";
/// Sessions that are kept for resumption.
const MAX_SESSIONS: usize = 16;

/// What a handshake waits for its caller to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// A pre-shared key.
    Psk,
    /// A certificate or raw public key of ours.
    Credential,
    /// A signature.
    Signature,
    /// A verdict on the peer's certificate.
    Peer,
    /// Whether a session goes on.
    Resumption,
}

/// How a question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As it should be.
    Right,
    /// With a no.
    Refuse,
    /// With something of the right kind that cannot lead anywhere.
    Wrong(u8),
    /// As another question, or with an alert.
    Other(u8),
}

/// What has happened in one handshake.
#[allow(
    clippy::struct_excessive_bools,
    reason = "steps, each done or not done"
)]
#[derive(Clone, Copy, Debug, Default)]
struct Proofs {
    key_given: bool,
    signed: bool,
    peer_accepted: bool,
    peer_refused: bool,
    resumption_accepted: bool,
    /// A wrong key, no key, or a wrong signature.
    spoilt: bool,
}

/// One end and what it has told.
pub struct End {
    /// The engine.
    pub endpoint: Endpoint<FuzzProvider, UdpPath>,
    /// Connections that are established, with a secret that the two ends of one share.
    pub established: HashMap<ConnectionHandle, [u8; 16]>,
    /// Questions that wait for the script.
    pub asked: VecDeque<(ConnectionHandle, Question)>,
    /// Secrets of connections that we ended ourselves.
    pub ended: HashSet<[u8; 16]>,
    /// Genuine datagrams on their way here, with the address they come from.
    pub inbox: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Application data that came in.
    pub delivered: Vec<(ConnectionHandle, Vec<u8>)>,
    /// Sessions that can be resumed, the newest last.
    pub sessions: VecDeque<Session>,
    /// Connections that are over: nothing is said of them any more.
    over: HashSet<ConnectionHandle>,
    proofs: HashMap<ConnectionHandle, Proofs>,
    side: Side,
    options: Options,
    paper: Option<Paper>,
    peers_key_hash: Option<[u8; 32]>,
}

impl End {
    /// An end without connections.
    ///
    /// # Panics
    /// When the options make no sense.
    pub fn new(side: Side, options: Options) -> Self {
        let provider = FuzzProvider::new(1 + side as u64, options.lenient());
        let endpoint = Endpoint::new(provider, Instant::default(), options.config(side));
        Self {
            endpoint: endpoint.expect("valid options"),
            established: HashMap::new(),
            asked: VecDeque::new(),
            ended: HashSet::new(),
            inbox: VecDeque::new(),
            delivered: Vec::new(),
            sessions: VecDeque::new(),
            over: HashSet::new(),
            proofs: HashMap::new(),
            side,
            options,
            paper: options.paper(side),
            peers_key_hash: options.paper(side.other()).map(|paper| paper.key_hash),
        }
    }

    /// What holds after every step.
    ///
    /// # Panics
    /// When it does not.
    pub fn check_bounds(&self) {
        assert!(self.endpoint.connections() <= MAX_CONNECTIONS);
        assert!(self.endpoint.half_open() <= MAX_HALF_OPEN);
        assert_eq!(
            self.endpoint.handles().count(),
            self.endpoint.connections() as usize
        );
    }

    /// Takes note of an event: asked questions, sessions, proofs, ends.
    ///
    /// # Panics
    /// When it may not be.
    pub fn note(&mut self, handle: ConnectionHandle, event: &Event) {
        assert!(
            !self.over.contains(&handle),
            "an event of a connection that is over: {event:?}"
        );
        let question = match event {
            Event::PskRequested => Question::Psk,
            Event::CredentialRequested => Question::Credential,
            Event::SignatureRequested => Question::Signature,
            Event::PeerCertificate => Question::Peer,
            Event::ResumptionRequested => Question::Resumption,
            Event::NewSession(session) => {
                assert!(self.options.resumes(), "a session that nobody wants");
                let again = Session::from_bytes(session.as_bytes()).expect("a session");
                assert!(again == *session);
                self.sessions.push_back(again);
                if self.sessions.len() > MAX_SESSIONS {
                    self.sessions.pop_front();
                }
                return;
            }
            Event::Connected => return self.check_connected(handle),
            Event::Closed(_) => return self.forget(handle),
            _ => return,
        };
        assert!(
            !self.established.contains_key(&handle),
            "a question about an established connection"
        );
        self.asked.push_back((handle, question));
    }

    /// Nothing is said of a connection from now on.
    pub fn forget(&mut self, handle: ConnectionHandle) {
        self.proofs.remove(&handle);
        self.over.insert(handle);
    }

    /// Nobody is connected without the proofs that the options demand.
    fn check_connected(&self, handle: ConnectionHandle) {
        let lenient = self.options.lenient();
        let proofs = self.proofs.get(&handle).copied().unwrap_or_default();
        assert!(!proofs.peer_refused, "connected with a refused peer");
        assert!(
            !proofs.spoilt || !lenient.is_strict(),
            "connected with a wrong key or signature: {proofs:?}"
        );
        // It may have been closed by the same datagram.
        let Some(info) = self.endpoint.info(handle) else {
            return;
        };
        let parameters = info.cipher_suite.parameters().expect("a known suite");
        let with_psk = parameters.key_exchange.uses_psk();
        let server = self.side == Side::Server;
        if info.resumed {
            assert!(
                proofs.resumption_accepted,
                "resumed without leave: {proofs:?}"
            );
        } else if with_psk {
            assert!(proofs.key_given, "connected without a key: {proofs:?}");
        } else if server {
            assert!(proofs.signed, "connected without our signature: {proofs:?}");
        } else {
            assert!(proofs.peer_accepted, "connected without a verdict");
        }
        let required = !with_psk && (!server || self.options.client_auth() == ClientAuth::Required);
        assert!(
            !required || info.peer_key_hash.is_some(),
            "connected with nobody"
        );
        if let Some(hash) = info.peer_key_hash {
            assert!(!with_psk, "a certificate beside a pre-shared key");
            assert!(info.resumed || proofs.peer_accepted);
            // A lenient handshake may be with anybody.
            assert!(!lenient.is_strict() || Some(hash) == self.peers_key_hash);
        }
        if self.options.has_protocol() && lenient.is_strict() {
            assert_eq!(self.endpoint.protocol(handle), Some(PROTOCOL));
        }
    }

    /// Answers one of the questions, the oldest for 0.
    pub fn answer(&mut self, now: Instant, place: usize, how: How) {
        let len = self.asked.len().max(1);
        let Some((handle, question)) = self.asked.remove(place % len) else {
            return;
        };
        use Question as Q;
        let gone = self.endpoint.path(handle).is_none();
        let seen = self.look_at(handle);
        assert!(!gone || seen == 0, "words of a connection that is gone");
        // The handshake may be over by now: then there is nobody to answer, which is an error and no more.
        let answered = match (how, question) {
            (How::Right, Q::Psk) => self.give_key(now, handle, KEY),
            (How::Right, Q::Credential) => self.show(now, handle, None),
            (How::Right, Q::Signature) => self.sign(now, handle, None),
            (How::Right, Q::Peer) => self.accept_peer(now, handle, b"the peer"),
            (How::Right, Q::Resumption) => self.resume(now, handle),
            (How::Refuse, Q::Psk) => self.call(now, handle, 0, 0),
            (How::Refuse, Q::Credential) => self.call(now, handle, 2, 0),
            (How::Refuse, Q::Signature) => self.call(now, handle, 11, 0),
            (How::Refuse, Q::Peer) => self.call(now, handle, 6, 0),
            (How::Refuse, Q::Resumption) => self.call(now, handle, 8, 0),
            (How::Wrong(v), Q::Psk) => self.call(now, handle, 9, v),
            (How::Wrong(v), Q::Credential) => self.show(now, handle, Some(v)),
            (How::Wrong(v), Q::Signature) => self.sign(now, handle, Some(v)),
            (How::Wrong(_), Q::Peer) => self.accept_peer(now, handle, &[b'n'; 200]),
            (How::Wrong(v), Q::Resumption) => self.call(now, handle, 7, v),
            (How::Other(method), _) => self.call(now, handle, method, method >> 4),
        };
        match answered {
            // To end what is over is no mistake.
            Ok(()) => assert!(!gone || matches!(how, How::Other(_) | How::Refuse)),
            // The question stays open.
            Err(
                ApiError::UnusableCredential
                | ApiError::BadSession
                | ApiError::BadLength
                | ApiError::ScratchTooSmall { .. },
            ) => self.asked.push_back((handle, question)),
            Err(ApiError::NotRequested)
                if !gone && matches!(how, How::Other(_) | How::Wrong(_)) =>
            {
                self.asked.push_back((handle, question));
            }
            Err(_) => {}
        }
    }

    /// Reads all that a question shows.
    fn look_at(&self, handle: ConnectionHandle) -> usize {
        let endpoint = &self.endpoint;
        let mut seen = endpoint.psk_identity(handle).map_or(0, <[u8]>::len);
        seen += endpoint.server_name(handle).map_or(0, <[u8]>::len);
        if let Some(request) = endpoint.credential_request(handle) {
            seen +=
                request.schemes().count() + request.authorities().map(<[u8]>::len).sum::<usize>();
            seen += request.cipher_suites().count() + request.server_name().len();
            seen += request.groups().map_or(0, Iterator::count);
        }
        if let Some(request) = endpoint.signature_request(handle) {
            seen += request.message.len();
        }
        if let Some(peer) = endpoint.peer_certificate(handle) {
            assert!(peer.public_key_info().is_ok(), "a peer without a key");
            seen += peer.chain().map(<[u8]>::len).sum::<usize>();
        }
        if let Some(ResumptionRequest::SessionId(id)) = endpoint.resumption_request(handle) {
            assert!(!id.is_empty() && id.len() <= 32);
            seen += id.len();
        }
        seen + usize::from(endpoint.peer_identity(handle).is_some())
    }

    fn proofs(&mut self, handle: ConnectionHandle) -> &mut Proofs {
        self.proofs.entry(handle).or_default()
    }

    fn give_key(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        key: &[u8],
    ) -> Result<(), ApiError> {
        match self.side {
            Side::Client => self.endpoint.provide_identity(now, handle, IDENTITY, key)?,
            Side::Server => self.endpoint.provide_psk(now, handle, key)?,
        }
        let right = key == KEY;
        let proofs = self.proofs(handle);
        proofs.key_given = true;
        proofs.spoilt |= !right;
        Ok(())
    }

    fn show(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        wrong: Option<u8>,
    ) -> Result<(), ApiError> {
        let Some(request) = self.endpoint.credential_request(handle) else {
            return self.endpoint.decline_credential(now, handle);
        };
        let Some(paper) = &self.paper else {
            return self.endpoint.decline_credential(now, handle);
        };
        let fits = request.schemes().any(|scheme| scheme == paper.scheme)
            && request.certificate_types().contains(paper.certificate_type)
            && request.takes(paper.key_type);
        if !fits && wrong.is_none() {
            return self.endpoint.decline_credential(now, handle);
        }
        let huge = vec![0x30; 20_000];
        let mut chain: Vec<&[u8]> = paper.chain.iter().map(Vec::as_slice).collect();
        let mut scheme = paper.scheme;
        match wrong.map(|v| v % 6) {
            Some(0) => chain.clear(),
            Some(1) => scheme = SignatureScheme::RSA_PKCS1_SHA256,
            Some(2) => chain = vec![&[]],
            Some(3) => chain.push(&huge),
            Some(4) => chain = vec![b"\x30\x03\x02\x01\x01"],
            Some(_) => chain.insert(0, &huge[..40]),
            None => {}
        }
        let credential = Credential {
            certificate_type: paper.certificate_type,
            chain: &chain,
            key_type: paper.key_type,
            scheme,
            authorities: &[b"\x30\x00"],
        };
        self.endpoint.provide_credential(now, handle, &credential)
    }

    fn sign(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        wrong: Option<u8>,
    ) -> Result<(), ApiError> {
        let signature = match (self.endpoint.signature_request(handle), &self.paper) {
            (Some(request), Some(paper)) => sign(&paper.key, request.scheme, request.message)
                .as_ref()
                .to_vec(),
            _ => Vec::new(),
        };
        let signature = match wrong.map(|v| v % 4) {
            None => signature,
            Some(0) => vec![0x5A; 32],
            Some(1) => Vec::new(),
            Some(2) => vec![0x30; 1100],
            Some(_) => vec![0x30; 72],
        };
        self.endpoint.provide_signature(now, handle, &signature)?;
        let proofs = self.proofs(handle);
        proofs.signed = true;
        proofs.spoilt |= wrong.is_some();
        Ok(())
    }

    fn accept_peer(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        name: &[u8],
    ) -> Result<(), ApiError> {
        self.endpoint.accept_peer(now, handle, name)?;
        self.proofs(handle).peer_accepted = true;
        Ok(())
    }

    fn resume(&mut self, now: Instant, handle: ConnectionHandle) -> Result<(), ApiError> {
        let known = match self.endpoint.resumption_request(handle) {
            Some(ResumptionRequest::SessionId(id)) => {
                let found = self.sessions.iter().find(|session| session.id() == id);
                found.cloned()
            }
            Some(ResumptionRequest::Known(_)) => {
                self.endpoint.accept_resumption(now, handle)?;
                self.proofs(handle).resumption_accepted = true;
                return Ok(());
            }
            None => None,
        };
        let Some(session) = known else {
            return self.endpoint.refuse_resumption(now, handle);
        };
        self.endpoint.provide_session(now, handle, &session)?;
        self.proofs(handle).resumption_accepted = true;
        Ok(())
    }

    /// Any answer there is.
    fn call(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        method: u8,
        variant: u8,
    ) -> Result<(), ApiError> {
        match method % 12 {
            0 => match self.side {
                Side::Server => {
                    self.endpoint.refuse_psk(now, handle)?;
                    let proofs = self.proofs(handle);
                    proofs.key_given = true;
                    proofs.spoilt = true;
                    Ok(())
                }
                Side::Client => self.endpoint.fail_psk(handle),
            },
            1 => self.endpoint.fail_psk(handle),
            2 => self.endpoint.decline_credential(now, handle),
            3 => self.show(now, handle, Some(variant)),
            4 => self.sign(now, handle, Some(variant)),
            5 => self.accept_peer(now, handle, b""),
            6 => {
                self.endpoint
                    .refuse_peer(handle, CertificateError::Revoked)?;
                self.proofs(handle).peer_refused = true;
                Ok(())
            }
            7 => {
                let len = self.sessions.len().max(1);
                let Some(session) = self.sessions.get(usize::from(variant) % len).cloned() else {
                    return self.endpoint.refuse_resumption(now, handle);
                };
                self.endpoint.provide_session(now, handle, &session)?;
                self.proofs(handle).resumption_accepted = true;
                Ok(())
            }
            8 => self.endpoint.refuse_resumption(now, handle),
            // Keys of the wrong kind: of the other end's, empty, too long.
            9 => match (variant % 4, self.side) {
                (0, Side::Client) => self.give_key(now, handle, b"the client's own"),
                (0, Side::Server) => self.give_key(now, handle, b"the server's own"),
                (1, _) => self.give_key(now, handle, b""),
                (2, _) => self.give_key(now, handle, &[7; 65]),
                (_, Side::Client) => self.endpoint.provide_psk(now, handle, KEY),
                (_, Side::Server) => self.endpoint.provide_identity(now, handle, IDENTITY, KEY),
            },
            10 => {
                self.endpoint.accept_resumption(now, handle)?;
                self.proofs(handle).resumption_accepted = true;
                Ok(())
            }
            _ => {
                self.endpoint
                    .abort(handle, AlertDescription(variant.wrapping_mul(10)));
                Ok(())
            }
        }
    }
}
