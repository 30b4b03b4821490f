//! Two endpoints on a virtual clock and a hostile link: days pass in milliseconds, and a seed repeats everything.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part of the bed"
)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use lockgate_dtls::certificate::{CertificateError, CertificateType};
use lockgate_dtls::crypto::{CryptoError, KeyType, SignatureScheme, SigningKey as _};
use lockgate_dtls::{
    CipherSuite, CloseReason, Config, ConnectionHandle, Credential, Datagram, DropReason, Endpoint,
    EndpointConfig, Event, Instant, KeyExchangeAlgorithm, PeerIdentity, Received,
    ResumptionRequest, Session, SuiteList, UdpPath,
};
use lockgate_rustcrypto::{PrivateKey, RandomSource, RustCrypto};

/// A xorshift generator: not for secrets, but the same each time.
#[derive(Clone, Debug)]
pub struct Seeded(pub u64);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    /// True with a chance of `percent` in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

impl RandomSource for Seeded {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        for chunk in out.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

pub type TestProvider = RustCrypto<Seeded>;
pub type TestEndpoint = Endpoint<TestProvider, UdpPath>;

pub fn provider(seed: u64) -> TestProvider {
    RustCrypto::new(Seeded::new(seed))
}

/// What the link does to datagrams, in percent; delays in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub loss: u64,
    pub duplicate: u64,
    /// Share of datagrams that are held back by up to `jitter`.
    pub reorder: u64,
    pub delay: u64,
    pub jitter: u64,
}

impl Link {
    pub const PERFECT: Self = Self {
        loss: 0,
        duplicate: 0,
        reorder: 0,
        delay: 10,
        jitter: 0,
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Client,
    Server,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct InFlight {
    at: Instant,
    number: u64,
    to: Side,
    from: SocketAddr,
    bytes: Vec<u8>,
}

pub const IDENTITY: &[u8] = b"Client_identity";
pub const KEY: &[u8] = b"secretPSK";

/// What one end shows, and how it judges the other.
#[derive(Default)]
pub struct Papers {
    pub own: Option<Paper>,
    /// Why the peer's certificate is refused, if it is.
    pub refuse: Option<CertificateError>,
    /// Every certificate that was shown, the peer's own of each.
    pub shown: Vec<Vec<u8>>,
    /// Sessions by their ID.
    pub store: HashMap<Vec<u8>, Session>,
    /// The newest session that can be resumed.
    pub session: Option<Session>,
    pub refuse_resumption: bool,
    /// Questions about resumption are left open.
    pub hold_resumption: bool,
    pub resumptions_asked: u32,
    /// The hash of the pre-shared key that the last of them was made with.
    pub resumed_key: Option<[u8; 32]>,
}

/// A chain or raw public key, and the private key to it.
pub struct Paper {
    pub certificate_type: CertificateType,
    pub chain: Vec<Vec<u8>>,
    pub key: PrivateKey,
    /// Instead of the first scheme that fits.
    pub scheme: Option<SignatureScheme>,
    /// Spoils every signature.
    pub forged: bool,
}

impl Paper {
    /// A raw public key of this kind.
    pub fn raw(key_type: KeyType, seed: u64) -> Self {
        let key = PrivateKey::generate(key_type, &mut Seeded::new(seed)).expect("made");
        Self {
            certificate_type: CertificateType::RawPublicKey,
            chain: vec![key.public_key_info().to_vec()],
            key,
            scheme: None,
            forged: false,
        }
    }

    /// A self-signed certificate on P-256, with so many more behind it that nobody looks at.
    pub fn x509(name: &str, more: usize) -> Self {
        let pair = rcgen::KeyPair::generate().expect("made");
        let params = rcgen::CertificateParams::new(vec![name.into()]).expect("a name");
        let certificate = params.self_signed(&pair).expect("signed");
        let key = PrivateKey::from_pkcs8_der(pair.serialized_der()).expect("P-256");
        Self {
            certificate_type: CertificateType::X509,
            chain: vec![certificate.der().to_vec(); 1 + more],
            key,
            scheme: None,
            forged: false,
        }
    }
}

impl Papers {
    fn answer(
        &mut self,
        endpoint: &mut TestEndpoint,
        now: Instant,
        handle: ConnectionHandle,
        event: &Event,
    ) {
        match event {
            Event::CredentialRequested => {
                let request = endpoint.credential_request(handle).expect("asked");
                let fitting = self.own.as_ref().and_then(|paper| {
                    let key_type = paper.key.key_type();
                    let fits = |s: &SignatureScheme| s.fits(key_type) && paper.key.supports(*s);
                    let scheme = paper.scheme.or_else(|| request.schemes().find(fits))?;
                    let types = request.certificate_types();
                    types
                        .contains(paper.certificate_type)
                        .then_some((paper, scheme))
                });
                let Some((paper, scheme)) = fitting else {
                    endpoint.decline_credential(now, handle).expect("asked");
                    return;
                };
                let chain: Vec<&[u8]> = paper.chain.iter().map(Vec::as_slice).collect();
                let credential = Credential {
                    certificate_type: paper.certificate_type,
                    chain: &chain,
                    key_type: paper.key.key_type(),
                    scheme,
                    authorities: &[b"\x30\x00"],
                };
                endpoint
                    .provide_credential(now, handle, &credential)
                    .expect("usable");
            }
            Event::SignatureRequested => {
                let paper = self.own.as_ref().expect("it was shown");
                let request = endpoint.signature_request(handle).expect("asked");
                let mut signature = [0; 128];
                let len = paper
                    .key
                    .sign(request.scheme, request.message, &mut signature)
                    .expect("signed");
                if paper.forged {
                    signature[len - 1] ^= 1;
                }
                endpoint
                    .provide_signature(now, handle, &signature[..len])
                    .expect("asked");
            }
            Event::PeerCertificate => {
                let peer = endpoint.peer_certificate(handle).expect("asked");
                self.shown.push(peer.chain().next().expect("one").to_vec());
                match self.refuse {
                    Some(error) => endpoint.refuse_peer(handle, error),
                    None => endpoint.accept_peer(now, handle, b"the peer"),
                }
                .expect("asked");
            }
            Event::ResumptionRequested => {
                self.resumptions_asked += 1;
                if self.hold_resumption {
                    return;
                }
                let key_of = |peer: PeerIdentity<'_>| match peer {
                    PeerIdentity::Psk { key_hash, .. } => Some(key_hash),
                    _ => None,
                };
                let known = match endpoint.resumption_request(handle).expect("asked") {
                    ResumptionRequest::SessionId(id) => {
                        let session = self.store.get(id).cloned();
                        self.resumed_key = session.as_ref().and_then(|s| key_of(s.peer()));
                        session.map(Some)
                    }
                    ResumptionRequest::Known(peer) => {
                        self.resumed_key = key_of(peer);
                        Some(None)
                    }
                };
                match known.filter(|_| !self.refuse_resumption) {
                    Some(Some(session)) => endpoint.provide_session(now, handle, &session),
                    Some(None) => endpoint.accept_resumption(now, handle),
                    None => endpoint.refuse_resumption(now, handle),
                }
                .expect("asked");
            }
            Event::NewSession(session) => {
                self.store.insert(session.id().to_vec(), session.clone());
                self.session = Some(session.clone());
            }
            _ => {}
        }
    }
}

/// One end, with what it has been told.
pub struct End {
    pub endpoint: TestEndpoint,
    pub papers: Papers,
    pub events: VecDeque<(ConnectionHandle, Event)>,
    pub received: VecDeque<(ConnectionHandle, Vec<u8>)>,
    pub drops: HashMap<DropReason, u32>,
    pub sent_datagrams: u32,
}

impl End {
    fn new(seed: u64, config: EndpointConfig) -> Self {
        let endpoint =
            Endpoint::new(provider(seed), Instant::default(), config).expect("valid options");
        Self {
            endpoint,
            papers: Papers::default(),
            events: VecDeque::new(),
            received: VecDeque::new(),
            drops: HashMap::new(),
            sent_datagrams: 0,
        }
    }

    pub fn dropped(&self, reason: DropReason) -> u32 {
        self.drops.get(&reason).copied().unwrap_or(0)
    }

    /// Takes the first close reason out of the events.
    pub fn closed(&mut self) -> Option<(ConnectionHandle, CloseReason)> {
        let at = self
            .events
            .iter()
            .position(|(_, e)| matches!(e, Event::Closed(_)))?;
        match self.events.remove(at) {
            Some((handle, Event::Closed(reason))) => Some((handle, reason)),
            _ => None,
        }
    }

    /// Takes the first `Connected` out of the events.
    pub fn connected(&mut self) -> Option<ConnectionHandle> {
        let at = self
            .events
            .iter()
            .position(|(_, e)| matches!(e, Event::Connected))?;
        self.events.remove(at).map(|(handle, _)| handle)
    }

    pub fn is_connected(&self) -> bool {
        self.events
            .iter()
            .any(|(_, e)| matches!(e, Event::Connected))
    }

    pub fn saw_path_change(&self) -> bool {
        self.events
            .iter()
            .any(|(_, e)| matches!(e, Event::PathChanged))
    }
}

/// How the server's keys are looked up.
pub type Keys = HashMap<Vec<u8>, Vec<u8>>;

pub struct Pair {
    pub client: End,
    pub server: End,
    pub now: Instant,
    pub client_address: SocketAddr,
    pub server_address: SocketAddr,
    pub link: Link,
    pub random: Seeded,
    /// What the server knows.
    pub keys: Keys,
    /// What the client says.
    pub identity: Vec<u8>,
    pub key: Vec<u8>,
    /// The server's key requests wait here while this is on.
    pub hold_keys: bool,
    pub held: Vec<ConnectionHandle>,
    /// Every datagram that was put on the link, for tests that look at the bytes.
    pub log: Vec<(Side, Vec<u8>)>,
    /// When each of them was.
    pub times: Vec<Instant>,
    /// Sees every datagram before it is put on the link, may change it, and says whether it goes on.
    pub tamper: Option<Tamper>,
    in_flight: BinaryHeap<Reverse<InFlight>>,
    number: u64,
}

pub type Tamper = Box<dyn FnMut(Side, &mut Vec<u8>) -> bool>;

/// Defaults of the test bed: no different from the engine's, but for a client's endpoint.
/// Plain pre-shared keys, which most tests are about: the flights are short and their numbers known.
pub fn plain_psk() -> Config {
    let plain = |suite: &CipherSuite| {
        suite
            .parameters()
            .is_some_and(|p| p.key_exchange == KeyExchangeAlgorithm::Psk)
    };
    let suites: Vec<_> = CipherSuite::ALL.into_iter().filter(plain).collect();
    Config {
        cipher_suites: SuiteList::new(&suites),
        ..Config::default()
    }
}

pub fn client_config() -> EndpointConfig {
    EndpointConfig {
        server: false,
        config: plain_psk(),
        ..EndpointConfig::default()
    }
}

impl Pair {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, client_config(), EndpointConfig::default())
    }

    /// Both ends with these options and the bed's defaults for the rest.
    pub fn of(seed: u64, client: &Config, server: &Config) -> Self {
        Self::with(
            seed,
            EndpointConfig {
                config: *client,
                ..client_config()
            },
            EndpointConfig {
                config: *server,
                ..EndpointConfig::default()
            },
        )
    }

    pub fn with(seed: u64, client: EndpointConfig, server: EndpointConfig) -> Self {
        Self {
            client: End::new(seed * 2 + 1, client),
            server: End::new(seed * 2 + 2, server),
            now: Instant::default(),
            client_address: SocketAddr::from(([192, 0, 2, 1], 40000)),
            server_address: SocketAddr::from(([198, 51, 100, 1], 5684)),
            link: Link::PERFECT,
            random: Seeded::new(seed ^ 0x5EED),
            keys: Keys::from([(IDENTITY.to_vec(), KEY.to_vec())]),
            identity: IDENTITY.to_vec(),
            key: KEY.to_vec(),
            hold_keys: false,
            held: Vec::new(),
            log: Vec::new(),
            times: Vec::new(),
            tamper: None,
            in_flight: BinaryHeap::new(),
            number: 0,
        }
    }

    pub fn connect(&mut self) -> ConnectionHandle {
        self.connect_with(None)
    }

    /// Connects, offering to go on with a session.
    pub fn connect_with(&mut self, session: Option<&Session>) -> ConnectionHandle {
        let path = UdpPath::from(self.server_address);
        let handle = self
            .client
            .endpoint
            .connect_with(self.now, path, b"", session)
            .expect("a place in the table");
        self.flush();
        handle
    }

    /// Connects, and gives the handles of both ends.
    pub fn established(&mut self) -> (ConnectionHandle, ConnectionHandle) {
        let client = self.connect();
        self.run_for(Duration::from_secs(5));
        let server = self.server.connected().expect("the server is connected");
        assert_eq!(
            self.client.connected(),
            Some(client),
            "the client is connected"
        );
        (client, server)
    }

    /// The handles of both ends of the connection that has just been made.
    pub fn finished(&mut self) -> (ConnectionHandle, ConnectionHandle) {
        let client = self.client.connected().expect("the client is connected");
        let server = self.server.connected().expect("the server is connected");
        (client, server)
    }

    /// One datagram each way.
    pub fn echo(&mut self, at_client: ConnectionHandle, at_server: ConnectionHandle) {
        self.send_from_client(at_client, b"there");
        self.send_from_server(at_server, b"and back");
        self.run_for(Duration::from_secs(2));
        for (end, handle, expected) in [
            (&mut self.server, at_server, &b"there"[..]),
            (&mut self.client, at_client, b"and back"),
        ] {
            let got = end.received.pop_front().expect("a datagram");
            assert_eq!((got.0, &got.1[..]), (handle, expected));
        }
    }

    /// Puts a datagram on the link, past whatever the link does to others.
    pub fn inject(&mut self, to: Side, from: SocketAddr, bytes: &[u8]) {
        self.number += 1;
        self.in_flight.push(Reverse(InFlight {
            at: self.now,
            number: self.number,
            to,
            from,
            bytes: bytes.to_vec(),
        }));
    }

    pub fn send_from_client(&mut self, handle: ConnectionHandle, payload: &[u8]) {
        let mut out = vec![0; payload.len() + 400];
        let (range, _) = self
            .client
            .endpoint
            .send(handle, payload, &mut out)
            .expect("established");
        let from = self.client_address;
        self.put(Side::Server, from, &out[range]);
    }

    pub fn send_from_server(&mut self, handle: ConnectionHandle, payload: &[u8]) {
        let mut out = vec![0; payload.len() + 400];
        let (range, path) = self
            .server
            .endpoint
            .send(handle, payload, &mut out)
            .expect("established");
        let bytes = out[range].to_vec();
        self.put_to_client(path.remote(), &bytes);
    }

    fn put_to_client(&mut self, to: SocketAddr, bytes: &[u8]) {
        // What goes to an address that the client has left is lost, as behind a NAT.
        if to == self.client_address {
            let from = self.server_address;
            self.put(Side::Client, from, bytes);
        }
    }

    fn put(&mut self, to: Side, from: SocketAddr, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        if let Some(tamper) = &mut self.tamper
            && !tamper(to, &mut bytes)
        {
            return;
        }
        self.log.push((to, bytes.clone()));
        self.times.push(self.now);
        let copies = if self.random.chance(self.link.duplicate) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            if self.random.chance(self.link.loss) {
                continue;
            }
            let mut delay = self.link.delay;
            if self.link.jitter > 0 && self.random.chance(self.link.reorder) {
                delay += self.random.below(self.link.jitter);
            }
            self.number += 1;
            self.in_flight.push(Reverse(InFlight {
                at: self.now + Duration::from_millis(delay),
                number: self.number,
                to,
                from,
                bytes: bytes.clone(),
            }));
        }
    }

    /// Runs until nothing is due before `duration` has passed, and lets the clock stand there.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.flush();
        loop {
            let next = [
                self.in_flight.peek().map(|Reverse(d)| d.at),
                self.client.endpoint.poll_timeout(),
                self.server.endpoint.poll_timeout(),
            ]
            .into_iter()
            .flatten()
            .min();
            match next {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => break,
            }
            self.step();
        }
        self.now = end;
    }

    /// Runs until both ends have nothing to do, at most `limit`.
    pub fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while self.now < end {
            if done(self) {
                return true;
            }
            let next = [
                self.in_flight.peek().map(|Reverse(d)| d.at),
                self.client.endpoint.poll_timeout(),
                self.server.endpoint.poll_timeout(),
            ]
            .into_iter()
            .flatten()
            .min();
            let Some(at) = next else { break };
            self.now = self.now.max(at);
            self.step();
        }
        done(self)
    }

    fn step(&mut self) {
        while self
            .in_flight
            .peek()
            .is_some_and(|Reverse(d)| d.at <= self.now)
        {
            let Some(Reverse(datagram)) = self.in_flight.pop() else {
                break;
            };
            self.deliver(datagram);
            self.flush();
        }
        self.client.endpoint.handle_timeout(self.now);
        self.server.endpoint.handle_timeout(self.now);
        self.flush();
    }

    fn deliver(&mut self, mut datagram: InFlight) {
        let end = match datagram.to {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        let mut replies = Vec::new();
        let mut input = Datagram::new(&mut datagram.bytes);
        while let Some(received) =
            end.endpoint
                .handle(self.now, UdpPath::from(datagram.from), &mut input)
        {
            match received {
                Received::Application {
                    connection,
                    payload,
                } => {
                    let payload = input.bytes()[payload].to_vec();
                    end.received.push_back((connection, payload));
                }
                Received::Progress(_) | Received::Kept => {}
                Received::Reply(range) => replies.push(input.bytes()[range].to_vec()),
                Received::Dropped { reason, .. } => *end.drops.entry(reason).or_default() += 1,
            }
        }
        for reply in replies {
            match datagram.to {
                Side::Client => {
                    let from = self.client_address;
                    self.put(Side::Server, from, &reply);
                }
                Side::Server => self.put_to_client(datagram.from, &reply),
            }
        }
    }

    /// Answers key requests and puts what is waiting on the link.
    pub fn flush(&mut self) {
        loop {
            let mut busy = false;
            while let Some((handle, event)) = self.client.endpoint.poll_event() {
                busy = true;
                if matches!(event, Event::PskRequested) {
                    self.client
                        .endpoint
                        .provide_identity(self.now, handle, &self.identity, &self.key)
                        .expect("asked for");
                }
                let client = &mut self.client;
                client
                    .papers
                    .answer(&mut client.endpoint, self.now, handle, &event);
                self.client.events.push_back((handle, event));
            }
            while let Some((handle, event)) = self.server.endpoint.poll_event() {
                busy = true;
                if matches!(event, Event::PskRequested) {
                    if self.hold_keys {
                        self.held.push(handle);
                    } else {
                        self.answer(handle);
                    }
                }
                let server = &mut self.server;
                server
                    .papers
                    .answer(&mut server.endpoint, self.now, handle, &event);
                self.server.events.push_back((handle, event));
            }
            let mut buf = [0; 2048];
            while let Some(transmit) = self.client.endpoint.poll_transmit(self.now, &mut buf) {
                busy = true;
                self.client.sent_datagrams += 1;
                let from = self.client_address;
                self.put(Side::Server, from, &buf[..transmit.len]);
            }
            while let Some(transmit) = self.server.endpoint.poll_transmit(self.now, &mut buf) {
                busy = true;
                self.server.sent_datagrams += 1;
                let bytes = buf[..transmit.len].to_vec();
                self.put_to_client(transmit.path.remote(), &bytes);
            }
            if !busy {
                return;
            }
        }
    }

    /// Answers one key request from the server's table.
    pub fn answer(&mut self, handle: ConnectionHandle) {
        let identity = self
            .server
            .endpoint
            .psk_identity(handle)
            .expect("it has one")
            .to_vec();
        match self.keys.get(&identity) {
            Some(key) => self
                .server
                .endpoint
                .provide_psk(self.now, handle, key)
                .expect("asked for"),
            None => self
                .server
                .endpoint
                .refuse_psk(self.now, handle)
                .expect("asked for"),
        }
    }
}
