//! A server of ours at the other end of a link in memory, and a random source that repeats itself.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use lockgate_dtls::certificate::CertificateType;
use lockgate_dtls::crypto::{CryptoError, SignatureScheme, SigningKey};
use lockgate_dtls::{
    CipherSuite, Config, ConnectionHandle, Credential, Datagram, Endpoint, EndpointConfig, Event,
    Instant, Received, SuiteList, UdpPath,
};
use lockgate_embedded::{Link, LinkError};
use lockgate_rustcrypto::{PrivateKey, RandomSource, RustCrypto};

pub(crate) struct Counting(u8);

impl RandomSource for Counting {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        for byte in out {
            self.0 = self.0.wrapping_mul(5).wrapping_add(113);
            *byte = self.0;
        }
        Ok(())
    }
}

pub(crate) fn provider(seed: u8) -> RustCrypto<Counting> {
    RustCrypto::new(Counting(seed))
}

pub(crate) fn config() -> Config {
    Config {
        cipher_suites: SuiteList::new(&[CipherSuite::PSK_AES_128_CCM_8]),
        ..Config::default()
    }
}

/// A link to an echo server: what is sent is answered before the next `recv`.
#[derive(Clone)]
pub(crate) struct Wire(pub(crate) Rc<RefCell<Inner>>);

pub(crate) struct Inner {
    endpoint: Endpoint<RustCrypto<Counting>>,
    pub(crate) device_port: u16,
    pub(crate) to_device: VecDeque<Vec<u8>>,
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) busy: bool,
    pub(crate) mute: bool,
    pub(crate) opened: usize,
    pub(crate) moved: usize,
    pub(crate) own: Option<Own>,
    /// What the device showed.
    pub(crate) shown: Vec<Vec<u8>>,
    pub(crate) resumed: usize,
}

/// What the server proves itself with.
pub(crate) struct Own {
    pub(crate) key: PrivateKey,
    /// Empty for the raw public key.
    pub(crate) chain: Vec<Vec<u8>>,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self::with(&config(), None)
    }

    pub(crate) fn with(config: &Config, own: Option<Own>) -> Self {
        let config = EndpointConfig {
            config: *config,
            ..EndpointConfig::default()
        };
        Self(Rc::new(RefCell::new(Inner {
            endpoint: Endpoint::new(provider(99), Instant::default(), config).unwrap(),
            device_port: 40_000,
            to_device: VecDeque::new(),
            sent: Vec::new(),
            busy: false,
            mute: false,
            opened: 0,
            moved: 0,
            own,
            shown: Vec::new(),
            resumed: 0,
        })))
    }
}

impl Link for Wire {
    type Error = ();

    fn send(&mut self, datagram: &[u8]) -> Result<(), LinkError<()>> {
        let mut inner = self.0.borrow_mut();
        if inner.busy {
            return Err(LinkError::Busy);
        }
        inner.sent.push(datagram.to_vec());
        if !inner.mute {
            inner.serve(datagram);
        }
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, LinkError<()>> {
        let Some(datagram) = self.0.borrow_mut().to_device.pop_front() else {
            return Ok(None);
        };
        buffer
            .get_mut(..datagram.len())
            .ok_or(LinkError::Oversized)?
            .copy_from_slice(&datagram);
        Ok(Some(datagram.len()))
    }
}

impl Inner {
    fn prove(&mut self, now: Instant, connection: ConnectionHandle, event: &Event) {
        let own = self.own.as_ref().unwrap();
        if matches!(event, Event::SignatureRequested) {
            let request = self.endpoint.signature_request(connection).unwrap();
            let mut signature = [0; 80];
            let len = own
                .key
                .sign(request.scheme, request.message, &mut signature)
                .unwrap();
            self.endpoint
                .provide_signature(now, connection, &signature[..len])
                .unwrap();
            return;
        }
        let raw = vec![own.key.public_key_info().to_vec()];
        let (certificate_type, chain) = if own.chain.is_empty() {
            (CertificateType::RawPublicKey, &raw)
        } else {
            (CertificateType::X509, &own.chain)
        };
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let credential = Credential {
            certificate_type,
            chain: &chain,
            key_type: own.key.key_type(),
            scheme: SignatureScheme::ECDSA_SECP256R1_SHA256,
            authorities: &[],
        };
        self.endpoint
            .provide_credential(now, connection, &credential)
            .unwrap();
    }

    fn serve(&mut self, datagram: &[u8]) {
        let now = Instant::default();
        let path = UdpPath::from(SocketAddr::from(([10, 0, 0, 1], self.device_port)));
        let mut bytes = datagram.to_vec();
        let mut datagram = Datagram::new(&mut bytes);
        let mut out = [0; 2048];
        while let Some(received) = self.endpoint.handle(now, path, &mut datagram) {
            match received {
                Received::Application {
                    connection,
                    payload,
                } => {
                    let payload = datagram.bytes()[payload].to_vec();
                    let (record, _) = self.endpoint.send(connection, &payload, &mut out).unwrap();
                    self.to_device.push_back(out[record].to_vec());
                }
                Received::Reply(range) => {
                    let reply = datagram.bytes()[range].to_vec();
                    self.to_device.push_back(reply);
                }
                _ => {}
            }
        }
        while let Some((connection, event)) = self.endpoint.poll_event() {
            match event {
                Event::CredentialRequested | Event::SignatureRequested => {
                    self.prove(now, connection, &event);
                }
                Event::PeerCertificate => {
                    let shown = self.endpoint.peer_certificate(connection).unwrap();
                    self.shown.push(shown.chain().next().unwrap().to_vec());
                    self.endpoint.accept_peer(now, connection, b"").unwrap();
                }
                Event::ResumptionRequested => {
                    self.resumed += 1;
                    self.endpoint.accept_resumption(now, connection).unwrap();
                }
                Event::PskRequested => self
                    .endpoint
                    .provide_psk(now, connection, b"secret")
                    .unwrap(),
                Event::Connected => self.opened += 1,
                Event::PathChanged => self.moved += 1,
                _ => {}
            }
        }
        while let Some(transmit) = self.endpoint.poll_transmit(now, &mut out) {
            self.to_device.push_back(out[..transmit.len].to_vec());
        }
    }
}
