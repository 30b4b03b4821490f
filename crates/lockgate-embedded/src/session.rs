//! One session: the engine's connection, the identity it answers with, and what was dropped.

use core::fmt;
use core::ops::Range;

use lockgate_dtls::crypto::Provider;
use lockgate_dtls::export::{ExportError, ExportKey};
use lockgate_dtls::lease::LeaseStore;
use lockgate_dtls::{
    ApiError, Association, CloseReason, Config, Connection, Datagram, DropReason,
    Event as EngineEvent, Instant, Outcome, SendError,
};
#[cfg(feature = "certificates")]
use lockgate_dtls::{PeerIdentity, ResumptionRequest, certificate::CertificateError};

use crate::error::{Buffer, Error};
use crate::link::{Link, LinkError};
use crate::memory::{Buffers, MIN_RECEIVE_LEN, MIN_TRANSMIT_LEN};
#[cfg(feature = "certificates")]
use crate::public_keys::{MAX_SIGNATURE_LEN, PublicKeys, Servers};
#[cfg(feature = "resumption")]
use crate::resumption::Kept;

/// How many datagrams one [`Session::poll`] takes in at most, so that a flood does not keep the caller from its work.
const MAX_DATAGRAMS: u8 = 8;

/// Who we are: a PSK identity and its key, both in flash.
#[derive(Clone, Copy)]
pub struct Credentials<'m> {
    /// The identity, up to 128 bytes.
    pub identity: &'m [u8],
    /// The key, 1 to 64 bytes.
    pub key: &'m [u8],
}

impl Credentials<'_> {
    /// No pre-shared key, for sessions with public keys alone.
    #[cfg(feature = "certificates")]
    pub const NONE: Self = Self {
        identity: &[],
        key: &[],
    };
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// What a poll found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// The handshake is complete; data can be sent.
    Opened,
    /// A payload came. It stands in the receive buffer until the next call.
    Data(&'b [u8]),
    /// The session is over, or could not be opened. [`Session::open`] makes a new one.
    Closed(CloseReason),
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// There is none: open one, or wake one up.
    Closed,
    /// A handshake is under way.
    Opening,
    /// Data can be sent.
    Open,
}

/// What happened so far; every counter stays at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Handshakes begun.
    pub handshakes: u16,
    /// Records or datagrams that led nowhere: garbage, forgeries, replays.
    pub dropped: u16,
    /// Datagrams longer than the receive buffer.
    pub oversized: u16,
    /// Why the last of `dropped` was.
    pub last_drop: Option<DropReason>,
}

/// One session with one server, without buffers of its own: all calls that carry datagrams are lent a link and the
/// buffers. A fixed number of sessions is an array of them; those that share buffers take turns, and each is polled
/// until it has nothing more before the next.
pub struct Session<'m, P: Provider> {
    connection: Connection<'m, P, &'m mut [u8]>,
    credentials: Credentials<'m>,
    #[cfg(feature = "certificates")]
    public_keys: Option<PublicKeys<'m>>,
    #[cfg(feature = "resumption")]
    kept: Kept<'m>,
    counters: Counters,
    patience: u8,
    silences: u8,
    opening: bool,
}

impl<'m, P: Provider> Session<'m, P> {
    /// A session that is closed. `scratch` is at least [`SCRATCH_LEN`](crate::SCRATCH_LEN) bytes; `config` can live in
    /// flash.
    pub const fn new(
        provider: P,
        config: &'m Config,
        credentials: Credentials<'m>,
        scratch: &'m mut [u8],
    ) -> Self {
        Self {
            connection: Connection::idle(provider, config, scratch),
            credentials,
            #[cfg(feature = "certificates")]
            public_keys: None,
            #[cfg(feature = "resumption")]
            kept: Kept::none(),
            counters: Counters {
                handshakes: 0,
                dropped: 0,
                oversized: 0,
                last_drop: None,
            },
            patience: 3,
            silences: 0,
            opening: false,
        }
    }

    /// With raw public keys or certificates, beside or in place of the pre-shared key.
    #[cfg(feature = "certificates")]
    #[must_use]
    pub fn with_public_keys(mut self, keys: PublicKeys<'m>) -> Self {
        self.public_keys = Some(keys);
        self
    }

    /// With memory for a session to go on with in the next handshake, where [`Config::resumption`] is on: up to
    /// [`MAX_RESUMPTION_LEN`](crate::MAX_RESUMPTION_LEN) bytes. What they held at first does not matter. Where they
    /// outlive sleep and resets, so does the session; they hold a secret then, so they must not leave the chip in clear.
    #[cfg(feature = "resumption")]
    #[must_use]
    pub fn with_resumption(mut self, memory: &'m mut [u8]) -> Self {
        self.kept = Kept::new(memory);
        self
    }

    /// Wipes the session that the next handshake would have gone on with: it will be a full one.
    #[cfg(feature = "resumption")]
    pub fn forget_resumption(&mut self) {
        self.kept.forget();
    }

    /// After how many [`Session::note_silence`] in a row the session counts as lost; 3 at first, 0 for never.
    pub const fn set_patience(&mut self, silences: u8) {
        self.patience = silences;
    }

    /// Where the session stands.
    pub fn status(&self) -> Status {
        if self.connection.association().is_some() {
            Status::Open
        } else if self.opening {
            Status::Opening
        } else {
            Status::Closed
        }
    }

    /// What was dropped and why.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The established session: connection IDs, the longest payload, sequence numbers left.
    pub fn association(&self) -> Option<&Association> {
        self.connection.association()
    }

    /// The longest payload in bytes that [`Session::send`] takes now: as the server, the transmit buffer and the link have
    /// it. `None` when the session is not open.
    pub fn max_payload<L: Link>(&self, link: &L, buffers: &Buffers<'_>) -> Option<usize> {
        let association = self.association()?;
        let datagram = buffers.transmit.len().min(link.max_datagram());
        let room = datagram.saturating_sub(association.record_overhead());
        Some(association.max_payload().min(room))
    }

    /// Begins a handshake. A session that is open ends without a word to the peer.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] before anything is sent.
    pub fn open<E>(&mut self, now: Instant, buffers: &mut Buffers<'_>) -> Result<(), Error<E>> {
        for (buffer, len, needed) in [
            (Buffer::Receive, buffers.receive.len(), MIN_RECEIVE_LEN),
            (Buffer::Transmit, buffers.transmit.len(), MIN_TRANSMIT_LEN),
        ] {
            if len < needed {
                return Err(Error::BufferTooSmall { buffer, needed });
            }
        }
        self.opening = false;
        self.begin(now)?;
        self.opening = true;
        self.silences = 0;
        self.counters.handshakes = self.counters.handshakes.saturating_add(1);
        buffers.rest = (0, 0);
        buffers.unsent = 0;
        Ok(())
    }

    #[cfg(not(feature = "resumption"))]
    fn begin(&mut self, now: Instant) -> Result<(), ApiError> {
        self.connection.start(now, b"")
    }

    #[cfg(feature = "resumption")]
    fn begin(&mut self, now: Instant) -> Result<(), ApiError> {
        #[cfg(feature = "certificates")]
        let server_name = self.public_keys.map_or("", |keys| keys.server_name);
        #[cfg(not(feature = "certificates"))]
        let server_name = "";
        self.kept.taken = false;
        match self.kept.get() {
            Some(session) => self
                .connection
                .start_with(now, server_name.as_bytes(), session),
            None => self.connection.start(now, server_name.as_bytes()),
        }
    }

    /// Sends what is due, takes in what came, and tells what happened. Call it until it gives `None`; then sleep until
    /// the link has something or [`Session::deadline`] has come.
    ///
    /// # Errors
    /// Only of the link; what comes in is never an error.
    pub fn poll<'b, L: Link>(
        &mut self,
        now: Instant,
        link: &mut L,
        buffers: &'b mut Buffers<'_>,
    ) -> Result<Option<Event<'b>>, Error<L::Error>> {
        let mut datagrams = MAX_DATAGRAMS;
        loop {
            if let Some(event) = self.next_event(now) {
                // An alert that says goodbye goes out before the caller hears of the end.
                self.transmit(now, link, buffers)?;
                return Ok(Some(event));
            }
            if buffers.rest.0 < buffers.rest.1 {
                if let Some(payload) = self.take_record(now, buffers) {
                    return Ok(buffers.receive.get(payload).map(Event::Data));
                }
                continue;
            }
            self.transmit(now, link, buffers)?;
            if datagrams == 0 {
                return Ok(None);
            }
            datagrams -= 1;
            match link.recv(buffers.receive) {
                Ok(Some(len)) => buffers.rest = (0, len.min(buffers.receive.len())),
                Ok(None) | Err(LinkError::Busy) => {
                    datagrams = 0;
                    self.connection.handle_timeout(now);
                }
                Err(LinkError::Oversized) => {
                    self.counters.oversized = self.counters.oversized.saturating_add(1);
                }
                Err(LinkError::Failed(error)) => return Err(Error::Link(error)),
            }
        }
    }

    /// When [`Session::poll`] is due even if nothing comes; `None` when nothing is waited for.
    pub fn deadline(&self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    /// Seals one payload and sends it.
    ///
    /// # Errors
    /// [`Error::Busy`] and [`Error::BufferTooSmall`] before anything is sealed or sent;
    /// [`SendError::TooLarge`] for more than [`Session::max_payload`]; [`SendError::LeaseExhausted`] when [`Session::claim`]
    /// is due.
    pub fn send<L: Link>(
        &mut self,
        link: &mut L,
        buffers: &mut Buffers<'_>,
        payload: &[u8],
    ) -> Result<(), Error<L::Error>> {
        if !flush(link, buffers)? {
            return Err(Error::Busy);
        }
        if let Some(limit) = self.max_payload(link, buffers)
            && payload.len() > limit
            && link.max_datagram() < buffers.transmit.len()
        {
            return Err(SendError::TooLarge { limit }.into());
        }
        buffers.unsent = self.connection.send(payload, buffers.transmit)?;
        // Should the link be busy only now, the datagram goes at the next poll.
        flush(link, buffers).map(|_| ())
    }

    /// Ends the session: `close_notify` goes out, and [`Event::Closed`] comes with the next poll.
    pub fn close<L: Link>(
        &mut self,
        now: Instant,
        link: &mut L,
        buffers: &mut Buffers<'_>,
    ) -> Result<(), Error<L::Error>> {
        self.connection.close();
        self.transmit(now, link, buffers)
    }

    /// The application asked and nothing came back in time. When that has happened as often in a row as
    /// [`Session::set_patience`] says, without a single authentic record between, the peer has lost the session: it
    /// is forgotten, and `true` says that it is time to [`open`](Session::open) a new one.
    pub fn note_silence(&mut self) -> bool {
        self.silences = self.silences.saturating_add(1);
        let lost = self.patience != 0 && self.silences >= self.patience;
        if lost {
            self.connection.forget();
            self.opening = false;
        }
        lost
    }

    /// Takes the session out of memory: its lease is entered in `store`, and it is written, encrypted under `key`, to
    /// `blob`, of [`EXPORT_LEN`](crate::EXPORT_LEN) bytes. Returns the length; the session is closed then, and the peer
    /// knows nothing of it. Only the first copy that [`wakes up`](Session::wake) is ever the session.
    ///
    /// # Errors
    /// [`ExportError::BufferTooSmall`] before anything is stored.
    pub fn sleep<S: LeaseStore>(
        &mut self,
        store: &mut S,
        key: &ExportKey,
        blob: &mut [u8],
    ) -> Result<usize, ExportError<S::Error>> {
        self.connection.sleep(store, key, blob)
    }

    /// Goes on with a session that was put to sleep, without a handshake. Its lease is burnt first: a second wake from
    /// the same bytes is refused with [`LeaseError::Superseded`](lockgate_dtls::lease::LeaseError::Superseded).
    /// `count` records can be sent before [`Session::claim`] is due; what is not used up is lost, and a key lasts for
    /// 2^23 records, so 64 is a good number.
    pub fn wake<S: LeaseStore>(
        &mut self,
        store: &mut S,
        key: &ExportKey,
        blob: &[u8],
        count: u64,
    ) -> Result<(), ExportError<S::Error>> {
        self.connection.resume(store, key, blob, count)?;
        self.opening = false;
        self.silences = 0;
        Ok(())
    }

    /// Claims `count` more records for a session that has been woken up.
    pub fn claim<S: LeaseStore>(
        &mut self,
        store: &mut S,
        count: u64,
    ) -> Result<(), ExportError<S::Error>> {
        self.connection.claim(store, count)
    }

    fn next_event(&mut self, now: Instant) -> Option<Event<'static>> {
        while let Some(event) = self.connection.poll_event() {
            match event {
                EngineEvent::PskRequested => {
                    let Credentials { identity, key } = self.credentials;
                    if self
                        .connection
                        .provide_identity(now, identity, key)
                        .is_err()
                    {
                        // An identity or key of a length that cannot be: it will not get better.
                        self.connection.close();
                    }
                }
                #[cfg(feature = "certificates")]
                EngineEvent::CredentialRequested => self.show(now),
                #[cfg(feature = "certificates")]
                EngineEvent::SignatureRequested => self.sign(now),
                #[cfg(feature = "certificates")]
                EngineEvent::PeerCertificate => self.judge(now),
                #[cfg(feature = "resumption")]
                EngineEvent::ResumptionRequested => self.go_on(now),
                EngineEvent::Connected => {
                    self.opening = false;
                    #[cfg(feature = "resumption")]
                    self.keep_session();
                    return Some(Event::Opened);
                }
                EngineEvent::Closed(reason) => {
                    self.opening = false;
                    // Should the session be what it failed for, the next handshake is a full one.
                    #[cfg(feature = "resumption")]
                    if self.kept.taken && matches!(reason, CloseReason::HandshakeFailed(_)) {
                        self.kept.forget();
                    }
                    return Some(Event::Closed(reason));
                }
                // Its configuration asks for none of the rest.
                _ => {}
            }
        }
        None
    }

    /// The server wants to know who we are.
    #[cfg(feature = "certificates")]
    #[inline(never)]
    fn show(&mut self, now: Instant) {
        let own = self.public_keys.and_then(|keys| keys.own);
        let chosen = self
            .connection
            .credential_request()
            .zip(own)
            .and_then(|(request, own)| Some((own, own.scheme(&request)?)));
        let shown = match chosen {
            Some((own, scheme)) => {
                let raw = [own.key.public_key_info()];
                let credential = own.credential(&raw, scheme);
                self.connection.provide_credential(now, &credential)
            }
            None => self.connection.decline_credential(now),
        };
        if shown.is_err() {
            self.connection.close();
        }
    }

    /// Our key is to sign the handshake.
    #[cfg(feature = "certificates")]
    #[inline(never)]
    fn sign(&mut self, now: Instant) {
        let mut signature = [0; MAX_SIGNATURE_LEN];
        let own = self.public_keys.and_then(|keys| keys.own);
        let signed = self
            .connection
            .signature_request()
            .zip(own)
            .and_then(|(request, own)| {
                own.key
                    .sign(request.scheme, request.message, &mut signature)
                    .ok()
            })
            .and_then(|len| signature.get(..len))
            .is_some_and(|signature| self.connection.provide_signature(now, signature).is_ok());
        if !signed {
            self.connection.close();
        }
    }

    /// The server showed what it is.
    #[cfg(feature = "certificates")]
    #[inline(never)]
    fn judge(&mut self, now: Instant) {
        let key_hash = match self.public_keys {
            Some(PublicKeys {
                servers: Servers::KeyHashes(_),
                ..
            }) => self.connection.peer_key_hash(),
            _ => None,
        };
        let verdict = self
            .public_keys
            .zip(self.connection.peer_certificate())
            .ok_or(CertificateError::VerifierFailed)
            .and_then(|(keys, shown)| keys.servers.check(&shown, key_hash));
        let told = match verdict {
            Ok(()) => self.connection.accept_peer(now, b""),
            Err(error) => self.connection.refuse_peer(error),
        };
        if told.is_err() {
            self.connection.close();
        }
    }

    /// The server goes on with the session that we offered.
    #[cfg(feature = "resumption")]
    #[inline(never)]
    fn go_on(&mut self, now: Instant) {
        self.kept.taken = true;
        #[cfg(feature = "certificates")]
        let good = match self.connection.resumption_request() {
            Some(ResumptionRequest::Known(PeerIdentity::Certificate { key_hash, .. })) => self
                .public_keys
                .is_some_and(|keys| keys.servers.still(&key_hash)),
            _ => true,
        };
        #[cfg(not(feature = "certificates"))]
        let good = true;
        let told = if good {
            self.connection.accept_resumption(now)
        } else {
            self.connection.refuse_resumption(now)
        };
        if told.is_err() {
            self.connection.close();
        }
    }

    /// Keeps what the next handshake may go on with: what the server gave now, or what it has just taken again.
    #[cfg(feature = "resumption")]
    fn keep_session(&mut self) {
        match self.connection.session() {
            Some(session) => self.kept.put(session),
            None if self.kept.taken => {}
            None => self.kept.forget(),
        }
    }

    /// Takes the next record of the received datagram in. Returns where a payload stands.
    fn take_record(&mut self, now: Instant, buffers: &mut Buffers<'_>) -> Option<Range<usize>> {
        let (start, end) = buffers.rest;
        let bytes = buffers.receive.get_mut(start..end)?;
        let mut datagram = Datagram::new(bytes);
        let outcome = self.connection.handle(now, &mut datagram);
        buffers.rest.0 = start + datagram.consumed();
        match outcome {
            Some(Outcome::Application(range)) => {
                self.silences = 0;
                Some(start + range.start..start + range.end)
            }
            Some(Outcome::Progress) => {
                self.silences = 0;
                None
            }
            // It says nothing that Finished does not, and is part of every handshake.
            Some(Outcome::Dropped(DropReason::ChangeCipherSpec)) => None,
            Some(Outcome::Dropped(reason)) => {
                self.counters.dropped = self.counters.dropped.saturating_add(1);
                self.counters.last_drop = Some(reason);
                None
            }
            None => {
                buffers.rest = (0, 0);
                None
            }
        }
    }

    fn transmit<L: Link>(
        &mut self,
        now: Instant,
        link: &mut L,
        buffers: &mut Buffers<'_>,
    ) -> Result<(), Error<L::Error>> {
        while flush(link, buffers)? {
            let room = room(link, buffers);
            match self.connection.poll_transmit(now, room) {
                Some(len) => buffers.unsent = len,
                None => break,
            }
        }
        Ok(())
    }
}

/// As much of the transmit buffer as the link takes.
fn room<'b, L: Link>(link: &L, buffers: &'b mut Buffers<'_>) -> &'b mut [u8] {
    let len = buffers.transmit.len().min(link.max_datagram());
    buffers.transmit.get_mut(..len).unwrap_or_default()
}

/// Sends the datagram that waits; `false` when the link is still busy.
fn flush<L: Link>(link: &mut L, buffers: &mut Buffers<'_>) -> Result<bool, Error<L::Error>> {
    let Some(datagram) = buffers.transmit.get(..buffers.unsent) else {
        return Ok(true);
    };
    if datagram.is_empty() {
        return Ok(true);
    }
    match link.send(datagram) {
        Ok(()) => {
            buffers.unsent = 0;
            Ok(true)
        }
        Err(LinkError::Failed(error)) => {
            buffers.unsent = 0;
            Err(Error::Link(error))
        }
        Err(LinkError::Busy | LinkError::Oversized) => Ok(false),
    }
}

impl<P: Provider> fmt::Debug for Session<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("status", &self.status())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
