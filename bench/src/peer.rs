//! The same handshakes with the crate `dimpl`.

use std::sync::Arc;
use std::time::Instant;

use dimpl::crypto::{Dtls12CipherSuite, NamedGroup};
use dimpl::{Config, Dtls, DtlsCertificate, Output, PskResolver};

use crate::loopback::{IDENTITY, KEY};
use crate::papers::{Paper, Papers};

struct OneKey;

impl PskResolver for OneKey {
    fn resolve(&self, identity: &[u8]) -> Option<Vec<u8>> {
        (identity == IDENTITY).then(|| KEY.to_vec())
    }
}

/// Options of both ends, on AWS-LC.
#[derive(Clone)]
pub struct Peer {
    client: Arc<Config>,
    server: Arc<Config>,
    /// The client's and the server's.
    certificates: Option<[DtlsCertificate; 2]>,
    now: Instant,
    buf: Box<[u8; 2048]>,
}

/// Both ends of one connection.
pub struct Connection {
    client: Dtls,
    server: Dtls,
}

impl Peer {
    /// For the one PSK suite that it has, `TLS_PSK_WITH_AES_128_CCM_8`, with or without cookies.
    ///
    /// # Panics
    /// When the crate has no such suite any more.
    pub fn psk(cookies: bool) -> Self {
        let builder = || {
            Config::builder()
                .with_crypto_provider(dimpl::crypto::aws_lc_rs::default_provider())
                .dtls12_cipher_suites(&[Dtls12CipherSuite::PSK_AES128_CCM_8])
                .dtls13_cipher_suites(&[])
                .use_server_cookie(cookies)
        };
        let client = builder().with_psk_client(IDENTITY.to_vec(), Arc::new(OneKey));
        let server = builder().with_psk_server(None, Arc::new(OneKey));
        Self {
            client: Arc::new(client.build().expect("its suite is there")),
            server: Arc::new(server.build().expect("its suite is there")),
            certificates: None,
            now: Instant::now(),
            buf: Box::new([0; 2048]),
        }
    }

    /// For `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256` with cookies, in one group. It leaves the check of certificates to its
    /// caller, and none is made.
    ///
    /// # Panics
    /// When the crate has no such suite any more.
    pub fn certificates(group: NamedGroup, mutual: bool) -> Self {
        let config = Config::builder()
            .with_crypto_provider(dimpl::crypto::aws_lc_rs::default_provider())
            .dtls12_cipher_suites(&[Dtls12CipherSuite::ECDHE_ECDSA_AES128_GCM_SHA256])
            .dtls13_cipher_suites(&[])
            .kx_groups(&[group])
            .require_client_certificate(mutual)
            .use_server_cookie(true);
        let config = Arc::new(config.build().expect("its suite is there"));
        let papers = Papers::certificates();
        let certificate = |paper: &Paper| DtlsCertificate {
            certificate: paper.der.clone(),
            private_key: paper.key.to_pkcs8_der().to_vec(),
        };
        Self {
            client: Arc::clone(&config),
            server: config,
            certificates: Some([&*papers.client, &*papers.server].map(certificate)),
            now: Instant::now(),
            buf: Box::new([0; 2048]),
        }
    }

    /// A whole handshake.
    ///
    /// # Panics
    /// When it does not succeed at once.
    pub fn connect(&mut self) -> Connection {
        let new = |config, certificate: Option<&DtlsCertificate>| {
            let config = Arc::clone(config);
            match certificate {
                None => Dtls::new_12_psk(config, self.now),
                Some(certificate) => Dtls::new_12(config, certificate.clone(), self.now),
            }
        };
        let certificates = self.certificates.as_ref();
        let mut client = new(&self.client, certificates.map(|c| &c[0]));
        client.set_active(true);
        let mut server = new(&self.server, certificates.map(|c| &c[1]));
        server.set_active(false);
        client.handle_timeout(self.now).expect("not due");
        server.handle_timeout(self.now).expect("not due");
        let (mut client_up, mut server_up) = (false, false);
        for _ in 0..8 {
            client_up |= pump(&mut client, &mut server, &mut self.buf[..]);
            server_up |= pump(&mut server, &mut client, &mut self.buf[..]);
            if client_up && server_up {
                return Connection { client, server };
            }
        }
        panic!("the handshake did not end");
    }

    /// Sends `payload` from client to server.
    ///
    /// # Panics
    /// When it does not arrive.
    pub fn carry(&mut self, connection: &mut Connection, payload: &[u8]) {
        connection
            .client
            .send_application_data(payload)
            .expect("established");
        pump(
            &mut connection.client,
            &mut connection.server,
            &mut self.buf[..],
        );
        let mut arrived = false;
        loop {
            match connection.server.poll_output(&mut self.buf[..]) {
                Output::ApplicationData(data) => arrived |= data.len() == payload.len(),
                Output::Timeout(_) => break,
                _ => {}
            }
        }
        assert!(arrived, "the record did not open");
    }
}

/// Hands over what `from` has to send, and says whether it connected.
fn pump(from: &mut Dtls, to: &mut Dtls, buf: &mut [u8]) -> bool {
    let mut connected = false;
    loop {
        match from.poll_output(buf) {
            Output::Packet(packet) => to.handle_packet(packet).expect("a good datagram"),
            Output::Connected => connected = true,
            Output::Timeout(_) => return connected,
            _ => {}
        }
    }
}
