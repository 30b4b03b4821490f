//! A session with its link and its memory: what most devices need.

use core::fmt;

use lockgate_dtls::crypto::Provider;
use lockgate_dtls::export::{ExportError, ExportKey};
use lockgate_dtls::lease::LeaseStore;
use lockgate_dtls::{Association, Config, Instant};

use crate::error::Error;
use crate::link::Link;
use crate::memory::{Buffers, Memory};
#[cfg(feature = "certificates")]
use crate::public_keys::PublicKeys;
use crate::session::{Counters, Credentials, Event, Session, Status};

/// One session over one link, in memory that is given once. Each call is [`Session`]'s of the same name.
pub struct Device<'m, P: Provider, L> {
    session: Session<'m, P>,
    link: L,
    buffers: Buffers<'m>,
}

impl<'m, P: Provider, L: Link> Device<'m, P, L> {
    /// A device without a session.
    pub const fn new<const RECEIVE: usize, const TRANSMIT: usize, const SCRATCH: usize>(
        provider: P,
        config: &'m Config,
        credentials: Credentials<'m>,
        memory: &'m mut Memory<RECEIVE, TRANSMIT, SCRATCH>,
        link: L,
    ) -> Self {
        let (scratch, buffers) = memory.split();
        Self {
            session: Session::new(provider, config, credentials, scratch),
            link,
            buffers,
        }
    }

    /// See [`Session::with_public_keys`].
    #[cfg(feature = "certificates")]
    #[must_use]
    pub fn with_public_keys(mut self, keys: PublicKeys<'m>) -> Self {
        self.session = self.session.with_public_keys(keys);
        self
    }

    /// See [`Session::with_resumption`].
    #[cfg(feature = "resumption")]
    #[must_use]
    pub fn with_resumption(mut self, memory: &'m mut [u8]) -> Self {
        self.session = self.session.with_resumption(memory);
        self
    }

    /// See [`Session::forget_resumption`].
    #[cfg(feature = "resumption")]
    pub fn forget_resumption(&mut self) {
        self.session.forget_resumption();
    }

    /// See [`Session::open`].
    pub fn open(&mut self, now: Instant) -> Result<(), Error<L::Error>> {
        self.session.open(now, &mut self.buffers)
    }

    /// See [`Session::poll`].
    pub fn poll(&mut self, now: Instant) -> Result<Option<Event<'_>>, Error<L::Error>> {
        self.session.poll(now, &mut self.link, &mut self.buffers)
    }

    /// See [`Session::deadline`].
    pub fn deadline(&self) -> Option<Instant> {
        self.session.deadline()
    }

    /// See [`Session::send`].
    pub fn send(&mut self, payload: &[u8]) -> Result<(), Error<L::Error>> {
        self.session
            .send(&mut self.link, &mut self.buffers, payload)
    }

    /// See [`Session::close`].
    pub fn close(&mut self, now: Instant) -> Result<(), Error<L::Error>> {
        self.session.close(now, &mut self.link, &mut self.buffers)
    }

    /// See [`Session::note_silence`].
    pub fn note_silence(&mut self) -> bool {
        self.session.note_silence()
    }

    /// See [`Session::set_patience`].
    pub const fn set_patience(&mut self, silences: u8) {
        self.session.set_patience(silences);
    }

    /// See [`Session::sleep`].
    pub fn sleep<S: LeaseStore>(
        &mut self,
        store: &mut S,
        key: &ExportKey,
        blob: &mut [u8],
    ) -> Result<usize, ExportError<S::Error>> {
        self.session.sleep(store, key, blob)
    }

    /// See [`Session::wake`].
    pub fn wake<S: LeaseStore>(
        &mut self,
        store: &mut S,
        key: &ExportKey,
        blob: &[u8],
        count: u64,
    ) -> Result<(), ExportError<S::Error>> {
        self.session.wake(store, key, blob, count)
    }

    /// See [`Session::claim`].
    pub fn claim<S: LeaseStore>(
        &mut self,
        store: &mut S,
        count: u64,
    ) -> Result<(), ExportError<S::Error>> {
        self.session.claim(store, count)
    }

    /// See [`Session::status`].
    pub fn status(&self) -> Status {
        self.session.status()
    }

    /// See [`Session::counters`].
    pub const fn counters(&self) -> Counters {
        self.session.counters()
    }

    /// See [`Session::max_payload`].
    pub fn max_payload(&self) -> Option<usize> {
        self.session.max_payload(&self.link, &self.buffers)
    }

    /// See [`Session::association`].
    pub fn association(&self) -> Option<&Association> {
        self.session.association()
    }

    /// The link, to have it do what only it can, such as changing its port.
    pub const fn link(&mut self) -> &mut L {
        &mut self.link
    }
}

impl<P: Provider, L> fmt::Debug for Device<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.session.fmt(f)
    }
}
