//! The DTLS 1.2 handshake: what both sides share; [`client`] and [`server`] hold the states in protocol order.
//!
//! Messages come in here in order and whole, with the epoch they came under; what goes out is put into the flight.
//! Records, fragments and timers are [`crate::handshake`]'s.

pub(crate) mod client;
#[cfg(feature = "endpoint")]
pub(crate) mod server;

use zeroize::Zeroizing;

use crate::association::{Agreed, Association, Role};
#[cfg(feature = "endpoint")]
use crate::bytes::ShortBytes;
use crate::bytes::{OwnCid, PeerCid};
#[cfg(feature = "endpoint")]
use crate::config::MAX_PSK_IDENTITY_LEN;
use crate::config::{CidConfig, Config, MAX_PEER_CID_LEN};
use crate::crypto::{CryptoError, Hash, HashOutput, Provider};
use crate::error::{ApiError, HandshakeError, Limit, PeerMisbehaved, WaitingFor};
use crate::event::EventFlags;
use crate::flight::{Outgoing, Protection, RetransmitTimer};
use crate::key_schedule::{MASTER_SECRET_LEN, MasterSecret, PskPremaster, Seed};
use crate::record::{KeyPair, TrafficKeys};
use crate::suite::{CipherSuite, SuiteParameters};
use crate::time::Instant;
use crate::wire::{
    BufferTooSmall, HandshakeHeader, HandshakeType, MAX_PLAINTEXT_LEN, RANDOM_LEN, VERIFY_DATA_LEN,
    Writer,
};

/// What every step of a handshake is given.
pub(crate) struct Context<'a, P> {
    pub(crate) provider: &'a mut P,
    pub(crate) config: &'a Config,
    pub(crate) now: Instant,
    pub(crate) events: &'a mut EventFlags,
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
pub(crate) struct Core<P: Provider> {
    pub(crate) state: State,
    pub(crate) outgoing: Outgoing,
    pub(crate) timer: RetransmitTimer,
    pub(crate) next_message_seq: u16,
    /// The next record number of epoch 0.
    pub(crate) epoch_0_next: u64,
    /// Our alerts go out protected: the peer has our `ChangeCipherSpec` and can open them.
    pub(crate) write_protected: bool,
    pub(crate) undecryptable: u32,
    pub(crate) association: Option<Association>,
    pub(crate) keys: Option<KeyPair<P::AeadKey>>,
    /// Server: the client's identity.
    #[cfg(feature = "endpoint")]
    pub(crate) psk_identity: ShortBytes<MAX_PSK_IDENTITY_LEN>,
    /// Server: the host name that the client asked for.
    #[cfg(feature = "endpoint")]
    pub(crate) server_name: ShortBytes<255>,
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
            state,
            outgoing: Outgoing::default(),
            timer: RetransmitTimer::new(now, config),
            next_message_seq: 0,
            epoch_0_next: 0,
            write_protected: false,
            undecryptable: 0,
            association: None,
            keys: None,
            #[cfg(feature = "endpoint")]
            psk_identity: ShortBytes::EMPTY,
            #[cfg(feature = "endpoint")]
            server_name: ShortBytes::EMPTY,
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
        scratch: &mut [u8],
    ) -> Result<(), HandshakeError> {
        match (message.msg_type, message.protected) {
            (HandshakeType::FINISHED, false) => {
                return Err(PeerMisbehaved::FinishedInClearText.into());
            }
            (HandshakeType::FINISHED, true) | (_, false) => {}
            (other, true) => return Err(PeerMisbehaved::Unexpected(other).into()),
        }
        match &self.state {
            State::Client(_) => self.on_client_message(cx, message, scratch),
            #[cfg(feature = "endpoint")]
            State::Server(_) => self.on_server_message(cx, message),
            State::Established | State::Failed(_) => {
                Err(PeerMisbehaved::Unexpected(message.msg_type).into())
            }
        }
    }

    /// Whether nothing but the peer's `Finished` can follow.
    pub(crate) fn only_finished_is_left(&self) -> bool {
        matches!(self.waiting_for(), WaitingFor::Psk | WaitingFor::Finished)
    }

    /// Whether the peer's protected records carry a connection ID of ours.
    #[cfg(feature = "endpoint")]
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
        scratch: &mut [u8],
        protection: Protection,
        msg_type: HandshakeType,
        content: impl FnOnce(&mut Writer<'_>) -> Result<(), BufferTooSmall>,
    ) -> Result<(), HandshakeError> {
        let seq = self.next_message_seq;
        let body = self
            .outgoing
            .message(scratch, protection, msg_type, seq, content)
            .map_err(|_| Limit::Scratch)?;
        self.next_message_seq = seq.wrapping_add(1);
        if let Some(transcript) = &mut self.transcript {
            transcript.update(&HandshakeHeader::whole(msg_type, seq, body.len() as u32).to_bytes());
            transcript.update(body);
        }
        Ok(())
    }

    /// Adds a message of the peer's to the transcript: as if it had not been fragmented (RFC 6347 §4.2.6).
    fn hash_message(&mut self, message: Message<'_>) {
        if let Some(transcript) = &mut self.transcript {
            let header = HandshakeHeader::whole(
                message.msg_type,
                message.message_seq,
                message.body.len() as u32,
            );
            transcript.update(&header.to_bytes());
            transcript.update(message.body);
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

    /// From the PSK to the association and its expanded keys. The steps are functions of their own, so that their
    /// frames lie beside each other on a device's stack.
    fn derive_keys(
        &mut self,
        cx: &mut Context<'_, P>,
        session_hash: &HashOutput,
        psk: &[u8],
        role: Role,
    ) -> Result<Zeroizing<[u8; MASTER_SECRET_LEN]>, PskError> {
        let parameters = self
            .suite
            .parameters()
            .ok_or(PskError::Handshake(PeerMisbehaved::IllegalChoice.into()))?;
        let mut secret = Zeroizing::new([0; MASTER_SECRET_LEN]);
        self.master_secret(cx.provider, parameters, session_hash, psk, &mut secret)?;
        self.keys_from(cx, parameters, &secret, role)
            .map_err(|error| PskError::Handshake(error.into()))?;
        Ok(secret)
    }

    /// The contents of a `Finished` over the transcript as it stands.
    #[inline(never)]
    fn verify_data(
        &self,
        provider: &P,
        secret: &[u8; MASTER_SECRET_LEN],
        of_client: bool,
    ) -> Result<[u8; VERIFY_DATA_LEN], PskError> {
        let parameters = self
            .suite
            .parameters()
            .ok_or(PskError::Handshake(PeerMisbehaved::IllegalChoice.into()))?;
        let hash = self.transcript_hash();
        let master: MasterSecret<P::Hmac> = MasterSecret::new(provider, parameters, secret)
            .map_err(|error| PskError::Handshake(error.into()))?;
        Ok(master.verify_data(of_client, hash.as_ref()))
    }

    #[inline(never)]
    fn master_secret(
        &self,
        provider: &P,
        parameters: SuiteParameters,
        session_hash: &HashOutput,
        psk: &[u8],
        out: &mut [u8; MASTER_SECRET_LEN],
    ) -> Result<(), PskError> {
        let seed = if self.extended_master_secret {
            Seed::SessionHash(session_hash.as_ref())
        } else {
            Seed::Randoms {
                client: &self.client_random,
                server: &self.server_random,
            }
        };
        PskPremaster::new(psk)
            .map_err(PskError::Api)?
            .master_secret(provider, parameters, seed, out)
            .map_err(|error| PskError::Handshake(error.into()))
    }

    #[inline(never)]
    fn keys_from(
        &mut self,
        cx: &mut Context<'_, P>,
        parameters: SuiteParameters,
        secret: &[u8; MASTER_SECRET_LEN],
        role: Role,
    ) -> Result<(), CryptoError> {
        let master: MasterSecret<P::Hmac> = MasterSecret::new(cx.provider, parameters, secret)?;
        let keys: TrafficKeys = master.traffic_keys(
            parameters,
            &self.client_random,
            &self.server_random,
            role == Role::Client,
        );
        #[cfg(feature = "key-log")]
        if cx.config.key_log {
            cx.events.key_log = Some(crate::event::KeyLogEntry::new(
                &self.client_random,
                master.bytes(),
            ));
        }
        self.place_association(
            cx.provider,
            parameters,
            keys,
            #[cfg(feature = "exporter")]
            &master,
            role,
        )
    }

    /// Apart, so that its frame is not under the key schedule's.
    #[inline(never)]
    fn place_association(
        &mut self,
        provider: &P,
        parameters: SuiteParameters,
        keys: TrafficKeys,
        #[cfg(feature = "exporter")] master: &MasterSecret<P::Hmac>,
        role: Role,
    ) -> Result<(), CryptoError> {
        let association = Association::new(Agreed {
            role,
            suite: self.suite,
            parameters,
            keys,
            own_cid: if self.cid_agreed {
                self.own_cid
            } else {
                OwnCid::EMPTY
            },
            peer_cid: self.peer_cid,
            peer_limit: self.peer_limit,
            #[cfg(feature = "exporter")]
            exporter: crate::association::ExporterSecret {
                master_secret: *master.bytes(),
                randoms: {
                    let mut randoms = [0; 2 * RANDOM_LEN];
                    randoms[..RANDOM_LEN].copy_from_slice(&self.client_random);
                    randoms[RANDOM_LEN..].copy_from_slice(&self.server_random);
                    randoms
                },
            },
        });
        self.keys = Some(association.expand(provider)?);
        self.association = Some(association);
        Ok(())
    }
}

/// Checks the peer's `Finished` in constant time.
fn check_finished(
    message: Message<'_>,
    expected: &[u8; VERIFY_DATA_LEN],
) -> Result<(), HandshakeError> {
    use subtle::ConstantTimeEq;
    if message.body.len() != VERIFY_DATA_LEN {
        return Err(PeerMisbehaved::Malformed(HandshakeType::FINISHED).into());
    }
    if bool::from(expected.ct_eq(message.body)) {
        Ok(())
    } else {
        Err(PeerMisbehaved::IncorrectFinished.into())
    }
}

/// Why a provided key did not lead on.
#[derive(Clone, Copy)]
pub(crate) enum PskError {
    /// The caller's mistake; the handshake still waits.
    Api(ApiError),
    /// The handshake is over.
    Handshake(HandshakeError),
}
