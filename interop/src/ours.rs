//! Our own end: the engine on a plain UDP socket, in a thread, as a server or as a client.
//!
//! `lockgate proxy` and `nc` are what users have; this is what tests turn all the engine's options with.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant as Clock};

use lockgate_aws_lc::{AwsLc, PrivateKey};
use lockgate_dtls::certificate::{CertificateError, CertificateType};
use lockgate_dtls::crypto::{MAX_SIGNATURE_LEN, SigningKey as _};
use lockgate_dtls::{
    CipherSuite, CloseReason, Config, ConnectionHandle, Credential, Datagram, Endpoint,
    EndpointConfig, Event, Instant, PeerIdentity, Received, ResumptionRequest, Session, UdpPath,
};
use lockgate_webpki::{ServerName, Time, Usage, Verifier};

use crate::PATIENCE;

/// How often the thread looks at what it is told to do.
const TICK: Duration = Duration::from_millis(3);

/// A chain or raw public key of ours, and the private key to it.
pub struct Own {
    /// Which of the two.
    pub certificate_type: CertificateType,
    /// The DER of each certificate, or the one `SubjectPublicKeyInfo`.
    pub chain: Vec<Vec<u8>>,
    /// The private key.
    pub key: PrivateKey,
}

/// What our end goes by.
#[derive(Clone)]
pub struct Options {
    /// The engine's options.
    pub config: Config,
    /// Identity and key; a server knows this one alone.
    pub psk: Option<(Vec<u8>, Vec<u8>)>,
    /// What we show.
    pub own: Option<Arc<Own>>,
    /// Whom we trust; nobody without it.
    pub trust: Option<Arc<Verifier>>,
    /// The name that a client asks for and checks, or empty.
    pub server_name: String,
    /// What a server makes of a datagram: its answer, or none.
    pub answer: fn(&[u8]) -> Option<Vec<u8>>,
}

/// What was agreed, as our side reports it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The suite.
    pub suite: CipherSuite,
    /// An earlier session went on.
    pub resumed: bool,
    /// What the peer proved itself with.
    pub peer: Proof,
    /// How long the connection IDs are that the peer's records and ours carry, in bytes.
    pub cid: (usize, usize),
}

/// What a peer proved itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing.
    Nothing,
    /// The pre-shared key of this identity; a client's server has no name.
    Psk(String),
    /// A certificate with this name.
    X509(String),
    /// A raw public key.
    RawPublicKey,
}

/// What happened, as the thread tells it.
#[derive(Debug)]
enum Told {
    Connected(Report),
    Received(Vec<u8>),
    Closed(CloseReason),
}

enum Order {
    Send(Vec<u8>),
    Close,
    Stop,
}

/// Our end, running until it is dropped.
pub struct Ours {
    address: SocketAddr,
    orders: Sender<Order>,
    told: Receiver<Told>,
    sessions: Receiver<Session>,
    thread: Option<JoinHandle<()>>,
}

impl Ours {
    /// A server on a free port of the loopback address.
    pub fn serve(options: Options) -> Self {
        Self::start(options, None)
    }

    /// A client on its way to `server`, perhaps with an earlier session to go on with.
    pub fn connect(options: Options, server: SocketAddr, session: Option<Session>) -> Self {
        Self::start(options, Some((server, session)))
    }

    fn start(options: Options, target: Option<(SocketAddr, Option<Session>)>) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free UDP port");
        socket.set_read_timeout(Some(TICK)).expect("a time-out");
        let address = socket.local_addr().expect("bound");
        let (orders, ordered) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let (keep, sessions) = mpsc::channel();
        let config = EndpointConfig {
            config: options.config,
            server: target.is_none(),
            ..EndpointConfig::default()
        };
        let endpoint =
            Endpoint::new(AwsLc, Instant::default(), config).expect("options that make sense");
        let mut end = End {
            socket,
            endpoint,
            options,
            start: Clock::now(),
            tell,
            keep,
            newest: None,
            proofs: HashMap::new(),
            store: HashMap::new(),
        };
        if let Some((server, session)) = target {
            let name = end.options.server_name.clone();
            let path = UdpPath::from(server);
            let now = end.now();
            end.endpoint
                .connect_with(now, path, name.as_bytes(), session.as_ref())
                .expect("a place in an empty table");
        }
        let thread = thread::spawn(move || end.run(&ordered));
        Self {
            address,
            orders,
            told,
            sessions,
            thread: Some(thread),
        }
    }

    /// Where a server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until a handshake completes.
    ///
    /// # Errors
    /// Why it did not.
    pub fn connected(&self) -> Result<Report, String> {
        self.connected_within(PATIENCE)
    }

    /// [`Ours::connected`] with a time of its own.
    ///
    /// # Errors
    /// Why it did not.
    pub fn connected_within(&self, time: Duration) -> Result<Report, String> {
        match self.next(time)? {
            Told::Connected(report) => Ok(report),
            other => Err(format!("our side: no handshake, but {}", describe(&other))),
        }
    }

    /// Waits for a datagram that contains `text`.
    ///
    /// # Errors
    /// What came instead.
    pub fn receive(&self, text: &[u8]) -> Result<Vec<u8>, String> {
        match self.next(PATIENCE)? {
            Told::Received(bytes)
                if text.is_empty() || bytes.windows(text.len()).any(|w| w == text) =>
            {
                Ok(bytes)
            }
            other => Err(format!(
                "our side: not {:?}, but {}",
                text.escape_ascii().to_string(),
                describe(&other)
            )),
        }
    }

    /// Waits for the end of a connection or handshake. What else happens before is passed over.
    ///
    /// # Errors
    /// None came in time.
    pub fn closed(&self) -> Result<CloseReason, String> {
        loop {
            if let Told::Closed(reason) = self.next(PATIENCE)? {
                return Ok(reason);
            }
        }
    }

    fn next(&self, time: Duration) -> Result<Told, String> {
        self.told
            .recv_timeout(time)
            .map_err(|_| format!("our side: nothing happened within {time:?}"))
    }

    /// The newest session that can be resumed.
    pub fn session(&self) -> Option<Session> {
        self.sessions.try_iter().last()
    }

    /// Sends on the newest connection.
    pub fn send(&self, datagram: &[u8]) {
        // A thread that is gone shows in what it does not tell.
        let _ = self.orders.send(Order::Send(datagram.into()));
    }

    /// Says goodbye on the newest connection.
    pub fn close(&self) {
        let _ = self.orders.send(Order::Close);
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn describe(told: &Told) -> String {
    match told {
        Told::Connected(report) => format!("connected: {report:?}"),
        Told::Received(bytes) => format!("{:?}", bytes.escape_ascii().to_string()),
        Told::Closed(reason) => format!("closed: {reason}"),
    }
}

/// What the thread has.
struct End {
    socket: UdpSocket,
    endpoint: Endpoint<AwsLc>,
    options: Options,
    start: Clock,
    tell: Sender<Told>,
    keep: Sender<Session>,
    newest: Option<ConnectionHandle>,
    /// What was shown in handshakes that are under way.
    proofs: HashMap<ConnectionHandle, Proof>,
    /// A server's sessions by their ID.
    store: HashMap<Vec<u8>, Session>,
}

impl End {
    fn now(&self) -> Instant {
        Instant::from_micros(self.start.elapsed().as_micros() as u64)
    }

    fn run(&mut self, ordered: &Receiver<Order>) {
        let mut buf = vec![0; 65_536];
        loop {
            loop {
                match ordered.try_recv() {
                    Ok(Order::Send(datagram)) => self.send(self.newest, &datagram),
                    Ok(Order::Close) => {
                        if let Some(handle) = self.newest {
                            self.endpoint.close(handle);
                        }
                    }
                    Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return,
                    Err(TryRecvError::Empty) => break,
                }
            }
            // Time-outs and ICMP errors alike mean: go on.
            if let Ok((len, from)) = self.socket.recv_from(&mut buf) {
                self.take(from, &mut buf[..len]);
            }
            self.endpoint.handle_timeout(self.now());
            self.settle(&mut buf);
        }
    }

    fn send(&mut self, handle: Option<ConnectionHandle>, datagram: &[u8]) {
        let mut out = vec![0; datagram.len() + 512];
        let Some(handle) = handle else { return };
        if let Ok((record, path)) = self.endpoint.send(handle, datagram, &mut out) {
            let _ = self.socket.send_to(&out[record], path.remote());
        }
    }

    fn take(&mut self, from: SocketAddr, bytes: &mut [u8]) {
        let mut datagram = Datagram::new(bytes);
        let mut answers = Vec::new();
        while let Some(received) =
            self.endpoint
                .handle(self.now(), UdpPath::from(from), &mut datagram)
        {
            // `Connected` is told before the data that follows it.
            self.events();
            match received {
                Received::Application {
                    connection,
                    payload,
                } => {
                    let payload = &datagram.bytes()[payload];
                    if let Some(answer) = (self.options.answer)(payload) {
                        answers.push((connection, answer));
                    }
                    let _ = self.tell.send(Told::Received(payload.into()));
                }
                Received::Reply(range) => {
                    let _ = self.socket.send_to(&datagram.bytes()[range], from);
                }
                Received::Dropped { .. } | Received::Progress(_) | Received::Kept => {}
            }
        }
        for (connection, answer) in answers {
            self.send(Some(connection), &answer);
        }
    }

    /// Answers what is asked, and sends what is to be sent.
    fn settle(&mut self, buf: &mut [u8]) {
        loop {
            self.events();
            let Some(transmit) = self.endpoint.poll_transmit(self.now(), buf) else {
                return;
            };
            let _ = self
                .socket
                .send_to(&buf[..transmit.len], transmit.path.remote());
        }
    }

    fn events(&mut self) {
        while let Some((handle, event)) = self.endpoint.poll_event() {
            match event {
                Event::PskRequested => self.give_psk(handle),
                Event::CredentialRequested => self.give_credential(handle),
                Event::SignatureRequested => self.sign(handle),
                Event::PeerCertificate => self.judge(handle),
                Event::ResumptionRequested => self.resume(handle),
                Event::NewSession(session) => {
                    if !session.id().is_empty() {
                        self.store.insert(session.id().to_vec(), session.clone());
                    }
                    let _ = self.keep.send(session);
                }
                Event::Connected => {
                    self.newest = Some(handle);
                    if let Some(report) = self.report(handle) {
                        let _ = self.tell.send(Told::Connected(report));
                    }
                }
                Event::Closed(reason) => {
                    let _ = self.tell.send(Told::Closed(reason));
                }
                Event::PathChanged | Event::KeyLog(_) => {}
            }
        }
    }

    fn report(&mut self, handle: ConnectionHandle) -> Option<Report> {
        let info = self.endpoint.info(handle)?;
        Some(Report {
            suite: info.cipher_suite,
            resumed: info.resumed,
            peer: self.proofs.remove(&handle).unwrap_or(Proof::Nothing),
            cid: (
                info.own_cid.as_slice().len(),
                info.peer_cid.as_slice().len(),
            ),
        })
    }

    fn give_psk(&mut self, handle: ConnectionHandle) {
        let now = self.now();
        let said = self.endpoint.psk_identity(handle).unwrap_or_default();
        let known = self.options.psk.as_ref();
        let answered = if self.endpoint.config().server {
            let identity = String::from_utf8_lossy(said).into();
            match known.filter(|(known, _)| known == said) {
                Some((_, key)) => {
                    self.proofs.insert(handle, Proof::Psk(identity));
                    self.endpoint.provide_psk(now, handle, key)
                }
                None => self.endpoint.refuse_psk(now, handle),
            }
        } else {
            self.proofs.insert(handle, Proof::Psk(String::new()));
            let (identity, key) = known.expect("a client that offers PSK suites has a key");
            self.endpoint.provide_identity(now, handle, identity, key)
        };
        answered.expect("it was asked");
    }

    fn give_credential(&mut self, handle: ConnectionHandle) {
        let now = self.now();
        let request = self.endpoint.credential_request(handle).expect("asked");
        let fitting = self.options.own.clone().and_then(|own| {
            let types = request.certificate_types();
            let scheme = request
                .schemes()
                .find(|scheme| own.key.supports(*scheme))
                .filter(|_| types.contains(own.certificate_type))?;
            Some((own, scheme))
        });
        let Some((own, scheme)) = fitting else {
            let declined = self.endpoint.decline_credential(now, handle);
            return declined.expect("it was asked");
        };
        let chain: Vec<&[u8]> = own.chain.iter().map(Vec::as_slice).collect();
        let names: Vec<Vec<u8>> = self
            .options
            .trust
            .iter()
            .flat_map(|trust| trust.authorities())
            .collect();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let credential = Credential {
            certificate_type: own.certificate_type,
            chain: &chain,
            key_type: own.key.key_type(),
            scheme,
            authorities: &names,
        };
        if let Err(error) = self.endpoint.provide_credential(now, handle, &credential) {
            panic!("{:?} is not usable: {error:?}", credential.certificate_type);
        }
    }

    fn sign(&mut self, handle: ConnectionHandle) {
        let own = self.options.own.clone().expect("it was shown");
        let request = self.endpoint.signature_request(handle).expect("asked");
        let mut signature = [0; MAX_SIGNATURE_LEN];
        let len = own
            .key
            .sign(request.scheme, request.message, &mut signature)
            .expect("a scheme that the key supports");
        let now = self.now();
        self.endpoint
            .provide_signature(now, handle, &signature[..len])
            .expect("it was asked");
    }

    fn judge(&mut self, handle: ConnectionHandle) {
        let peer = self.endpoint.peer_certificate(handle).expect("asked");
        let usage = if self.endpoint.config().server {
            Usage::Client
        } else {
            Usage::Server {
                name: ServerName::parse(&self.options.server_name),
            }
        };
        let verdict = match &self.options.trust {
            Some(trust) => trust.verify(&peer, usage, Time::now()),
            None => Err(CertificateError::UnknownIssuer),
        };
        let now = self.now();
        let answered = match verdict {
            Ok(identity) => {
                let name = identity.name().to_string();
                let proof = match peer.certificate_type() {
                    CertificateType::X509 => Proof::X509(name.clone()),
                    CertificateType::RawPublicKey => Proof::RawPublicKey,
                };
                self.proofs.insert(handle, proof);
                self.endpoint.accept_peer(now, handle, name.as_bytes())
            }
            Err(error) => self.endpoint.refuse_peer(handle, error),
        };
        answered.expect("it was asked");
    }

    fn resume(&mut self, handle: ConnectionHandle) {
        let now = self.now();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let known = |peer: PeerIdentity<'_>| match peer {
            PeerIdentity::Anonymous => Proof::Nothing,
            PeerIdentity::Psk { identity, .. } => Proof::Psk(text(identity)),
            // What `judge` called it.
            PeerIdentity::Certificate { name, .. } if name.starts_with(b"spki:") => {
                Proof::RawPublicKey
            }
            PeerIdentity::Certificate { name, .. } => Proof::X509(text(name)),
        };
        let answered = match self.endpoint.resumption_request(handle).expect("asked") {
            ResumptionRequest::Known(peer) => {
                self.proofs.insert(handle, known(peer));
                self.endpoint.accept_resumption(now, handle)
            }
            ResumptionRequest::SessionId(id) => match self.store.get(id) {
                Some(session) => {
                    self.proofs.insert(handle, known(session.peer()));
                    self.endpoint.provide_session(now, handle, session)
                }
                None => self.endpoint.refuse_resumption(now, handle),
            },
        };
        answered.expect("it was asked");
    }
}
