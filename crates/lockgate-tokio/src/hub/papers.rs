//! What the engine asks about certificates and earlier sessions.

use lockgate_dtls::{ApiError, ConnectionHandle, PeerIdentity, ResumptionRequest, Session};

use lockgate_webpki::KeyHash;

use super::handshakes::Question;
use super::{Entry, Hub, Stage};
use crate::credentials::Expected;
use crate::{Io, KeyAnswer};

impl Hub {
    pub(super) fn credential_requested(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let now = io.now();
        let credentials = self.options.credentials.clone();
        let server_name = io.endpoint().server_name(connection).unwrap_or_default();
        let server_name = server_name.to_vec();
        let Some(handshaking) = self.handshaking(connection) else {
            return;
        };
        if handshaking.client.is_none() {
            // A client that shows nothing is offered when nobody remembers it any more.
            handshaking.server_name = server_name;
        }
        let given = credentials.provide(io.endpoint(), now, connection, &mut handshaking.papers);
        if let Err(error) = given {
            self.give_up(io, connection, error.into());
        }
    }

    pub(super) fn signature_requested(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let now = io.now();
        if let Some(handshaking) = self.handshaking(connection) {
            handshaking.papers.sign(io.endpoint(), now, connection);
        }
    }

    /// The peer has shown something. What is in order on a server is offered as other peers are.
    pub(super) fn peer_certificate(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let now = io.now();
        let credentials = self.options.credentials.clone();
        let Some(handshaking) = self.handshaking(connection) else {
            return;
        };
        let expected = match &handshaking.client {
            Some(client) => Expected::Server(&client.expected),
            None => Expected::Client,
        };
        let endpoint = io.endpoint();
        let judged = credentials.judge(endpoint, connection, expected, &mut handshaking.papers);
        let given = match judged {
            Ok(name) if handshaking.client.is_some() => {
                endpoint.accept_peer(now, connection, &name)
            }
            Ok(name) => {
                return self.ask(io, connection, Question::Peer(name), Vec::new());
            }
            Err(error) => endpoint.refuse_peer(connection, error),
        };
        if let Err(error) = given {
            self.give_up(io, connection, error.into());
        }
    }

    pub(super) fn resumption_requested(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let now = io.now();
        let credentials = self.options.credentials.clone();
        let session = match io.endpoint().resumption_request(connection) {
            Some(ResumptionRequest::SessionId(id)) => Some(self.sessions.get(id)),
            Some(ResumptionRequest::Known(_)) => None,
            None => return,
        };
        let Some(handshaking) = self.handshaking(connection) else {
            return;
        };
        let endpoint = io.endpoint();
        let peer = match (&session, endpoint.resumption_request(connection)) {
            (Some(Some(session)), _) => Some(session.peer()),
            (None, Some(ResumptionRequest::Known(peer))) => Some(peer),
            _ => None,
        };
        if handshaking.client.is_some() {
            // It was looked at before it was offered.
            if let Some(peer) = peer {
                handshaking.papers.remember(peer);
            }
            if let Err(error) = endpoint.accept_resumption(now, connection) {
                self.give_up(io, connection, error.into());
            }
            return;
        }
        let peer = peer.filter(|peer| credentials.still_believed(*peer, Expected::Client));
        let Some(peer) = peer else {
            return self.no_resumption(io, connection);
        };
        handshaking.papers.remember(peer);
        let identity = match peer {
            PeerIdentity::Psk { identity, .. } => identity.to_vec(),
            _ => Vec::new(),
        };
        let key_hash = match peer {
            PeerIdentity::Psk { key_hash, .. } => key_hash,
            _ => [0; 32],
        };
        self.ask(
            io,
            connection,
            Question::Resumption(session.flatten(), key_hash),
            identity,
        );
    }

    /// A server makes a full handshake instead.
    fn no_resumption(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let now = io.now();
        if let Some(handshaking) = self.handshaking(connection) {
            handshaking.question = Question::None;
            handshaking.papers.name = None;
        }
        settle(io, connection, |io| {
            io.endpoint().refuse_resumption(now, connection)
        });
    }

    /// The peer is wanted, and there is no key to look for.
    pub(super) fn let_in(&mut self, io: &mut Io, connection: ConnectionHandle) {
        let now = io.now();
        let Some(handshaking) = self.handshaking(connection) else {
            return;
        };
        match &handshaking.question {
            Question::Peer(name) => settle(io, connection, |io| {
                io.endpoint().accept_peer(now, connection, name)
            }),
            Question::Resumption(Some(session), _) => settle(io, connection, |io| {
                io.endpoint().provide_session(now, connection, session)
            }),
            Question::Resumption(None, _) => settle(io, connection, |io| {
                io.endpoint().accept_resumption(now, connection)
            }),
            Question::Psk | Question::None => {}
        }
    }

    /// What is known of the key of an identity.
    pub(super) fn on_key(&mut self, io: &mut Io, connection: ConnectionHandle, answer: &KeyAnswer) {
        let now = io.now();
        let Some(Entry {
            stage: Stage::Handshaking(handshaking),
            ..
        }) = self.entry(connection)
        else {
            return; // it ended meanwhile
        };
        match (&handshaking.question, answer) {
            (Question::Psk | Question::None, _) => settle(io, connection, |io| match answer {
                KeyAnswer::Key(key) => {
                    let endpoint = io.endpoint();
                    endpoint.provide_psk(now, connection, key.as_bytes())
                }
                KeyAnswer::Unknown => io.endpoint().refuse_psk(now, connection),
                KeyAnswer::Failed => io.endpoint().fail_psk(connection),
            }),
            // Still the same key.
            (Question::Resumption(_, hash), KeyAnswer::Key(key))
                if KeyHash::of(key.as_bytes()).0 == *hash =>
            {
                self.let_in(io, connection);
            }
            (Question::Peer(_), _) => self.let_in(io, connection),
            // A full handshake says why.
            (Question::Resumption(..), _) => self.no_resumption(io, connection),
        }
    }

    /// Whether a complete handshake is that of the peer that was accepted: a session that turned out not to fit ends in a
    /// full handshake, in which the peer may have proved less than it had.
    pub(super) fn may_connect(&mut self, connection: ConnectionHandle, resumed: bool) -> bool {
        match self.entry(connection).map(|entry| &entry.stage) {
            Some(Stage::Handshaking(handshaking)) => {
                let was = matches!(handshaking.question, Question::Resumption(..));
                handshaking.client.is_some() || was == resumed
            }
            _ => true,
        }
    }

    pub(super) fn new_session(&mut self, connection: ConnectionHandle, session: Session) {
        let Some(Entry {
            stage: Stage::Handshaking(handshaking),
            ..
        }) = self.entry(connection)
        else {
            return;
        };
        if handshaking.client.is_some() {
            handshaking.papers.session = Some(session);
        } else {
            self.sessions.insert(session);
        }
    }
}

/// Gives the engine an answer.
fn settle(
    io: &mut Io,
    connection: ConnectionHandle,
    answer: impl FnOnce(&mut Io) -> Result<(), ApiError>,
) {
    match answer(io) {
        // The handshake ended before the answer came; its end is told by an event.
        Ok(()) | Err(ApiError::UnknownConnection | ApiError::NotRequested) => {}
        Err(_) => io.endpoint().close(connection),
    }
}
