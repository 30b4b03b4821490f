//! Devices that want to go on with an earlier session.
//!
//! A ticket or an ID proves that somebody was let in once. Whether it still would be is asked again, each time:
//!
//! - A pre-shared key: its identity must still have the same key, by the same sources (and caches) as for a full handshake.
//! - A certificate: it and all that was shown with it must still be valid, and authorities, revocation lists, allow lists
//!   and `--client-auth` must be as they were when it was checked. After any change of these files a full handshake is made,
//!   in which everything is checked.
//! - Nobody: if clients may still come without a certificate.
//!
//! Who may not go on makes a full handshake and is told there what is wrong.

use lockgate_dtls::certificate::ClientAuth;
use lockgate_dtls::{ConnectionHandle, ResumptionRequest, Session};
use lockgate_tokio::Io;
use lockgate_webpki::{KeyHash, Time};
use tracing::{debug, error};

use super::identity::{Claim, Identity, Label};
use super::lookup::Lookup;
use super::{Answer, Relay};

/// A session that may go on once a key source has answered.
pub(super) struct Resuming {
    /// The session, when only its ID was known to the engine.
    session: Option<Session>,
    /// The key that its identity had then.
    key: Option<KeyHash>,
}

impl Relay {
    /// The client offers an earlier session.
    pub(super) fn on_resumption_requested(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let now = io.now();
        let (claim, session) = match io.endpoint().resumption_request(connection) {
            Some(ResumptionRequest::Known(peer)) => (Claim::from(peer), None),
            Some(ResumptionRequest::SessionId(id)) => {
                let kept = self.shared.session_cache().get(now, id);
                let Some(session) = kept else {
                    return self.answer_resumption(io, connection, None, None);
                };
                (Claim::from(session.peer()), Some(session))
            }
            None => return,
        };
        let mut resuming = Resuming { session, key: None };
        let identity = match claim {
            Claim::Psk(identity, key) => {
                resuming.key = Some(key);
                return self.ask_for_resumption(io, connection, &identity, resuming);
            }
            Claim::Anonymous => {
                (self.policy.client_auth != ClientAuth::Required).then(Identity::default)
            }
            Claim::Certificate(label, key) => self
                .still_trusted(&label)
                .then(|| Identity::certificate(&label.name, key)),
            Claim::Unreadable => None,
        };
        self.answer_resumption(io, connection, Some(resuming), identity);
    }

    /// Whether a certificate would be accepted now as it was then, as far as that can be told without it.
    fn still_trusted(&self, label: &Label) -> bool {
        let Some(current) = self.certificates.as_ref().map(|c| c.current()) else {
            return false;
        };
        let valid = match Time::now() {
            Time::Unix(now) => now <= label.expires,
            Time::Unknown => false,
        };
        valid && label.trust == current.trust
    }

    /// Asks the key sources for the key that there is now.
    fn ask_for_resumption(
        &mut self,
        io: &mut Io,
        connection: ConnectionHandle,
        identity: &[u8],
        resuming: Resuming,
    ) {
        let Some(handshake) = self.sessions.handshake(connection) else {
            return;
        };
        handshake.identity = Identity::psk(identity);
        handshake.resuming = Some(resuming);
        match self.lookups.start(connection, identity) {
            Lookup::Answered(answer) => self.on_key(io, connection, answer),
            Lookup::Pending(task) => {
                self.counters.slow_key_lookups += 1;
                if let Some(handshake) = self.sessions.handshake(connection) {
                    handshake.task = Some(task);
                }
            }
        }
    }

    /// The key sources have answered about the identity of a session that may go on.
    pub(super) fn on_key_for_resumption(
        &mut self,
        io: &mut Io,
        connection: ConnectionHandle,
        resuming: Resuming,
        answer: &Answer,
    ) {
        let identity = self
            .sessions
            .handshake(connection)
            .map(|handshake| std::mem::take(&mut handshake.identity));
        let same = match answer {
            Ok(Some(psk)) => resuming.key == Some(KeyHash::of(psk.as_bytes())),
            _ => false,
        };
        let identity = identity.filter(|_| same);
        self.answer_resumption(io, connection, Some(resuming), identity);
    }

    /// Lets `resuming` go on as the session of `identity`, or, without one of the two, asks for a full handshake.
    fn answer_resumption(
        &mut self,
        io: &mut Io,
        connection: ConnectionHandle,
        resuming: Option<Resuming>,
        identity: Option<Identity>,
    ) {
        let now = io.now();
        let Some(handshake) = self.sessions.handshake(connection) else {
            return;
        };
        let answered = match (resuming, identity) {
            (Some(resuming), Some(identity)) => {
                handshake.identity = identity;
                match &resuming.session {
                    Some(session) => io.endpoint().provide_session(now, connection, session),
                    None => io.endpoint().accept_resumption(now, connection),
                }
            }
            (resuming, _) => {
                handshake.identity = Identity::default();
                self.counters.resumptions_refused += 1;
                if let Some(resuming) = resuming {
                    debug!(peer = %handshake.path.peer(), "an earlier session may not go on");
                    if let Some(session) = resuming.session {
                        self.shared.session_cache().remove(session.id());
                    }
                }
                io.endpoint().refuse_resumption(now, connection)
            }
        };
        if let Err(error) = answered {
            error!(%error, "the engine did not take the answer about an earlier session");
        }
    }
}
