//! The example application: it reports a temperature, waits for the answer, and obeys the backend's commands.
//!
//! | from the device | from the backend |
//! |---|---|
//! | `report 7 21.5` | `ok`, or one of the commands below |
//! | `done led on` | `led on`, `led off` |
//! | `done sleep`, then nothing until it wakes up | `sleep` |
//! | `done close`, then the session ends | `close` |
//!
//! It knows no board: the link, the clock, the console and the retention memory are the caller's. The bare-metal image
//! and its twin on a desktop differ in nothing else.
#![no_std]
#![forbid(unsafe_code)]

mod ram;
mod text;

pub use ram::Ram;
pub use text::Text;

use lockgate_dtls::crypto::Provider;
use lockgate_dtls::export::ExportKey;
use lockgate_dtls::{CipherSuite, Config, Duration, Instant, SuiteList};
use lockgate_embedded::{Device, EXPORT_LEN, Event, Link, Status, TwoSlotStore, TwoSlots};

/// Time from one report to the next.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long the application waits for an answer before it asks again.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many records a session may send after it woke up, before it has to claim more.
const CLAIM: u64 = 64;

/// How long each datagram buffer is, in bytes.
pub const DATAGRAM_LEN: usize = 576;
/// How many bytes of retention memory the application needs.
pub const RETENTION_LEN: usize = LEASES_LEN + 2 * TwoSlots::<Ram<'static>, BED_LEN>::RECORD_LEN;
const LEASES_LEN: usize = 4 * TwoSlotStore::<Ram<'static>>::RECORD_LEN;
/// The number of the last report, then the session.
const BED_LEN: usize = 4 + EXPORT_LEN;

/// What is done with the application next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Step again when a packet came, at this moment at the latest.
    Wait(Instant),
    /// Switch everything off but the retention memory, then start again with another address.
    Sleep,
    /// The session is closed, as the backend asked.
    Done,
}

/// Where lines of text go.
pub trait Console {
    /// Shows one line.
    fn line(&mut self, text: &[u8]);
}

/// The options of the application's sessions.
pub fn config() -> Config {
    Config {
        cipher_suites: SuiteList::new(&[CipherSuite::PSK_AES_128_CCM_8]),
        ..Config::default()
    }
}

/// The application with its device.
pub struct App<'m, P: Provider, L: Link> {
    device: Device<'m, P, L>,
    leases: TwoSlotStore<Ram<'m>>,
    bed: TwoSlots<Ram<'m>, BED_LEN>,
    key: ExportKey,
    number: u32,
    due: Instant,
    answered: bool,
    closing: bool,
}

impl<'m, P: Provider, L: Link> App<'m, P, L> {
    /// The application; `retention` holds [`RETENTION_LEN`] bytes that outlive sleep, and at first anything.
    pub fn new(
        device: Device<'m, P, L>,
        retention: &'m mut [u8; RETENTION_LEN],
        key: ExportKey,
    ) -> Self {
        let (leases, bed) = retention.split_at_mut(LEASES_LEN);
        Self {
            device,
            leases: TwoSlotStore::new(Ram::new(leases)),
            bed: TwoSlots::new(Ram::new(bed)),
            key,
            number: 0,
            due: Instant::default(),
            answered: true,
            closing: false,
        }
    }

    /// The link, for what only it can tell.
    pub const fn link(&mut self) -> &mut L {
        self.device.link()
    }

    /// Goes on with the session that was put to sleep, or begins a new one.
    pub fn start(&mut self, now: Instant, console: &mut impl Console) {
        let mut bed = [0; BED_LEN];
        if let Ok(Some(stored)) = self.bed.read(&mut bed)
            && let Some((number, session)) = stored.split_first_chunk()
            && self
                .device
                .wake(&mut self.leases, &self.key, session, CLAIM)
                .is_ok()
        {
            self.number = u32::from_be_bytes(*number);
            self.due = now;
            console.line(b"awake");
            // The same bytes again are an old copy now.
            if self
                .device
                .wake(&mut self.leases, &self.key, session, CLAIM)
                .is_err()
            {
                console.line(b"second wake refused");
            }
            return;
        }
        self.open(now, console);
    }

    fn open(&mut self, now: Instant, console: &mut impl Console) {
        console.line(b"opening");
        if self.device.open(now).is_err() {
            console.line(b"the buffers are too small");
        }
    }

    /// Does what is to be done now.
    pub fn step(&mut self, now: Instant, console: &mut impl Console) -> Next {
        loop {
            let mut command = Text::new();
            match self.device.poll(now) {
                Ok(Some(Event::Opened)) => {
                    console.line(b"connected");
                    self.due = now;
                    self.answered = true;
                }
                Ok(Some(Event::Data(payload))) => command = Text::of(payload),
                Ok(Some(Event::Closed(_))) if self.closing => {
                    console.line(b"closed");
                    return Next::Done;
                }
                Ok(Some(Event::Closed(_))) => {
                    console.line(b"lost");
                    self.open(now, console);
                }
                Ok(None) | Err(_) => break,
            }
            if !command.as_slice().is_empty() {
                self.answered = true;
                if let Some(next) = self.obey(now, command.as_slice(), console) {
                    return next;
                }
            }
        }
        if self.device.status() == Status::Open && now >= self.due {
            self.report(now, console);
        }
        let deadline = self.device.deadline().unwrap_or(self.due);
        Next::Wait(if self.device.status() == Status::Open {
            self.due
        } else {
            deadline
        })
    }

    fn report(&mut self, now: Instant, console: &mut impl Console) {
        if self.answered {
            self.number += 1;
        } else if self.device.note_silence() {
            console.line(b"lost");
            return self.open(now, console);
        }
        let mut text = Text::new();
        text.push(b"report ")
            .number(self.number)
            .push(b" 21.")
            .number(self.number % 10);
        let sent = self.device.send(text.as_slice());
        if sent.is_err() {
            // The claim may be used up; whatever it was, the next turn tries again.
            let _ = self.device.claim(&mut self.leases, CLAIM);
        } else {
            console.line(text.as_slice());
        }
        self.answered = false;
        self.due = now + PATIENCE;
    }

    fn obey(&mut self, now: Instant, command: &[u8], console: &mut impl Console) -> Option<Next> {
        self.due = now + INTERVAL;
        if command == b"ok" {
            return None;
        }
        console.line(Text::new().push(b"command ").push(command).as_slice());
        let known = matches!(command, b"led on" | b"led off" | b"sleep" | b"close");
        let word: &[u8] = if known { b"done " } else { b"unknown " };
        let _ = self
            .device
            .send(Text::new().push(word).push(command).as_slice());
        match command {
            b"sleep" => self.sleep(console),
            b"close" => {
                self.closing = true;
                let _ = self.device.close(now);
                None
            }
            _ => None,
        }
    }

    fn sleep(&mut self, console: &mut impl Console) -> Option<Next> {
        let mut bed = [0; BED_LEN];
        let (number, blob) = bed.split_first_chunk_mut()?;
        *number = self.number.to_be_bytes();
        let len = self.device.sleep(&mut self.leases, &self.key, blob).ok()?;
        self.bed.write(bed.get(..4 + len)?).ok()?;
        console.line(
            Text::new()
                .push(b"asleep in ")
                .number(len as u32)
                .push(b" bytes")
                .as_slice(),
        );
        Some(Next::Sleep)
    }
}
