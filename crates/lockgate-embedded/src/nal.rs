//! An asynchronous driver over the connected UDP sockets of `embedded-nal-async`, for boards with an executor.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embedded_hal_async::delay::DelayNs;
use embedded_nal_async::ConnectedUdp;
use lockgate_dtls::crypto::Provider;
use lockgate_dtls::{CloseReason, Instant};

use crate::error::Error;
use crate::link::{Link, LinkError};
use crate::memory::Buffers;
use crate::session::{Event, Session, Status};

/// Why an asynchronous call ended without what it was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsyncError<E> {
    /// As in the polled form.
    Driver(Error<E>),
    /// The session is over.
    Closed(CloseReason),
}

impl<E> From<Error<E>> for AsyncError<E> {
    fn from(error: Error<E>) -> Self {
        Self::Driver(error)
    }
}

impl<E: fmt::Display> fmt::Display for AsyncError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driver(error) => error.fmt(f),
            Self::Closed(reason) => reason.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for AsyncError<E> {}

/// A session over an asynchronous socket: [`Session`] stays what it is, to sleep, wake or count; this drives it while
/// the socket is there.
///
/// `clock` is the time since the same start as ever, `delay` waits. A future that is dropped loses at most a datagram,
/// as the network may.
#[derive(Debug)]
pub struct Driver<'s, 'm, P: Provider, U, D, C> {
    session: &'s mut Session<'m, P>,
    buffers: &'s mut Buffers<'m>,
    socket: U,
    delay: D,
    clock: C,
}

/// What the session has to send and what came for it, between two waits.
struct Exchange<'a> {
    received: Option<usize>,
    outgoing: &'a mut [u8],
    outgoing_len: usize,
}

/// The longest datagram that the driver sends.
const MAX_DATAGRAM_LEN: usize = 1280;

impl Link for Exchange<'_> {
    type Error = core::convert::Infallible;

    fn send(&mut self, datagram: &[u8]) -> Result<(), LinkError<Self::Error>> {
        if self.outgoing_len > 0 {
            return Err(LinkError::Busy);
        }
        let room = self.outgoing.get_mut(..datagram.len());
        room.ok_or(LinkError::Oversized)?.copy_from_slice(datagram);
        self.outgoing_len = datagram.len();
        Ok(())
    }

    fn recv(&mut self, _: &mut [u8]) -> Result<Option<usize>, LinkError<Self::Error>> {
        // It stands in the receive buffer already.
        Ok(self.received.take())
    }
}

impl<'s, 'm, P, U, D, C> Driver<'s, 'm, P, U, D, C>
where
    P: Provider,
    U: ConnectedUdp,
    D: DelayNs,
    C: FnMut() -> Instant,
{
    /// Drives `session` over `socket`.
    pub const fn new(
        session: &'s mut Session<'m, P>,
        buffers: &'s mut Buffers<'m>,
        socket: U,
        delay: D,
        clock: C,
    ) -> Self {
        Self {
            session,
            buffers,
            socket,
            delay,
            clock,
        }
    }

    /// Makes a session; returns when data can be sent.
    pub async fn open(&mut self) -> Result<(), AsyncError<U::Error>> {
        self.session.open((self.clock)(), self.buffers)?;
        while self.session.status() != Status::Open {
            self.next().await?;
        }
        Ok(())
    }

    /// Sends one payload.
    pub async fn send(&mut self, payload: &[u8]) -> Result<(), AsyncError<U::Error>> {
        let mut outgoing = [0; MAX_DATAGRAM_LEN];
        let mut exchange = Exchange {
            received: None,
            outgoing: &mut outgoing,
            outgoing_len: 0,
        };
        let result = self.session.send(&mut exchange, self.buffers, payload);
        let len = exchange.outgoing_len;
        result.map_err(never)?;
        self.put(&outgoing[..len]).await
    }

    /// Waits for the next payload; its bytes stand in the receive buffer.
    pub async fn recv(&mut self) -> Result<&[u8], AsyncError<U::Error>> {
        loop {
            if let Some(range) = self.next().await? {
                return Ok(self.buffers.receive.get(range).unwrap_or_default());
            }
        }
    }

    /// Ends the session with `close_notify`.
    pub async fn close(&mut self) -> Result<(), AsyncError<U::Error>> {
        let now = (self.clock)();
        let mut outgoing = [0; MAX_DATAGRAM_LEN];
        let mut exchange = Exchange {
            received: None,
            outgoing: &mut outgoing,
            outgoing_len: 0,
        };
        let result = self.session.close(now, &mut exchange, self.buffers);
        let len = exchange.outgoing_len;
        result.map_err(never)?;
        self.put(&outgoing[..len]).await
    }

    async fn put(&mut self, datagram: &[u8]) -> Result<(), AsyncError<U::Error>> {
        if datagram.is_empty() {
            return Ok(());
        }
        let sent = self.socket.send(datagram).await;
        sent.map_err(|error| AsyncError::Driver(Error::Link(error)))
    }

    /// One step: sends what is due, and waits for a datagram or the deadline when nothing is.
    async fn next(&mut self) -> Result<Option<core::ops::Range<usize>>, AsyncError<U::Error>> {
        let mut received = None;
        loop {
            let now = (self.clock)();
            let mut outgoing = [0; MAX_DATAGRAM_LEN];
            let mut exchange = Exchange {
                received: received.take(),
                outgoing: &mut outgoing,
                outgoing_len: 0,
            };
            let start = self.buffers.receive.as_ptr().addr();
            let event = self.session.poll(now, &mut exchange, self.buffers);
            let event = match event.map_err(never)? {
                Some(Event::Data(payload)) => {
                    let at = payload.as_ptr().addr() - start;
                    Some(Ok(Some(at..at + payload.len())))
                }
                Some(Event::Opened) => Some(Ok(None)),
                Some(Event::Closed(reason)) => Some(Err(AsyncError::Closed(reason))),
                None => None,
            };
            let len = exchange.outgoing_len;
            self.put(&outgoing[..len]).await?;
            if let Some(event) = event {
                return event;
            }
            if len > 0 {
                continue;
            }
            received = self.wait().await?;
        }
    }

    /// Waits for a datagram, at most until the deadline.
    async fn wait(&mut self) -> Result<Option<usize>, AsyncError<U::Error>> {
        let deadline = self.session.deadline();
        let wait = deadline.map(|at| at.saturating_since((self.clock)()));
        let mut receive = pin!(self.socket.receive_into(self.buffers.receive));
        let micros = wait.map_or(u32::MAX, |wait| {
            u32::try_from(wait.as_micros()).unwrap_or(u32::MAX).max(1)
        });
        let mut delay = pin!(self.delay.delay_us(micros));
        poll_fn(|context| {
            if let Poll::Ready(received) = receive.as_mut().poll(context) {
                let received = received.map_err(|error| AsyncError::Driver(Error::Link(error)));
                return Poll::Ready(received.map(Some));
            }
            delay.as_mut().poll(context).map(|()| Ok(None))
        })
        .await
    }
}

fn never<E>(error: Error<core::convert::Infallible>) -> AsyncError<E> {
    AsyncError::Driver(match error {
        Error::Link(never) => match never {},
        Error::Busy => Error::Busy,
        Error::BufferTooSmall { buffer, needed } => Error::BufferTooSmall { buffer, needed },
        Error::Open(error) => Error::Open(error),
        Error::Send(error) => Error::Send(error),
    })
}
