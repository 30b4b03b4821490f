//! Devices on loopback: each has a socket of its own, sends a datagram, waits for its echo and sends the next; or all
//! send in turn at a set pace, whatever comes back.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::{
    CidConfig, CipherSuite, ConnectionHandle, Datagram, Endpoint, Event, Instant as EngineInstant,
    Received,
};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::epoll::{Epoll, Ready};
use crate::loopback::{IDENTITY, KEY, endpoint, endpoint_config, path};

/// How long all handshakes together may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// A device that has not heard its echo for so long sends again.
const LOST_AFTER: Duration = Duration::from_millis(250);
/// How long the sockets are waited for at most before the clock is looked at.
const TICK: Duration = Duration::from_millis(20);
/// Echoes of paced datagrams are waited for so long at the end.
const PATIENCE: Duration = Duration::from_millis(300);
/// Marks numbers of paced datagrams.
const PACED: u64 = 1 << 63;
/// The timer among the numbers of the sockets.
const TIMER: usize = usize::MAX;
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
    /// Paced datagrams so far.
    paced: u64,
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
    /// Datagrams that were sent again; of a paced run, that did not come back.
    pub lost: u64,
    /// Time from sending to echo, in microseconds.
    pub micros: Vec<f64>,
    /// How much later than they were due datagrams of a paced run were sent, in microseconds.
    pub late: Vec<f64>,
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
            paced: 0,
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

    /// The devices in turn send `per_second` datagrams a second for `duration`, whether echoes come or not.
    ///
    /// The schedule is fixed beforehand, so one that is late makes none of the next ones later.
    pub fn run_paced(&mut self, duration: Duration, per_second: u32) -> io::Result<Seen> {
        let mut seen = Seen::default();
        let total = (duration.as_micros() * u128::from(per_second) / 1_000_000) as usize;
        let interval = Duration::from_secs(1) / per_second;
        let first = self.paced;
        self.paced += total as u64;
        let mut sent_at: Vec<Option<Instant>> = Vec::with_capacity(total);
        let timer = timer(interval)?;
        self.epoll.add(&timer, TIMER)?;
        let begun = Instant::now();
        let mut ready = Ready::new();
        let mut expirations = [0; 8];
        while seen.round_trips < total as u64 && begun.elapsed() < duration + PATIENCE {
            while sent_at.len() < total && begun.elapsed() >= interval * sent_at.len() as u32 {
                let due = begun + interval * sent_at.len() as u32;
                let device = sent_at.len() % self.sockets.len();
                let at = self.send_number(device, PACED | (first + sent_at.len() as u64))?;
                seen.late.push((at - due).as_secs_f64() * 1e6);
                sent_at.push(Some(at));
            }
            for n in self.epoll.wait(&mut ready, Some(TICK))? {
                if n == TIMER {
                    let _ = rustix::io::read(&timer, &mut expirations);
                    continue;
                }
                let Some(number) = self.hear(n) else { continue };
                let place = number.checked_sub(PACED | first).map(|n| n as usize);
                // Each counts once.
                if let Some(at) = place.and_then(|n| sent_at.get_mut(n)?.take()) {
                    seen.round_trips += 1;
                    seen.micros.push(at.elapsed().as_secs_f64() * 1e6);
                }
            }
        }
        seen.lost = total as u64 - seen.round_trips;
        Ok(seen)
    }

    /// Sends the next datagram of device `n`.
    fn send(&mut self, n: usize) -> io::Result<()> {
        self.awaited[n] += 1;
        self.sent_at[n] = self.send_number(n, self.awaited[n])?;
        Ok(())
    }

    /// Sends a datagram with this number from device `n`; when that was.
    fn send_number(&mut self, n: usize, number: u64) -> io::Result<Instant> {
        self.buf[AT..AT + self.len].fill(n as u8);
        self.buf[AT..AT + 8].copy_from_slice(&number.to_be_bytes());
        let mut datagram = AT..AT + self.len;
        if let Some(dtls) = &mut self.dtls {
            let sealed =
                dtls.endpoint
                    .send_in_place(dtls.handles[n], &mut self.buf, datagram.clone());
            datagram = sealed.map_err(io::Error::other)?.0;
        }
        let now = Instant::now();
        // A full buffer or an ICMP error loses the datagram.
        let _ = self.sockets[n].send(&self.buf[datagram]);
        Ok(now)
    }

    /// Takes one datagram; whether it was the echo that the device waited for.
    fn receive(&mut self, n: usize, seen: &mut Seen) -> bool {
        let echo = self.hear(n) == Some(self.awaited[n]);
        if echo {
            seen.round_trips += 1;
            seen.micros
                .push(self.sent_at[n].elapsed().as_secs_f64() * 1e6);
        }
        echo
    }

    /// Takes one datagram of device `n`; its number, if it is an echo.
    fn hear(&mut self, n: usize) -> Option<u64> {
        let len = self.sockets[n].recv(&mut self.buf).ok()?;
        let now = self.now();
        let mut payload = 0..len;
        if let Some(dtls) = &mut self.dtls {
            let mut datagram = Datagram::new(&mut self.buf[..len]);
            match dtls.endpoint.handle(now, path(n as u32), &mut datagram) {
                Some(Received::Application { payload: at, .. }) => payload = at,
                _ => return None,
            }
        }
        let payload = &self.buf[payload];
        let number = payload.first_chunk().copied().map(u64::from_be_bytes);
        number.filter(|_| payload.len() == self.len)
    }
}

/// A timer that can be read at every `interval` from now: epoll's own time-outs are whole milliseconds.
fn timer(interval: Duration) -> io::Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
    let interval = Timespec::try_from(interval).map_err(io::Error::other)?;
    let always = Itimerspec {
        it_interval: interval,
        it_value: interval,
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &always)?;
    Ok(timer)
}
