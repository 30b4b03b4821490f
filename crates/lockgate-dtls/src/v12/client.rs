//! The client: `ClientHello` -> [`HelloVerifyRequest` -> `ClientHello`] -> `ServerHello` [`ServerKeyExchange`]
//! `ServerHelloDone` -> `ClientKeyExchange` `ChangeCipherSpec` `Finished` -> `ChangeCipherSpec` `Finished`.

use super::{Context, Core, Message, PskError, State as CoreState};
use crate::association::Role;
use crate::bytes::{OwnCid, ShortBytes};
use crate::config::{CidConfig, Config, MAX_COOKIE_ROUNDS, MAX_PSK_IDENTITY_LEN};
use crate::crypto::{CryptoError, Hash, Provider};
use crate::error::{ApiError, HandshakeError, Limit, PeerIncompatible, PeerMisbehaved, WaitingFor};
use crate::flight::{Outgoing, Protection};
use crate::suite::{CipherSuite, SuiteList};
use crate::time::Instant;
use crate::wire::{
    ClientHello, DTLS_1_2, ExtensionType, HandshakeHeader, HandshakeType, HelloVerifyRequest,
    MAX_PLAINTEXT_LEN, PskClientKeyExchange, PskServerKeyExchange, RANDOM_LEN, Reader, ServerHello,
};

/// The client's states in protocol order.
#[derive(Debug)]
pub(crate) enum State {
    ExpectServerHello(ExpectServerHello),
    ExpectServerKeyExchange,
    ExpectServerHelloDone,
    ExpectPsk,
    ExpectFinished,
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
            Self::ExpectServerKeyExchange | Self::ExpectServerHelloDone => {
                WaitingFor::ServerHelloDone
            }
            Self::ExpectPsk => WaitingFor::Psk,
            Self::ExpectFinished => WaitingFor::Finished,
        }
    }
}

impl<P: Provider> Core<P> {
    /// Starts a handshake: `ClientHello` is in the flight.
    pub(crate) fn connect(
        provider: &mut P,
        config: &Config,
        now: Instant,
        scratch: &mut [u8],
        own_cid: OwnCid,
        server_name: &[u8],
    ) -> Result<Self, ApiError> {
        let state = CoreState::Client(State::ExpectServerHello(ExpectServerHello::default()));
        let mut this = Self::new(now, config, state, own_cid);
        provider.random(&mut this.client_random)?;
        this.server_name = ShortBytes::new(server_name).ok_or(ApiError::BadLength)?;
        this.send_client_hello(provider, config, scratch, &[])
            .map_err(|_| ApiError::BadLength)?;
        Ok(this)
    }

    fn send_client_hello(
        &mut self,
        provider: &P,
        config: &Config,
        scratch: &mut [u8],
        cookie: &[u8],
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
        let server_name = self.server_name;
        let hello = ClientHello {
            version: DTLS_1_2,
            random: &random,
            session_id: &[],
            cookie,
            cipher_suites: &suites[..len],
            compression_methods: &[0],
            extended_master_secret: true,
            renegotiation_info: true,
            connection_id: matches!(config.cid, CidConfig::Length(_)).then_some(own_cid.as_slice()),
            max_fragment_length: config.max_fragment_length,
            record_size_limit: config.record_size_limit,
            server_name: (!server_name.is_empty()).then_some(server_name.as_slice()),
            supported_versions: None,
        };
        self.outgoing = Outgoing::default();
        self.send_message(
            scratch,
            Protection::ClearText,
            HandshakeType::CLIENT_HELLO,
            |w| hello.emit(w),
        )
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
                self.send_client_hello(cx.provider, cx.config, scratch, request.cookie)
            }
            (State::ExpectServerHello(_), T::SERVER_HELLO) => {
                self.on_server_hello(cx, message, scratch)
            }
            (State::ExpectServerKeyExchange, T::SERVER_KEY_EXCHANGE) => {
                let exchange =
                    PskServerKeyExchange::parse(message.body).map_err(|_| malformed(message))?;
                // A hint that is longer than any identity of ours cannot help to choose one.
                self.psk_identity = ShortBytes::new(exchange.identity_hint).unwrap_or_default();
                self.hash_message(message);
                self.state = CoreState::Client(State::ExpectServerHelloDone);
                Ok(())
            }
            (
                State::ExpectServerKeyExchange | State::ExpectServerHelloDone,
                T::SERVER_HELLO_DONE,
            ) => {
                Reader::new(message.body)
                    .end()
                    .map_err(|_| malformed(message))?;
                self.hash_message(message);
                self.outgoing.clear();
                self.timer.pause();
                self.state = CoreState::Client(State::ExpectPsk);
                cx.events.psk_requested = true;
                Ok(())
            }
            (State::ExpectFinished, T::FINISHED) => {
                self.check_finished(message, false)?;
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
        if hello.server_name && self.server_name.is_empty() {
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
        if !matches!(self.state, CoreState::Client(State::ExpectPsk)) {
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
        self.session_hash = self.transcript_hash();
        self.derive_keys(cx, psk, Role::Client)?;
        let full = |_| PskError::Handshake(Limit::Scratch.into());
        self.outgoing.change_cipher_spec(scratch).map_err(full)?;
        let verify_data = self.verify_data(true);
        self.send_message(
            scratch,
            Protection::Protected,
            HandshakeType::FINISHED,
            |w| w.put(&verify_data),
        )
        .map_err(PskError::Handshake)?;
        self.write_protected = true;
        self.state = CoreState::Client(State::ExpectFinished);
        Ok(())
    }
}

fn malformed(message: Message<'_>) -> HandshakeError {
    PeerMisbehaved::Malformed(message.msg_type).into()
}
