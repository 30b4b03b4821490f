//! What it takes to go on with an earlier session: RFC 5246 §7.3 by its ID, RFC 5077 by a ticket.
//!
//! A session's bytes hold its master secret: they are as secret as the session itself.

#[cfg(feature = "endpoint")]
use alloc::boxed::Box;
use core::fmt;

#[cfg(feature = "endpoint")]
use zeroize::Zeroize;

use crate::association::Role;
use crate::config::MAX_PEER_NAME_LEN;
use crate::key_schedule::MASTER_SECRET_LEN;
use crate::suite::CipherSuite;
use crate::wire::{BufferTooSmall, MAX_SESSION_ID_LEN, Malformed, Reader, Writer};

/// First byte of a session, so that a later form can be told from this one.
const VERSION: u8 = 1;

/// Longest host name that a session is bound to, in bytes.
#[cfg(feature = "endpoint")]
const MAX_SERVER_NAME_LEN: usize = 255;

/// Longest session without its ticket, in bytes.
#[cfg(feature = "endpoint")]
pub(crate) const MAX_SESSION_LEN: usize = 1
    + 2
    + 1
    + MASTER_SECRET_LEN
    + (1 + MAX_SESSION_ID_LEN)
    + (1 + MAX_SERVER_NAME_LEN)
    + 1
    + (1 + MAX_PEER_NAME_LEN)
    + 33
    + 4
    + 2;

/// Beside the kind of peer: the session was made by a server.
const MADE_BY_SERVER: u8 = 0x10;

/// What the peer proved itself with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PeerIdentity<'a> {
    /// Nothing: a client without a certificate.
    Anonymous,
    /// A pre-shared key.
    Psk {
        /// Names the key; on a client empty, because servers have no name of their own there.
        identity: &'a [u8],
        /// SHA-256 of the key, by which a server that resumes a session tells whether the identity still has the same
        /// one. As secret as the key, if that is one to be guessed. Zeros on a client, without resumption, and before the key is known.
        key_hash: [u8; 32],
    },
    /// A certificate or raw public key.
    Certificate {
        /// What the caller called it when it accepted it.
        name: &'a [u8],
        /// SHA-256 of its `SubjectPublicKeyInfo`.
        key_hash: [u8; 32],
    },
}

impl fmt::Debug for PeerIdentity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Psk { identity, .. } => write!(f, "Psk({})", identity.escape_ascii()),
            Self::Certificate { name, .. } => write!(f, "Certificate({})", name.escape_ascii()),
        }
    }
}

/// The parts of a session, in somebody else's memory.
#[derive(Clone, Copy)]
pub(crate) struct SessionParts<'a> {
    /// Which end wrote it down: a client's is no server's, even by the same ID.
    pub(crate) role: Role,
    pub(crate) suite: CipherSuite,
    pub(crate) extended_master_secret: bool,
    pub(crate) master_secret: &'a [u8; MASTER_SECRET_LEN],
    /// Its ID, or empty.
    pub(crate) id: &'a [u8],
    /// The host name that it was made for, or empty.
    pub(crate) server_name: &'a [u8],
    pub(crate) peer: PeerIdentity<'a>,
    /// How long the ticket holds, in seconds; 0 when nobody said.
    pub(crate) lifetime_hint: u32,
    /// The ticket, or empty.
    pub(crate) ticket: &'a [u8],
}

impl<'a> SessionParts<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let suite = CipherSuite(reader.u16()?);
        let extended_master_secret = reader.u8()? == 1;
        let master_secret = reader.array()?;
        let id = reader.vec8()?;
        let server_name = reader.vec8()?;
        let kind = reader.u8()?;
        let name = reader.vec8()?;
        let hash = reader.vec8()?;
        let lifetime_hint = u32::from_be_bytes(*reader.array()?);
        let ticket = reader.vec16()?;
        reader.end()?;
        let role = if kind & MADE_BY_SERVER == 0 {
            Role::Client
        } else {
            Role::Server
        };
        let peer = match kind & !MADE_BY_SERVER {
            0 => PeerIdentity::Anonymous,
            1 => PeerIdentity::Psk {
                identity: name,
                key_hash: hash.try_into().map_err(|_| Malformed)?,
            },
            2 => PeerIdentity::Certificate {
                name,
                key_hash: hash.try_into().map_err(|_| Malformed)?,
            },
            _ => return Err(Malformed),
        };
        if id.len() > MAX_SESSION_ID_LEN || name.len() > MAX_PEER_NAME_LEN {
            return Err(Malformed);
        }
        Ok(Self {
            role,
            suite,
            extended_master_secret,
            master_secret,
            id,
            server_name,
            peer,
            lifetime_hint,
            ticket,
        })
    }

    pub(crate) fn emit(&self, out: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        out.u8(VERSION)?;
        out.u16(self.suite.0)?;
        out.u8(u8::from(self.extended_master_secret))?;
        out.put(self.master_secret)?;
        out.vec8(|w| w.put(self.id))?;
        out.vec8(|w| w.put(self.server_name))?;
        let (kind, name, hash): (u8, &[u8], &[u8]) = match &self.peer {
            PeerIdentity::Anonymous => (0, &[], &[]),
            PeerIdentity::Psk { identity, key_hash } => (1, identity, key_hash),
            PeerIdentity::Certificate { name, key_hash } => (2, name, key_hash),
        };
        out.u8(match self.role {
            Role::Client => kind,
            Role::Server => kind | MADE_BY_SERVER,
        })?;
        out.vec8(|w| w.put(name))?;
        out.vec8(|w| w.put(hash))?;
        out.put(&self.lifetime_hint.to_be_bytes())?;
        out.vec16(|w| w.put(self.ticket))
    }
}

/// A session that can be resumed, as bytes to keep: in memory, in a store, in a file that only its owner can read.
#[cfg(feature = "endpoint")]
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    bytes: Box<[u8]>,
}

#[cfg(feature = "endpoint")]
impl Session {
    /// A session from its bytes; `None` when they are not one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        SessionParts::parse(bytes).ok()?;
        Some(Self {
            bytes: bytes.into(),
        })
    }

    /// The bytes, which hold a secret.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The session's ID; empty for one with a ticket.
    pub fn id(&self) -> &[u8] {
        self.parts().map_or(&[], |parts| parts.id)
    }

    /// Whether it goes on by a ticket.
    pub fn has_ticket(&self) -> bool {
        self.parts().is_some_and(|parts| !parts.ticket.is_empty())
    }

    /// The host name that it was made for, or empty.
    pub fn server_name(&self) -> &[u8] {
        self.parts().map_or(&[], |parts| parts.server_name)
    }

    /// What the peer proved itself with.
    pub fn peer(&self) -> PeerIdentity<'_> {
        self.parts()
            .map_or(PeerIdentity::Anonymous, |parts| parts.peer)
    }

    /// How long its ticket holds by the server's word, in seconds; 0 when the server does not say.
    pub fn lifetime_hint(&self) -> u32 {
        self.parts().map_or(0, |parts| parts.lifetime_hint)
    }

    fn parts(&self) -> Option<SessionParts<'_>> {
        SessionParts::parse(&self.bytes).ok()
    }
}

#[cfg(feature = "endpoint")]
impl Drop for Session {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

#[cfg(feature = "endpoint")]
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}

/// A copy of a session's parts without its ticket, for the time of one handshake.
pub(crate) struct Resumable {
    pub(crate) suite: CipherSuite,
    pub(crate) extended_master_secret: bool,
    pub(crate) master_secret: zeroize::Zeroizing<[u8; MASTER_SECRET_LEN]>,
    pub(crate) peer: KnownPeer,
}

impl Resumable {
    pub(crate) fn new(parts: &SessionParts<'_>) -> Self {
        Self {
            suite: parts.suite,
            extended_master_secret: parts.extended_master_secret,
            master_secret: zeroize::Zeroizing::new(*parts.master_secret),
            peer: KnownPeer::new(parts.peer),
        }
    }
}

impl fmt::Debug for Resumable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumable").finish_non_exhaustive()
    }
}

/// A [`PeerIdentity`] with memory of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KnownPeer {
    pub(crate) kind: PeerKind,
    pub(crate) name: crate::bytes::ShortBytes<MAX_PEER_NAME_LEN>,
    pub(crate) key_hash: [u8; 32],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PeerKind {
    #[default]
    Anonymous,
    Psk,
    Certificate,
}

impl KnownPeer {
    pub(crate) fn new(peer: PeerIdentity<'_>) -> Self {
        let (kind, name, key_hash) = match peer {
            PeerIdentity::Anonymous => (PeerKind::Anonymous, &[][..], [0; 32]),
            PeerIdentity::Psk { identity, key_hash } => (PeerKind::Psk, identity, key_hash),
            PeerIdentity::Certificate { name, key_hash } => (PeerKind::Certificate, name, key_hash),
        };
        Self {
            kind,
            name: crate::bytes::ShortBytes::new(name).unwrap_or_default(),
            key_hash,
        }
    }

    pub(crate) fn identity(&self) -> PeerIdentity<'_> {
        match self.kind {
            PeerKind::Anonymous => PeerIdentity::Anonymous,
            PeerKind::Psk => PeerIdentity::Psk {
                identity: self.name.as_slice(),
                key_hash: self.key_hash,
            },
            PeerKind::Certificate => PeerIdentity::Certificate {
                name: self.name.as_slice(),
                key_hash: self.key_hash,
            },
        }
    }
}
