//! One connection to one server, on a socket of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lockgate_dtls::{Config, ConnectionInfo};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::single::Single;
use crate::{Error, Path};

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

/// An established connection that needs no other task: the one who calls it runs it.
pub struct Client {
    single: Box<Single>,
    socket: UdpSocket,
}

impl Client {
    /// Runs the handshake with `server`. A port that nobody listens on is an error at once, where ICMP tells.
    pub async fn connect(server: SocketAddr, options: ClientOptions) -> Result<Self, ClientError> {
        let socket = open(server, options.bind).await?;
        let single = Single::connect(server, options)?;
        let mut client = Self { single, socket };
        loop {
            client.settle().await?;
            if client.single.established {
                return Ok(client);
            }
            client.single.end()?;
            client.wait().await?;
        }
    }

    /// Sends one datagram as one record.
    pub async fn send(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        let record = self.single.seal(payload)?;
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
            self.settle().await?;
            if let Some(len) = self.single.read(out) {
                return Ok(len);
            }
            self.single.end()?;
            self.wait().await?;
        }
    }

    /// Goes on from another local port, as if a NAT had forgotten us; the session stays. Returns the new address. The
    /// server follows with the next record when it gave out a connection ID.
    pub async fn rebind(&mut self) -> Result<SocketAddr, ClientError> {
        let bind = self.single.options.bind.map(|bind| (bind.ip(), 0).into());
        // The old socket lives until the new one is there, so that it gets another port.
        self.socket = open(self.single.server, bind).await?;
        Ok(self.socket.local_addr()?)
    }

    /// Says goodbye.
    pub async fn close(mut self) -> Result<(), ClientError> {
        self.single.close();
        self.settle().await
    }

    /// What was agreed; `None` after the end.
    pub fn info(&self) -> Option<ConnectionInfo<Path>> {
        self.single.info()
    }

    /// Where we are.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Hears what happened and sends what is due.
    async fn settle(&mut self) -> Result<(), ClientError> {
        self.single.follow_events()?;
        let established = self.single.established;
        while let Some(datagram) = self.single.next_transmit() {
            match self.socket.send(datagram).await {
                Err(error) if !established && error.kind() == io::ErrorKind::ConnectionRefused => {
                    return Err(error.into());
                }
                // What does not get out is lost, as datagrams are; a handshake repeats it.
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits for a datagram or a timer, whichever is first, and acts on it.
    async fn wait(&mut self) -> Result<(), ClientError> {
        // An ICMP error alone makes no socket readable.
        let ready = self.socket.ready(Interest::READABLE | Interest::ERROR);
        let ready = match self.single.timeout() {
            Some(at) => {
                let in_time = tokio::time::timeout_at(self.single.clock.timer(at), ready).await;
                let Ok(ready) = in_time else {
                    self.single.handle_timeout();
                    return Ok(());
                };
                ready?
            }
            None => ready.await?,
        };
        if ready.is_error() && self.take_error() && !self.single.established {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        }
        match self.socket.try_recv(&mut self.single.incoming) {
            Ok(len) => self.single.take_in(len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // A server that restarts comes back; one that was never there does not.
            Err(error)
                if self.single.established && error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
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
