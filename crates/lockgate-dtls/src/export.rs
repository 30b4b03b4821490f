//! Taking an established association out of memory and bringing it back, encrypted under a key of the caller's.
//!
//! The blob is `"LGA"`, a version, the AEAD's number, a random nonce, then the association sealed with those first five
//! bytes as additional data.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::association::{Agreed, Association, Role};
use crate::bytes::{OwnCid, PeerCid, ShortBytes};
use crate::crypto::{
    AeadAlgorithm, AeadKey, CryptoError, MAX_KEY_LEN, MAX_TAG_LEN, NONCE_LEN, Provider,
};
use crate::lease::{Lease, LeaseError, LeaseId, LeaseStore};
use crate::record::{ReplayWindow, TrafficKeys, WINDOW_WORDS};
use crate::suite::CipherSuite;
use crate::wire::{BufferTooSmall, Malformed, Reader, Writer};

const MAGIC: [u8; 3] = *b"LGA";
const VERSION: u8 = 2;
const HEADER_LEN: usize = 5;
/// Longest plaintext: fixed fields, both connection IDs, both keys, exporter secrets.
const MAX_BODY_LEN: usize = 448;

/// Longest exported association in bytes.
pub const MAX_EXPORT_LEN: usize = HEADER_LEN + NONCE_LEN + MAX_BODY_LEN + MAX_TAG_LEN;

/// The key that exported associations are encrypted under. Nonces are random, so change it before 2^32 exports.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ExportKey {
    #[zeroize(skip)]
    aead: AeadAlgorithm,
    key: ShortBytes<MAX_KEY_LEN>,
}

impl ExportKey {
    /// A key of [`AeadAlgorithm::key_len`] bytes; `None` for any other length.
    pub fn new(aead: AeadAlgorithm, key: &[u8]) -> Option<Self> {
        (key.len() == aead.key_len()).then_some(())?;
        Some(Self {
            aead,
            key: ShortBytes::new(key)?,
        })
    }
}

impl fmt::Debug for ExportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportKey")
            .field("aead", &self.aead)
            .finish_non_exhaustive()
    }
}

/// Why an association could not be exported or brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportError<E> {
    /// There is no such established association.
    NotConnected,
    /// `out` is shorter than [`MAX_EXPORT_LEN`].
    BufferTooSmall,
    /// Something of the session's own, its last flight or an alert, has not been sent yet: poll transmits first.
    Unsent,
    /// Not an export, of a version we do not know, changed, or under another key.
    Invalid,
    /// The association's place in the endpoint is taken, or not in this endpoint.
    PlaceTaken,
    /// The lease was not granted.
    Lease(LeaseError<E>),
    /// The provider failed.
    Crypto(CryptoError),
}

impl<E: fmt::Display> fmt::Display for ExportError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("there is no such established session"),
            Self::BufferTooSmall => write!(f, "an exported session needs {MAX_EXPORT_LEN} bytes"),
            Self::Unsent => f.write_str("the session has something to send first"),
            Self::Invalid => f.write_str("not an exported session, or one under another key"),
            Self::PlaceTaken => f.write_str("the session's place here is taken"),
            Self::Lease(error) => error.fmt(f),
            Self::Crypto(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for ExportError<E> {}

impl<E> From<CryptoError> for ExportError<E> {
    fn from(error: CryptoError) -> Self {
        Self::Crypto(error)
    }
}

impl<E> From<LeaseError<E>> for ExportError<E> {
    fn from(error: LeaseError<E>) -> Self {
        Self::Lease(error)
    }
}

impl<E> From<BufferTooSmall> for ExportError<E> {
    fn from(_: BufferTooSmall) -> Self {
        Self::BufferTooSmall
    }
}

impl<E> From<Malformed> for ExportError<E> {
    fn from(_: Malformed) -> Self {
        Self::Invalid
    }
}

impl Association {
    /// Puts the association under a lease, if it is not yet, and claims `count` more sequence numbers than it has used.
    ///
    /// From the first claim on, sending fails with [`SendError::LeaseExhausted`](crate::SendError::LeaseExhausted) at
    /// the end of what is claimed.
    pub fn claim<P: Provider, S: LeaseStore>(
        &mut self,
        provider: &mut P,
        store: &mut S,
        count: u64,
    ) -> Result<(), ExportError<S::Error>> {
        let mut lease = if let Some(lease) = self.lease {
            lease
        } else {
            let mut id = [0; 8];
            provider.random(&mut id)?;
            Lease {
                id: LeaseId(id),
                generation: 0,
                end: self.write_next,
            }
        };
        let end = self.write_next.saturating_add(count).max(lease.end);
        store.advance(lease.id, lease.generation, end)?;
        lease.end = end;
        self.lease = Some(lease);
        Ok(())
    }

    /// How many more records can be sent before [`Association::claim`] is due, or the key is used up.
    pub fn remaining_sequence_numbers(&self) -> u64 {
        self.sequence_room()
    }

    /// Takes the association out of memory: enters its lease in `store` and writes it, encrypted, to `out`, which is
    /// at least [`MAX_EXPORT_LEN`] bytes. Returns the length.
    ///
    /// The caller drops the association afterwards: whichever copy is brought back first is the only one. The last flight
    /// does not travel: a peer that lost it and asks again, within twice the maximum segment lifetime, gets no answer.
    pub fn export<P: Provider, S: LeaseStore>(
        &mut self,
        provider: &mut P,
        store: &mut S,
        key: &ExportKey,
        out: &mut [u8],
    ) -> Result<usize, ExportError<S::Error>> {
        if out.len() < MAX_EXPORT_LEN {
            return Err(ExportError::BufferTooSmall);
        }
        if self.is_pending() {
            return Err(ExportError::Unsent);
        }
        let expanded = provider.aead_key(key.aead, key.key.as_slice())?;
        let mut nonce = [0; NONCE_LEN];
        provider.random(&mut nonce)?;
        self.claim(provider, store, 0)?;
        out[..3].copy_from_slice(&MAGIC);
        out[3] = VERSION;
        out[4] = key.aead as u8;
        out[HEADER_LEN..HEADER_LEN + NONCE_LEN].copy_from_slice(&nonce);
        let (header, body) = out.split_at_mut(HEADER_LEN + NONCE_LEN);
        let mut writer = Writer::new(body);
        let written = self.write(&mut writer);
        let sealed = writer.len() + key.aead.tag_len();
        let result = written.map_err(ExportError::from).and_then(|()| {
            let body = body.get_mut(..sealed).ok_or(ExportError::BufferTooSmall)?;
            let sealing = expanded.seal_in_place(&nonce, &header[..HEADER_LEN], body);
            sealing.map_err(ExportError::from)
        });
        if result.is_err() {
            out.zeroize();
        }
        result?;
        Ok(HEADER_LEN + NONCE_LEN + sealed)
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        out.u8(match self.role {
            Role::Client => 0,
            Role::Server => 1,
        })?;
        out.u16(self.suite.0)?;
        out.put(&self.keys.write_key)?;
        out.put(&self.keys.read_key)?;
        out.put(&self.keys.write_iv)?;
        out.put(&self.keys.read_iv)?;
        out.vec8(|w| w.put(self.own_cid.as_slice()))?;
        out.vec8(|w| w.put(self.peer_cid.as_slice()))?;
        out.u16(self.peer_limit)?;
        for number in [self.write_next, self.window.next(), self.failed_opens] {
            out.put(&number.to_be_bytes())?;
        }
        out.vec8(|w| {
            let mut words = self.window.bits().into_iter();
            words.try_for_each(|word| w.put(&word.to_be_bytes()))
        })?;
        #[cfg(feature = "certificates")]
        out.vec8(|w| match &self.peer_key_hash {
            Some(hash) => w.put(hash),
            None => Ok(()),
        })?;
        #[cfg(not(feature = "certificates"))]
        out.u8(0)?;
        if let Some(lease) = &self.lease {
            out.put(&lease.id.0)?;
            out.put(&lease.generation.to_be_bytes())?;
        }
        #[cfg(feature = "exporter")]
        out.vec8(|w| {
            w.put(&self.exporter.master_secret)?;
            w.put(&self.exporter.randoms)
        })?;
        #[cfg(not(feature = "exporter"))]
        out.u8(0)?;
        Ok(())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let role = match reader.u8()? {
            0 => Role::Client,
            1 => Role::Server,
            _ => return Err(Malformed),
        };
        let suite = CipherSuite(reader.u16()?);
        let parameters = suite.parameters().ok_or(Malformed)?;
        let keys = TrafficKeys {
            write_key: *reader.array()?,
            read_key: *reader.array()?,
            write_iv: *reader.array()?,
            read_iv: *reader.array()?,
        };
        let own_cid = OwnCid::new(reader.vec8()?).ok_or(Malformed)?;
        let peer_cid = PeerCid::new(reader.vec8()?).ok_or(Malformed)?;
        let peer_limit = reader.u16()?;
        let mut number = || reader.array().map(|b| u64::from_be_bytes(*b));
        let write_next = number()?;
        let window_next = number()?;
        let failed_opens = number()?;
        let mut bits = [0; WINDOW_WORDS];
        // What a wider window knew of older records goes: with this one they are too old.
        let stored = reader.vec8()?.chunks_exact(8);
        for (to, from) in bits.iter_mut().zip(stored) {
            *to = u64::from_be_bytes(from.try_into().map_err(|_| Malformed)?);
        }
        let window = ReplayWindow::restore(window_next, bits);
        let peer_key_hash = reader.vec8()?;
        #[cfg(not(feature = "certificates"))]
        let _ = peer_key_hash;
        let id = LeaseId(*reader.array()?);
        let generation = u32::from_be_bytes(*reader.array()?);
        let exporter = reader.vec8()?;
        reader.end()?;
        #[cfg(feature = "exporter")]
        let exporter = {
            let mut parts = Reader::new(exporter);
            let secret = crate::association::ExporterSecret {
                master_secret: *parts.array()?,
                randoms: *parts.array()?,
            };
            parts.end()?;
            secret
        };
        #[cfg(not(feature = "exporter"))]
        let _ = exporter;
        if peer_limit < 64 {
            return Err(Malformed);
        }
        let mut this = Self::new(Agreed {
            role,
            suite,
            parameters,
            keys,
            own_cid,
            peer_cid,
            peer_limit,
            #[cfg(feature = "exporter")]
            exporter,
        });
        this.write_next = write_next;
        this.window = window;
        #[cfg(feature = "certificates")]
        if !peer_key_hash.is_empty() {
            this.peer_key_hash = Some(peer_key_hash.try_into().map_err(|_| Malformed)?);
        }
        this.failed_opens = failed_opens;
        this.lease = Some(Lease {
            id,
            generation,
            end: write_next,
        });
        Ok(this)
    }
}

/// An exported association, opened but not yet brought back: nothing has been claimed.
#[derive(Debug)]
pub struct Dormant {
    association: Association,
    lease: Lease,
}

impl Dormant {
    /// Opens an export.
    ///
    /// # Errors
    /// [`ExportError::Invalid`] for anything but the bytes that [`Association::export`] wrote under this key.
    pub fn open<P: Provider, E>(
        provider: &P,
        key: &ExportKey,
        blob: &[u8],
    ) -> Result<Self, ExportError<E>> {
        let mut reader = Reader::new(blob);
        let header = reader.array::<HEADER_LEN>()?;
        let nonce = reader.array::<NONCE_LEN>()?;
        if header[..3] != MAGIC
            || header[3] != VERSION
            || AeadAlgorithm::from_byte(header[4]) != Some(key.aead)
        {
            return Err(ExportError::Invalid);
        }
        let mut buffer = Zeroizing::new([0; MAX_BODY_LEN + MAX_TAG_LEN]);
        let sealed = buffer
            .get_mut(..reader.rest().len())
            .ok_or(ExportError::Invalid)?;
        sealed.copy_from_slice(reader.rest());
        let expanded = provider.aead_key(key.aead, key.key.as_slice())?;
        expanded
            .open_in_place(nonce, header, sealed)
            .map_err(|_| ExportError::Invalid)?;
        let body = sealed
            .len()
            .checked_sub(key.aead.tag_len())
            .ok_or(ExportError::Invalid)?;
        let association = Association::read(&mut Reader::new(&sealed[..body]))?;
        let lease = association.lease.ok_or(ExportError::Invalid)?;
        // A session that this provider cannot serve is refused before its lease is burnt.
        association.expand(provider)?;
        Ok(Self { association, lease })
    }

    /// The connection ID that the peer's records will carry, or empty.
    pub fn own_cid(&self) -> &[u8] {
        self.association.own_cid()
    }

    /// Brings the association back. Its lease is burnt first, so that a second copy of the same export is refused with
    /// [`LeaseError::Superseded`]; `count` sequence numbers are claimed with it.
    pub fn wake<S: LeaseStore>(
        mut self,
        store: &mut S,
        count: u64,
    ) -> Result<Association, ExportError<S::Error>> {
        let generation = self
            .lease
            .generation
            .checked_add(1)
            .ok_or(ExportError::Invalid)?;
        let previous_end = store.take_over(self.lease.id, self.lease.generation, count)?;
        let association = &mut self.association;
        association.write_next = association.write_next.max(previous_end);
        association.lease = Some(Lease {
            id: self.lease.id,
            generation,
            end: previous_end.saturating_add(count),
        });
        Ok(self.association)
    }
}
