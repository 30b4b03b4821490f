//! What every phase has in common: the engine, the sockets, the sessions, and one turn of the loop around them.

use std::collections::HashMap;
use std::io;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::config::{MAX_HEADROOM, MAX_TAILROOM};
use lockgate_dtls::wire::AlertDescription;
use lockgate_dtls::{
    Address, ApiError, CloseReason, ConnectionHandle, Datagram, Endpoint, Event,
    Instant as EngineInstant, MAX_ADDRESS_LEN, Received, Session as Resumable,
};
use lockgate_tokio::{ClientPapers, Credentials, DropCounters};

use crate::keys::Keys;
use crate::random::{Loss, Random};
use crate::sockets::Sockets;

/// The longest payload of a UDP datagram.
const MAX_DATAGRAM_LEN: usize = 65_535;

/// How often the one who watches is told.
const WATCH_EVERY: u64 = 100_000_000;

/// The longest sleep, so that a signal to stop is heard.
const NAP: u64 = 50_000_000;

/// Where a session's server is, as the engine sees it: all have the same, so the number of the session tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionNumber(pub(crate) u32);

impl Address for SessionNumber {
    fn write(&self, out: &mut [u8; MAX_ADDRESS_LEN]) -> usize {
        out[..4].copy_from_slice(&self.0.to_ne_bytes());
        4
    }

    fn admission_group(&self) -> u64 {
        self.0.into()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No session, and none in the making.
    Down,
    Handshaking,
    Up,
}

/// One device.
pub(crate) struct Session {
    pub(crate) handle: Option<ConnectionHandle>,
    pub(crate) state: State,
    /// Which of its source ports it speaks from.
    pub(crate) port: u8,
    /// It moves to another port before it speaks again.
    pub(crate) moves: bool,
    /// How many datagrams wait for some answer, where echoes do not tell which one.
    pub(crate) waiting: u8,
    /// Of its next request of CoAP.
    pub(crate) message_id: u16,
    /// When the handshake began, or when the datagram was sent that is waited for, in nanoseconds; 0 when none is.
    pub(crate) stamp: u64,
}

/// What somebody who watches is told, ten times a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// How long this phase has been running.
    pub elapsed: Duration,
    /// Sessions that there are.
    pub sessions: u32,
    /// Handshakes under way.
    pub under_way: u32,
    /// Handshakes of this phase that completed.
    pub completed: u64,
    /// Handshakes of this phase that failed.
    pub failed: u64,
    /// Datagrams that this phase has sent.
    pub sent: u64,
    /// Those that were answered.
    pub answered: u64,
}

/// Hears of progress; `Break` ends the phase early.
pub type Watch<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// What a phase does when something happens.
pub(crate) trait Activity {
    fn on_application(&mut self, core: &mut Core, n: u32, payload: &[u8], now: u64) {
        let _ = (core, n, payload, now);
    }

    fn on_connected(&mut self, core: &mut Core, n: u32, resumed: bool, now: u64) {
        let _ = (core, n, resumed, now);
    }

    /// `was_up` says whether there was a session or a handshake.
    fn on_closed(&mut self, core: &mut Core, n: u32, reason: CloseReason, was_up: bool) {
        let _ = (core, n, reason, was_up);
    }

    fn progress(&self) -> Progress;
}

/// What devices prove themselves by, and whom they believe.
pub(crate) struct Identity {
    pub(crate) keys: Keys,
    pub(crate) credentials: Credentials,
    /// The host name to ask for, or empty.
    pub(crate) server_name: Vec<u8>,
    /// The name that the server's certificate has to be for, or empty.
    pub(crate) certificate_name: String,
}

pub(crate) struct Core {
    pub(crate) endpoint: Endpoint<AwsLc, SessionNumber>,
    pub(crate) sockets: Sockets,
    pub(crate) sessions: Vec<Session>,
    /// Which session has which place of the engine's table.
    by_place: Vec<u32>,
    /// What each device can go on with, where it shall: its newest session.
    resumable: Vec<Option<Resumable>>,
    /// How many sessions there are.
    pub(crate) up: u32,
    pub(crate) under_way: u32,
    identity: Identity,
    /// What handshakes know of certificates that are under way.
    papers: HashMap<u32, ClientPapers>,
    /// How many handshakes a server asked for a certificate that had none to show.
    pub(crate) declined: u64,
    pub(crate) loss: Loss,
    pub(crate) random: Random,
    /// Records of the server's that led nowhere.
    pub(crate) dropped: DropCounters,
    /// Datagrams that the kernel did not take.
    pub(crate) not_sent: u64,
    /// Why it did not take the first one of them.
    pub(crate) send_error: Option<io::Error>,
    /// Application data that came to another device than it was for.
    pub(crate) misdelivered: u64,
    start: Instant,
    watched: u64,
    incoming: Box<[u8]>,
    out: Box<[u8]>,
}

impl Core {
    pub(crate) fn new(
        endpoint: Endpoint<AwsLc, SessionNumber>,
        sockets: Sockets,
        identity: Identity,
        loss: f64,
        seed: u64,
    ) -> Self {
        Self {
            endpoint,
            sockets,
            sessions: Vec::new(),
            by_place: Vec::new(),
            resumable: Vec::new(),
            up: 0,
            under_way: 0,
            identity,
            papers: HashMap::new(),
            declined: 0,
            loss: Loss::new(loss, seed),
            random: Random::new(!seed),
            dropped: DropCounters::default(),
            not_sent: 0,
            send_error: None,
            misdelivered: 0,
            start: Instant::now(),
            watched: 0,
            incoming: vec![0; MAX_DATAGRAM_LEN].into(),
            out: vec![0; MAX_HEADROOM + MAX_DATAGRAM_LEN + MAX_TAILROOM].into(),
        }
    }

    /// Nanoseconds since the fleet was made; never 0.
    pub(crate) fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64 | 1
    }

    /// Makes room for `count` devices.
    pub(crate) fn grow(&mut self, count: u32) -> io::Result<()> {
        self.sockets.open(count)?;
        // Not twice as many as are wanted: a million of them count.
        let more = (count as usize).saturating_sub(self.sessions.len());
        self.sessions.reserve_exact(more);
        self.by_place.reserve_exact(more);
        if self.endpoint.config().config.resumption {
            self.resumable.resize(count as usize, None);
        }
        while self.sessions.len() < count as usize {
            let n = self.sessions.len();
            self.sessions.push(Session {
                handle: None,
                state: State::Down,
                port: n as u8,
                moves: false,
                waiting: 0,
                message_id: 0,
                stamp: 0,
            });
        }
        Ok(())
    }

    /// Forgets the session of device `n` without a word to the server.
    pub(crate) fn forget(&mut self, n: u32) {
        let session = &mut self.sessions[n as usize];
        if let Some(handle) = session.handle.take() {
            self.endpoint.discard(handle);
        }
        self.papers.remove(&n);
        match std::mem::replace(&mut session.state, State::Down) {
            State::Up => self.up -= 1,
            State::Handshaking => self.under_way -= 1,
            State::Down => {}
        }
        session.stamp = 0;
    }

    /// Begins a handshake, from wherever device `n` stands.
    pub(crate) fn connect(&mut self, n: u32) -> Result<(), ApiError> {
        self.forget(n);
        let now = self.now();
        let path = SessionNumber(n);
        let earlier = self.resumable.get(n as usize).and_then(Option::as_ref);
        let handle = self.endpoint.connect_with(
            engine_time(now),
            path,
            &self.identity.server_name,
            earlier,
        )?;
        let session = &mut self.sessions[n as usize];
        session.handle = Some(handle);
        session.state = State::Handshaking;
        session.stamp = now;
        self.under_way += 1;
        if self.by_place.len() <= handle.index() {
            self.by_place.resize(handle.index() + 1, u32::MAX);
        }
        self.by_place[handle.index()] = n;
        Ok(())
    }

    /// Sends one datagram of `len` bytes from device `n`, which `fill` writes; it is not told which bytes stand there
    /// before. Returns when, or `None` when the device cannot send.
    pub(crate) fn say(
        &mut self,
        n: u32,
        len: usize,
        fill: impl FnOnce(&mut [u8], u64),
    ) -> Option<u64> {
        let session = &mut self.sessions[n as usize];
        let handle = session.handle.filter(|_| session.state == State::Up)?;
        if session.moves {
            session.moves = false;
            match self.sockets.rebind(n, session.port) {
                Ok(port) => session.port = port,
                Err(error) => self.count_not_sent(error),
            }
        }
        let now = self.start.elapsed().as_nanos() as u64 | 1;
        let at = MAX_HEADROOM..MAX_HEADROOM + len;
        fill(&mut self.out[at.clone()], now);
        let sealed = self.endpoint.send_in_place(handle, &mut self.out, at);
        let (record, _) = sealed.ok()?;
        self.transmit_out(n, record);
        Some(now)
    }

    fn transmit_out(&mut self, n: u32, datagram: Range<usize>) {
        if self.loss.takes() {
            return;
        }
        let port = self.sessions[n as usize].port;
        let sent = self.sockets.send(n, port, &self.out[datagram]);
        if let Err(error) = sent {
            self.count_not_sent(error);
        }
    }

    fn count_not_sent(&mut self, error: io::Error) {
        self.not_sent += 1;
        self.send_error.get_or_insert(error);
    }

    /// Sends what the engine has to say by itself.
    pub(crate) fn transmit(&mut self) {
        let now = engine_time(self.now());
        while let Some(next) = self.endpoint.poll_transmit(now, &mut self.out) {
            self.transmit_out(next.path.0, 0..next.len);
        }
    }

    /// One turn: sends what is due, waits for datagrams at most until `until`, and takes them in. `Break` when the one
    /// who watches wants the phase to end.
    pub(crate) fn turn<A: Activity>(
        &mut self,
        activity: &mut A,
        until: u64,
        watch: &mut Watch<'_>,
    ) -> io::Result<ControlFlow<()>> {
        self.transmit();
        let now = self.now();
        let engine = self.endpoint.poll_timeout();
        let engine = engine.map_or(u64::MAX, |at| at.as_micros().saturating_mul(1000));
        let wake = until.min(engine).min(now + NAP);
        self.sockets
            .wait(Duration::from_nanos(wake.saturating_sub(now)))?;
        let mut incoming = std::mem::take(&mut self.incoming);
        while let Some((n, len)) = self.sockets.next(&mut incoming) {
            if (n as usize) < self.sessions.len() && !self.loss.takes() {
                self.take_in(activity, n, &mut incoming[..len]);
            }
        }
        self.incoming = incoming;
        let now = self.now();
        if now >= engine {
            self.endpoint.handle_timeout(engine_time(now));
        }
        self.act_on_events(activity);
        if now.saturating_sub(self.watched) < WATCH_EVERY {
            return Ok(ControlFlow::Continue(()));
        }
        self.watched = now;
        Ok(watch(&Progress {
            sessions: self.up,
            under_way: self.under_way,
            ..activity.progress()
        }))
    }

    fn take_in<A: Activity>(&mut self, activity: &mut A, n: u32, bytes: &mut [u8]) {
        let now = self.now();
        let mut datagram = Datagram::new(bytes);
        let path = SessionNumber(n);
        while let Some(received) = self.endpoint.handle(engine_time(now), path, &mut datagram) {
            match received {
                Received::Application {
                    connection,
                    payload,
                } if self.sessions[n as usize].handle == Some(connection) => {
                    activity.on_application(self, n, &datagram.bytes()[payload], now);
                }
                Received::Application { .. } => self.misdelivered += 1,
                Received::Dropped { reason, .. } => self.dropped.add(reason),
                Received::Progress(_) | Received::Kept | Received::Reply(_) => {}
            }
        }
    }

    fn act_on_events<A: Activity>(&mut self, activity: &mut A) {
        while let Some((handle, event)) = self.endpoint.poll_event() {
            let n = self.by_place.get(handle.index()).copied();
            let Some(n) = n.filter(|&n| self.session_is(n, handle)) else {
                continue;
            };
            let now = self.now();
            match event {
                Event::PskRequested => self.provide_key(n, handle, now),
                Event::CredentialRequested | Event::SignatureRequested | Event::PeerCertificate => {
                    self.show_papers(n, handle, &event, now);
                }
                Event::NewSession(session) => {
                    if let Some(place) = self.resumable.get_mut(n as usize) {
                        *place = Some(session);
                    }
                }
                // The server let it go on, and we offered it.
                Event::ResumptionRequested => {
                    let _ = self.endpoint.accept_resumption(engine_time(now), handle);
                }
                Event::Connected => {
                    self.forget_papers(n);
                    self.sessions[n as usize].state = State::Up;
                    self.up += 1;
                    self.under_way -= 1;
                    let resumed = self.endpoint.info(handle).is_some_and(|info| info.resumed);
                    activity.on_connected(self, n, resumed, now);
                }
                Event::Closed(reason) => {
                    self.forget_papers(n);
                    let session = &mut self.sessions[n as usize];
                    let was_up = session.state == State::Up;
                    session.state = State::Down;
                    // The engine forgets it when its last words are out.
                    session.handle = None;
                    if was_up {
                        self.up -= 1;
                    } else {
                        self.under_way -= 1;
                    }
                    activity.on_closed(self, n, reason, was_up);
                }
                _ => {}
            }
        }
    }

    fn session_is(&self, n: u32, handle: ConnectionHandle) -> bool {
        let session = self.sessions.get(n as usize);
        session.is_some_and(|session| session.handle == Some(handle))
    }

    fn show_papers(&mut self, n: u32, handle: ConnectionHandle, event: &Event, now: u64) {
        let Identity {
            credentials,
            certificate_name: name,
            ..
        } = &self.identity;
        let (endpoint, now) = (&mut self.endpoint, engine_time(now));
        let papers = self.papers.entry(n).or_default();
        let answered = credentials.answer_client(endpoint, now, handle, event, name, papers);
        if answered.is_err() {
            self.endpoint
                .abort(handle, AlertDescription::INTERNAL_ERROR);
        }
    }

    fn forget_papers(&mut self, n: u32) {
        let papers = self.papers.remove(&n);
        self.declined += u64::from(papers.is_some_and(|papers| papers.declined()));
    }

    fn provide_key(&mut self, n: u32, handle: ConnectionHandle, now: u64) {
        let endpoint = &mut self.endpoint;
        let provided = self.identity.keys.with(n, |identity, key| {
            endpoint.provide_identity(engine_time(now), handle, identity, key)
        });
        if !matches!(provided, Some(Ok(()))) {
            endpoint.abort(handle, AlertDescription::INTERNAL_ERROR);
        }
    }

    /// When the one who watches is to be told again: at once.
    pub(crate) const fn tell_soon(&mut self) {
        self.watched = 0;
    }
}

/// The engine counts microseconds.
pub(crate) const fn engine_time(nanos: u64) -> EngineInstant {
    EngineInstant::from_micros(nanos / 1000)
}
