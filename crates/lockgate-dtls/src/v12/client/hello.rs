//! A client's `ClientHello` and the `ServerHello` that answers it.

use super::{ExpectServerHello, State};
use crate::association::Role;
use crate::bytes::OwnCid;
#[cfg(feature = "resumption")]
use crate::bytes::ShortBytes;
#[cfg(feature = "certificates")]
use crate::certificate::{CertificateType, CertificateTypes};
use crate::config::{CidConfig, Config, MAX_PSK_IDENTITY_LEN};
use crate::crypto::{CryptoError, Hash, Provider};
use crate::error::{HandshakeError, Limit, PeerIncompatible, PeerMisbehaved};
#[cfg(feature = "resumption")]
use crate::event::Request;
use crate::flight::Protection;
#[cfg(feature = "resumption")]
use crate::session::{Resumable, SessionParts};
use crate::suite::SuiteList;
use crate::time::Instant;
use crate::v12::{Context, Core, Message, Scratch, State as CoreState, malformed};
use crate::wire::{
    ClientHello, DTLS_1_2, ExtensionType, HandshakeHeader, HandshakeType, MAX_PLAINTEXT_LEN,
    RANDOM_LEN, ServerHello,
};

/// Where the cookie's length stands in a `ClientHello` of ours with an empty session ID: behind version and random.
const COOKIE_AT: usize = 2 + RANDOM_LEN + 1;

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

    /// Takes a session to go on with, if it is one that can: made for this host name, with a suite that is still on.
    #[cfg(feature = "resumption")]
    pub(crate) fn offer_session<'s>(
        &mut self,
        provider: &mut P,
        config: &Config,
        server_name: &[u8],
        session: &'s [u8],
    ) -> Result<&'s [u8], CryptoError> {
        let Ok(parts) = SessionParts::parse(session) else {
            return Ok(&[]);
        };
        let fits = parts.role == Role::Client
            && parts.server_name == server_name
            && config.usable(provider, parts.suite, Role::Client)
            && (parts.extended_master_secret || !config.require_extended_master_secret);
        if !fits || parts.ticket.is_empty() && parts.id.is_empty() {
            return Ok(&[]);
        }
        self.session_id = ShortBytes::new(parts.id).unwrap_or_default();
        if !parts.ticket.is_empty() {
            // The server echoes it when it takes the ticket (RFC 5077 §3.4).
            let mut id = [0; crate::wire::MAX_SESSION_ID_LEN];
            provider.random(&mut id)?;
            self.session_id = ShortBytes::new(&id).unwrap_or_default();
        }
        self.resumable = Some(Resumable::new(&parts));
        Ok(parts.ticket)
    }

    /// Puts the first `ClientHello` into the flight.
    pub(crate) fn send_client_hello(
        &mut self,
        provider: &mut P,
        config: &Config,
        scratch: &mut Scratch<'_>,
        server_name: &[u8],
        #[cfg(feature = "resumption")] session: Option<&[u8]>,
    ) -> Result<(), HandshakeError> {
        #[cfg(feature = "resumption")]
        let ticket = match session.filter(|_| config.resumption) {
            Some(session) => self.offer_session(provider, config, server_name, session)?,
            None => &[],
        };
        #[cfg(feature = "resumption")]
        {
            self.server_name = ShortBytes::new(server_name).ok_or(Limit::Scratch)?;
        }
        let mut suites = [0; 2 * SuiteList::MAX];
        let usable = config
            .cipher_suites
            .iter()
            .filter(|&suite| config.usable(provider, suite, Role::Client));
        let mut len = 0;
        for (place, suite) in suites.chunks_exact_mut(2).zip(usable) {
            place.copy_from_slice(&suite.0.to_be_bytes());
            len += 2;
        }
        let random: [u8; RANDOM_LEN] = self.client_random;
        let own_cid = self.own_cid;
        #[cfg(feature = "resumption")]
        let session_id = self.session_id;
        #[cfg(feature = "certificates")]
        let mut offers = Offers::default();
        #[cfg(feature = "certificates")]
        offers.fill(provider, config);
        let hello = ClientHello {
            cipher_suites: &suites[..len],
            extended_master_secret: true,
            renegotiation_info: true,
            connection_id: matches!(config.cid, CidConfig::Length(_)).then_some(own_cid.as_slice()),
            max_fragment_length: config.max_fragment_length,
            record_size_limit: config.record_size_limit,
            server_name: (!server_name.is_empty()).then_some(server_name),
            #[cfg(feature = "resumption")]
            session_id: session_id.as_slice(),
            #[cfg(feature = "resumption")]
            session_ticket: config.resumption.then_some(ticket),
            ..ClientHello::new(DTLS_1_2, &random)
        };
        #[cfg(feature = "certificates")]
        let hello = offers.offer(&hello, config);
        self.send_message(
            scratch,
            Protection::ClearText,
            HandshakeType::CLIENT_HELLO,
            |w| hello.emit(w),
        )
    }

    /// The second `ClientHello` is the first with a cookie in it (RFC 6347 §4.2.1), put in where it stands.
    pub(super) fn repeat_client_hello(
        &mut self,
        scratch: &mut Scratch<'_>,
        cookie: &[u8],
    ) -> Result<(), HandshakeError> {
        let seq = self.next_message_seq;
        #[cfg(feature = "resumption")]
        let at = COOKIE_AT + self.session_id.len();
        #[cfg(not(feature = "resumption"))]
        let at = COOKIE_AT;
        self.outgoing
            .replace_in_first(scratch.outgoing, seq, at, cookie)
            .map_err(|_| Limit::Scratch)?;
        self.next_message_seq = seq.wrapping_add(1);
        Ok(())
    }

    pub(super) fn on_server_hello(
        &mut self,
        cx: &mut Context<'_, P>,
        message: Message<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), HandshakeError> {
        let config = cx.config;
        let hello = ServerHello::parse(message.body).map_err(|error| match error {
            Some(extension) => PeerMisbehaved::MalformedExtension(extension.0).into(),
            None => malformed(message),
        })?;
        if hello.version != DTLS_1_2 {
            return Err(PeerIncompatible::NoCommonVersion.into());
        }
        let unsolicited =
            |extension: ExtensionType| PeerMisbehaved::UnsolicitedExtension(extension.0);
        if let Some(extension) = hello.unsolicited {
            return Err(unsolicited(extension).into());
        }
        if hello.server_name && !self.asked_for_server_name(scratch.outgoing) {
            return Err(unsolicited(ExtensionType::SERVER_NAME).into());
        }
        if !config.usable(cx.provider, hello.cipher_suite, Role::Client) {
            return Err(PeerMisbehaved::IllegalCipherSuite.into());
        }
        if hello.compression_method != 0 {
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
        self.agree_on_limits(config, &hello)?;
        self.suite = hello.cipher_suite;
        self.server_random = *hello.random;
        self.start_transcript(cx.provider, config, scratch)?;
        self.hash_message(message, scratch)?;
        #[cfg(feature = "resumption")]
        {
            if hello.session_ticket && !config.resumption {
                return Err(unsolicited(ExtensionType::SESSION_TICKET).into());
            }
            if self.goes_on(&hello)? {
                self.resumed = true;
                #[cfg(feature = "certificates")]
                {
                    self.exchange.keeping = false;
                }
                self.timer.pause();
                self.state = CoreState::Client(State::ExpectResumption {
                    ticket: hello.session_ticket,
                });
                cx.events.request = Some(Request::Resumption);
                #[cfg(feature = "certificates")]
                self.agree_on_protocol(config, &hello)?;
                return Ok(());
            }
            self.resumable = None;
            self.ticket_expected = hello.session_ticket;
            self.session_id = ShortBytes::new(hello.session_id).unwrap_or_default();
        }
        #[cfg(feature = "certificates")]
        {
            self.agree_on_protocol(config, &hello)?;
            self.agree_on_types(config, &hello)?;
            if !self.parameters()?.key_exchange.uses_psk() {
                self.state = CoreState::Client(State::ExpectCertificate);
                return Ok(());
            }
        }
        self.state = CoreState::Client(State::ExpectServerKeyExchange);
        Ok(())
    }

    fn agree_on_limits(
        &mut self,
        config: &Config,
        hello: &ServerHello<'_>,
    ) -> Result<(), HandshakeError> {
        let unsolicited =
            |extension: ExtensionType| PeerMisbehaved::UnsolicitedExtension(extension.0);
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
        Ok(())
    }

    /// Whether the server takes the session that we offered.
    #[cfg(feature = "resumption")]
    fn goes_on(&self, hello: &ServerHello<'_>) -> Result<bool, HandshakeError> {
        let Some(session) = &self.resumable else {
            return Ok(false);
        };
        if hello.session_id.is_empty() || hello.session_id != self.session_id.as_slice() {
            return Ok(false);
        }
        // RFC 7627 §5.3: extended master secret must be as it was.
        if hello.cipher_suite != session.suite
            || hello.extended_master_secret != session.extended_master_secret
        {
            return Err(PeerMisbehaved::ResumptionMismatch.into());
        }
        Ok(true)
    }

    #[cfg(feature = "certificates")]
    fn agree_on_protocol(
        &mut self,
        config: &Config,
        hello: &ServerHello<'_>,
    ) -> Result<(), HandshakeError> {
        let Some(chosen) = hello.protocol else {
            return Ok(());
        };
        if config.protocols.is_empty() {
            return Err(PeerMisbehaved::UnsolicitedExtension(ExtensionType::ALPN.0).into());
        }
        match config.protocols.iter().position(|ours| ours == chosen) {
            Some(place) => self.exchange.protocol = place as u8 + 1,
            None if config.take_unoffered_protocol => {}
            None => return Err(PeerMisbehaved::IllegalProtocol.into()),
        }
        Ok(())
    }

    /// How both ends show what they are (RFC 7250 §4.2), and which other answers mean something.
    #[cfg(feature = "certificates")]
    fn agree_on_types(
        &mut self,
        config: &Config,
        hello: &ServerHello<'_>,
    ) -> Result<(), HandshakeError> {
        let own = (
            config.own_certificate_types,
            hello.client_certificate_type,
            ExtensionType::CLIENT_CERTIFICATE_TYPE,
        );
        let peer = (
            config.peer_certificate_types,
            hello.server_certificate_type,
            ExtensionType::SERVER_CERTIFICATE_TYPE,
        );
        let agree =
            |(offered, chosen, extension): (CertificateTypes, Option<u8>, ExtensionType)| {
                let Some(chosen) = chosen else {
                    return Ok(CertificateType::X509);
                };
                if !is_offered(offered) {
                    return Err(PeerMisbehaved::UnsolicitedExtension(extension.0));
                }
                CertificateType::from_byte(chosen)
                    .filter(|&chosen| offered.contains(chosen))
                    .ok_or(PeerMisbehaved::IllegalChoice)
            };
        self.exchange.own_type = agree(own)?;
        self.exchange.peer_type = agree(peer)?;
        let signed = !self.parameters()?.key_exchange.uses_psk();
        if signed
            && !config
                .peer_certificate_types
                .contains(self.exchange.peer_type)
        {
            return Err(PeerIncompatible::NoCommonCertificateType.into());
        }
        Ok(())
    }

    /// Puts the hint aside, where it cannot be in the way of our `ClientHello`. One that is longer than any identity of
    /// ours, or does not fit, cannot help to choose one.
    pub(super) fn keep_hint(&mut self, scratch: &mut Scratch<'_>, hint: &[u8]) {
        if hint.len() <= MAX_PSK_IDENTITY_LEN {
            let _ = self.put_aside(scratch.outgoing, hint);
        }
    }

    fn asked_for_server_name(&self, scratch: &[u8]) -> bool {
        self.outgoing
            .first_message(scratch)
            .and_then(|body| ClientHello::parse(body).ok())
            .is_some_and(|hello| hello.server_name.is_some())
    }

    /// The hash is known only now; our `ClientHello` still stands in the flight.
    #[cfg_attr(
        not(feature = "certificates"),
        expect(unused_variables, reason = "without certificates no message is kept")
    )]
    fn start_transcript(
        &mut self,
        provider: &P,
        config: &Config,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), HandshakeError> {
        let parameters = self.parameters()?;
        let body = self
            .outgoing
            .first_message(scratch.outgoing)
            .ok_or(CryptoError::BadLength)?;
        let mut transcript = provider.hash(parameters.hash)?;
        let seq = self.next_message_seq.wrapping_sub(1);
        let header =
            HandshakeHeader::whole(HandshakeType::CLIENT_HELLO, seq, body.len() as u32).to_bytes();
        transcript.update(&header);
        transcript.update(body);
        self.transcript = Some(transcript);
        #[cfg(feature = "certificates")]
        if config.keeps_transcript(Role::Client) && !parameters.key_exchange.uses_psk() {
            let exchange = &mut self.exchange;
            exchange.keeping = true;
            crate::v12::keep(exchange, scratch.transcript, &header)?;
            crate::v12::keep(exchange, scratch.transcript, body)?;
        }
        Ok(())
    }
}

/// Whether an extension says which certificate types we take: not when X.509 is all there is (RFC 7250 §4.1).
#[cfg(feature = "certificates")]
fn is_offered(types: CertificateTypes) -> bool {
    types.contains(CertificateType::RawPublicKey)
}

/// The bytes of what a client with public keys offers.
#[cfg(feature = "certificates")]
#[derive(Default)]
struct Offers {
    groups: List<8>,
    schemes: List<24>,
    own_types: List<2>,
    peer_types: List<2>,
}

#[cfg(feature = "certificates")]
type List<const N: usize> = ShortBytes<N>;

#[cfg(feature = "certificates")]
impl Offers {
    fn fill<P: Provider>(&mut self, provider: &P, config: &Config) {
        let ephemeral = config.cipher_suites.iter().any(|suite| {
            suite
                .parameters()
                .is_some_and(|p| p.key_exchange.is_ephemeral())
                && config.usable(provider, suite, Role::Client)
        });
        if ephemeral {
            self.groups = list16(config.usable_groups(provider).map(|group| group.0));
        }
        if !config.peer_certificate_types.is_empty() {
            self.schemes = list16(config.usable_schemes(provider).map(|scheme| scheme.0));
        }
        self.own_types = list8(config.own_certificate_types);
        self.peer_types = list8(config.peer_certificate_types);
    }

    fn offer<'a>(&'a self, hello: &ClientHello<'a>, config: &'a Config) -> ClientHello<'a> {
        fn some(bytes: &[u8]) -> Option<&[u8]> {
            (!bytes.is_empty()).then_some(bytes)
        }
        ClientHello {
            supported_groups: some(self.groups.as_slice()),
            ec_point_formats: some(self.groups.as_slice()).map(|_| &[0][..]),
            signature_algorithms: some(self.schemes.as_slice()),
            protocols: some(config.protocols.as_bytes()),
            client_certificate_types: some(self.own_types.as_slice()),
            server_certificate_types: some(self.peer_types.as_slice()),
            ..*hello
        }
    }
}

#[cfg(feature = "certificates")]
fn list16<const N: usize>(values: impl Iterator<Item = u16>) -> List<N> {
    let mut bytes = [0; N];
    let mut len = 0;
    for (place, value) in bytes.chunks_exact_mut(2).zip(values) {
        place.copy_from_slice(&value.to_be_bytes());
        len += 2;
    }
    List::new(&bytes[..len]).unwrap_or_default()
}

#[cfg(feature = "certificates")]
fn list8<const N: usize>(types: CertificateTypes) -> List<N> {
    let mut bytes = [0; N];
    let mut len = 0;
    if is_offered(types) {
        for (place, value) in bytes.iter_mut().zip(types.iter()) {
            *place = value as u8;
            len += 1;
        }
    }
    List::new(&bytes[..len]).unwrap_or_default()
}
