//! Devices on loopback: each has a socket of its own, sends a datagram, waits for its echo and sends the next.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::{
    CidConfig, CipherSuite, ConnectionHandle, Datagram, Endpoint, Event, Instant as EngineInstant,
    Received,
};

use crate::epoll::{Epoll, Ready};
use crate::loopback::{IDENTITY, KEY, endpoint, endpoint_config, path};

/// How long all handshakes together may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// A device that has not heard its echo for so long sends again.
const LOST_AFTER: Duration = Duration::from_millis(250);
/// Where payloads stand in their buffer: behind the longest header.
const AT: usize = 64;

/// A number of devices and what they say.
pub struct Devices {
    sockets: Vec<UdpSocket>,
    epoll: Epoll,
    dtls: Option<Sessions>,
    start: Instant,
    len: usize,
    /// When each device last sent.
    sent_at: Vec<Instant>,
    /// The number of the datagram whose echo each device waits for.
    awaited: Vec<u64>,
    buf: Vec<u8>,
}

struct Sessions {
    endpoint: Endpoint<AwsLc>,
    handles: Vec<ConnectionHandle>,
}

/// What a run saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Echoes that came back.
    pub round_trips: u64,
    /// Datagrams that were sent again.
    pub lost: u64,
    /// Time from sending to echo, in microseconds.
    pub micros: Vec<f64>,
}

impl Devices {
    /// So many devices with datagrams of `len` bytes at `server`: plain, or connected under `suite`.
    pub fn new(
        server: SocketAddr,
        count: usize,
        len: usize,
        suite: Option<CipherSuite>,
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let mut sockets = Vec::with_capacity(count);
        for n in 0..count {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            epoll.add(&socket, n)?;
            sockets.push(socket);
        }
        let start = Instant::now();
        let mut this = Self {
            sockets,
            epoll,
            dtls: None,
            start,
            len: len.max(8),
            sent_at: vec![start; count],
            awaited: vec![0; count],
            buf: vec![0; 2048.max(len + 2 * AT)],
        };
        if let Some(suite) = suite {
            this.connect(suite)?;
        }
        Ok(this)
    }

    fn now(&self) -> EngineInstant {
        EngineInstant::from_micros(self.start.elapsed().as_micros() as u64)
    }

    /// All handshakes at the same time. As devices do, they send with the server's connection ID and want none.
    fn connect(&mut self, suite: CipherSuite) -> io::Result<()> {
        let mut config = endpoint_config(false, suite, true);
        config.config.cid = CidConfig::Length(0);
        let mut endpoint = endpoint(config);
        let mut handles = Vec::with_capacity(self.sockets.len());
        for n in 0..self.sockets.len() {
            let handle = endpoint.connect(self.now(), path(n as u32), b"");
            handles.push(handle.map_err(io::Error::other)?);
        }
        let mut connected = 0;
        let mut ready = Ready::new();
        while connected < handles.len() {
            if self.start.elapsed() > CONNECT_WITHIN {
                return Err(io::Error::other(format!(
                    "only {connected} of {} devices connected",
                    handles.len()
                )));
            }
            endpoint.handle_timeout(self.now());
            while let Some(sent) = endpoint.poll_transmit(self.now(), &mut self.buf) {
                let n = handles
                    .iter()
                    .position(|h| endpoint.path(*h) == Some(sent.path));
                // One that is refused because the server is not up yet goes out again later.
                let _ = self.sockets[n.unwrap_or(0)].send(&self.buf[..sent.len]);
            }
            for n in self
                .epoll
                .wait(&mut ready, Some(Duration::from_millis(20)))?
            {
                while let Ok(len) = self.sockets[n].recv(&mut self.buf) {
                    let now = EngineInstant::from_micros(self.start.elapsed().as_micros() as u64);
                    let mut datagram = Datagram::new(&mut self.buf[..len]);
                    while endpoint
                        .handle(now, path(n as u32), &mut datagram)
                        .is_some()
                    {}
                }
            }
            while let Some((handle, event)) = endpoint.poll_event() {
                match event {
                    Event::PskRequested => endpoint
                        .provide_identity(self.now(), handle, IDENTITY, KEY)
                        .map_err(io::Error::other)?,
                    Event::Connected => connected += 1,
                    Event::Closed(reason) => {
                        return Err(io::Error::other(format!(
                            "a device was turned away: {reason}"
                        )));
                    }
                    _ => {}
                }
            }
        }
        self.dtls = Some(Sessions { endpoint, handles });
        Ok(())
    }

    /// Every device sends, hears and sends again for `duration`.
    pub fn run(&mut self, duration: Duration) -> io::Result<Seen> {
        let mut seen = Seen::default();
        let end = Instant::now() + duration;
        for n in 0..self.sockets.len() {
            self.send(n)?;
        }
        let mut swept = Instant::now();
        let mut ready = Ready::new();
        while Instant::now() < end {
            for n in self
                .epoll
                .wait(&mut ready, Some(Duration::from_millis(50)))?
            {
                if self.receive(n, &mut seen) {
                    self.send(n)?;
                }
            }
            if swept.elapsed() > LOST_AFTER {
                swept = Instant::now();
                for n in 0..self.sockets.len() {
                    if self.sent_at[n].elapsed() > LOST_AFTER {
                        seen.lost += 1;
                        self.send(n)?;
                    }
                }
            }
        }
        // Let what is under way arrive, so that it is in nobody's next round.
        let quiet = Instant::now() + Duration::from_millis(50);
        while Instant::now() < quiet {
            for n in self
                .epoll
                .wait(&mut ready, Some(Duration::from_millis(20)))?
            {
                self.receive(n, &mut seen);
            }
        }
        Ok(seen)
    }

    fn send(&mut self, n: usize) -> io::Result<()> {
        self.awaited[n] += 1;
        self.buf[AT..AT + self.len].fill(n as u8);
        self.buf[AT..AT + 8].copy_from_slice(&self.awaited[n].to_be_bytes());
        let mut datagram = AT..AT + self.len;
        if let Some(dtls) = &mut self.dtls {
            let sealed =
                dtls.endpoint
                    .send_in_place(dtls.handles[n], &mut self.buf, datagram.clone());
            datagram = sealed.map_err(io::Error::other)?.0;
        }
        self.sent_at[n] = Instant::now();
        // A full buffer or an ICMP error loses the datagram; it will be sent again.
        let _ = self.sockets[n].send(&self.buf[datagram]);
        Ok(())
    }

    /// Takes one datagram; whether it was the echo that the device waited for.
    fn receive(&mut self, n: usize, seen: &mut Seen) -> bool {
        let Ok(len) = self.sockets[n].recv(&mut self.buf) else {
            return false;
        };
        let now = self.now();
        let mut payload = 0..len;
        if let Some(dtls) = &mut self.dtls {
            let mut datagram = Datagram::new(&mut self.buf[..len]);
            match dtls.endpoint.handle(now, path(n as u32), &mut datagram) {
                Some(Received::Application { payload: at, .. }) => payload = at,
                _ => return false,
            }
        }
        let payload = &self.buf[payload];
        let echo = payload.len() == self.len
            && payload.first_chunk() == Some(&self.awaited[n].to_be_bytes());
        if echo {
            seen.round_trips += 1;
            seen.micros
                .push(self.sent_at[n].elapsed().as_secs_f64() * 1e6);
        }
        echo
    }
}
