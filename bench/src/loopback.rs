//! Two endpoints in memory, connected by function calls.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::certificate::{CertificateType, CertificateTypes, ClientAuth};
use lockgate_dtls::config::GroupList;
use lockgate_dtls::crypto::NamedGroup;
use lockgate_dtls::{
    CidConfig, CipherSuite, Config, ConnectionHandle, Datagram, Endpoint, EndpointConfig, Event,
    Instant, Received, Role, Session, SuiteList, UdpPath,
};

use crate::papers::{Caller, Papers, Proof, SERVER_NAME};

/// The identity that all clients here show.
pub const IDENTITY: &[u8] = b"device-01";
/// The key that goes with [`IDENTITY`].
pub const KEY: &[u8] = b"0123456789abcdef";
/// [`KEY`] as a command line takes it.
pub const KEY_HEX: &str = "30313233343536373839616263646566";

/// The path of peer number `n`: each has another address.
pub fn path(n: u32) -> UdpPath {
    let address = IpAddr::V4(Ipv4Addr::from(0x0A00_0000 + n));
    UdpPath::from(SocketAddr::new(address, 40_000))
}

/// Options for one suite, with connection IDs of 8 bytes or without.
pub fn endpoint_config(server: bool, suite: CipherSuite, cid: bool) -> EndpointConfig {
    EndpointConfig {
        server,
        config: Config {
            cipher_suites: SuiteList::new(&[suite]),
            cid: if cid {
                CidConfig::Length(8)
            } else {
                CidConfig::Off
            },
            ..Config::default()
        },
        ..EndpointConfig::default()
    }
}

/// As [`endpoint_config`], for a proof and, where it has ephemeral keys, one group.
pub fn proving_config(
    server: bool,
    suite: CipherSuite,
    cid: bool,
    proof: Proof,
    group: NamedGroup,
) -> EndpointConfig {
    let mut options = endpoint_config(server, suite, cid);
    let config = &mut options.config;
    let shown = match proof {
        Proof::Psk => CertificateTypes::EMPTY,
        Proof::Server | Proof::Mutual => CertificateTypes::new(&[CertificateType::X509]),
        Proof::RawKeys => CertificateTypes::new(&[CertificateType::RawPublicKey]),
    };
    let mutual = matches!(proof, Proof::Mutual | Proof::RawKeys);
    config.psk = proof == Proof::Psk;
    config.groups = GroupList::new(&[group]);
    if server || mutual {
        config.own_certificate_types = shown;
    }
    if !server || mutual {
        config.peer_certificate_types = shown;
    }
    if server && mutual {
        config.client_auth = ClientAuth::Required;
    }
    options
}

/// An endpoint on AWS-LC.
///
/// # Panics
/// When `config` is out of range.
pub fn endpoint(config: EndpointConfig) -> Endpoint<AwsLc> {
    Endpoint::new(AwsLc, Instant::default(), config).expect("options in range")
}

/// A client's and a server's endpoint, and the buffers between them.
pub struct Loopback {
    /// The client's end.
    pub client: Endpoint<AwsLc>,
    /// The server's end.
    pub server: Endpoint<AwsLc>,
    client_caller: Caller,
    server_caller: Caller,
    server_name: &'static [u8],
    now: Instant,
    wire: Box<[u8; 2048]>,
    back: Box<[u8; 2048]>,
}

/// Both ends of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// The client's handle.
    pub client: ConnectionHandle,
    /// The server's handle.
    pub server: ConnectionHandle,
    /// Where the server sees the client.
    pub client_path: UdpPath,
    /// Where the client sees the server.
    pub server_path: UdpPath,
}

impl Loopback {
    /// Two new endpoints.
    pub fn new(client: EndpointConfig, server: EndpointConfig) -> Self {
        Self {
            client: endpoint(client),
            server: endpoint(server),
            client_caller: Caller::new(Role::Client, None),
            server_caller: Caller::new(Role::Server, None),
            server_name: b"",
            now: Instant::default(),
            wire: Box::new([0; 2048]),
            back: Box::new([0; 2048]),
        }
    }

    /// For one suite, with connection IDs or without.
    pub fn of(suite: CipherSuite, cid: bool) -> Self {
        Self::new(
            endpoint_config(false, suite, cid),
            endpoint_config(true, suite, cid),
        )
    }

    /// Gives both ends what they show, and the server its name.
    #[must_use]
    pub fn with_papers(mut self, papers: Papers) -> Self {
        let papers = Arc::new(papers);
        self.client_caller = Caller::new(Role::Client, Some(Arc::clone(&papers)));
        self.server_caller = Caller::new(Role::Server, Some(papers));
        self.server_name = SERVER_NAME.as_bytes();
        self
    }

    /// The client's newest session that can be resumed.
    pub fn session(&self) -> Option<Session> {
        self.client_caller.session.clone()
    }

    /// A whole handshake; `n` tells this peer's addresses from other peers'.
    ///
    /// # Panics
    /// When it does not succeed at once.
    pub fn connect(&mut self, n: u32) -> Ends {
        self.connect_with(n, None)
    }

    /// As [`Loopback::connect`], offering to go on with a session.
    ///
    /// # Panics
    /// When it does not succeed at once.
    pub fn connect_with(&mut self, n: u32, session: Option<&Session>) -> Ends {
        let (client_path, server_path) = (path(n), path(n));
        let client = self
            .client
            .connect_with(self.now, server_path, self.server_name, session)
            .expect("a place in the table");
        let (mut up, mut server) = (false, None);
        for _ in 0..8 {
            while let Some(sent) = self.client.poll_transmit(self.now, &mut self.wire[..]) {
                let mut datagram = Datagram::new(&mut self.wire[..sent.len]);
                let mut reply = 0;
                while let Some(received) = self.server.handle(self.now, client_path, &mut datagram)
                {
                    match received {
                        Received::Reply(range) => {
                            reply = range.len();
                            self.back[..reply].copy_from_slice(&datagram.bytes()[range]);
                        }
                        Received::Dropped { reason, .. } => panic!("the server: {reason}"),
                        _ => {}
                    }
                }
                hand_over(
                    &mut self.client,
                    self.now,
                    server_path,
                    &mut self.back[..reply],
                );
            }
            while let Some((handle, event)) = self.server.poll_event() {
                if matches!(event, Event::Connected) {
                    server = Some(handle);
                }
                self.server_caller
                    .answer(&mut self.server, self.now, handle, event);
            }
            while let Some(sent) = self.server.poll_transmit(self.now, &mut self.wire[..]) {
                let bytes = &mut self.wire[..sent.len];
                hand_over(&mut self.client, self.now, server_path, bytes);
            }
            while let Some((handle, event)) = self.client.poll_event() {
                up |= matches!(event, Event::Connected);
                self.client_caller
                    .answer(&mut self.client, self.now, handle, event);
            }
            if let (true, Some(server)) = (up, server) {
                return Ends {
                    client,
                    server,
                    client_path,
                    server_path,
                };
            }
        }
        panic!("the handshake did not end");
    }

    /// Forgets a connection at both ends.
    pub fn discard(&mut self, ends: Ends) {
        self.client.discard(ends.client);
        self.server.discard(ends.server);
    }

    /// Sends the payload at `payload` in `buf` from the client to the server, sealed and opened in place: it stands
    /// there again afterwards.
    ///
    /// # Panics
    /// When it does not arrive.
    #[inline]
    pub fn carry(&mut self, ends: Ends, buf: &mut [u8], payload: Range<usize>) {
        let (record, _) = self
            .client
            .send_in_place(ends.client, buf, payload)
            .expect("established");
        let mut datagram = Datagram::new(&mut buf[record]);
        match self
            .server
            .handle(self.now, ends.client_path, &mut datagram)
        {
            Some(Received::Application { .. }) => {}
            other => panic!("the record did not open: {other:?}"),
        }
    }
}

/// Lets the client take in a datagram, none of which may be dropped.
fn hand_over(client: &mut Endpoint<AwsLc>, now: Instant, path: UdpPath, bytes: &mut [u8]) {
    let mut datagram = Datagram::new(bytes);
    while let Some(received) = client.handle(now, path, &mut datagram) {
        if let Received::Dropped { reason, .. } = received {
            panic!("the client: {reason}");
        }
    }
}
