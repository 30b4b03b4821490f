//! The DTLS 1.2 handshake: what both sides share; [`client`] and [`server`] hold the states in protocol order.
//!
//! Messages come in here in order and whole, with the epoch they came under; what goes out is put into the flight.
//! Records, fragments and timers are [`crate::handshake`]'s.

pub(crate) mod client;
#[cfg(feature = "certificates")]
mod exchange;
mod keys;
#[cfg(feature = "resumption")]
mod requests;
#[cfg(feature = "endpoint")]
pub(crate) mod server;

use crate::association::{Association, Role};
#[cfg(feature = "resumption")]
use crate::bytes::ShortBytes;
use crate::bytes::{OwnCid, PeerCid};
use crate::config::{CidConfig, Config, MAX_PEER_CID_LEN};
use crate::crypto::{Hash, HashOutput, Provider};
use crate::error::{ApiError, HandshakeError, Limit, PeerMisbehaved, WaitingFor};
use crate::event::EventFlags;
use crate::flight::{Outgoing, Protection, RetransmitTimer};
use crate::record::KeyPair;
#[cfg(feature = "resumption")]
use crate::session::{KnownPeer, Resumable};
use crate::suite::{CipherSuite, SuiteParameters};
use crate::time::Instant;
use crate::wire::{
    BufferTooSmall, HandshakeHeader, HandshakeType, MAX_PLAINTEXT_LEN, RANDOM_LEN, VERIFY_DATA_LEN,
    Writer,
};
#[cfg(feature = "certificates")]
use exchange::Exchange;
#[cfg(feature = "certificates")]
pub(crate) use exchange::key_hash;

#[cfg(feature = "resumption")]
pub use requests::ResumptionRequest;
#[cfg(feature = "certificates")]
pub use requests::{Credential, CredentialRequest, SignatureRequest};

/// What every step of a handshake is given.
pub(crate) struct Context<'a, P: Provider> {
    pub(crate) provider: &'a mut P,
    pub(crate) config: &'a Config,
    pub(crate) now: Instant,
    pub(crate) events: &'a mut EventFlags,
    /// Servers: what tickets are sealed with.
    #[cfg(feature = "endpoint")]
    pub(crate) tickets: Option<&'a mut crate::endpoint::TicketJar<P::AeadKey>>,
}

/// The memory that a step may write to.
pub(crate) struct Scratch<'a> {
    /// Our flight, and behind it what is put aside.
    pub(crate) outgoing: &'a mut [u8],
    /// The messages of both sides as they were hashed, where they are kept.
    #[cfg(feature = "certificates")]
    pub(crate) transcript: &'a mut [u8],
}

/// One handshake message, whole and in order.
#[derive(Clone, Copy)]
#[allow(clippy::struct_field_names, reason = "message_seq is the RFC's name")]
pub(crate) struct Message<'a> {
    pub(crate) msg_type: HandshakeType,
    pub(crate) message_seq: u16,
    pub(crate) protected: bool,
    pub(crate) body: &'a [u8],
}

/// Where the handshake stands. One type a state; those that carry something are structs of their own.
#[derive(Debug)]
pub(crate) enum State {
    Client(client::State),
    #[cfg(feature = "endpoint")]
    Server(server::State),
    /// The association is there.
    Established,
    /// Nothing is taken in any more; an alert may be waiting to go out.
    Failed(HandshakeError),
}

/// The typed part of a handshake; its bytes are lent.
#[allow(
    clippy::struct_excessive_bools,
    reason = "what was agreed, one thing each"
)]
pub(crate) struct Core<P: Provider> {
    pub(crate) role: Role,
    pub(crate) state: State,
    pub(crate) outgoing: Outgoing,
    pub(crate) timer: RetransmitTimer,
    pub(crate) next_message_seq: u16,
    /// The number of the peer's next message.
    pub(crate) peer_message_seq: u16,
    /// The next record number of epoch 0.
    pub(crate) epoch_0_next: u64,
    /// Our alerts go out protected: the peer has our `ChangeCipherSpec` and can open them.
    pub(crate) write_protected: bool,
    pub(crate) undecryptable: u32,
    pub(crate) association: Option<Association>,
    pub(crate) keys: Option<KeyPair<P::AeadKey>>,
    /// What the peer proved itself with, as far as it has.
    #[cfg(feature = "resumption")]
    pub(crate) peer: KnownPeer,
    /// The host name that the client asked for.
    #[cfg(feature = "resumption")]
    pub(crate) server_name: ShortBytes<255>,
    /// The session that may go on.
    #[cfg(feature = "resumption")]
    resumable: Option<Resumable>,
    /// It does go on.
    #[cfg(feature = "resumption")]
    pub(crate) resumed: bool,
    /// The session's ID, offered or given, or empty.
    #[cfg(feature = "resumption")]
    session_id: ShortBytes<{ crate::wire::MAX_SESSION_ID_LEN }>,
    /// Client: the server gives a ticket; how long it holds, in seconds.
    #[cfg(feature = "resumption")]
    ticket_expected: bool,
    #[cfg(feature = "resumption")]
    ticket_lifetime: u32,
    /// Kept for the session that can be resumed.
    #[cfg(feature = "resumption")]
    secret: Option<keys::Secret>,
    #[cfg(feature = "certificates")]
    exchange: Exchange<P>,
    /// Where behind the flight in its memory something is put aside, and how long it is: what a server is to sign, a
    /// `ClientHello` or `CertificateRequest` that the caller is asked about, a PSK hint, a ticket.
    aside: (u16, u16),
    client_random: [u8; RANDOM_LEN],
    server_random: [u8; RANDOM_LEN],
    suite: CipherSuite,
    transcript: Option<P::Hash>,
    extended_master_secret: bool,
    own_cid: OwnCid,
    peer_cid: PeerCid,
    /// The peer answers, or asked, with a connection ID: ours is used.
    cid_agreed: bool,
    peer_limit: u16,
}

impl<P: Provider> Core<P> {
    pub(crate) fn new(now: Instant, config: &Config, state: State, own_cid: OwnCid) -> Self {
        Self {
            role: match state {
                State::Client(_) => Role::Client,
                _ => Role::Server,
            },
            state,
            outgoing: Outgoing::default(),
            timer: RetransmitTimer::new(now, config),
            next_message_seq: 0,
            peer_message_seq: 0,
            epoch_0_next: 0,
            write_protected: false,
            undecryptable: 0,
            association: None,
            keys: None,
            #[cfg(feature = "resumption")]
            peer: KnownPeer::default(),
            #[cfg(feature = "resumption")]
            server_name: ShortBytes::EMPTY,
            #[cfg(feature = "resumption")]
            resumable: None,
            #[cfg(feature = "resumption")]
            resumed: false,
            #[cfg(feature = "resumption")]
            session_id: ShortBytes::EMPTY,
            #[cfg(feature = "resumption")]
            ticket_expected: false,
            #[cfg(feature = "resumption")]
            ticket_lifetime: 0,
            #[cfg(feature = "resumption")]
            secret: None,
            #[cfg(feature = "certificates")]
            exchange: Exchange::new(),
            aside: (0, 0),
            client_random: [0; RANDOM_LEN],
            server_random: [0; RANDOM_LEN],
            suite: CipherSuite(0),
            transcript: None,
            extended_master_secret: false,
            own_cid,
            peer_cid: PeerCid::EMPTY,
            cid_agreed: false,
            peer_limit: MAX_PLAINTEXT_LEN as u16,
        }
    }

    #[cfg(feature = "endpoint")]
    pub(crate) fn client_random(&self) -> &[u8; RANDOM_LEN] {
        &self.client_random
    }

    /// Takes the next message in.
    pub(crate) fn on_message(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), HandshakeError> {
        match (message.msg_type, message.protected) {
            (HandshakeType::FINISHED, false) => {
                return Err(PeerMisbehaved::FinishedInClearText.into());
            }
            (HandshakeType::FINISHED, true) | (_, false) => {}
            (other, true) => return Err(PeerMisbehaved::Unexpected(other).into()),
        }
        self.peer_message_seq = message.message_seq.wrapping_add(1);
        match &self.state {
            State::Client(_) => self.on_client_message(cx, message, scratch),
            #[cfg(feature = "endpoint")]
            State::Server(_) => self.on_server_message(cx, message, scratch),
            State::Established | State::Failed(_) => {
                Err(PeerMisbehaved::Unexpected(message.msg_type).into())
            }
        }
    }

    /// Whether nothing but the peer's `Finished` can follow.
    pub(crate) fn only_finished_is_left(&self) -> bool {
        match &self.state {
            State::Client(state) => state.waiting_for() == WaitingFor::Finished,
            #[cfg(feature = "endpoint")]
            State::Server(state) => {
                matches!(state.waiting_for(), WaitingFor::Psk | WaitingFor::Finished)
            }
            State::Established | State::Failed(_) => false,
        }
    }

    /// Whether the caller has to answer first: what arrives meanwhile waits.
    pub(crate) fn is_paused(&self) -> bool {
        match &self.state {
            State::Client(state) => state.is_paused(),
            #[cfg(feature = "endpoint")]
            State::Server(state) => state.is_paused(),
            State::Established | State::Failed(_) => false,
        }
    }

    /// Whether a `Certificate` is next.
    #[cfg(feature = "certificates")]
    pub(crate) fn expects_certificate(&self) -> bool {
        match &self.state {
            State::Client(state) => matches!(state, client::State::ExpectCertificate),
            #[cfg(feature = "endpoint")]
            State::Server(state) => matches!(state, server::State::ExpectCertificate),
            State::Established | State::Failed(_) => false,
        }
    }

    /// Whether the caller is asked about the peer's last message, which must stay where it is.
    #[cfg(feature = "certificates")]
    pub(crate) fn holds_message(&self) -> bool {
        match &self.state {
            State::Client(state) => matches!(state, client::State::ExpectVerdict),
            #[cfg(feature = "endpoint")]
            State::Server(state) => matches!(state, server::State::ExpectVerdict),
            State::Established | State::Failed(_) => false,
        }
    }

    /// Whether the peer's protected records carry a connection ID of ours.
    #[cfg(feature = "resumption")]
    pub(crate) fn receives_with_cid(&self) -> bool {
        self.cid_agreed && !self.own_cid.is_empty()
    }

    /// What the handshake waits for, for the reason of a time-out.
    pub(crate) fn waiting_for(&self) -> WaitingFor {
        match &self.state {
            State::Client(state) => state.waiting_for(),
            #[cfg(feature = "endpoint")]
            State::Server(state) => state.waiting_for(),
            State::Established | State::Failed(_) => WaitingFor::Finished,
        }
    }

    /// Adds a message of ours to the flight and to the transcript.
    fn send_message(
        &mut self,
        scratch: &mut Scratch<'_>,
        protection: Protection,
        msg_type: HandshakeType,
        content: impl FnOnce(&mut Writer<'_>) -> Result<(), BufferTooSmall>,
    ) -> Result<(), HandshakeError> {
        let seq = self.next_message_seq;
        let body = self
            .outgoing
            .message(scratch.outgoing, protection, msg_type, seq, content)
            .map_err(|_| Limit::Scratch)?;
        self.next_message_seq = seq.wrapping_add(1);
        let header = HandshakeHeader::whole(msg_type, seq, body.len() as u32).to_bytes();
        if let Some(transcript) = &mut self.transcript {
            transcript.update(&header);
            transcript.update(body);
        }
        #[cfg(feature = "certificates")]
        {
            let exchange = &mut self.exchange;
            keep(exchange, scratch.transcript, &header)?;
            keep(exchange, scratch.transcript, body)?;
        }
        Ok(())
    }

    /// Adds a message of the peer's to the transcript: as if it had not been fragmented (RFC 6347 §4.2.6).
    #[cfg_attr(
        not(feature = "certificates"),
        expect(
            clippy::unnecessary_wraps,
            unused_variables,
            reason = "without certificates no message is kept"
        )
    )]
    fn hash_message(
        &mut self,
        message: Message<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), HandshakeError> {
        let header = HandshakeHeader::whole(
            message.msg_type,
            message.message_seq,
            message.body.len() as u32,
        )
        .to_bytes();
        if let Some(transcript) = &mut self.transcript {
            transcript.update(&header);
            transcript.update(message.body);
        }
        #[cfg(feature = "certificates")]
        {
            keep(&mut self.exchange, scratch.transcript, &header)?;
            keep(&mut self.exchange, scratch.transcript, message.body)?;
        }
        Ok(())
    }

    /// Adds a `Finished` to the transcript that has not been seen yet.
    #[cfg(feature = "resumption")]
    fn hash_finished(&mut self, message_seq: u16, verify_data: &[u8; VERIFY_DATA_LEN]) {
        if let Some(transcript) = &mut self.transcript {
            let header = HandshakeHeader::whole(
                HandshakeType::FINISHED,
                message_seq,
                VERIFY_DATA_LEN as u32,
            );
            transcript.update(&header.to_bytes());
            transcript.update(verify_data);
        }
    }

    fn transcript_hash(&self) -> HashOutput {
        self.transcript
            .clone()
            .map_or_else(|| HashOutput::new(&[]), Hash::finish)
    }

    /// Takes the peer's connection ID into what is agreed.
    fn agree_on_cid(&mut self, config: &Config, peer_cid: &[u8]) -> bool {
        match (config.cid, PeerCid::new(peer_cid)) {
            (CidConfig::Length(_), Some(cid)) if peer_cid.len() <= MAX_PEER_CID_LEN => {
                self.peer_cid = cid;
                self.cid_agreed = true;
                true
            }
            _ => false,
        }
    }

    fn parameters(&self) -> Result<SuiteParameters, HandshakeError> {
        self.suite
            .parameters()
            .ok_or_else(|| PeerMisbehaved::IllegalCipherSuite.into())
    }

    /// What is put aside behind the flight.
    fn aside<'a>(&self, outgoing: &'a [u8]) -> &'a [u8] {
        let (at, len) = self.aside;
        outgoing
            .get(usize::from(at)..usize::from(at) + usize::from(len))
            .unwrap_or_default()
    }

    /// Puts bytes aside at the end of the flight's memory, so that the flight can grow before them.
    fn put_aside(&mut self, outgoing: &mut [u8], bytes: &[u8]) -> Result<(), HandshakeError> {
        let at = outgoing
            .len()
            .checked_sub(bytes.len())
            .filter(|&at| at >= self.outgoing.len())
            .ok_or(Limit::Scratch)?;
        outgoing[at..].copy_from_slice(bytes);
        self.aside = (at as u16, bytes.len() as u16);
        Ok(())
    }

    /// The client's view of the server's PSK identity hint, while the caller is asked for a key.
    pub(crate) fn psk_hint<'a>(&self, outgoing: &'a [u8]) -> &'a [u8] {
        match &self.state {
            State::Client(client::State::ExpectPsk) => self.aside(outgoing),
            _ => &[],
        }
    }

    /// What the caller is asked about a session of ours.
    #[cfg(feature = "resumption")]
    pub(crate) fn client_resumption_request(&self) -> Option<ResumptionRequest<'_>> {
        let State::Client(client::State::ExpectResumption { .. }) = &self.state else {
            return None;
        };
        let session = self.resumable.as_ref()?;
        Some(ResumptionRequest::Known(session.peer.identity()))
    }

    /// The caller does not let the session go on, but the server has decided already.
    #[cfg(feature = "resumption")]
    pub(crate) fn refuse_client_resumption(&self) -> Result<(), StepError> {
        self.client_resumption_request()
            .ok_or(StepError::Api(ApiError::NotRequested))?;
        let alert = crate::wire::AlertDescription::HANDSHAKE_FAILURE;
        Err(HandshakeError::Aborted(alert).into())
    }

    /// The list of a `Certificate` message that the caller is asked about.
    #[cfg(feature = "certificates")]
    pub(crate) fn shown<'a>(
        &self,
        body: &'a [u8],
    ) -> Option<crate::certificate::PeerCertificate<'a>> {
        crate::wire::CertificateMessage::parse(body, self.exchange.peer_type)
            .ok()
            .map(|message| message.certificate)
    }

    /// The caller takes what the peer showed, and calls it `name`.
    #[cfg(feature = "certificates")]
    pub(crate) fn accept_peer(
        &mut self,
        cx: &mut Context<'_, P>,
        certificate: crate::certificate::PeerCertificate<'_>,
        name: &[u8],
    ) -> Result<(), StepError> {
        match self.role {
            Role::Client => self.accept_server(cx, certificate, name),
            #[cfg(feature = "endpoint")]
            Role::Server => self.accept_client(cx, certificate, name),
            #[cfg(not(feature = "endpoint"))]
            Role::Server => Err(StepError::Api(ApiError::NotRequested)),
        }
    }

    /// What the association keeps of who the peer is and what was agreed.
    #[cfg(feature = "certificates")]
    fn settle(&mut self) {
        let peer = &self.peer;
        if let Some(association) = &mut self.association {
            association.peer_key_hash =
                (peer.kind == crate::session::PeerKind::Certificate).then_some(peer.key_hash);
            association.protocol = self.exchange.protocol;
            #[cfg(feature = "endpoint")]
            {
                association.resumed = self.resumed;
                association.group = self.exchange.group;
            }
        }
    }

    /// The session that can be resumed, once the handshake is over: its bytes are written to `out`, and their number
    /// returned.
    #[cfg(feature = "resumption")]
    pub(crate) fn write_session(
        &self,
        config: &Config,
        role: Role,
        outgoing: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        let secret = self.secret.as_ref().filter(|_| config.resumption)?;
        let ticket = match role {
            Role::Client => self.aside(outgoing),
            // What a server gave away it need not keep.
            Role::Server => &[],
        };
        let id = if ticket.is_empty() && !self.resumed {
            self.session_id.as_slice()
        } else {
            &[]
        };
        if ticket.is_empty() && id.is_empty() {
            return None;
        }
        let parts = crate::session::SessionParts {
            role,
            suite: self.suite,
            extended_master_secret: self.extended_master_secret,
            master_secret: secret,
            id,
            server_name: self.server_name.as_slice(),
            peer: self.peer.identity(),
            lifetime_hint: self.ticket_lifetime,
            ticket,
        };
        let mut writer = Writer::new(out);
        parts.emit(&mut writer).ok()?;
        Some(writer.len())
    }
}

/// Keeps bytes of the transcript, where a signature over it may come.
#[cfg(feature = "certificates")]
fn keep<P: Provider>(
    exchange: &mut Exchange<P>,
    transcript: &mut [u8],
    bytes: &[u8],
) -> Result<(), HandshakeError> {
    if !exchange.keeping {
        return Ok(());
    }
    let at = usize::from(exchange.kept);
    transcript
        .get_mut(at..at + bytes.len())
        .ok_or(Limit::Scratch)?
        .copy_from_slice(bytes);
    exchange.kept += bytes.len() as u16;
    Ok(())
}

/// Checks the peer's `Finished` in constant time. One of another length is a wrong one.
fn check_finished(
    message: Message<'_>,
    expected: &[u8; VERIFY_DATA_LEN],
) -> Result<(), HandshakeError> {
    use subtle::ConstantTimeEq;
    if bool::from(expected.ct_eq(message.body)) {
        Ok(())
    } else {
        Err(PeerMisbehaved::IncorrectFinished.into())
    }
}

fn malformed(message: Message<'_>) -> HandshakeError {
    PeerMisbehaved::Malformed(message.msg_type).into()
}

/// Why the caller's answer did not lead on.
#[derive(Clone, Copy)]
pub(crate) enum StepError {
    /// The caller's mistake; the handshake still waits.
    Api(ApiError),
    /// The handshake is over.
    Handshake(HandshakeError),
}

impl<T: Into<HandshakeError>> From<T> for StepError {
    fn from(error: T) -> Self {
        Self::Handshake(error.into())
    }
}
