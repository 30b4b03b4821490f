//! The way to the backend: a [socket](sockets) for each session, or [one](pool) for all of them that sends from an
//! address for each device.

mod fellows;
mod filter;
mod pool;
mod pool_socket;
mod sockets;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::task::{Context, Poll};

pub(crate) use self::pool::PoolSetup;
pub(super) use self::pool::{FromBackend, Pool};
use self::sockets::Sockets;
use super::EndReason;
use super::identity::Identity;

/// How many datagrams are taken in one go.
pub(super) const BATCH: usize = 64;

/// A session's way to the backend.
pub(super) enum Upstream {
    /// A socket of its own.
    Socket(UdpSocket),
    /// What stands behind the prefix in its address of the pool.
    Pooled(u64),
}

/// How sending went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// It has been handed to the kernel.
    pub(super) done: bool,
    /// How often the socket reported that nobody listens there.
    pub(super) refused: u64,
    /// How often it reported something else.
    pub(super) errors: u64,
}

/// Why a session has no way to the backend.
pub(super) enum NoUpstream {
    /// It will, in a moment.
    Yet,
    /// It gets none.
    TurnedAway { reason: EndReason, why: String },
}

impl NoUpstream {
    fn turned_away(reason: EndReason, why: String) -> Self {
        Self::TurnedAway { reason, why }
    }
}

/// All ways to the backend.
pub(super) enum Upstreams {
    Sockets(Sockets, SocketAddr),
    Pool(Box<Pool>),
}

impl Upstreams {
    /// Must be called within a tokio runtime.
    pub(super) fn new(
        backend: SocketAddr,
        pool: Option<PoolSetup>,
        replace_same_identity: bool,
    ) -> io::Result<Self> {
        Ok(match pool {
            None => Self::Sockets(Sockets::new()?, backend),
            Some(setup) => Self::Pool(Box::new(Pool::new(setup, backend, !replace_same_identity)?)),
        })
    }

    /// A way for the session at `index`, and the address that the backend sees. `is_same` says of the session at another
    /// index whether it is of the same identity.
    pub(super) fn connect(
        &mut self,
        index: usize,
        identity: &Identity,
        is_same: impl FnOnce(usize) -> bool,
    ) -> Result<(SocketAddr, Upstream), NoUpstream> {
        match self {
            Self::Sockets(sockets, backend) => {
                let connect = || {
                    let socket = sockets::connect(*backend)?;
                    sockets.watch(&socket, index)?;
                    Ok((socket.local_addr()?, Upstream::Socket(socket)))
                };
                connect().map_err(|error: io::Error| {
                    NoUpstream::turned_away(EndReason::NoUpstream, error.to_string())
                })
            }
            Self::Pool(pool) => {
                let host = pool.attach(index, identity, is_same)?;
                Ok((pool.address(host), Upstream::Pooled(host)))
            }
        }
    }

    /// Sends one datagram for the session of `identity` at `index`. A pool does so later, and keeps account itself.
    pub(super) fn send(
        &mut self,
        upstream: &Upstream,
        index: usize,
        identity: &Identity,
        datagram: &[u8],
    ) -> Option<Sent> {
        match (self, upstream) {
            (_, Upstream::Socket(socket)) => Some(sockets::send(socket, datagram)),
            (Self::Pool(pool), &Upstream::Pooled(host)) => {
                pool.send(host, index, identity, datagram);
                None
            }
            // A proxy has only one of them.
            (Self::Sockets(..), Upstream::Pooled(_)) => Some(Sent::default()),
        }
    }

    /// Sends what waits to be sent.
    pub(super) fn flush(&mut self) {
        if let Self::Pool(pool) = self {
            pool.flush();
        }
    }

    /// The session at `index` is over.
    pub(super) fn release(&mut self, upstream: &Upstream, index: usize, identity: &Identity) {
        if let (Self::Pool(pool), &Upstream::Pooled(host)) = (self, upstream) {
            pool.detach(host, index, identity);
        }
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Sockets(sockets, _) => sockets.poll_ready(cx),
            Self::Pool(pool) => pool.poll_ready(cx),
        }
    }
}

/// Whether the kernel knows a way to `backend`.
pub(crate) fn has_route(backend: SocketAddr) -> bool {
    sockets::connect(backend).is_ok()
}
