//! A session that goes on: by its ticket, or by an ID that the caller knows.

use super::{ExpectFinished, State};
use crate::association::Role;
use crate::bytes::ShortBytes;
use crate::certificate::ClientAuth;
use crate::crypto::{MAX_TAG_LEN, Provider};
use crate::error::{ApiError, HandshakeError, Limit, PeerIncompatible};
use crate::flight::Protection;
use crate::session::{MAX_SESSION_LEN, PeerIdentity, Resumable, SessionParts};
use crate::v12::{
    Context, Core, Message, ResumptionRequest, Scratch, State as CoreState, StepError,
};
use crate::wire::{ClientHello, HandshakeType, RANDOM_LEN, ServerHello};

impl<P: Provider> Core<P> {
    /// Whether there is a session that may go on: one in a ticket of ours, or an ID that the caller may know.
    pub(super) fn find_session(
        &mut self,
        cx: &mut Context<'_, P>,
        hello: &ClientHello<'_>,
    ) -> bool {
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
            && parts.role == Role::Server
            && hello.suites().any(|suite| suite == parts.suite)
            && parts.server_name == self.server_name.as_slice()
            && (parts.extended_master_secret || !hello.extended_master_secret)
            && (parts.peer != PeerIdentity::Anonymous
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
