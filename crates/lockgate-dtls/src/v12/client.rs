//! The client: `ClientHello` -> (`HelloVerifyRequest` -> `ClientHello`) -> `ServerHello` (`ServerKeyExchange`)
//! `ServerHelloDone` -> `ClientKeyExchange` `ChangeCipherSpec` `Finished` -> `ChangeCipherSpec` `Finished`. What stands in
//! brackets may be missing.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Context, Core, Message, PskError, State as CoreState, check_finished};
use crate::association::Role;
use crate::bytes::OwnCid;
use crate::config::{CidConfig, Config, MAX_COOKIE_ROUNDS, MAX_PSK_IDENTITY_LEN};
use crate::crypto::{CryptoError, Hash, Provider};
use crate::error::{ApiError, HandshakeError, Limit, PeerIncompatible, PeerMisbehaved, WaitingFor};
use crate::flight::Protection;
use crate::suite::{CipherSuite, SuiteList};
use crate::time::Instant;
use crate::wire::{
    ClientHello, DTLS_1_2, ExtensionType, HandshakeHeader, HandshakeType, HelloVerifyRequest,
    MAX_PLAINTEXT_LEN, PskClientKeyExchange, PskServerKeyExchange, RANDOM_LEN, Reader, ServerHello,
    VERIFY_DATA_LEN,
};

/// Where the cookie's length stands in a `ClientHello` of ours: behind version, random and an empty session ID.
const COOKIE_AT: usize = 2 + RANDOM_LEN + 1;

/// The client's states in protocol order.
#[allow(
    clippy::enum_variant_names,
    reason = "a state is named by what it expects; all of a client's do"
)]
#[derive(Debug)]
pub(crate) enum State {
    ExpectServerHello(ExpectServerHello),
    ExpectServerKeyExchange,
    ExpectServerHelloDone(Hint),
    ExpectPsk(Hint),
    ExpectFinished(ExpectFinished),
}

/// Where the server's hint stands in the scratch memory, behind our `ClientHello`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hint {
    at: u16,
    len: u8,
}

/// `Finished` is out.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ExpectFinished {
    /// What the server's has to say: nothing comes between the two, so it is known already, and the master secret
    /// and the transcript need not be kept.
    verify_data: [u8; VERIFY_DATA_LEN],
}

impl fmt::Debug for ExpectFinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpectFinished").finish_non_exhaustive()
    }
}

/// `ClientHello` is out.
#[derive(Debug, Default)]
pub(crate) struct ExpectServerHello {
    cookie_rounds: u8,
}

impl State {
    pub(super) const fn waiting_for(&self) -> WaitingFor {
        match self {
            Self::ExpectServerHello(_) => WaitingFor::Hello,
            Self::ExpectServerKeyExchange | Self::ExpectServerHelloDone(_) => {
                WaitingFor::ServerHelloDone
            }
            Self::ExpectPsk(_) => WaitingFor::Psk,
            Self::ExpectFinished(_) => WaitingFor::Finished,
        }
    }

    /// The server's hint, in the scratch memory of our flight, or empty.
    pub(crate) fn hint<'a>(&self, scratch: &'a [u8]) -> &'a [u8] {
        match self {
            Self::ExpectServerHelloDone(hint) | Self::ExpectPsk(hint) => {
                let at = usize::from(hint.at);
                scratch
                    .get(at..at + usize::from(hint.len))
                    .unwrap_or_default()
            }
            _ => &[],
        }
    }
}

impl<P: Provider> Core<P> {
    /// A handshake before its first message.
    pub(crate) fn client(
        config: &Config,
        now: Instant,
        own_cid: OwnCid,
        client_random: [u8; RANDOM_LEN],
    ) -> Self {
        let state = CoreState::Client(State::ExpectServerHello(ExpectServerHello::default()));
        Self {
            client_random,
            ..Self::new(now, config, state, own_cid)
        }
    }

    /// Puts the first `ClientHello` into the flight.
    pub(crate) fn send_client_hello(
        &mut self,
        provider: &P,
        config: &Config,
        scratch: &mut [u8],
        server_name: &[u8],
    ) -> Result<(), HandshakeError> {
        let mut suites = [0; 2 * SuiteList::MAX];
        let usable = config
            .cipher_suites
            .iter()
            .filter(|&suite| config.usable(provider, suite));
        let mut len = 0;
        for (place, suite) in suites.chunks_exact_mut(2).zip(usable) {
            place.copy_from_slice(&suite.0.to_be_bytes());
            len += 2;
        }
        let random: [u8; RANDOM_LEN] = self.client_random;
        let own_cid = self.own_cid;
        let hello = ClientHello {
            version: DTLS_1_2,
            random: &random,
            session_id: &[],
            cookie: &[],
            cipher_suites: &suites[..len],
            compression_methods: &[0],
            extended_master_secret: true,
            renegotiation_info: true,
            connection_id: matches!(config.cid, CidConfig::Length(_)).then_some(own_cid.as_slice()),
            max_fragment_length: config.max_fragment_length,
            record_size_limit: config.record_size_limit,
            server_name: (!server_name.is_empty()).then_some(server_name),
            supported_versions: None,
        };
        self.send_message(
            scratch,
            Protection::ClearText,
            HandshakeType::CLIENT_HELLO,
            |w| hello.emit(w),
        )
    }

    /// The second `ClientHello` is the first with a cookie in it (RFC 6347 §4.2.1), put in where it stands.
    fn repeat_client_hello(
        &mut self,
        scratch: &mut [u8],
        cookie: &[u8],
    ) -> Result<(), HandshakeError> {
        let seq = self.next_message_seq;
        self.outgoing
            .replace_in_first(scratch, seq, COOKIE_AT, cookie)
            .map_err(|_| Limit::Scratch)?;
        self.next_message_seq = seq.wrapping_add(1);
        Ok(())
    }

    pub(super) fn on_client_message(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &mut [u8],
    ) -> Result<(), HandshakeError> {
        use HandshakeType as T;
        let CoreState::Client(state) = &mut self.state else {
            return Err(PeerMisbehaved::Unexpected(message.msg_type).into());
        };
        match (state, message.msg_type) {
            (State::ExpectServerHello(state), T::HELLO_VERIFY_REQUEST) => {
                state.cookie_rounds += 1;
                if state.cookie_rounds > MAX_COOKIE_ROUNDS {
                    return Err(PeerMisbehaved::TooManyCookies.into());
                }
                let request =
                    HelloVerifyRequest::parse(message.body).map_err(|_| malformed(message))?;
                self.timer.new_flight(cx.config);
                self.repeat_client_hello(scratch, request.cookie)
            }
            (State::ExpectServerHello(_), T::SERVER_HELLO) => {
                self.on_server_hello(cx, message, scratch)
            }
            (State::ExpectServerKeyExchange, T::SERVER_KEY_EXCHANGE) => {
                let exchange =
                    PskServerKeyExchange::parse(message.body).map_err(|_| malformed(message))?;
                let hint = self.keep_hint(scratch, exchange.identity_hint);
                self.hash_message(message);
                self.state = CoreState::Client(State::ExpectServerHelloDone(hint));
                Ok(())
            }
            (
                state @ (State::ExpectServerKeyExchange | State::ExpectServerHelloDone(_)),
                T::SERVER_HELLO_DONE,
            ) => {
                let hint = match state {
                    State::ExpectServerHelloDone(hint) => *hint,
                    _ => Hint::default(),
                };
                Reader::new(message.body)
                    .end()
                    .map_err(|_| malformed(message))?;
                self.hash_message(message);
                self.outgoing.clear();
                self.timer.pause();
                self.state = CoreState::Client(State::ExpectPsk(hint));
                cx.events.psk_requested = true;
                Ok(())
            }
            (State::ExpectFinished(state), T::FINISHED) => {
                check_finished(message, &state.verify_data)?;
                self.state = CoreState::Established;
                cx.events.connected = true;
                Ok(())
            }
            // RFC 5246 §7.4.1.1: ignored while a handshake runs.
            (_, T::HELLO_REQUEST) => Ok(()),
            (_, other) => Err(PeerMisbehaved::Unexpected(other).into()),
        }
    }

    fn on_server_hello(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &[u8],
    ) -> Result<(), HandshakeError> {
        let config = cx.config;
        let hello = ServerHello::parse(message.body).map_err(|_| malformed(message))?;
        if hello.version != DTLS_1_2 {
            return Err(PeerIncompatible::NoCommonVersion.into());
        }
        let unsolicited =
            |extension: ExtensionType| PeerMisbehaved::UnsolicitedExtension(extension.0);
        if let Some(extension) = hello.unsolicited {
            return Err(unsolicited(extension).into());
        }
        if hello.server_name && !self.asked_for_server_name(scratch) {
            return Err(unsolicited(ExtensionType::SERVER_NAME).into());
        }
        if !config.usable(cx.provider, hello.cipher_suite) || hello.compression_method != 0 {
            return Err(PeerMisbehaved::IllegalChoice.into());
        }
        if hello
            .renegotiation_info
            .is_some_and(|info| !info.is_empty())
        {
            return Err(PeerMisbehaved::RenegotiationInfo.into());
        }
        self.extended_master_secret = hello.extended_master_secret;
        if !hello.extended_master_secret && config.require_extended_master_secret {
            return Err(PeerIncompatible::ExtendedMasterSecretRequired.into());
        }
        if let Some(peer_cid) = hello.connection_id
            && !self.agree_on_cid(config, peer_cid)
        {
            return Err(match config.cid {
                CidConfig::Off => unsolicited(ExtensionType::CONNECTION_ID).into(),
                CidConfig::Length(_) => PeerIncompatible::ConnectionIdTooLong.into(),
            });
        }
        match (hello.max_fragment_length, config.max_fragment_length) {
            (Some(echo), Some(asked)) if echo == asked => self.peer_limit = asked.bytes(),
            (Some(_), Some(_)) => return Err(PeerMisbehaved::IllegalChoice.into()),
            (Some(_), None) => return Err(unsolicited(ExtensionType::MAX_FRAGMENT_LENGTH).into()),
            (None, _) => {}
        }
        match (hello.record_size_limit, config.record_size_limit) {
            (Some(_), _) if hello.max_fragment_length.is_some() => {
                return Err(PeerMisbehaved::IllegalChoice.into());
            }
            (Some(limit), Some(_)) => self.peer_limit = limit.min(MAX_PLAINTEXT_LEN as u16),
            (Some(_), None) => return Err(unsolicited(ExtensionType::RECORD_SIZE_LIMIT).into()),
            (None, _) => {}
        }
        self.suite = hello.cipher_suite;
        self.server_random = *hello.random;
        self.start_transcript(cx.provider, hello.cipher_suite, scratch)?;
        self.hash_message(message);
        self.state = CoreState::Client(State::ExpectServerKeyExchange);
        Ok(())
    }

    /// Puts the hint behind our `ClientHello`, which is needed until `ServerHelloDone`. One that is longer than any
    /// identity of ours, or does not fit, cannot help to choose one.
    fn keep_hint(&self, scratch: &mut [u8], hint: &[u8]) -> Hint {
        let at = self.outgoing.len();
        match scratch.get_mut(at..at + hint.len()) {
            Some(room) if hint.len() <= MAX_PSK_IDENTITY_LEN => {
                room.copy_from_slice(hint);
                Hint {
                    at: at as u16,
                    len: hint.len() as u8,
                }
            }
            _ => Hint::default(),
        }
    }

    fn asked_for_server_name(&self, scratch: &[u8]) -> bool {
        self.outgoing
            .first_message(scratch)
            .and_then(|body| ClientHello::parse(body).ok())
            .is_some_and(|hello| hello.server_name.is_some())
    }

    /// The hash is known only now; our `ClientHello` still stands in the flight.
    fn start_transcript(
        &mut self,
        provider: &P,
        suite: CipherSuite,
        scratch: &[u8],
    ) -> Result<(), HandshakeError> {
        let parameters = suite.parameters().ok_or(PeerMisbehaved::IllegalChoice)?;
        let body = self
            .outgoing
            .first_message(scratch)
            .ok_or(CryptoError::BadLength)?;
        let mut transcript = provider.hash(parameters.hash)?;
        let seq = self.next_message_seq.wrapping_sub(1);
        let header = HandshakeHeader::whole(HandshakeType::CLIENT_HELLO, seq, body.len() as u32);
        transcript.update(&header.to_bytes());
        transcript.update(body);
        self.transcript = Some(transcript);
        Ok(())
    }

    /// The caller's answer to [`Event::PskRequested`](crate::Event::PskRequested).
    pub(crate) fn provide_client_psk(
        &mut self,
        cx: &mut Context<'_, P>,
        scratch: &mut [u8],
        identity: &[u8],
        psk: &[u8],
    ) -> Result<(), PskError> {
        if !matches!(self.state, CoreState::Client(State::ExpectPsk(_))) {
            return Err(PskError::Api(ApiError::NotRequested));
        }
        if identity.len() > MAX_PSK_IDENTITY_LEN
            || psk.is_empty()
            || psk.len() > crate::config::MAX_PSK_LEN
        {
            return Err(PskError::Api(ApiError::BadLength));
        }
        self.timer.new_flight(cx.config);
        let exchange = PskClientKeyExchange { identity };
        self.send_message(
            scratch,
            Protection::ClearText,
            HandshakeType::CLIENT_KEY_EXCHANGE,
            |w| exchange.emit(w),
        )
        .map_err(PskError::Handshake)?;
        let session_hash = self.transcript_hash();
        let secret = self.derive_keys(cx, &session_hash, psk, Role::Client)?;
        let full = |_| PskError::Handshake(Limit::Scratch.into());
        self.outgoing.change_cipher_spec(scratch).map_err(full)?;
        let verify_data = self.verify_data(cx.provider, &secret, true)?;
        self.send_message(
            scratch,
            Protection::Protected,
            HandshakeType::FINISHED,
            |w| w.put(&verify_data),
        )
        .map_err(PskError::Handshake)?;
        self.write_protected = true;
        self.state = CoreState::Client(State::ExpectFinished(ExpectFinished {
            verify_data: self.verify_data(cx.provider, &secret, false)?,
        }));
        self.transcript = None;
        Ok(())
    }
}

fn malformed(message: Message<'_>) -> HandshakeError {
    PeerMisbehaved::Malformed(message.msg_type).into()
}
