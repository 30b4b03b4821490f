//! A device with whatever keys and sessions it has: the engine on a blocking socket.

#![allow(dead_code, reason = "every test file takes what it needs")]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant as Clock};

use lockgate_aws_lc::{AwsLc, PrivateKey};
use lockgate_dtls::certificate::{CertificateType, CertificateTypes};
use lockgate_dtls::crypto::{MAX_SIGNATURE_LEN, SigningKey as _};
use lockgate_dtls::{
    CloseReason, Config, ConnectionHandle, Credential, Datagram, Endpoint, EndpointConfig, Event,
    Instant, Received, Session, UdpPath,
};

/// What a device proves itself with. It takes whatever the server shows.
pub(crate) enum Proof {
    Psk(Vec<u8>, Vec<u8>),
    RawPublicKey(PrivateKey),
    Nothing,
}

pub(crate) struct Device {
    endpoint: Endpoint<AwsLc, UdpPath>,
    connection: ConnectionHandle,
    socket: UdpSocket,
    begun: Clock,
    proof: Proof,
    connected: bool,
    pub(crate) closed: Option<CloseReason>,
    pub(crate) session: Option<Session>,
    received: Vec<Vec<u8>>,
}

impl Device {
    /// Begins a handshake with the gateway at `server`, for an earlier session if there is one.
    pub(crate) fn begin(server: SocketAddr, proof: Proof, session: Option<&Session>) -> Self {
        let own = match proof {
            Proof::RawPublicKey(_) => CertificateTypes::new(&[CertificateType::RawPublicKey]),
            _ => CertificateTypes::EMPTY,
        };
        let config = Config {
            psk: matches!(proof, Proof::Psk(..)),
            own_certificate_types: own,
            peer_certificate_types: CertificateTypes::new(&[
                CertificateType::X509,
                CertificateType::RawPublicKey,
            ]),
            resumption: true,
            initial_timeout: Duration::from_secs(1),
            handshake_timeout: Duration::from_secs(20),
            ..Config::default()
        };
        let config = EndpointConfig {
            config,
            server: false,
            max_connections: 1,
            key_cache: 1,
            ..EndpointConfig::default()
        };
        let now = Instant::default();
        let mut endpoint = Endpoint::new(AwsLc, now, config).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        let path = UdpPath::new(server, None);
        let connection = endpoint.connect_with(now, path, b"", session);
        Self {
            endpoint,
            connection: connection.unwrap(),
            socket,
            begun: Clock::now(),
            proof,
            connected: false,
            closed: None,
            session: None,
            received: Vec::new(),
        }
    }

    /// Connects, within ten seconds.
    pub(crate) fn connect(server: SocketAddr, proof: Proof, session: Option<&Session>) -> Self {
        let mut device = Self::begin(server, proof, session);
        device.until(|device| device.connected || device.closed.is_some());
        assert!(device.connected, "{:?}", device.closed);
        device
    }

    pub(crate) const fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether it went on with an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        self.endpoint.info(self.connection).unwrap().resumed
    }

    /// Sends something and waits until it is back.
    pub(crate) fn echo(&mut self, payload: &[u8]) {
        let mut buf = [0; 1500];
        let (record, _) = self
            .endpoint
            .send(self.connection, payload, &mut buf)
            .unwrap();
        self.socket.send(&buf[record]).unwrap();
        self.received.clear();
        self.until(|device| !device.received.is_empty());
        assert_eq!(self.received, [payload]);
    }

    /// Takes part until something is so.
    pub(crate) fn until(&mut self, so: impl Fn(&Self) -> bool) {
        let deadline = Clock::now() + Duration::from_secs(10);
        loop {
            self.follow_events();
            self.flush();
            if so(self) {
                return;
            }
            let left = deadline.saturating_duration_since(Clock::now());
            assert!(!left.is_zero(), "it takes too long: {:?}", self.closed);
            self.turn(left.min(Duration::from_millis(100)));
        }
    }

    /// Waits so long for one datagram, and answers.
    pub(crate) fn turn(&mut self, patience: Duration) {
        self.flush();
        self.listen(patience);
        self.flush();
    }

    /// Waits so long for one datagram, and keeps its answer to itself.
    pub(crate) fn listen(&mut self, patience: Duration) {
        self.receive(patience);
        let now = self.now();
        if self.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            self.endpoint.handle_timeout(now);
        }
        self.follow_events();
    }

    fn now(&self) -> Instant {
        Instant::default() + self.begun.elapsed()
    }

    fn receive(&mut self, patience: Duration) {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut buf = [0; 4096];
        let len = match self.socket.recv(&mut buf) {
            Ok(len) => len,
            Err(error) => {
                assert!(
                    matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ),
                    "{error}"
                );
                return;
            }
        };
        let now = self.now();
        let path = UdpPath::new(self.socket.peer_addr().unwrap(), None);
        let mut datagram = Datagram::new(&mut buf[..len]);
        while let Some(received) = self.endpoint.handle(now, path, &mut datagram) {
            if let Received::Application { payload, .. } = received {
                self.received.push(datagram.bytes()[payload].to_vec());
            }
        }
    }

    /// Sends what there is to send.
    pub(crate) fn flush(&mut self) {
        let now = self.now();
        let mut buf = [0; 4096];
        while let Some(next) = self.endpoint.poll_transmit(now, &mut buf) {
            self.socket.send(&buf[..next.len]).unwrap();
        }
    }

    fn follow_events(&mut self) {
        let now = self.now();
        while let Some((connection, event)) = self.endpoint.poll_event() {
            let endpoint = &mut self.endpoint;
            match (event, &self.proof) {
                (Event::PskRequested, Proof::Psk(identity, key)) => {
                    endpoint.provide_identity(now, connection, identity, key)
                }
                (Event::PeerCertificate, _) => endpoint.accept_peer(now, connection, b"gateway"),
                (Event::CredentialRequested, Proof::RawPublicKey(key)) => {
                    let request = endpoint.credential_request(connection).unwrap();
                    let scheme = request.schemes().find(|s| key.supports(*s)).unwrap();
                    let credential = Credential {
                        certificate_type: CertificateType::RawPublicKey,
                        chain: &[key.public_key_info()],
                        key_type: key.key_type(),
                        scheme,
                        authorities: &[],
                    };
                    endpoint.provide_credential(now, connection, &credential)
                }
                (Event::CredentialRequested, _) => endpoint.decline_credential(now, connection),
                (Event::SignatureRequested, Proof::RawPublicKey(key)) => {
                    let request = endpoint.signature_request(connection).unwrap();
                    let mut signature = [0; MAX_SIGNATURE_LEN];
                    let len = key.sign(request.scheme, request.message, &mut signature);
                    endpoint.provide_signature(now, connection, &signature[..len.unwrap()])
                }
                (Event::ResumptionRequested, _) => endpoint.accept_resumption(now, connection),
                (Event::NewSession(session), _) => {
                    self.session = Some(session);
                    Ok(())
                }
                (Event::Connected, _) => {
                    self.connected = true;
                    Ok(())
                }
                (Event::Closed(reason), _) => {
                    self.closed = Some(reason);
                    Ok(())
                }
                (event, _) => panic!("{event:?}"),
            }
            .unwrap();
        }
    }
}
