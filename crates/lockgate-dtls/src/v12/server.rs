//! The server, from a `ClientHello` whose cookie holds: `ServerHello` (`ServerKeyExchange`) `ServerHelloDone` ->
//! `ClientKeyExchange` `Finished` -> `ChangeCipherSpec` `Finished`. What stands in brackets may be missing.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Context, Core, Message, PskError, State as CoreState, check_finished};
use crate::association::{LastFlight, Role};
use crate::bytes::{OwnCid, ShortBytes};
use crate::config::{CidConfig, Config};
use crate::crypto::Provider;
use crate::error::{ApiError, HandshakeError, Limit, PeerIncompatible, PeerMisbehaved, WaitingFor};
use crate::flight::Protection;
use crate::time::Instant;
use crate::wire::{
    ClientHello, DTLS_1_2, HandshakeType, MAX_PLAINTEXT_LEN, PskClientKeyExchange,
    PskServerKeyExchange, ServerHello, VERIFY_DATA_LEN,
};

/// The server's states in protocol order.
#[derive(Debug)]
pub(crate) enum State {
    /// `ClientHello` is being answered.
    Hello,
    ExpectClientKeyExchange,
    ExpectPsk(ExpectPsk),
    ExpectFinished(ExpectFinished),
}

/// The caller looks for the key.
#[derive(Debug)]
pub(crate) struct ExpectPsk {
    /// The number that the client's `Finished` will have.
    finished_seq: u16,
}

/// The keys are there, and so is what both `Finished` have to say: nothing comes between, so neither the master secret
/// nor the transcript need be kept.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ExpectFinished {
    /// The keys come from a random PSK, because the identity is not known.
    identity_unknown: bool,
    of_client: [u8; VERIFY_DATA_LEN],
    of_server: [u8; VERIFY_DATA_LEN],
}

impl fmt::Debug for ExpectFinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpectFinished")
            .field("identity_unknown", &self.identity_unknown)
            .finish_non_exhaustive()
    }
}

/// How a server answers [`Event::PskRequested`](crate::Event::PskRequested).
#[derive(Clone, Copy)]
pub(crate) enum Answer<'a> {
    Key(&'a [u8]),
    Unknown,
}

impl State {
    pub(super) const fn waiting_for(&self) -> WaitingFor {
        match self {
            Self::Hello | Self::ExpectClientKeyExchange => WaitingFor::ClientKeyExchange,
            Self::ExpectPsk(_) => WaitingFor::Psk,
            Self::ExpectFinished(_) => WaitingFor::Finished,
        }
    }

    /// Whether the identity turned out to be unknown.
    pub(crate) const fn identity_unknown(&self) -> bool {
        matches!(self, Self::ExpectFinished(state) if state.identity_unknown)
    }
}

impl<P: Provider> Core<P> {
    /// A handshake that is about to answer a `ClientHello`.
    pub(crate) fn accept(
        now: Instant,
        config: &Config,
        own_cid: OwnCid,
        message_seq: u16,
        record_sequence: u64,
    ) -> Self {
        let mut this = Self::new(now, config, CoreState::Server(State::Hello), own_cid);
        // RFC 6347 §4.2.1: ServerHello takes the numbers of the ClientHello it answers.
        this.next_message_seq = message_seq;
        this.epoch_0_next = record_sequence;
        this
    }

    /// Answers the `ClientHello`.
    pub(crate) fn on_client_hello(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        hello: &ClientHello<'_>,
        scratch: &mut [u8],
    ) -> Result<(), HandshakeError> {
        let config = cx.config;
        self.client_random = *hello.random;
        if let Some(name) = hello.server_name {
            self.server_name = ShortBytes::new(name).unwrap_or_default();
        }
        if !hello.offers_version(DTLS_1_2) {
            return Err(PeerIncompatible::NoCommonVersion.into());
        }
        if !hello.compression_methods.contains(&0) {
            return Err(PeerIncompatible::NullCompressionRequired.into());
        }
        let suite = config
            .cipher_suites
            .iter()
            .find(|&ours| {
                config.usable(cx.provider, ours) && hello.suites().any(|theirs| theirs == ours)
            })
            .ok_or(PeerIncompatible::NoCommonCipherSuite)?;
        if config.require_extended_master_secret && !hello.extended_master_secret {
            return Err(PeerIncompatible::ExtendedMasterSecretRequired.into());
        }
        let parameters = suite
            .parameters()
            .ok_or(PeerIncompatible::NoCommonCipherSuite)?;
        self.suite = suite;
        self.extended_master_secret = hello.extended_master_secret;
        if let Some(peer_cid) = hello.connection_id {
            // One that is too long is as if it had not been offered.
            self.agree_on_cid(config, peer_cid);
        }
        // record_size_limit takes precedence over max_fragment_length (RFC 8449 §5).
        let record_size_limit = hello
            .record_size_limit
            .map(|_| config.record_size_limit.unwrap_or(MAX_PLAINTEXT_LEN as u16));
        let max_fragment_length = if record_size_limit.is_some() {
            None
        } else {
            hello.max_fragment_length
        };
        if let Some(limit) = hello.record_size_limit {
            self.peer_limit = limit.min(MAX_PLAINTEXT_LEN as u16);
        } else if let Some(length) = max_fragment_length {
            self.peer_limit = length.bytes();
        }
        cx.provider.random(&mut self.server_random)?;
        self.transcript = Some(cx.provider.hash(parameters.hash)?);
        self.hash_message(message);

        let random = self.server_random;
        let own_cid = self.own_cid;
        let answer = ServerHello {
            version: DTLS_1_2,
            random: &random,
            session_id: &[],
            cipher_suite: suite,
            compression_method: 0,
            extended_master_secret: hello.extended_master_secret,
            renegotiation_info: hello.renegotiation_info.then_some(&[]),
            connection_id: self.cid_agreed.then_some(own_cid.as_slice()),
            max_fragment_length,
            record_size_limit,
            server_name: false,
            unsolicited: None,
        };
        debug_assert!(matches!(config.cid, CidConfig::Length(_)) || !self.cid_agreed);
        self.send_message(
            scratch,
            Protection::ClearText,
            HandshakeType::SERVER_HELLO,
            |w| answer.emit(w),
        )?;
        if !config.psk_identity_hint.is_empty() {
            let exchange = PskServerKeyExchange {
                identity_hint: config.psk_identity_hint.as_slice(),
            };
            self.send_message(
                scratch,
                Protection::ClearText,
                HandshakeType::SERVER_KEY_EXCHANGE,
                |w| exchange.emit(w),
            )?;
        }
        self.send_message(
            scratch,
            Protection::ClearText,
            HandshakeType::SERVER_HELLO_DONE,
            |_| Ok(()),
        )?;
        self.state = CoreState::Server(State::ExpectClientKeyExchange);
        Ok(())
    }

    pub(super) fn on_server_message(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
    ) -> Result<(), HandshakeError> {
        use HandshakeType as T;
        let CoreState::Server(state) = &self.state else {
            return Err(PeerMisbehaved::Unexpected(message.msg_type).into());
        };
        match (state, message.msg_type) {
            (State::ExpectClientKeyExchange, T::CLIENT_KEY_EXCHANGE) => {
                let exchange = PskClientKeyExchange::parse(message.body)
                    .map_err(|_| PeerMisbehaved::Malformed(message.msg_type))?;
                self.psk_identity = ShortBytes::new(exchange.identity).ok_or(Limit::PskIdentity)?;
                self.hash_message(message);
                self.timer.pause();
                self.outgoing.hold();
                // Nothing is hashed while the key is looked up, so the transcript stays the session hash.
                self.state = CoreState::Server(State::ExpectPsk(ExpectPsk {
                    finished_seq: message.message_seq.wrapping_add(1),
                }));
                cx.events.psk_requested = true;
                Ok(())
            }
            (State::ExpectFinished(state), T::FINISHED) => {
                check_finished(message, &state.of_client)?;
                let verify_data = state.of_server;
                let message_seq = self.next_message_seq;
                if let Some(association) = &mut self.association {
                    association.last_flight = Some(LastFlight {
                        until: cx.now + cx.config.settle_time,
                        epoch_0_next: self.epoch_0_next,
                        message_seq,
                        verify_data,
                        pending: true,
                    });
                }
                self.outgoing.clear();
                self.state = CoreState::Established;
                cx.events.connected = true;
                Ok(())
            }
            (_, other) => Err(PeerMisbehaved::Unexpected(other).into()),
        }
    }

    /// The caller's answer to [`Event::PskRequested`](crate::Event::PskRequested).
    pub(crate) fn provide_server_psk(
        &mut self,
        cx: &mut Context<'_, P>,
        answer: Answer<'_>,
    ) -> Result<(), PskError> {
        let CoreState::Server(State::ExpectPsk(ExpectPsk { finished_seq })) = self.state else {
            return Err(PskError::Api(ApiError::NotRequested));
        };
        // An unknown identity runs on with a random key, so that it ends as a wrong key does (RFC 4279 §2).
        let mut random = Zeroizing::new([0; 32]);
        let (psk, identity_unknown) = match answer {
            Answer::Key(psk) => (psk, false),
            Answer::Unknown if cx.config.reveal_unknown_identity => {
                return Err(PskError::Handshake(HandshakeError::UnknownPskIdentity {
                    revealed: true,
                }));
            }
            Answer::Unknown => {
                cx.provider
                    .random(&mut *random)
                    .map_err(|error| PskError::Handshake(error.into()))?;
                (random.as_slice(), true)
            }
        };
        let session_hash = self.transcript_hash();
        let secret = self.derive_keys(cx, &session_hash, psk, Role::Server)?;
        let of_client = self.verify_data(cx.provider, &secret, true)?;
        self.hash_message(Message {
            msg_type: HandshakeType::FINISHED,
            message_seq: finished_seq,
            protected: true,
            body: &of_client,
        });
        let of_server = self.verify_data(cx.provider, &secret, false)?;
        self.transcript = None;
        // Our flight has been answered in part; should the rest be lost, a repeat of ours asks for it.
        self.timer.sent(cx.now);
        self.state = CoreState::Server(State::ExpectFinished(ExpectFinished {
            identity_unknown,
            of_client,
            of_server,
        }));
        Ok(())
    }
}
