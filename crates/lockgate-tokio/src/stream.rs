//! Connections for code that knows streams.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use futures_sink::Sink;
use lockgate_dtls::CloseReason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Error;
use crate::connection::Owner;

/// A connection as a stream of bytes: [`Connection::into_stream`](crate::Connection::into_stream).
///
/// Each write is one datagram of at most the connection's longest payload; reads run over their borders. Nothing is
/// sent again that gets lost and nothing is put in order: this is for links that do neither lose nor reorder, or for
/// protocols that mend it. The peer's goodbye is the end of the stream.
pub struct ByteStream {
    owner: Arc<Owner>,
    rest: Bytes,
}

impl ByteStream {
    pub(crate) const fn new(owner: Arc<Owner>) -> Self {
        Self {
            owner,
            rest: Bytes::new(),
        }
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            // An empty datagram is no end.
            self.rest = match ready!(self.owner.shared.poll_receive(cx)) {
                Ok(datagram) => datagram,
                Err(CloseReason::PeerClosed | CloseReason::Local) => return Poll::Ready(Ok(())),
                Err(reason) => return Poll::Ready(Err(Error::from(reason).into())),
            };
        }
        let len = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..len]);
        self.rest.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let len = buf.len().min(self.owner.shared.info().max_payload);
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        // Copied when there is room for it, not while it waits.
        ready!(self.owner.shared.poll_room(cx, len))?;
        let sent = self.owner.try_push(&Bytes::copy_from_slice(&buf[..len]))?;
        debug_assert!(
            sent,
            "there was room, and this half is the only one that fills it"
        );
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(ready!(self.owner.shared.poll_flushed(cx))?))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only a connection that is open can be closed; asking twice does no harm.
        self.owner.close();
        self.owner.shared.poll_closed(cx).map(|_| Ok(()))
    }
}

/// A connection as a [`Stream`] and [`Sink`] of datagrams:
/// [`Connection::into_datagrams`](crate::Connection::into_datagrams).
///
/// The stream ends with the peer's goodbye; any other end is its last item, an error.
pub struct Datagrams {
    owner: Arc<Owner>,
    /// Taken by the sink, and waiting for room.
    waiting: Option<Bytes>,
    ended: bool,
}

impl Datagrams {
    pub(crate) const fn new(owner: Arc<Owner>) -> Self {
        Self {
            owner,
            waiting: None,
            ended: false,
        }
    }
}

impl Stream for Datagrams {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let reason = match ready!(self.owner.shared.poll_receive(cx)) {
            Ok(datagram) => return Poll::Ready(Some(Ok(datagram))),
            Err(reason) => reason,
        };
        self.ended = true;
        Poll::Ready(match reason {
            CloseReason::PeerClosed | CloseReason::Local => None,
            reason => Some(Err(reason.into())),
        })
    }
}

impl Sink<Bytes> for Datagrams {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(datagram) = &self.waiting {
            ready!(self.owner.poll_send(cx, datagram))?;
            self.waiting = None;
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, datagram: Bytes) -> Result<(), Error> {
        if !self.owner.try_push(&datagram)? {
            self.waiting = Some(datagram);
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.as_mut().poll_ready(cx))?;
        self.owner.shared.poll_flushed(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.as_mut().poll_ready(cx))?;
        self.owner.close();
        self.owner.shared.poll_closed(cx).map(|_| Ok(()))
    }
}
