//! One connection to one server, on a socket of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::config::{MAX_HEADROOM, MAX_TAILROOM};
use lockgate_dtls::{
    CloseReason, Config, ConnectionHandle, ConnectionInfo, Datagram, EndpointConfig, Event,
    Received,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::{Clock, Endpoint, Error, MAX_DATAGRAM_LEN, Path};

/// What a [`Client`] connects with. `Debug` does not show the key.
#[derive(Clone)]
pub struct ClientOptions {
    /// The PSK identity, up to 128 bytes.
    pub identity: Vec<u8>,
    /// The key, 1 to 64 bytes.
    pub psk: Vec<u8>,
    /// The host name to ask for (RFC 6066), or empty. Default empty.
    pub server_name: Vec<u8>,
    /// What the handshake and the session go by.
    pub config: Config,
    /// Where the socket is bound. Default: any address of the server's family, a free port.
    pub bind: Option<SocketAddr>,
}

impl ClientOptions {
    /// The defaults, with an identity and its key.
    pub fn new(identity: &[u8], psk: &[u8]) -> Self {
        Self {
            identity: identity.into(),
            psk: psk.into(),
            server_name: Vec::new(),
            config: Config::default(),
            bind: None,
        }
    }
}

impl std::fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientOptions")
            .field("identity", &self.identity.escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}

/// Why a client could not go on.
pub type ClientError = Error;

/// An established connection.
pub struct Client {
    endpoint: Endpoint,
    connection: ConnectionHandle,
    socket: UdpSocket,
    server: SocketAddr,
    clock: Clock,
    options: ClientOptions,
    incoming: Box<[u8]>,
    outgoing: Box<[u8]>,
    established: bool,
    closed: Option<CloseReason>,
}

impl Client {
    /// Runs the handshake with `server`. A port that nobody listens on is an error at once, where ICMP tells.
    pub async fn connect(server: SocketAddr, options: ClientOptions) -> Result<Self, ClientError> {
        let clock = Clock::start();
        let config = EndpointConfig {
            config: options.config,
            server: false,
            max_connections: 1,
            key_cache: 1,
            ..EndpointConfig::default()
        };
        let mut endpoint = Endpoint::new(AwsLc, clock.now(), config)?;
        let socket = open(server, options.bind).await?;
        let path = Path::new(server, 0);
        let connection = endpoint.connect(clock.now(), path, &options.server_name)?;
        let mut client = Self {
            endpoint,
            connection,
            socket,
            server,
            clock,
            options,
            incoming: vec![0; MAX_DATAGRAM_LEN].into(),
            outgoing: vec![0; MAX_HEADROOM + MAX_DATAGRAM_LEN + MAX_TAILROOM].into(),
            established: false,
            closed: None,
        };
        while !client.established {
            client.turn(None).await?;
        }
        Ok(client)
    }

    /// Sends one datagram as one record.
    pub async fn send(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        if let Some(reason) = self.closed {
            return Err(ClientError::Closed(reason));
        }
        let (record, _) = self
            .endpoint
            .send(self.connection, payload, &mut self.outgoing)?;
        let record = &self.outgoing[record];
        match self.socket.send(record).await {
            // An earlier datagram's ICMP error took this one's place.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.socket.send(record).await?
            }
            result => result?,
        };
        Ok(())
    }

    /// The next datagram; its length in `out`, which cuts what is longer. [`ClientError::Closed`] when the server has
    /// ended the connection. A future that is dropped loses nothing that came.
    pub async fn recv(&mut self, out: &mut [u8]) -> Result<usize, ClientError> {
        loop {
            if let Some(len) = self.turn(Some(&mut *out)).await? {
                return Ok(len);
            }
        }
    }

    /// Goes on from another local port, as if a NAT had forgotten us; the session stays. Returns the new address. The
    /// server follows with the next record when it gave out a connection ID.
    pub async fn rebind(&mut self) -> Result<SocketAddr, ClientError> {
        let bind = self.options.bind.map(|bind| (bind.ip(), 0).into());
        // The old socket lives until the new one is there, so that it gets another port.
        self.socket = open(self.server, bind).await?;
        Ok(self.socket.local_addr()?)
    }

    /// Says goodbye.
    pub async fn close(mut self) -> Result<(), ClientError> {
        self.endpoint.close(self.connection);
        self.flush().await
    }

    /// What was agreed; `None` after the end.
    pub fn info(&self) -> Option<ConnectionInfo<Path>> {
        self.endpoint.info(self.connection)
    }

    /// Where we are.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Waits for a datagram or a timer, whichever is first, and acts on it. Returns the length of application data in
    /// `out`; without `out` there is nothing to wait for once the handshake is complete.
    async fn turn(&mut self, out: Option<&mut [u8]>) -> Result<Option<usize>, ClientError> {
        self.follow_events()?;
        self.flush().await?;
        if let Some(reason) = self.closed {
            return Err(match reason {
                CloseReason::HandshakeFailed(error) => ClientError::Handshake(error),
                reason => ClientError::Closed(reason),
            });
        }
        if self.established && out.is_none() {
            return Ok(None);
        }
        // An ICMP error alone makes no socket readable.
        let ready = self.socket.ready(Interest::READABLE | Interest::ERROR);
        let ready = match self.endpoint.poll_timeout() {
            Some(at) => {
                let in_time = tokio::time::timeout_at(self.clock.timer(at), ready).await;
                let Ok(ready) = in_time else {
                    self.endpoint.handle_timeout(self.clock.now());
                    return Ok(None);
                };
                ready?
            }
            None => ready.await?,
        };
        if ready.is_error() && self.take_error() && !self.established {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        }
        let len = match self.socket.try_recv(&mut self.incoming) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            // A server that restarts comes back; one that was never there does not.
            Err(error) if self.established && error.kind() == io::ErrorKind::ConnectionRefused => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        Ok(self.take_in(len, out.unwrap_or_default()))
    }

    /// Whether an ICMP error is waiting that says "nobody listens there". Whatever waits is taken, or the socket would
    /// be ready for ever.
    fn take_error(&self) -> bool {
        let refused = self.socket.try_io(Interest::ERROR, || {
            let error = self.socket.take_error()?;
            error.ok_or_else(|| io::ErrorKind::WouldBlock.into())
        });
        refused.is_ok_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Takes one datagram in. Of several application records in it only the first is kept; no peer of ours sends such.
    fn take_in(&mut self, len: usize, out: &mut [u8]) -> Option<usize> {
        let now = self.clock.now();
        let path = Path::new(self.server, 0);
        let mut datagram = Datagram::new(&mut self.incoming[..len]);
        let mut taken = None;
        while let Some(received) = self.endpoint.handle(now, path, &mut datagram) {
            if let Received::Application { payload, .. } = received
                && taken.is_none()
            {
                let payload = &datagram.bytes()[payload];
                let len = payload.len().min(out.len());
                out[..len].copy_from_slice(&payload[..len]);
                taken = Some(len);
            }
        }
        taken
    }

    fn follow_events(&mut self) -> Result<(), ClientError> {
        while let Some((_, event)) = self.endpoint.poll_event() {
            match event {
                Event::PskRequested => self.endpoint.provide_identity(
                    self.clock.now(),
                    self.connection,
                    &self.options.identity,
                    &self.options.psk,
                )?,
                Event::Connected => self.established = true,
                Event::Closed(reason) => self.closed = Some(reason),
                Event::PathChanged | Event::KeyLog(_) => {}
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ClientError> {
        let now = self.clock.now();
        while let Some(next) = self.endpoint.poll_transmit(now, &mut self.outgoing) {
            match self.socket.send(&self.outgoing[..next.len]).await {
                Err(error)
                    if !self.established && error.kind() == io::ErrorKind::ConnectionRefused =>
                {
                    return Err(error.into());
                }
                // What does not get out is lost, as datagrams are; a handshake repeats it.
                _ => {}
            }
        }
        Ok(())
    }
}

async fn open(server: SocketAddr, bind: Option<SocketAddr>) -> io::Result<UdpSocket> {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind(bind.unwrap_or_else(|| (any, 0).into())).await?;
    socket.connect(server).await?;
    Ok(socket)
}
