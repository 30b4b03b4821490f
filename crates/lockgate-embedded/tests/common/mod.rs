//! A server of ours at the other end of a link in memory, and a random source that repeats itself.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use lockgate_dtls::crypto::CryptoError;
use lockgate_dtls::{
    CipherSuite, Config, Datagram, Endpoint, EndpointConfig, Event, Instant, Received, SuiteList,
    UdpPath,
};
use lockgate_embedded::{Link, LinkError};
use lockgate_rustcrypto::{RandomSource, RustCrypto};

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
}

impl Wire {
    pub(crate) fn new() -> Self {
        let config = EndpointConfig {
            config: config(),
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
