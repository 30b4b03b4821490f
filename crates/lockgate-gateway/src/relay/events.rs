//! From a first `ClientHello` to the last log line: what happens to handshakes and sessions.

use std::fmt;

use lockgate_dtls::{CloseReason, ConnectionHandle, HandshakeError, Instant};
use lockgate_tokio::Io;
use tracing::{debug, error, info, warn};

use super::counters::Traffic;
use super::credentials::Shown;
use super::identity::Identity;
use super::lookup::Lookup;
use super::registry::Place;
use super::sessions::{Entry, Handshake, Session};
use super::upstream::NoUpstream;
use super::{Answer, Command, EndReason, FailureReason, Relay, Waiting};

impl Relay {
    /// The client has said who it is, and the engine wants its key.
    pub(super) fn on_psk_requested(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let identity: Box<[u8]> = io
            .endpoint()
            .psk_identity(connection)
            .unwrap_or_default()
            .into();
        let Some(handshake) = self.sessions.handshake(connection) else {
            return;
        };
        handshake.identity = Identity::psk(&identity);
        // Whether there is room is not said here: whom there is room for tells who is connected, and anybody can claim
        // an identity.
        match self.lookups.start(connection, &identity) {
            Lookup::Answered(answer) => self.on_key(io, connection, answer),
            Lookup::Pending(task) => {
                self.counters.slow_key_lookups += 1;
                if let Some(handshake) = self.sessions.handshake(connection) {
                    handshake.task = Some(task);
                }
            }
        }
    }

    /// The key sources have answered.
    pub(super) fn on_key(&mut self, io: &mut Io, connection: ConnectionHandle, answer: Answer) {
        let Some(handshake) = self.sessions.handshake(connection) else {
            return; // It was given up meanwhile.
        };
        handshake.task = None;
        if let Some(resuming) = handshake.resuming.take() {
            return self.on_key_for_resumption(io, connection, resuming, &answer);
        }
        let now = io.now();
        let result = match answer {
            Ok(Some(psk)) => io.endpoint().provide_psk(now, connection, psk.as_bytes()),
            // From outside both look like a wrong key: the handshake runs on until it times out. The log need not wait.
            Ok(None) => {
                self.tell(
                    io,
                    connection,
                    FailureReason::UnknownIdentity,
                    "unknown identity",
                );
                io.endpoint().refuse_psk(now, connection)
            }
            Err(error) => {
                let why = format_args!("key service failed: {error}");
                self.tell(io, connection, FailureReason::KeyServiceFailed, why);
                // Said openly, so that the device can try again at once. It tells strangers something: with several
                // sources or a cache, identities whose keys are known from elsewhere go on while the others end here.
                io.endpoint().fail_psk(connection)
            }
        };
        if let Err(error) = result {
            error!(%error, "the engine did not take the answer of a key source");
        }
    }

    /// A handshake is complete.
    pub(super) fn on_connected(&mut self, io: &mut Io, connection: ConnectionHandle) {
        if self.sessions.handshake(connection).is_none() {
            return;
        }
        self.counters.handshakes_completed += 1;
        if io.endpoint().info(connection).is_some_and(|i| i.resumed) {
            self.counters.handshakes_resumed += 1;
        }
        self.start_session(io, connection);
    }

    /// The session of a complete handshake begins, if it gets a way to the backend.
    pub(super) fn start_session(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let Entry::Handshake(mut handshake) = self.sessions.remove(connection) else {
            return;
        };
        let Some(agreed) = io.endpoint().info(connection) else {
            return;
        };
        let identity = handshake.identity.clone();
        // It has proved who it is, so it may learn whether it has a place.
        if !self.shared.registry.enter(&identity) {
            let why = "there are as many as there may be";
            return self.turn_away(io, connection, &handshake, EndReason::TooManySessions, why);
        }
        let sessions = &self.sessions;
        let upstream = self
            .upstreams
            .connect(connection.index(), &identity, |other| {
                sessions.is_of(other, &identity)
            });
        let (local, upstream) = match upstream {
            Ok(upstream) => upstream,
            Err(NoUpstream::Yet) => {
                self.shared.registry.leave();
                // What the device sends meanwhile is lost.
                debug!(%identity, "waiting for the table of addresses");
                let since = *handshake.waits_since.get_or_insert(io.now());
                self.sessions.put_back(handshake);
                let waiting = Waiting { connection, since };
                self.without_address.push_back(waiting);
                return;
            }
            Err(NoUpstream::TurnedAway { reason, why }) => {
                self.shared.registry.leave();
                return self.turn_away(io, connection, &handshake, reason, why);
            }
        };
        let now = io.now();
        if let Some(idle_timeout) = self.policy.idle_timeout
            && self.sessions.established() == 0
        {
            self.next_idle_scan = now + Self::idle_pass(idle_timeout);
        }
        let session = Session {
            connection,
            upstream,
            identity,
            started: now,
            last_heard: now,
            to_backend: Traffic::default(),
            to_device: Traffic::default(),
            path: agreed.path,
            suite: agreed.cipher_suite,
            own_cid: agreed.own_cid,
            ending: None,
        };
        let shown = Shown::new(handshake.shown.as_deref());
        info!(
            identity = %session.identity,
            spki = session.identity.key().map(tracing::field::display),
            subject = shown.subject,
            san = shown.names,
            suite = %session.suite,
            resumed = agreed.resumed.then_some(true),
            cid = ?agreed.own_cid,
            peer_cid = ?agreed.peer_cid,
            peer = %session.path.peer(),
            upstream = %local,
            "session started"
        );
        if let Some(older) = self.sessions.establish(session) {
            self.replace(io, older);
        }
    }

    /// When the first of those that wait for an address has waited long enough.
    pub(super) fn patience_ends(&self) -> Option<Instant> {
        let first = self.without_address.front()?;
        Some(first.since + self.policy.handshake_timeout)
    }

    /// Ends sessions that have waited too long for an address to begin.
    pub(super) fn turn_waiting_away(&mut self, io: &mut Io) {
        while self.patience_ends().is_some_and(|end| end <= io.now())
            && let Some(Waiting { connection, .. }) = self.without_address.pop_front()
        {
            // Its device may have gone already.
            if self.sessions.handshake(connection).is_some()
                && let Entry::Handshake(handshake) = self.sessions.remove(connection)
            {
                let why = "the disk is too slow: no address was claimed in the table in time";
                self.turn_away(io, connection, &handshake, EndReason::NoAddress, why);
            }
        }
    }

    /// Ends a session that a newer one has taken the place of.
    fn replace(&mut self, io: &mut Io, older: Place) {
        if older.worker == self.worker {
            return self.end(io, older.connection, EndReason::Replaced);
        }
        if let Some(other) = self.shared.workers.get(usize::from(older.worker)) {
            // When that worker is gone, so is the session.
            let _ = other.send(Command::Replace(older.connection));
        }
    }

    /// The device has moved.
    pub(super) fn on_path_changed(&mut self, io: &mut Io, connection: ConnectionHandle) {
        self.counters.address_changes += 1;
        if let Some(path) = io.endpoint().path(connection)
            && let Some(session) = self.sessions.session(connection)
        {
            debug!(
                identity = %session.identity,
                cid = ?session.own_cid,
                from = %session.path.peer(),
                to = %path.peer(),
                "session moved"
            );
            session.path = path;
        }
    }

    /// A handshake has failed or a session is over.
    pub(super) fn on_closed(
        &mut self,
        io: &mut Io,
        connection: ConnectionHandle,
        reason: CloseReason,
    ) {
        match (self.sessions.remove(connection), reason) {
            (Entry::Session(session), reason) => {
                self.release(&session);
                self.log_end(io, &session, reason);
            }
            (Entry::Handshake(handshake), CloseReason::HandshakeFailed(error)) => {
                self.on_handshake_failed(io, &handshake, error);
            }
            // Its place went to the handshake that took over.
            (_, CloseReason::HandshakeFailed(error)) => {
                self.counters.handshakes_failed[FailureReason::from(error) as usize] += 1;
            }
            // One that was turned away.
            _ => {}
        }
    }

    /// Ends a session: the device is told, and [`Relay::on_closed`] follows.
    pub(super) fn end(&mut self, io: &mut Io, connection: ConnectionHandle, reason: EndReason) {
        if let Some(session) = self.sessions.session(connection) {
            session.ending = Some(reason);
            io.endpoint().close(connection);
        }
    }

    /// A session is gone, and what it had of the way to the backend with it.
    pub(super) fn release(&mut self, session: &Session) {
        let index = session.connection.index();
        self.upstreams
            .release(&session.upstream, index, &session.identity);
    }

    /// Ends a session that has not begun.
    fn turn_away(
        &mut self,
        io: &mut Io,
        connection: ConnectionHandle,
        handshake: &Handshake,
        reason: EndReason,
        why: impl fmt::Display,
    ) {
        self.counters.sessions_ended[reason as usize] += 1;
        if self.log_limit.allows(io.now()) {
            let identity = &handshake.identity;
            let peer = handshake.path.peer();
            warn!(%identity, %peer, %reason, %why, "session turned away");
        }
        io.endpoint().close(connection);
    }

    /// Logs why a handshake is going to fail, once.
    pub(super) fn tell(
        &mut self,
        io: &Io,
        connection: ConnectionHandle,
        reason: FailureReason,
        why: impl fmt::Display,
    ) {
        let Some(handshake) = self.sessions.handshake(connection) else {
            return;
        };
        handshake.told = Some(reason);
        if self.log_limit.allows(io.now()) {
            log_failure(handshake, why);
        }
    }

    fn on_handshake_failed(&mut self, io: &Io, handshake: &Handshake, error: HandshakeError) {
        let reason = handshake.told.unwrap_or_else(|| error.into());
        self.counters.handshakes_failed[reason as usize] += 1;
        // Beginning again is no failure, and at the end nobody wants to know.
        let unworthy = matches!(reason, FailureReason::Restarted | FailureReason::Shutdown);
        if handshake.told.is_none() && !unworthy && self.log_limit.allows(io.now()) {
            match (handshake.mismatch, error) {
                (Some(mismatch), HandshakeError::NoCredential) => log_failure(handshake, mismatch),
                _ => log_failure(handshake, error),
            }
        }
    }

    fn log_end(&mut self, io: &Io, session: &Session, reason: CloseReason) {
        let end = session.ending.unwrap_or_else(|| reason.into());
        self.counters.sessions_ended[end as usize] += 1;
        let lasted = io.now().saturating_since(session.started);
        let alert = match reason {
            CloseReason::PeerAlert(description) => Some(description),
            _ => None,
        };
        info!(
            identity = %session.identity,
            spki = session.identity.key().map(tracing::field::display),
            suite = %session.suite,
            cid = ?session.own_cid,
            peer = %session.path.peer(),
            seconds = (lasted.as_secs_f64() * 1e3).round() / 1e3,
            to_backend = session.to_backend.datagrams,
            to_backend_bytes = session.to_backend.bytes,
            to_device = session.to_device.datagrams,
            to_device_bytes = session.to_device.bytes,
            reason = %end,
            alert = alert.map(tracing::field::display),
            "session ended"
        );
    }
}

fn log_failure(handshake: &Handshake, why: impl fmt::Display) {
    let identity = Some(&handshake.identity).filter(|identity| !identity.is_anonymous());
    let shown = Shown::new(handshake.shown.as_deref());
    warn!(
        peer = %handshake.path.peer(),
        identity = identity.map(tracing::field::display),
        subject = shown.subject,
        san = shown.names,
        spki = shown.key,
        %why,
        "handshake failed"
    );
}
