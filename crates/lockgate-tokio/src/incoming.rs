//! A peer that wants to be let in.

use std::net::SocketAddr;

use tokio::sync::mpsc;

use crate::hub::{Command, Offer, Pending};
use crate::{Connection, Error, Path, Psk};

/// A peer whose address is proved and that has said who it wants to be; its handshake waits for a decision, and nobody
/// else waits with it. Dropped without one, it is refused.
pub struct Incoming {
    pub(crate) pending: Pending,
    pub(crate) path: Path,
    pub(crate) local: SocketAddr,
    pub(crate) identity: Vec<u8>,
    pub(crate) server_name: Vec<u8>,
}

impl Incoming {
    /// Where the peer is.
    pub fn remote_addr(&self) -> SocketAddr {
        self.path.peer()
    }

    /// Where it reached us: the address that it spoke to, where the socket is bound to several.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The PSK identity that it claims. Only an established connection has proved it.
    pub fn identity(&self) -> &[u8] {
        &self.identity
    }

    /// The host name that it asks for (RFC 6066), or empty.
    pub fn server_name(&self) -> &[u8] {
        &self.server_name
    }

    /// Lets it in if it has the key that the listener's key store knows, and waits until the handshake is over. That can
    /// take as long as [`Config::handshake_timeout`](crate::dtls::Config::handshake_timeout), as the peer likes: await
    /// it in a task of its own, or use [`Listener::accept_connection`](crate::Listener::accept_connection). Dropping the
    /// future ends the handshake.
    pub async fn accept(self) -> Result<Connection, Error> {
        self.accept_as(None).await
    }

    /// [`Incoming::accept`] with a key instead of the key store.
    pub async fn accept_with_key(self, key: Psk) -> Result<Connection, Error> {
        self.accept_as(Some(key)).await
    }

    async fn accept_as(self, key: Option<Psk>) -> Result<Connection, Error> {
        let offer = Offer { key, queue: None };
        self.pending
            .tell(Command::Accept(self.pending.handle, offer));
        self.pending.wait().await
    }

    /// Its handshake has ended already.
    pub(crate) fn is_over(&self) -> bool {
        !self.pending.outcome.is_empty() || self.pending.outcome.is_terminated()
    }

    /// Lets it in, and hands the connection to whoever has the other end of `queue`.
    pub(crate) fn accept_into(mut self, queue: mpsc::Sender<Connection>) {
        let offer = Offer {
            key: None,
            queue: Some(queue),
        };
        self.pending.settled = true;
        self.pending
            .tell(Command::Accept(self.pending.handle, offer));
    }

    /// Sends it away: the handshake ends with the alert `user_canceled`.
    pub fn refuse(self) {
        // Dropping it does that.
    }

    /// Forgets it without a word, as if its cookie had not held. A peer that still wants in sends its flight again,
    /// gets no answer, and begins anew with a `ClientHello`, which is asked for a cookie again.
    pub fn retry(mut self) {
        self.pending.settled = true;
        self.pending.tell(Command::Retry(self.pending.handle));
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming")
            .field("remote", &self.remote_addr())
            .field("identity", &self.identity.escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}
