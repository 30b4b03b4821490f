//! A server's flight from its ephemeral key on.

use super::{ExpectSignature, State};
use crate::crypto::{KeyExchange as _, NamedGroup, Provider};
use crate::error::{ApiError, HandshakeError, Limit};
use crate::event::Request;
use crate::flight::Protection;
use crate::v12::exchange::{MAX_PARAMS_LEN, MAX_SIGNED_PARAMS_LEN};
use crate::v12::{
    Context, Core, Credential, Scratch, SignatureRequest, State as CoreState, StepError,
};
use crate::wire::{
    CertificateRequest, EcdheParams, HandshakeType, PskServerKeyExchange, RANDOM_LEN, Signed,
    Writer,
};

/// Longest that the names of our authorities may be together, in bytes.
const MAX_AUTHORITIES_LEN: usize = 4096;

impl<P: Provider> Core<P> {
    /// Makes the ephemeral key, puts aside what is to be signed and asks for it.
    pub(super) fn ask_for_signature(
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
    pub(super) fn end_psk_flight(
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
}
