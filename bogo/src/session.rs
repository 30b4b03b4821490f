//! One connection with the runner, from its first datagram to its last.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use lockgate_dtls::wire::AlertDescription;
use lockgate_dtls::{
    CloseReason, ConnectionHandle, Datagram, DropReason, Event, Received, UdpPath,
};

use crate::answers::Notes;
use crate::engine::Engine;
use crate::faults::{self, Failure};
use crate::options::Options;
use crate::transport::{Command, Transport};

/// What is said first when the runner asks for it.
const FIRST_WORDS: &[u8] = b"hello";
/// Room for a datagram of ours.
const MAX_DATAGRAM_LEN: usize = 1 << 15;
/// The runner's address: what it sends comes through a TCP connection, so any will do.
const RUNNER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The port of the runner's first connection; each that follows has the next.
const FIRST_PORT: u16 = 5684;
/// `decompression_failure`, which is the alert that the runner asks for, and nobody else.
const DECOMPRESSION_FAILURE: AlertDescription = AlertDescription(30);

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Handshake,
    Connected,
    /// Nothing more is to be done.
    Over,
}

struct Session<'a> {
    engine: &'a mut Engine,
    transport: &'a mut Transport,
    options: &'a Options,
    resumes: bool,
    path: UdpPath,
    handle: Option<ConnectionHandle>,
    stage: Stage,
    notes: Notes,
    /// What was dropped, for who wonders why nothing came of it.
    dropped: Vec<DropReason>,
    /// Requests that are answered when everything else is done.
    unanswered: VecDeque<(ConnectionHandle, Event)>,
}

/// Runs the connection of this number with the runner to its end; all but the first resume the one before.
pub(crate) fn run(engine: &mut Engine, options: &Options, number: u16) -> Result<(), Failure> {
    let mut transport = Transport::connect(options.port, options.ipv6, options.shim_id)?;
    let mut session = Session {
        engine,
        transport: &mut transport,
        options,
        resumes: number > 0,
        path: UdpPath::from(SocketAddr::from((RUNNER, FIRST_PORT + number))),
        handle: None,
        stage: Stage::Handshake,
        notes: Notes::default(),
        dropped: Vec::new(),
        unanswered: VecDeque::new(),
    };
    let result = session.run();
    session.say_last_words();
    transport.finish();
    result
}

impl Session<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        if !self.options.server {
            self.handle = Some(self.engine.connect(self.path, self.options, self.resumes)?);
        }
        self.settle()?;
        while self.stage != Stage::Over {
            let Some(command) = self.transport.read()? else {
                break;
            };
            self.obey(command)?;
            self.settle()?;
        }
        if self.stage == Stage::Handshake {
            let text = format!(
                "the runner hung up during the handshake; dropped: {:?}",
                self.dropped
            );
            return Err(Failure::new("runner-gone", text));
        }
        Ok(())
    }

    fn obey(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Datagram(mut datagram) => self.take(&mut datagram)?,
            Command::Advance(time) => self.engine.advance(time),
            Command::Mtu(mtu) => {
                let handle = self.handle()?;
                self.engine.set_mtu(handle, mtu)?;
            }
            Command::InitialTimeout(timeout) => {
                let handle = self.handle()?;
                self.engine.set_initial_timeout(handle, timeout)?;
            }
            Command::ExpectTimeout(expected) => {
                let found = self.engine.until_deadline();
                if found != expected {
                    return Err(Failure::expectation(format_args!(
                        "the next deadline is in {found:?}, not in {expected:?}"
                    )));
                }
            }
        }
        Ok(())
    }

    fn handle(&self) -> Result<ConnectionHandle, Failure> {
        self.handle
            .ok_or_else(|| Failure::expectation("there is no connection yet"))
    }

    /// Takes a datagram in, record by record.
    fn take(&mut self, datagram: &mut [u8]) -> Result<(), Failure> {
        let mut input = Datagram::new(datagram);
        while let Some(received) = self.engine.handle(self.path, &mut input) {
            match received {
                Received::Application { payload, .. } => {
                    // The Finished that came before it in this datagram may not have been acted upon.
                    self.settle()?;
                    let payload: Vec<u8> =
                        input.bytes()[payload].iter().map(|b| b ^ 0xff).collect();
                    self.send(&payload)?;
                }
                Received::Progress(handle) => {
                    self.adopt(handle);
                    self.settle()?;
                }
                Received::Kept => {}
                Received::Reply(range) => {
                    let reply = input.bytes()[range].to_vec();
                    self.transport.send(&reply)?;
                }
                Received::Dropped { reason, .. } => {
                    self.dropped.push(reason);
                    if self.stage == Stage::Handshake
                        && let Some(fault) = faults::of_drop(reason)
                    {
                        return Err(fault);
                    }
                    self.settle()?;
                }
            }
        }
        Ok(())
    }

    /// A server learns its connection from what comes in.
    fn adopt(&mut self, handle: ConnectionHandle) {
        if self.options.server {
            self.handle.get_or_insert(handle);
        }
    }

    /// Does everything that can be done without the runner: requests, events, datagrams.
    fn settle(&mut self) -> Result<(), Failure> {
        loop {
            if let Some((handle, event)) = self.engine.poll_event() {
                self.adopt(handle);
                if self.handle == Some(handle) {
                    self.on_event(handle, event)?;
                }
            } else if !self.flush()?
                && let Some((handle, request)) = self.unanswered.pop_front()
            {
                self.answer(handle, request)?;
            } else {
                return Ok(());
            }
        }
    }

    /// Sends what waits to be sent, and says whether there was anything.
    fn flush(&mut self) -> Result<bool, Failure> {
        let mut buf = vec![0; MAX_DATAGRAM_LEN];
        let mut any = false;
        while let Some(datagram) = self.engine.poll_transmit(&mut buf) {
            any = true;
            self.transport.send(datagram)?;
        }
        Ok(any)
    }

    fn on_event(&mut self, handle: ConnectionHandle, event: Event) -> Result<(), Failure> {
        match event {
            Event::Connected => {
                self.stage = Stage::Connected;
                // Data must not overtake our Finished.
                self.flush()?;
                self.greet(handle)
            }
            Event::Closed(CloseReason::PeerClosed) if self.stage == Stage::Connected => {
                self.stage = Stage::Over;
                Ok(())
            }
            // By us, and on purpose.
            Event::Closed(CloseReason::Aborted(_)) if self.stage == Stage::Over => Ok(()),
            Event::Closed(reason) => Err(reason.into()),
            // What is told at once is no question.
            Event::NewSession(_) => self.answer(handle, event),
            request if self.options.answer_later => {
                self.unanswered.push_back((handle, request));
                Ok(())
            }
            request => self.answer(handle, request),
        }
    }

    fn answer(&mut self, handle: ConnectionHandle, event: Event) -> Result<(), Failure> {
        self.engine
            .answer(handle, event, self.options, &mut self.notes)
    }

    /// What follows a handshake at once.
    fn greet(&mut self, handle: ConnectionHandle) -> Result<(), Failure> {
        self.notes
            .check(self.engine, handle, self.options, self.resumes)?;
        if self.options.export_len > 0 {
            let material = self.engine.export(handle, self.options)?;
            self.send(&material)?;
        }
        if self.options.send_alert {
            self.stage = Stage::Over;
            self.engine.abort(handle, DECOMPRESSION_FAILURE);
            return Ok(());
        }
        if self.options.writes_first {
            self.send(FIRST_WORDS)?;
        }
        if self.options.shuts_down {
            self.stage = Stage::Over;
        }
        Ok(())
    }

    fn send(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let handle = self.handle()?;
        let datagram = self.engine.protect(handle, payload)?;
        self.transport.send(&datagram)?;
        Ok(())
    }

    /// Sends an alert that still waits, and `close_notify`; the runner may be gone, and then nobody misses them.
    fn say_last_words(&mut self) {
        let _ = self.flush();
        if let Some(handle) = self.handle {
            self.engine.close(handle);
        }
        let _ = self.flush();
        if let Some(handle) = self.handle {
            self.engine.discard(handle);
        }
    }
}
