//! A server on the loopback for the images with public keys: it echoes what comes.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant as StdInstant};

use lockgate_dtls::certificate::{CertificateError, CertificateType, CertificateTypes, ClientAuth};
use lockgate_dtls::crypto::{KeyType, SignatureScheme, SigningKey};
use lockgate_dtls::{
    CipherSuite, Config, ConnectionHandle, Credential, Datagram, Endpoint, EndpointConfig, Event,
    Instant, Received, SuiteList, UdpPath,
};
use lockgate_rustcrypto::{OsRandom, PrivateKey, RustCrypto};

use crate::told;

/// What the authority that the image trusts issued for `gateway.example`.
static CERTIFICATE: &[u8] = include_bytes!("../../certificates/gateway.der");

/// What the server proves itself with; clients show the raw public key of the test device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A raw public key.
    Raw,
    /// An X.509 certificate.
    X509,
}

/// A server in a thread, until it is dropped.
pub struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Its UDP port on the loopback.
    pub port: u16,
}

impl Server {
    /// Starts it on a free port.
    pub fn start(proof: Proof) -> Result<Self, String> {
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(told("server"))?;
        let port = socket.local_addr().map_err(told("server"))?.port();
        socket
            .set_read_timeout(Some(Duration::from_millis(5)))
            .map_err(told("server"))?;
        let key = |byte| PrivateKey::from_secret(KeyType::EcdsaP256, &[byte; 32]);
        let (own, device) = key(7)
            .and_then(|own| Ok((own, key(9)?)))
            .map_err(|error| format!("server: {error}"))?;
        let config = Config {
            cipher_suites: SuiteList::new(&[CipherSuite::ECDHE_ECDSA_AES_128_CCM_8]),
            psk: false,
            own_certificate_types: CertificateTypes::new(&[match proof {
                Proof::Raw => CertificateType::RawPublicKey,
                Proof::X509 => CertificateType::X509,
            }]),
            peer_certificate_types: CertificateTypes::new(&[CertificateType::RawPublicKey]),
            client_auth: ClientAuth::Required,
            ..Config::default()
        };
        let config = EndpointConfig {
            config,
            ..EndpointConfig::default()
        };
        let endpoint = Endpoint::new(RustCrypto::new(OsRandom), Instant::default(), config)
            .map_err(|error| format!("server: {error}"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut running = Running {
            endpoint,
            socket,
            proof,
            own,
            device,
        };
        let told_to_stop = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let start = StdInstant::now();
            while !told_to_stop.load(Ordering::Relaxed) {
                let elapsed = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                running.step(Instant::from_micros(elapsed));
            }
        });
        Ok(Self {
            stop,
            thread: Some(thread),
            port,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed.
            let _ = thread.join();
        }
    }
}

struct Running {
    endpoint: Endpoint<RustCrypto<OsRandom>>,
    socket: UdpSocket,
    proof: Proof,
    own: PrivateKey,
    device: PrivateKey,
}

impl Running {
    fn step(&mut self, now: Instant) {
        let mut bytes = [0; 2048];
        let mut out = [0; 2048];
        let mut peer = None;
        if let Ok((len, from)) = self.socket.recv_from(&mut bytes) {
            peer = Some(from);
            let mut datagram = Datagram::new(&mut bytes[..len]);
            while let Some(received) = self
                .endpoint
                .handle(now, UdpPath::from(from), &mut datagram)
            {
                let answer = match received {
                    Received::Application {
                        connection,
                        payload,
                    } => {
                        let payload = datagram.bytes()[payload].to_vec();
                        self.endpoint
                            .send(connection, &payload, &mut out)
                            .ok()
                            .map(|(record, _)| out[record].to_vec())
                    }
                    Received::Reply(range) => Some(datagram.bytes()[range].to_vec()),
                    _ => None,
                };
                if let Some(answer) = answer {
                    self.send(&answer, from);
                }
            }
        }
        self.endpoint.handle_timeout(now);
        while let Some((connection, event)) = self.endpoint.poll_event() {
            // What cannot be answered ends in a time-out of the device, which the caller sees.
            let _ = self.answer(now, connection, &event);
        }
        while let Some(transmit) = self.endpoint.poll_transmit(now, &mut out) {
            // There is one device.
            if let Some(peer) = peer {
                self.send(&out[..transmit.len], peer);
            }
        }
    }

    fn send(&self, datagram: &[u8], to: SocketAddr) {
        // A datagram may be lost.
        let _ = self.socket.send_to(datagram, to);
    }

    fn answer(&mut self, now: Instant, connection: ConnectionHandle, event: &Event) -> Option<()> {
        let endpoint = &mut self.endpoint;
        match event {
            Event::CredentialRequested => {
                let (certificate_type, shown) = match self.proof {
                    Proof::Raw => (CertificateType::RawPublicKey, self.own.public_key_info()),
                    Proof::X509 => (CertificateType::X509, CERTIFICATE),
                };
                let credential = Credential {
                    certificate_type,
                    chain: &[shown],
                    key_type: KeyType::EcdsaP256,
                    scheme: SignatureScheme::ECDSA_SECP256R1_SHA256,
                    authorities: &[],
                };
                endpoint
                    .provide_credential(now, connection, &credential)
                    .ok()
            }
            Event::SignatureRequested => {
                let request = endpoint.signature_request(connection)?;
                let mut signature = [0; 80];
                let len = self
                    .own
                    .sign(request.scheme, request.message, &mut signature)
                    .ok()?;
                endpoint
                    .provide_signature(now, connection, &signature[..len])
                    .ok()
            }
            Event::PeerCertificate => {
                let shown = endpoint.peer_certificate(connection)?;
                if shown.public_key_info() == Ok(self.device.public_key_info()) {
                    endpoint.accept_peer(now, connection, b"device").ok()
                } else {
                    endpoint
                        .refuse_peer(connection, CertificateError::UnknownKey)
                        .ok()
                }
            }
            _ => None,
        }
    }
}
