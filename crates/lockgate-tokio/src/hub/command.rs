//! What owners of connections ask of a worker.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Weak};

use lockgate_dtls::ConnectionHandle;
use tokio::sync::{mpsc, oneshot};

use crate::shared::Shared;
use crate::{Connection, Error, KeyAnswer, Psk, Statistics};

/// The way to a worker. It is not bounded, but what goes through it is: a connection has few commands in it at a time.
pub(crate) type Commands = mpsc::UnboundedSender<Command>;

/// How an accepted peer is let in.
pub(crate) struct Offer {
    /// Instead of asking the key store.
    pub(crate) key: Option<Psk>,
    /// Where the connection goes, if not to who accepted it.
    pub(crate) queue: Option<mpsc::Sender<Connection>>,
}

/// A handshake to begin.
pub(crate) struct Connect {
    pub(crate) server: SocketAddr,
    pub(crate) identity: Vec<u8>,
    pub(crate) psk: Psk,
    pub(crate) server_name: Vec<u8>,
    pub(crate) reply: oneshot::Sender<Result<Pending, Error>>,
}

pub(crate) enum Command {
    Accept(ConnectionHandle, Offer),
    Refuse(ConnectionHandle),
    Retry(ConnectionHandle),
    KeyAnswer(ConnectionHandle, KeyAnswer),
    Connect(Box<Connect>),
    /// Goes on from this socket, which takes the place of the first one.
    Rebind(UdpSocket, oneshot::Sender<io::Result<()>>),
    /// The outbox is not empty any more.
    Send(Arc<Shared>),
    Close(ConnectionHandle),
    PeerSocket(ConnectionHandle, oneshot::Sender<Option<Weak<UdpSocket>>>),
    Statistics(oneshot::Sender<Statistics>),
    /// Nobody accepts or connects any more.
    Leave,
    /// Ends every connection and the worker.
    Stop,
}

/// A handshake whose outcome somebody waits for. Dropping it ends the handshake.
pub(crate) struct Pending {
    pub(crate) handle: ConnectionHandle,
    pub(crate) commands: Commands,
    pub(crate) outcome: oneshot::Receiver<Result<Connection, Error>>,
    /// What happens when it is dropped is settled.
    pub(crate) settled: bool,
}

impl Pending {
    pub(crate) fn tell(&self, command: Command) {
        // Without a worker there is no handshake, and waiting for the outcome says so.
        let _ = self.commands.send(command);
    }

    pub(crate) async fn wait(mut self) -> Result<Connection, Error> {
        let outcome = (&mut self.outcome).await;
        self.settled = true;
        outcome.unwrap_or(Err(Error::Stopped))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.settled {
            self.tell(Command::Refuse(self.handle));
        }
    }
}
