//! Where pre-shared keys come from.
//!
//! Every source implements [`KeySource`]; [`open()`] builds the one that the options of
//! `lockgate proxy` describe:
//!
//! ```text
//! Chain: static keys -> CSV -> Cached(HTTP service) -> Cached(program)      first answer wins
//! ```
//!
//! Sources are asked one after the other until one knows the identity. A source that fails is
//! passed over, so that a dead key service does not lock out the devices of the file.
//!
//! Keys never reach a log; identities do, through [`escaped`].

mod cache;
mod cached;
mod chain;
mod csv;
mod error;
mod open;
mod program;
mod psk;
mod rest;
mod static_keys;
#[cfg(test)]
mod tests;

use std::{fmt, pin::Pin};

pub use self::{
    cached::{
        CacheLimits, CachedKeys, MAX_CACHED_IDENTITY_LEN, MAX_CACHED_KEYS, MAX_CACHED_UNKNOWN,
        MAX_PENDING, MAX_WAITING, UNKNOWN_TTL,
    },
    chain::Chain,
    csv::{CsvKeys, read_csv},
    error::KeyError,
    open::{KeyOptions, open},
    program::{MAX_OUTPUT_LEN, ProgramKeys},
    psk::{MAX_PSK_LEN, Psk, PskError},
    rest::{MAX_BODY_LEN, RestFormat, RestKeys, RestOptions},
    static_keys::StaticKeys,
};

/// The future that a source's methods return. Boxed, because sources are chosen at run time; one
/// allocation per handshake is nothing beside the handshake.
pub type KeyFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, KeyError>> + Send + 'a>>;

/// Something that knows the keys of devices.
///
/// Implementations are asked from many tasks at once and must not block a thread. Dropping the
/// future gives the look-up up; nothing may be left behind.
pub trait KeySource: Send + Sync + 'static {
    /// What the source is called in logs and errors, such as `csv`.
    fn name(&self) -> &'static str;

    /// The key of `identity`; `None` when the source is sure that there is none.
    ///
    /// `identity` is what the peer sent: any bytes, any length that the engine lets through.
    fn lookup<'a>(&'a self, identity: &'a [u8]) -> KeyFuture<'a, Option<Psk>>;

    /// Forgets what may be outdated and reads it again. When that fails, the old keys stay.
    ///
    /// The default does nothing, for sources that hold nothing.
    fn reload(&self) -> KeyFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// Identities longer than this are cut in logs, in bytes.
const MAX_LOGGED_IDENTITY: usize = 128;

/// An identity as it may stand in a log line: everything but printable ASCII is escaped, and after
/// 128 bytes it is cut, because a stranger chooses it. Blanks and equals signs are escaped too, or it
/// could look like more fields of the line.
pub fn escaped(identity: &[u8]) -> impl fmt::Display {
    let shown = identity.len().min(MAX_LOGGED_IDENTITY);
    let text = identity[..shown].escape_ascii().to_string();
    let text = text.replace(' ', r"\x20").replace('=', r"\x3d");
    if shown < identity.len() {
        format!("{text}... ({} bytes)", identity.len())
    } else {
        text
    }
}
