//! What can go wrong on our side; what a peer does is an [`Event`](crate::Event) or a counter.

use core::fmt;

use lockgate_dtls::{ApiError, SendError};

use crate::link::LinkError;

/// Why a call did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The link failed.
    Link(E),
    /// The link has no room for another datagram now; nothing was sealed. Poll, then try again.
    Busy,
    /// A buffer is too small; nothing was sent.
    BufferTooSmall {
        /// Which one.
        buffer: Buffer,
        /// The bytes it needs.
        needed: usize,
    },
    /// The handshake could not begin.
    Open(ApiError),
    /// The payload could not be sealed.
    Send(SendError),
}

/// A buffer of the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// For datagrams that come in.
    Receive,
    /// For datagrams that go out.
    Transmit,
    /// The scratch memory of a handshake.
    Scratch,
}

impl<E> From<LinkError<E>> for Error<E> {
    fn from(error: LinkError<E>) -> Self {
        match error {
            LinkError::Failed(error) => Self::Link(error),
            // An oversized datagram is counted where it comes in, and never gets here.
            LinkError::Busy | LinkError::Oversized => Self::Busy,
        }
    }
}

impl<E> From<ApiError> for Error<E> {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::ScratchTooSmall { needed } => Self::BufferTooSmall {
                buffer: Buffer::Scratch,
                needed,
            },
            error => Self::Open(error),
        }
    }
}

impl<E> From<SendError> for Error<E> {
    fn from(error: SendError) -> Self {
        match error {
            SendError::BufferTooSmall { needed } => Self::BufferTooSmall {
                buffer: Buffer::Transmit,
                needed,
            },
            error => Self::Send(error),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(error) => write!(f, "the link failed: {error}"),
            Self::Busy => f.write_str("the link has no room now"),
            Self::BufferTooSmall { buffer, needed } => {
                let name = match buffer {
                    Buffer::Receive => "receive",
                    Buffer::Transmit => "transmit",
                    Buffer::Scratch => "scratch",
                };
                write!(f, "the {name} buffer needs {needed} bytes")
            }
            Self::Open(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Error<E> {}
