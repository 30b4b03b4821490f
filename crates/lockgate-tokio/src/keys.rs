//! Where a listener's pre-shared keys come from.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;

use lockgate_dtls::ApiError;
use lockgate_dtls::config::MAX_PSK_LEN;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

/// A pre-shared key: 1 to [`MAX_PSK_LEN`] bytes, wiped when dropped and shown by nothing.
#[derive(Clone)]
pub struct Psk(Zeroizing<Box<[u8]>>);

impl Psk {
    /// Takes a copy of `bytes`; [`ApiError::BadLength`] when they are none or too many.
    pub fn new(bytes: &[u8]) -> Result<Self, ApiError> {
        if bytes.is_empty() || bytes.len() > MAX_PSK_LEN {
            return Err(ApiError::BadLength);
        }
        Ok(Self(Zeroizing::new(bytes.into())))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk")
    }
}

/// Who asks to be let in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeyRequest {
    /// The PSK identity as the peer sent it: any bytes, up to 128 of them.
    pub identity: Vec<u8>,
    /// The host name that the peer asked for (RFC 6066), or empty.
    pub server_name: Vec<u8>,
    /// Where the peer is.
    pub remote: SocketAddr,
}

/// What a store knows of an identity.
#[derive(Clone, Debug)]
pub enum KeyAnswer {
    /// Its key.
    Key(Psk),
    /// There is no such identity. The peer learns no more than with a wrong key, unless
    /// [`Config::reveal_unknown_identity`](crate::dtls::Config::reveal_unknown_identity) is set.
    Unknown,
    /// The store could not find out. The handshake ends at once, and the peer may try again.
    Failed,
}

impl From<Option<Psk>> for KeyAnswer {
    fn from(key: Option<Psk>) -> Self {
        key.map_or(Self::Unknown, Self::Key)
    }
}

/// What [`KeyStore::lookup`] returns. Boxed, because a listener takes any store; one allocation is nothing beside a
/// handshake.
pub type KeyFuture = Pin<Box<dyn Future<Output = KeyAnswer> + Send>>;

/// Something that knows keys: a map, a file, a service.
///
/// Every handshake that an application has accepted asks once. Look-ups run beside each other and beside all traffic; one
/// that takes long delays its own handshake only. When the handshake ends before the look-up does, the future is dropped.
///
/// A closure is a store as well:
///
/// ```
/// # use lockgate_tokio::{KeyAnswer, KeyRequest, KeyStore, Psk};
/// fn store() -> impl KeyStore {
///     |request: KeyRequest| async move {
///         match request.identity.as_slice() {
///             b"Client_identity" => Psk::new(b"secretPSK").map_or(KeyAnswer::Failed, KeyAnswer::Key),
///             _ => KeyAnswer::Unknown,
///         }
///     }
/// }
/// ```
pub trait KeyStore: Send + Sync + 'static {
    /// Finds out about one identity. Called in a task for this one question; like any task, it must not block its
    /// thread. One that panics has answered [`KeyAnswer::Failed`].
    fn lookup(&self, request: KeyRequest) -> KeyFuture;
}

impl<F, A> KeyStore for F
where
    F: Fn(KeyRequest) -> A + Send + Sync + 'static,
    A: Future<Output = KeyAnswer> + Send + 'static,
{
    fn lookup(&self, request: KeyRequest) -> KeyFuture {
        Box::pin(self(request))
    }
}

/// Keys that are known beforehand.
#[derive(Clone, Debug, Default)]
pub struct StaticKeys(HashMap<Vec<u8>, Psk>);

impl StaticKeys {
    /// A store without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one key more; an identity that is there already gets the new key.
    pub fn with(mut self, identity: &[u8], psk: &[u8]) -> Result<Self, ApiError> {
        self.0.insert(identity.into(), Psk::new(psk)?);
        Ok(self)
    }
}

impl FromIterator<(Vec<u8>, Psk)> for StaticKeys {
    fn from_iter<I: IntoIterator<Item = (Vec<u8>, Psk)>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}

impl KeyStore for StaticKeys {
    fn lookup(&self, request: KeyRequest) -> KeyFuture {
        let answer = self.0.get(&request.identity).cloned().into();
        Box::pin(std::future::ready(answer))
    }
}

/// A question of [`ChannelKeys`] and where its answer goes. Dropped without an answer, it counts as
/// [`KeyAnswer::Failed`].
pub type KeyQuestion = (KeyRequest, oneshot::Sender<KeyAnswer>);

/// Hands every question to whoever holds the other end of a channel.
#[derive(Clone, Debug)]
pub struct ChannelKeys(mpsc::Sender<KeyQuestion>);

impl ChannelKeys {
    /// A store, and the questions that it is asked. Up to `waiting` stand in the channel, further ones wait for room.
    pub fn new(waiting: usize) -> (Self, mpsc::Receiver<KeyQuestion>) {
        let (sender, receiver) = mpsc::channel(waiting);
        (Self(sender), receiver)
    }
}

impl KeyStore for ChannelKeys {
    fn lookup(&self, request: KeyRequest) -> KeyFuture {
        let questions = self.0.clone();
        Box::pin(async move {
            let (sender, answer) = oneshot::channel();
            if questions.send((request, sender)).await.is_err() {
                return KeyAnswer::Failed;
            }
            answer.await.unwrap_or(KeyAnswer::Failed)
        })
    }
}
