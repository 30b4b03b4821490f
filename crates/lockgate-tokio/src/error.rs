//! What can go wrong for the user of a connection.

use std::io;
use std::net::SocketAddr;

use lockgate_dtls::{ApiError, CloseReason, ConfigError, HandshakeError, SendError};

/// Why a connection could not be made, or not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An address cannot be bound.
    #[error("cannot bind {address}: {error}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// An option is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The identity or the key has a length that cannot be, or the like.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The handshake did not complete.
    #[error(transparent)]
    Handshake(HandshakeError),
    /// The payload could not be sealed.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The connection is over.
    #[error(transparent)]
    Closed(CloseReason),
    /// What was waited for did not come in the time that was given.
    #[error("timed out")]
    TimedOut,
    /// The task that serves the sockets is gone: its runtime was shut down, or it panicked.
    #[error("the worker that serves the connection is gone")]
    Stopped,
}

impl From<CloseReason> for Error {
    /// A handshake that failed is told as such.
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::HandshakeFailed(error) => Self::Handshake(error),
            reason => Self::Closed(reason),
        }
    }
}

impl From<crate::DriverError> for Error {
    fn from(error: crate::DriverError) -> Self {
        match error {
            crate::DriverError::Io(error) => Self::Io(error),
            crate::DriverError::Config(error) => Self::Config(error),
        }
    }
}

impl From<Error> for io::Error {
    /// For adapters that know no other errors.
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Io(error) | Error::Bind { error, .. } => error.kind(),
            Error::Config(_) | Error::Api(_) | Error::Send(_) => io::ErrorKind::InvalidInput,
            Error::TimedOut => io::ErrorKind::TimedOut,
            Error::Closed(CloseReason::Local) => io::ErrorKind::NotConnected,
            Error::Handshake(_) | Error::Closed(_) => io::ErrorKind::ConnectionAborted,
            Error::Stopped => io::ErrorKind::BrokenPipe,
        };
        Self::new(kind, error)
    }
}
