//! Answering a `ClientHello`: what goes on, what is agreed, what the caller is asked.

use super::{Hello, State};
use crate::association::Role;
use crate::bytes::ShortBytes;
use crate::certificate::{CertificateType, CertificateTypes, ClientAuth};
use crate::config::{CidConfig, Config};
use crate::crypto::{NamedGroup, Provider};
use crate::error::{ApiError, HandshakeError, Limit, PeerIncompatible, PeerMisbehaved};
use crate::event::Request;
use crate::flight::Protection;
use crate::suite::{CipherSuite, KeyExchangeAlgorithm};
use crate::v12::{
    Context, Core, Credential, CredentialRequest, Message, Scratch, State as CoreState, StepError,
};
use crate::wire::{
    CertificateMessage, ClientHello, DTLS_1_2, ExtensionType, HandshakeType, MAX_PLAINTEXT_LEN,
    MAX_SESSION_ID_LEN, RANDOM_LEN, ServerHello, names, pairs,
};

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
            // Longer than any host name; as none, it would be that of sessions without one.
            self.server_name = ShortBytes::new(name).ok_or(PeerMisbehaved::MalformedExtension(
                ExtensionType::SERVER_NAME.0,
            ))?;
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

    /// Lets `step` work with the `ClientHello` that is put aside.
    pub(super) fn with_hello<T>(
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
    pub(super) fn begin_full(
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
            if !request.lets(credential) {
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
    pub(super) fn send_server_hello(
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
