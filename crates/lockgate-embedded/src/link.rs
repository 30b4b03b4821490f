//! What carries the datagrams.

use core::fmt;

/// Anything that carries packets to one peer and back: a UDP socket, a radio, a serial line with framing.
///
/// It is polled and never waits. It need not be reliable, keep the order, or deliver only once.
///
/// A link over IP sends with the bit that forbids fragments on the way, where its network stack can: then what is too long
/// for the path is lost instead of cut, and [`Link::max_datagram`] says what is not.
pub trait Link {
    /// Why the link itself failed.
    type Error;

    /// The longest datagram that can be sent, in bytes; more is not offered. Handshakes need 256. By default the link does not know.
    fn max_datagram(&self) -> usize {
        usize::MAX
    }

    /// Sends one datagram, or says [`LinkError::Busy`] and has taken nothing.
    fn send(&mut self, datagram: &[u8]) -> Result<(), LinkError<Self::Error>>;

    /// Copies the next datagram to the front of `buffer` and returns its length; `None` when there is none now.
    ///
    /// # Errors
    /// [`LinkError::Oversized`] for a datagram longer than `buffer`, which is gone then.
    fn recv(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, LinkError<Self::Error>>;
}

/// So that a link can be lent to a driver.
impl<L: Link + ?Sized> Link for &mut L {
    type Error = L::Error;

    fn max_datagram(&self) -> usize {
        (**self).max_datagram()
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), LinkError<Self::Error>> {
        (**self).send(datagram)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, LinkError<Self::Error>> {
        (**self).recv(buffer)
    }
}

/// Why a datagram was not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkError<E> {
    /// The link has no room now; the same datagram is offered again at the next poll.
    Busy,
    /// A datagram came that is longer than the buffer for it. It is dropped and counted.
    Oversized,
    /// The link failed.
    Failed(E),
}

impl<E: fmt::Display> fmt::Display for LinkError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("the link has no room now"),
            Self::Oversized => f.write_str("a datagram is longer than the buffer for it"),
            Self::Failed(error) => write!(f, "the link failed: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for LinkError<E> {}
