//! Asking for keys without making anybody wait.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use lockgate_dtls::ConnectionHandle;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::Command;
use crate::keys::{KeyError, KeySource, Psk};

/// What a key source said: a key, "no such identity", or that it failed.
pub(crate) type Answer = Result<Option<Psk>, KeyError>;

/// Where keys come from, and who runs the look-ups.
pub(crate) struct Lookups {
    pub(crate) keys: Arc<dyn KeySource>,
    /// Look-ups run here, not in the worker that relays datagrams.
    pub(crate) runtime: Handle,
    pub(crate) answers: mpsc::UnboundedSender<Command>,
}

/// What became of a look-up.
pub(super) enum Lookup {
    /// The source knew at once, as files and given keys do.
    Answered(Answer),
    /// The answer will come as [`Command::Key`], unless it is aborted.
    Pending(AbortHandle),
}

impl Lookups {
    /// Asks for the key of `identity`.
    pub(super) fn start(&self, connection: ConnectionHandle, identity: &[u8]) -> Lookup {
        let keys = Arc::clone(&self.keys);
        let identity: Box<[u8]> = identity.into();
        let mut lookup = Box::pin(async move { keys.lookup(&identity).await });
        let _context = self.runtime.enter();
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(answer) = pin!(&mut lookup).poll(&mut cx) {
            return Lookup::Answered(answer);
        }
        // The task polls again at its start, so nothing is lost with the waker that does nothing.
        let answers = self.answers.clone();
        let task = self.runtime.spawn(async move {
            let answer = lookup.await;
            // The proxy may be gone by now.
            let _ = answers.send(Command::Key { connection, answer });
        });
        Lookup::Pending(task.abort_handle())
    }
}
