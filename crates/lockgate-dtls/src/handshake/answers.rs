//! What the handshake asks its caller, and the caller's answers.

use super::Handshake;
#[cfg(feature = "resumption")]
use crate::association::Role;
#[cfg(feature = "resumption")]
use crate::config::Config;
use crate::crypto::Provider;
use crate::error::ApiError;
use crate::v12::{Context, Core, Scratch, StepError};

impl<P: Provider, B: AsMut<[u8]> + AsRef<[u8]>> Handshake<P, B> {
    /// Lets the caller's answer act, and then what has waited for it.
    pub(crate) fn answer(
        &mut self,
        cx: &mut Context<'_, P>,
        step: impl FnOnce(&mut Core<P>, &mut Context<'_, P>, &mut Scratch<'_>) -> Result<(), StepError>,
    ) -> Result<(), ApiError> {
        let mut parts = self.layout.split(self.buffer.as_mut());
        match step(&mut self.core, cx, &mut parts.scratch) {
            Ok(()) => {
                self.process_ready(cx);
                Ok(())
            }
            Err(StepError::Api(error)) => Err(error),
            Err(StepError::Handshake(error)) => {
                self.fail(error);
                Ok(())
            }
        }
    }

    /// Our flight's memory and the transcript, for what the caller is asked about.
    #[cfg(feature = "certificates")]
    pub(crate) fn memory(&self) -> (&Core<P>, &[u8], &[u8]) {
        let buffer = self.buffer.as_ref();
        let end = buffer.len().saturating_sub(usize::from(self.layout.early));
        let start = end.saturating_sub(usize::from(self.layout.transcript));
        (
            &self.core,
            self.layout.outgoing(buffer),
            buffer.get(start..end).unwrap_or_default(),
        )
    }

    /// What the peer showed, while the caller is asked about it.
    #[cfg(feature = "certificates")]
    pub(crate) fn peer_certificate(&self) -> Option<crate::certificate::PeerCertificate<'_>> {
        if !self.core.holds_message() {
            return None;
        }
        let body = self.reassembly.held()?;
        let at = usize::from(self.layout.outgoing);
        let body = self.buffer.as_ref().get(at..)?.get(body)?;
        self.core.shown(body)
    }

    /// The caller takes what the peer showed.
    #[cfg(feature = "certificates")]
    pub(crate) fn accept_peer(
        &mut self,
        cx: &mut Context<'_, P>,
        name: &[u8],
    ) -> Result<(), ApiError> {
        if !self.core.holds_message() {
            return Err(ApiError::NotRequested);
        }
        let body = self.reassembly.held().ok_or(ApiError::NotRequested)?;
        let parts = self.layout.split(self.buffer.as_mut());
        let certificate = parts
            .incoming
            .get(body)
            .and_then(|body| self.core.shown(body))
            .ok_or(ApiError::NotRequested)?;
        let step = self.core.accept_peer(cx, certificate, name);
        self.reassembly.consume(parts.incoming);
        self.answer(cx, |_, _, _| step)
    }

    /// The session that can be resumed, once the handshake is over.
    #[cfg(feature = "resumption")]
    pub(crate) fn write_session(
        &self,
        config: &Config,
        role: Role,
        out: &mut [u8],
    ) -> Option<usize> {
        let outgoing = self.layout.outgoing(self.buffer.as_ref());
        self.core.write_session(config, role, outgoing, out)
    }

    /// What the peer proved itself with, as far as it has.
    #[cfg(feature = "resumption")]
    pub(crate) fn peer_identity(&self) -> crate::session::PeerIdentity<'_> {
        self.core.peer.identity()
    }

    /// Changes the first time-out of this handshake's flights.
    #[cfg(feature = "endpoint")]
    pub(crate) fn set_initial_timeout(&mut self, initial: crate::time::Duration, config: &Config) {
        self.core.timer.set_initial(initial, config);
    }

    /// What the path is known to take, in bytes of UDP payload.
    #[cfg(feature = "endpoint")]
    pub(crate) fn set_mtu(&mut self, mtu: u16) {
        self.core.timer.set_mtu(mtu);
    }
}
