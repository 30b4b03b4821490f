//! A client that comes, shakes hands and is gone, over loopback, again and again.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::crypto::NamedGroup;
use lockgate_dtls::{
    CipherSuite, ConnectionHandle, Datagram, Endpoint, Event, Instant as EngineInstant, Role,
};

use crate::epoll::{Epoll, Ready};
use crate::loopback::{endpoint, path, proving_config};
use crate::papers::{Caller, Papers, Proof, SERVER_NAME};

/// How long one visit may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the socket waits before timers are looked at.
const TICK: Duration = Duration::from_millis(20);
/// Sockets of earlier visits that stay open, so that the next ones have other ports.
const OPEN: usize = 32;

/// Clients of one server, one after the other.
pub struct Visitor {
    server: SocketAddr,
    name: &'static [u8],
    endpoint: Endpoint<AwsLc>,
    caller: Caller,
    start: Instant,
    sockets: VecDeque<UdpSocket>,
    buf: Vec<u8>,
}

impl Visitor {
    /// Clients of `server` that prove themselves so, with one suite.
    pub fn new(server: SocketAddr, suite: CipherSuite, proof: Proof, papers: &Arc<Papers>) -> Self {
        let config = proving_config(false, suite, false, proof, NamedGroup::SECP256R1);
        let named = proof != Proof::Psk;
        Self {
            server,
            name: if named { SERVER_NAME.as_bytes() } else { b"" },
            endpoint: endpoint(config),
            caller: Caller::new(Role::Client, named.then(|| Arc::clone(papers))),
            start: Instant::now(),
            sockets: VecDeque::new(),
            buf: vec![0; 4096],
        }
    }

    /// A whole visit from a port of its own; how long the handshake took.
    pub fn visit(&mut self) -> io::Result<Duration> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(self.server)?;
        socket.set_read_timeout(Some(TICK))?;
        let begun = Instant::now();
        let handle = self
            .endpoint
            .connect(self.now(), path(0), self.name)
            .map_err(io::Error::other)?;
        let result = self.converse(&socket, handle, begun);
        self.endpoint.discard(handle);
        self.sockets.push_back(socket);
        if self.sockets.len() > OPEN {
            self.sockets.pop_front();
        }
        result
    }

    /// So many whole visits at the same time.
    pub fn visit_together(&mut self, count: usize) -> io::Result<()> {
        let epoll = Epoll::new()?;
        let (mut sockets, mut handles) = (Vec::new(), Vec::new());
        for n in 0..count {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect(self.server)?;
            socket.set_nonblocking(true)?;
            epoll.add(&socket, n)?;
            sockets.push(socket);
            let now = self.now();
            let handle = self.endpoint.connect(now, path(n as u32), self.name);
            handles.push(handle.map_err(io::Error::other)?);
        }
        let result = self.converse_together(&sockets, &epoll);
        for handle in handles {
            self.endpoint.discard(handle);
        }
        result
    }

    fn converse_together(&mut self, sockets: &[UdpSocket], epoll: &Epoll) -> io::Result<()> {
        let begun = Instant::now();
        let mut connected = 0;
        let mut ready = Ready::new();
        loop {
            while let Some((of, event)) = self.endpoint.poll_event() {
                match event {
                    Event::Closed(reason) => return Err(io::Error::other(reason.to_string())),
                    Event::Connected => connected += 1,
                    event => {
                        let now = self.now();
                        self.caller.answer(&mut self.endpoint, now, of, event);
                    }
                }
            }
            let now = self.now();
            while let Some(sent) = self.endpoint.poll_transmit(now, &mut self.buf) {
                let of = (0..sockets.len()).find(|&n| path(n as u32) == sent.path);
                sockets[of.unwrap_or(0)].send(&self.buf[..sent.len])?;
            }
            if connected == sockets.len() {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(ErrorKind::TimedOut.into());
            }
            self.endpoint.handle_timeout(self.now());
            for n in epoll.wait(&mut ready, Some(TICK))? {
                let Ok(len) = sockets[n].recv(&mut self.buf) else {
                    continue;
                };
                let now = self.now();
                let mut datagram = Datagram::new(&mut self.buf[..len]);
                let from = path(n as u32);
                while self.endpoint.handle(now, from, &mut datagram).is_some() {}
            }
        }
    }

    fn converse(
        &mut self,
        socket: &UdpSocket,
        handle: ConnectionHandle,
        begun: Instant,
    ) -> io::Result<Duration> {
        loop {
            while let Some((of, event)) = self.endpoint.poll_event() {
                match event {
                    _ if of != handle => {}
                    Event::Closed(reason) => return Err(io::Error::other(reason.to_string())),
                    Event::Connected => return Ok(begun.elapsed()),
                    event => {
                        let now = self.now();
                        self.caller.answer(&mut self.endpoint, now, handle, event);
                    }
                }
            }
            self.transmit(socket)?;
            if begun.elapsed() > PATIENCE {
                return Err(ErrorKind::TimedOut.into());
            }
            let len = match socket.recv(&mut self.buf) {
                Ok(len) => len,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
                {
                    self.endpoint.handle_timeout(self.now());
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (now, from) = (self.now(), path(0));
            let mut datagram = Datagram::new(&mut self.buf[..len]);
            while self.endpoint.handle(now, from, &mut datagram).is_some() {}
        }
    }

    fn now(&self) -> EngineInstant {
        EngineInstant::from_micros(self.start.elapsed().as_micros() as u64)
    }

    fn transmit(&mut self, socket: &UdpSocket) -> io::Result<()> {
        let now = self.now();
        while let Some(sent) = self.endpoint.poll_transmit(now, &mut self.buf) {
            socket.send(&self.buf[..sent.len])?;
        }
        Ok(())
    }
}
