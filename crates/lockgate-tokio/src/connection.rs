//! A connection as its owner sees it.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use lockgate_dtls::{CipherSuite, CloseReason, ConnectionInfo};
use tokio::sync::oneshot;

use crate::hub::{Command, Commands};
use crate::shared::Shared;
use crate::stream::{ByteStream, Datagrams};
use crate::{ConnectionStatistics, Error, Path};

/// The one that a connection and its halves share; dropping the last ends the connection.
pub(crate) struct Owner {
    pub(crate) shared: Arc<Shared>,
    commands: Commands,
    identity: Vec<u8>,
    server_name: Vec<u8>,
}

impl Owner {
    fn tell(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).map_err(|_| Error::Stopped)
    }

    pub(crate) fn try_push(&self, datagram: &Bytes) -> Result<bool, Error> {
        match self.shared.try_push(datagram)? {
            None => Ok(false),
            Some(tell) => {
                if tell {
                    self.tell(Command::Send(Arc::clone(&self.shared)))?;
                }
                Ok(true)
            }
        }
    }

    pub(crate) fn close(&self) {
        // No worker, no connection.
        let _ = self.tell(Command::Close(self.shared.handle));
    }

    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        datagram: &Bytes,
    ) -> Poll<Result<(), Error>> {
        std::task::ready!(self.shared.poll_room(cx, datagram.len()))?;
        Poll::Ready(self.try_push(datagram).map(|_| ()))
    }

    async fn send(&self, payload: &[u8]) -> Result<(), Error> {
        self.send_bytes(Bytes::copy_from_slice(payload)).await
    }

    async fn send_bytes(&self, datagram: Bytes) -> Result<(), Error> {
        poll_fn(|cx| self.poll_send(cx, &datagram)).await
    }

    async fn recv_bytes(&self) -> Result<Bytes, Error> {
        Ok(poll_fn(|cx| self.shared.poll_receive(cx)).await?)
    }

    async fn recv(&self, out: &mut [u8]) -> Result<usize, Error> {
        let datagram = self.recv_bytes().await?;
        let len = datagram.len().min(out.len());
        out[..len].copy_from_slice(&datagram[..len]);
        Ok(len)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.shared.closed().is_none() {
            self.close();
        }
    }
}

/// An established connection. Dropping it says goodbye to the peer.
///
/// What is sent in one call arrives in one call: one payload is one record is one UDP datagram. As with UDP, datagrams
/// may get lost or overtake each other.
///
/// The handle is owned by one task; [`Connection::split`] makes two of it.
pub struct Connection(Arc<Owner>);

/// The half of a [`Connection`] that sends.
pub struct SendHalf(Arc<Owner>);

/// The half of a [`Connection`] that receives.
pub struct ReceiveHalf(Arc<Owner>);

impl Connection {
    pub(crate) fn new(
        shared: Arc<Shared>,
        commands: Commands,
        identity: Vec<u8>,
        server_name: Vec<u8>,
    ) -> Self {
        Self(Arc::new(Owner {
            shared,
            commands,
            identity,
            server_name,
        }))
    }

    /// Sends one datagram. Waits while more is queued than [`QueueLimits::send`](crate::QueueLimits::send); a future
    /// that is dropped has sent nothing. What the network loses is not noticed.
    pub async fn send(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.0.send(payload).await
    }

    /// [`Connection::send`] without a copy into the queue.
    pub async fn send_bytes(&mut self, payload: Bytes) -> Result<(), Error> {
        self.0.send_bytes(payload).await
    }

    /// [`Connection::send`] that does not wait: `false` when the queue is full.
    pub fn try_send(&mut self, payload: &[u8]) -> Result<bool, Error> {
        self.0.try_push(&Bytes::copy_from_slice(payload))
    }

    /// The next datagram; its length in `out`, which cuts what is longer. The connection's end comes as an error, after
    /// everything that came before it. A future that is dropped loses nothing.
    pub async fn recv(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        self.0.recv(out).await
    }

    /// [`Connection::recv`] that allocates what the datagram needs.
    pub async fn recv_bytes(&mut self) -> Result<Bytes, Error> {
        self.0.recv_bytes().await
    }

    /// Two halves, for two tasks. The connection ends when both are dropped.
    pub fn split(self) -> (SendHalf, ReceiveHalf) {
        (SendHalf(Arc::clone(&self.0)), ReceiveHalf(self.0))
    }

    /// A stream of bytes that knows nothing of datagrams.
    pub fn into_stream(self) -> ByteStream {
        ByteStream::new(self.0)
    }

    /// A `Stream` and `Sink` of datagrams.
    pub fn into_datagrams(self) -> Datagrams {
        Datagrams::new(self.0)
    }

    /// The PSK identity that the connection was made with: the peer's on a listener, ours on a connector.
    pub fn identity(&self) -> &[u8] {
        &self.0.identity
    }

    /// The host name that the client asked for, or empty.
    pub fn server_name(&self) -> &[u8] {
        &self.0.server_name
    }

    /// What was agreed, and where the peer is. It stays as it was when the connection ends.
    pub fn info(&self) -> ConnectionInfo<Path> {
        self.0.shared.info()
    }

    /// The agreed suite.
    pub fn cipher_suite(&self) -> CipherSuite {
        self.info().cipher_suite
    }

    /// The longest payload that can be sent now, in bytes. It may shrink when the network tells that datagrams are too
    /// big for it.
    pub fn max_payload(&self) -> usize {
        self.info().max_payload
    }

    /// Where the peer is now.
    pub fn remote_addr(&self) -> SocketAddr {
        self.info().path.peer()
    }

    /// The address of ours that the peer speaks to, where the socket is bound to several.
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.info().path.local()
    }

    /// What went through.
    pub fn statistics(&self) -> ConnectionStatistics {
        self.0.shared.statistics()
    }

    /// The socket that is connected to this peer alone, with
    /// [`Options::socket_per_peer`](crate::Options::socket_per_peer): for its descriptor, and options that the kernel
    /// keeps for each socket. Reading from it takes datagrams away from the connection, and while it is held it outlives
    /// the connection and keeps the peer's datagrams from the listening socket. `None` where the peer shares that.
    pub async fn peer_socket(&self) -> Option<Weak<UdpSocket>> {
        let (reply, socket) = oneshot::channel();
        self.0
            .tell(Command::PeerSocket(self.0.shared.handle, reply))
            .ok()?;
        socket.await.ok()?
    }

    /// Sends what is queued, says goodbye, and waits until the worker has done so.
    pub async fn close(self) {
        self.0.close();
        self.closed().await;
    }

    /// Waits for the end, whoever brings it, and tells why.
    pub async fn closed(&self) -> CloseReason {
        poll_fn(|cx| self.0.shared.poll_closed(cx)).await
    }
}

impl SendHalf {
    /// [`Connection::send`].
    pub async fn send(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.0.send(payload).await
    }

    /// [`Connection::send_bytes`].
    pub async fn send_bytes(&mut self, payload: Bytes) -> Result<(), Error> {
        self.0.send_bytes(payload).await
    }

    /// [`Connection::try_send`].
    pub fn try_send(&mut self, payload: &[u8]) -> Result<bool, Error> {
        self.0.try_push(&Bytes::copy_from_slice(payload))
    }

    /// [`Connection::max_payload`].
    pub fn max_payload(&self) -> usize {
        self.0.shared.info().max_payload
    }

    /// The connection again, if `other` is its other half; otherwise both halves as they were.
    pub fn reunite(self, other: ReceiveHalf) -> Result<Connection, (Self, ReceiveHalf)> {
        if Arc::ptr_eq(&self.0, &other.0) {
            Ok(Connection(self.0))
        } else {
            Err((self, other))
        }
    }
}

impl ReceiveHalf {
    /// [`Connection::recv`].
    pub async fn recv(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        self.0.recv(out).await
    }

    /// [`Connection::recv_bytes`].
    pub async fn recv_bytes(&mut self) -> Result<Bytes, Error> {
        self.0.recv_bytes().await
    }

    /// [`Connection::closed`].
    pub async fn closed(&self) -> CloseReason {
        poll_fn(|cx| self.0.shared.poll_closed(cx)).await
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("remote", &self.remote_addr())
            .field("identity", &self.identity().escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}
