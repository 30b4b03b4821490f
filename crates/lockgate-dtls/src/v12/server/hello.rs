//! Answering a `ClientHello`: what goes on, what is agreed, what the caller is asked.

use super::{ExpectFinished, ExpectSignature, Hello, State};
use crate::association::Role;
use crate::bytes::ShortBytes;
use crate::certificate::{CertificateType, CertificateTypes, ClientAuth};
use crate::config::{CidConfig, Config};
use crate::crypto::{KeyExchange as _, MAX_TAG_LEN, NamedGroup, Provider};
use crate::error::{ApiError, HandshakeError, Limit, PeerIncompatible};
use crate::event::Request;
use crate::flight::Protection;
use crate::session::{MAX_SESSION_LEN, Resumable, SessionParts};
use crate::suite::{CipherSuite, KeyExchangeAlgorithm};
use crate::v12::exchange::{MAX_PARAMS_LEN, MAX_SIGNED_PARAMS_LEN};
use crate::v12::{
    Context, Core, Credential, CredentialRequest, Message, ResumptionRequest, Scratch,
    SignatureRequest, State as CoreState, StepError,
};
use crate::wire::{
    CertificateMessage, CertificateRequest, ClientHello, DTLS_1_2, EcdheParams, HandshakeType,
    MAX_PLAINTEXT_LEN, MAX_SESSION_ID_LEN, PskServerKeyExchange, RANDOM_LEN, ServerHello, Signed,
    Writer, names, pairs,
};

/// Longest that the names of our authorities may be together, in bytes.
const MAX_AUTHORITIES_LEN: usize = 4096;

impl<P: Provider> Core<P> {
    /// Answers the `ClientHello`, or asks the caller first.
    pub(crate) fn on_client_hello(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        hello: &ClientHello<'_>,
        scratch: &mut Scratch<'_>,
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
        if config.require_extended_master_secret && !hello.extended_master_secret {
            return Err(PeerIncompatible::ExtendedMasterSecretRequired.into());
        }
        self.extended_master_secret = hello.extended_master_secret;
        if config.resumption && self.find_session(cx, hello) {
            self.put_aside(scratch.outgoing, message.body)?;
            self.state = CoreState::Server(State::ExpectResumption(Hello {
                message_seq: message.message_seq,
            }));
            cx.events.request = Some(Request::Resumption);
            return Ok(());
        }
        self.begin_full(cx, message, hello, scratch)
    }

    /// Whether there is a session that may go on: one in a ticket of ours, or an ID that the caller may know.
    fn find_session(&mut self, cx: &mut Context<'_, P>, hello: &ClientHello<'_>) -> bool {
        match hello.session_ticket {
            // A ticket counts more than the ID beside it, which is only there for the server to echo (RFC 5077 §3.4).
            Some(ticket) if !ticket.is_empty() && cx.config.tickets => {
                let mut plaintext = zeroize::Zeroizing::new([0; MAX_SESSION_LEN + MAX_TAG_LEN]);
                let Some(jar) = &mut cx.tickets else {
                    return false;
                };
                // Keys that are too old go first.
                let _ = jar.rotate(cx.provider, cx.now);
                let Some((len, renew)) = jar.open(ticket, &mut *plaintext) else {
                    return false;
                };
                let Some(parts) = plaintext
                    .get(..len)
                    .and_then(|bytes| SessionParts::parse(bytes).ok())
                    .filter(|parts| self.fits(cx, hello, parts))
                else {
                    return false;
                };
                self.resumable = Some(Resumable::new(&parts));
                self.session_id = ShortBytes::new(hello.session_id).unwrap_or_default();
                self.exchange.renew_ticket = renew;
                true
            }
            _ if !hello.session_id.is_empty() => {
                self.session_id = ShortBytes::new(hello.session_id).unwrap_or_default();
                true
            }
            _ => false,
        }
    }

    /// Whether a session fits what the client offers now: the suite and host name it was made with. Without extended
    /// master secret then and with it now, there is a full handshake (RFC 7627 §5.3).
    fn fits(&self, cx: &Context<'_, P>, hello: &ClientHello<'_>, parts: &SessionParts<'_>) -> bool {
        let usable = cx.config.usable(cx.provider, parts.suite, Role::Server);
        usable
            && hello.suites().any(|suite| suite == parts.suite)
            && parts.server_name == self.server_name.as_slice()
            && (parts.extended_master_secret || !hello.extended_master_secret)
            && (parts.peer != crate::session::PeerIdentity::Anonymous
                || cx.config.client_auth != ClientAuth::Required)
    }

    /// What the caller is asked about resumption.
    pub(crate) fn server_resumption_request(&self) -> Option<ResumptionRequest<'_>> {
        let CoreState::Server(State::ExpectResumption(_)) = &self.state else {
            return None;
        };
        Some(match &self.resumable {
            Some(session) => ResumptionRequest::Known(session.peer.identity()),
            None => ResumptionRequest::SessionId(self.session_id.as_slice()),
        })
    }

    /// The caller's answer about resumption: `session` is one it found by its ID.
    pub(crate) fn resume_server(
        &mut self,
        cx: &mut Context<'_, P>,
        scratch: &mut Scratch<'_>,
        session: Option<&[u8]>,
        go_on: bool,
    ) -> Result<(), StepError> {
        let CoreState::Server(State::ExpectResumption(aside)) = self.state else {
            return Err(StepError::Api(ApiError::NotRequested));
        };
        self.with_hello(
            scratch,
            aside.message_seq,
            |this, scratch, message, hello| {
                if let Some(session) = session {
                    let parts = SessionParts::parse(session)
                        .ok()
                        .filter(|parts| parts.id == this.session_id.as_slice())
                        .ok_or(StepError::Api(ApiError::BadSession))?;
                    if this.fits(cx, hello, &parts) {
                        this.resumable = Some(Resumable::new(&parts));
                    }
                }
                if let Some(session) = this.resumable.take().filter(|_| go_on) {
                    this.go_on(cx, message, hello, scratch, &session)?;
                } else {
                    this.session_id = ShortBytes::EMPTY;
                    this.exchange.renew_ticket = false;
                    this.begin_full(cx, message, hello, scratch)?;
                }
                Ok(())
            },
        )
    }

    /// Lets `step` work with the `ClientHello` that is put aside.
    fn with_hello<T>(
        &mut self,
        scratch: &mut Scratch<'_>,
        message_seq: u16,
        step: impl FnOnce(
            &mut Self,
            &mut Scratch<'_>,
            Message<'_>,
            &ClientHello<'_>,
        ) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let at = usize::from(self.aside.0);
        let (outgoing, body) = scratch
            .outgoing
            .split_at_mut_checked(at)
            .ok_or(Limit::Scratch)?;
        let body = body
            .get(..usize::from(self.aside.1))
            .ok_or(Limit::Scratch)?;
        let hello = ClientHello::parse(body).map_err(|_| Limit::Scratch)?;
        let message = Message {
            msg_type: HandshakeType::CLIENT_HELLO,
            message_seq,
            protected: false,
            body,
        };
        let mut scratch = Scratch {
            outgoing,
            transcript: scratch.transcript,
        };
        step(self, &mut scratch, message, &hello)
    }

    /// A full handshake: with a certificate, if one can serve, else at once.
    fn begin_full(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        hello: &ClientHello<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), HandshakeError> {
        let signed = hello.suites().any(|suite| {
            suite
                .parameters()
                .is_some_and(|parameters| !parameters.key_exchange.uses_psk())
                && cx.config.usable(cx.provider, suite, Role::Server)
        });
        if !signed {
            return self.answer(cx, message, hello, scratch, None);
        }
        // In a repetition of this step the hello stands where it is to be put.
        let at = scratch.outgoing.len();
        if usize::from(self.aside.0) != at {
            self.put_aside(scratch.outgoing, message.body)?;
        }
        self.state = CoreState::Server(State::ExpectCredential(Hello {
            message_seq: message.message_seq,
        }));
        cx.events.request = Some(Request::Credential);
        Ok(())
    }

    /// What the caller is asked about a certificate.
    pub(crate) fn server_credential_request<'a>(
        &'a self,
        config: &Config,
        outgoing: &'a [u8],
    ) -> Option<CredentialRequest<'a>> {
        let CoreState::Server(State::ExpectCredential(_)) = &self.state else {
            return None;
        };
        let hello = ClientHello::parse(self.aside(outgoing)).ok()?;
        let offers = |kind: KeyExchangeAlgorithm| {
            hello
                .suites()
                .any(|suite| suite.parameters().is_some_and(|p| p.key_exchange == kind))
        };
        Some(CredentialRequest {
            role: Role::Server,
            server_name: self.server_name.as_slice(),
            schemes: hello.signature_algorithms.unwrap_or_default(),
            groups: hello.supported_groups,
            certificate_types: common_types(
                config.own_certificate_types,
                hello.server_certificate_types,
            ),
            key_types: (
                offers(KeyExchangeAlgorithm::EcdheRsa),
                offers(KeyExchangeAlgorithm::EcdheEcdsa),
            ),
            authorities: hello.certificate_authorities.unwrap_or_default(),
            suites: hello.cipher_suites,
        })
    }

    /// The caller's answer about a certificate; `None` when it has none that fits.
    pub(crate) fn provide_server_credential(
        &mut self,
        cx: &mut Context<'_, P>,
        scratch: &mut Scratch<'_>,
        credential: Option<&Credential<'_>>,
    ) -> Result<(), StepError> {
        let CoreState::Server(State::ExpectCredential(aside)) = self.state else {
            return Err(StepError::Api(ApiError::NotRequested));
        };
        if let Some(credential) = credential {
            let request = self
                .server_credential_request(cx.config, scratch.outgoing)
                .ok_or(StepError::Api(ApiError::NotRequested))?;
            let takes = request.takes(credential.key_type)
                && request
                    .certificate_types()
                    .contains(credential.certificate_type)
                && request.schemes().any(|s| s == credential.scheme)
                && credential.scheme.fits(credential.key_type);
            if !takes || credential.chain.is_empty() {
                return Err(StepError::Api(ApiError::UnusableCredential));
            }
        }
        self.with_hello(
            scratch,
            aside.message_seq,
            |this, scratch, message, hello| {
                this.answer(cx, message, hello, scratch, credential)
                    .map_err(|error| match error {
                        // With nothing to show, what the client lacks is not the point.
                        HandshakeError::PeerIncompatible(PeerIncompatible::NoCommonCipherSuite)
                            if credential.is_none() =>
                        {
                            HandshakeError::NoCredential
                        }
                        other => other,
                    })?;
                Ok(())
            },
        )
    }

    /// Our flight up to where a signature is needed, or to its end.
    fn answer(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        hello: &ClientHello<'_>,
        scratch: &mut Scratch<'_>,
        credential: Option<&Credential<'_>>,
    ) -> Result<(), HandshakeError> {
        let config = cx.config;
        let group = common_group(cx.provider, config, hello);
        let fits = |suite: CipherSuite| {
            suite.parameters().is_some_and(|p| match p.key_exchange {
                KeyExchangeAlgorithm::Psk => true,
                KeyExchangeAlgorithm::EcdhePsk => group.is_some(),
                KeyExchangeAlgorithm::EcdheEcdsa => {
                    group.is_some() && credential.is_some_and(|c| !c.key_type.is_rsa())
                }
                KeyExchangeAlgorithm::EcdheRsa => {
                    group.is_some() && credential.is_some_and(|c| c.key_type.is_rsa())
                }
            })
        };
        let suite = config
            .cipher_suites
            .iter()
            .find(|&ours| {
                config.usable(cx.provider, ours, Role::Server)
                    && hello.suites().any(|theirs| theirs == ours)
                    && fits(ours)
            })
            .ok_or(if group.is_none() && credential.is_some() {
                PeerIncompatible::NoCommonGroup
            } else {
                PeerIncompatible::NoCommonCipherSuite
            })?;
        self.suite = suite;
        let kind = self.parameters()?.key_exchange;
        let credential = credential.filter(|_| !kind.uses_psk());
        let mut certificate_types = (None, None);
        if let Some(credential) = credential {
            self.exchange.own_type = credential.certificate_type;
            self.exchange.scheme = credential.scheme;
            if hello.server_certificate_types.is_some() {
                certificate_types.0 = Some(credential.certificate_type as u8);
            }
            certificate_types.1 = self.agree_on_client_type(config, hello)?;
        }
        self.exchange.keeping = self.exchange.client_auth;
        if config.resumption {
            self.exchange.give_ticket = config.tickets && hello.session_ticket.is_some();
            if !self.exchange.give_ticket {
                let mut id = [0; MAX_SESSION_ID_LEN];
                cx.provider.random(&mut id)?;
                self.session_id = ShortBytes::new(&id).unwrap_or_default();
            }
        }
        let session_id = self.session_id;
        self.send_server_hello(
            cx,
            message,
            hello,
            scratch,
            ServerHello {
                session_id: session_id.as_slice(),
                ec_point_formats: kind.is_ephemeral() && hello.ec_point_formats.is_some(),
                server_certificate_type: certificate_types.0,
                client_certificate_type: certificate_types.1,
                session_ticket: self.exchange.give_ticket,
                ..ServerHello::new(&[0; RANDOM_LEN], suite)
            },
        )?;
        if let Some(credential) = credential {
            self.send_message(
                scratch,
                Protection::ClearText,
                HandshakeType::CERTIFICATE,
                |w| CertificateMessage::emit(credential.certificate_type, credential.chain, w),
            )?;
        }
        match (group.filter(|_| kind.is_ephemeral()), credential) {
            (Some(group), Some(credential)) => {
                self.ask_for_signature(cx, scratch, group, credential)
            }
            (group, _) => self.end_psk_flight(cx, scratch, group),
        }
    }

    /// How the client shows its certificate, when it is to show one; with what the extension says of it.
    fn agree_on_client_type(
        &mut self,
        config: &Config,
        hello: &ClientHello<'_>,
    ) -> Result<Option<u8>, HandshakeError> {
        if config.client_auth == ClientAuth::None {
            return Ok(None);
        }
        let common = common_types(
            config.peer_certificate_types,
            hello.client_certificate_types,
        );
        let chosen = common.iter().next();
        match chosen {
            Some(chosen) => {
                self.exchange.client_auth = true;
                self.exchange.peer_type = chosen;
                Ok(hello.client_certificate_types.map(|_| chosen as u8))
            }
            None if config.client_auth == ClientAuth::Optional => Ok(None),
            None => Err(PeerIncompatible::NoCommonCertificateType.into()),
        }
    }

    /// `ServerHello` and what both kinds of handshake settle by it. `answer` holds what is special.
    fn send_server_hello(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        hello: &ClientHello<'_>,
        scratch: &mut Scratch<'_>,
        answer: ServerHello<'_>,
    ) -> Result<(), HandshakeError> {
        let config = cx.config;
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
        let protocol = self.choose_protocol(config, hello)?;
        cx.provider.random(&mut self.server_random)?;
        self.transcript = Some(cx.provider.hash(self.parameters()?.hash)?);
        self.hash_message(message, scratch)?;

        let random = self.server_random;
        let own_cid = self.own_cid;
        debug_assert!(matches!(config.cid, CidConfig::Length(_)) || !self.cid_agreed);
        let answer = ServerHello {
            random: &random,
            extended_master_secret: hello.extended_master_secret,
            renegotiation_info: hello.renegotiation_info.then_some(&[]),
            connection_id: self.cid_agreed.then_some(own_cid.as_slice()),
            max_fragment_length,
            record_size_limit,
            server_name: config.acknowledge_server_name
                && hello.server_name.is_some()
                && !self.parameters()?.key_exchange.uses_psk()
                && !self.resumed,
            protocol,
            ..answer
        };
        self.send_message(
            scratch,
            Protection::ClearText,
            HandshakeType::SERVER_HELLO,
            |w| answer.emit(w),
        )
    }

    /// Our first protocol that the client offers (RFC 7301 §3.2).
    fn choose_protocol<'c>(
        &mut self,
        config: &'c Config,
        hello: &ClientHello<'_>,
    ) -> Result<Option<&'c [u8]>, HandshakeError> {
        let Some(offered) = hello.protocols.filter(|_| !config.protocols.is_empty()) else {
            return Ok(None);
        };
        let (place, chosen) = config
            .protocols
            .iter()
            .enumerate()
            .find(|(_, ours)| names(offered).any(|theirs| theirs == *ours))
            .ok_or(PeerIncompatible::NoCommonProtocol)?;
        self.exchange.protocol = place as u8 + 1;
        Ok(Some(chosen))
    }

    /// Makes the ephemeral key, puts aside what is to be signed and asks for it.
    fn ask_for_signature(
        &mut self,
        cx: &mut Context<'_, P>,
        scratch: &mut Scratch<'_>,
        group: NamedGroup,
        credential: &Credential<'_>,
    ) -> Result<(), HandshakeError> {
        let mut bytes = [0; MAX_SIGNED_PARAMS_LEN + 2 + MAX_AUTHORITIES_LEN];
        let mut writer = Writer::new(&mut bytes);
        let written = writer
            .put(&self.client_random)
            .and_then(|()| writer.put(&self.server_random));
        written.map_err(|_| Limit::Scratch)?;
        self.write_params(cx, group, &mut writer)?;
        let signed_len = writer.len() as u16;
        if self.exchange.client_auth {
            writer
                .vec16(|w| {
                    let mut names = credential.authorities.iter();
                    names.try_for_each(|name| w.vec16(|w| w.put(name)))
                })
                .map_err(|_| Limit::Scratch)?;
        }
        let len = writer.len();
        self.put_aside(scratch.outgoing, &bytes[..len])?;
        self.outgoing.hold();
        self.state = CoreState::Server(State::ExpectSignature(ExpectSignature { signed_len }));
        cx.events.request = Some(Request::Signature);
        Ok(())
    }

    fn write_params(
        &mut self,
        cx: &mut Context<'_, P>,
        group: NamedGroup,
        out: &mut Writer<'_>,
    ) -> Result<(), HandshakeError> {
        let ephemeral = cx.provider.key_exchange(group)?;
        let params = EcdheParams {
            group,
            public_value: ephemeral.public_value(),
        };
        params.emit(out).map_err(|_| Limit::Scratch)?;
        self.exchange.group = group;
        self.exchange.ephemeral = Some(ephemeral);
        Ok(())
    }

    /// What our key is to sign.
    pub(crate) fn server_signature_request<'a>(
        &self,
        outgoing: &'a [u8],
    ) -> Option<SignatureRequest<'a>> {
        let CoreState::Server(State::ExpectSignature(state)) = &self.state else {
            return None;
        };
        Some(SignatureRequest {
            scheme: self.exchange.scheme,
            message: self.aside(outgoing).get(..usize::from(state.signed_len))?,
        })
    }

    /// The signature is there: the rest of our flight.
    pub(crate) fn provide_server_signature(
        &mut self,
        cx: &mut Context<'_, P>,
        scratch: &mut Scratch<'_>,
        signature: &[u8],
    ) -> Result<(), StepError> {
        let CoreState::Server(State::ExpectSignature(state)) = self.state else {
            return Err(StepError::Api(ApiError::NotRequested));
        };
        let at = usize::from(self.aside.0);
        let (outgoing, aside) = scratch
            .outgoing
            .split_at_mut_checked(at)
            .ok_or(Limit::Scratch)?;
        let (signed, authorities) = aside
            .split_at_checked(usize::from(state.signed_len))
            .ok_or(Limit::Scratch)?;
        let params = signed.get(2 * RANDOM_LEN..).ok_or(Limit::Scratch)?;
        let mut scratch = Scratch {
            outgoing,
            transcript: scratch.transcript,
        };
        let signed = Signed {
            scheme: self.exchange.scheme,
            signature,
        };
        self.send_message(
            &mut scratch,
            Protection::ClearText,
            HandshakeType::SERVER_KEY_EXCHANGE,
            |w| {
                w.put(params)?;
                signed.emit(w)
            },
        )?;
        if self.exchange.client_auth {
            let config = cx.config;
            let provider = &*cx.provider;
            let len = usize::from(self.aside.1) - usize::from(state.signed_len);
            let authorities = authorities.get(..len).ok_or(Limit::Scratch)?;
            self.send_message(
                &mut scratch,
                Protection::ClearText,
                HandshakeType::CERTIFICATE_REQUEST,
                |w| {
                    CertificateRequest::emit(config.usable_schemes(provider), w)?;
                    w.put(authorities)
                },
            )?;
        }
        self.end_flight(&mut scratch)?;
        Ok(())
    }

    /// Our flight without a signature, from `ServerKeyExchange` on.
    fn end_psk_flight(
        &mut self,
        cx: &mut Context<'_, P>,
        scratch: &mut Scratch<'_>,
        group: Option<NamedGroup>,
    ) -> Result<(), HandshakeError> {
        let hint = PskServerKeyExchange {
            identity_hint: cx.config.psk_identity_hint.as_slice(),
        };
        // In plain PSK only with a hint (RFC 4279 §2), in ECDHE_PSK always (RFC 5489 §2).
        if !hint.identity_hint.is_empty() || group.is_some() {
            let mut bytes = [0; MAX_PARAMS_LEN];
            let mut params = Writer::new(&mut bytes);
            if let Some(group) = group {
                self.write_params(cx, group, &mut params)?;
            }
            self.send_message(
                scratch,
                Protection::ClearText,
                HandshakeType::SERVER_KEY_EXCHANGE,
                |w| {
                    hint.emit(w)?;
                    w.put(params.written())
                },
            )?;
        }
        self.end_flight(scratch)
    }

    fn end_flight(&mut self, scratch: &mut Scratch<'_>) -> Result<(), HandshakeError> {
        self.send_message(
            scratch,
            Protection::ClearText,
            HandshakeType::SERVER_HELLO_DONE,
            |_| Ok(()),
        )?;
        self.aside = (0, 0);
        // A signature that came late must not hold the flight back.
        self.outgoing.rewind();
        self.state = CoreState::Server(if self.exchange.client_auth {
            State::ExpectCertificate
        } else {
            State::ExpectClientKeyExchange { proves: false }
        });
        Ok(())
    }

    /// The short handshake of a session that goes on.
    fn go_on(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        hello: &ClientHello<'_>,
        scratch: &mut Scratch<'_>,
        session: &Resumable,
    ) -> Result<(), HandshakeError> {
        if session.extended_master_secret && !hello.extended_master_secret {
            // RFC 7627 §5.3: a session may not lose it.
            return Err(PeerIncompatible::ExtendedMasterSecretRequired.into());
        }
        self.suite = session.suite;
        self.peer = session.peer;
        self.resumed = true;
        let ticket = self.exchange.renew_ticket && hello.session_ticket.is_some();
        let session_id = self.session_id;
        self.send_server_hello(
            cx,
            message,
            hello,
            scratch,
            ServerHello {
                session_id: session_id.as_slice(),
                session_ticket: ticket,
                ..ServerHello::new(&[0; RANDOM_LEN], session.suite)
            },
        )?;
        self.resume_keys(cx, &session.master_secret)?;
        if ticket {
            let body = self.new_ticket(cx)?;
            self.send_message(
                scratch,
                Protection::ClearText,
                HandshakeType::NEW_SESSION_TICKET,
                |w| w.put(&body),
            )?;
        }
        self.outgoing
            .change_cipher_spec(scratch.outgoing)
            .map_err(|_| Limit::Scratch)?;
        let verify_data = self.verify_data(cx.provider, &session.master_secret, false)?;
        self.send_message(
            scratch,
            Protection::Protected,
            HandshakeType::FINISHED,
            |w| w.put(&verify_data),
        )?;
        self.write_protected = true;
        self.aside = (0, 0);
        let of_client = self.verify_data(cx.provider, &session.master_secret, true)?;
        self.transcript = None;
        self.state = CoreState::Server(State::ExpectFinished(ExpectFinished {
            identity_unknown: false,
            of_client,
            of_server: None,
            ticket: None,
        }));
        Ok(())
    }
}

/// Our first group that the client takes; a client that does not say takes any (RFC 8422 §4).
fn common_group<P: Provider>(
    provider: &P,
    config: &Config,
    hello: &ClientHello<'_>,
) -> Option<NamedGroup> {
    config.usable_groups(provider).find(|group| {
        hello
            .supported_groups
            .is_none_or(|theirs| pairs(theirs).any(|theirs| theirs == group.0))
    })
}

/// Of our certificate types those that the peer takes; one that does not say takes X.509 (RFC 7250 §4.2).
fn common_types(ours: CertificateTypes, theirs: Option<&[u8]>) -> CertificateTypes {
    let mut common = [CertificateType::X509; 2];
    let mut len = 0;
    let fits = |ours: CertificateType| match theirs {
        Some(theirs) => theirs.contains(&(ours as u8)),
        None => ours == CertificateType::X509,
    };
    for (place, chosen) in common.iter_mut().zip(ours.iter().filter(|&t| fits(t))) {
        *place = chosen;
        len += 1;
    }
    CertificateTypes::new(&common[..len])
}
