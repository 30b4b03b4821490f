//! The engine as the shim uses it: its options from the runner's flags, its requests answered from them.
//!
//! All that depends on what the engine can do stands here.

use std::time::Duration;

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::{
    CidConfig, Config, ConnectionHandle, Datagram, Endpoint, EndpointConfig, Event, Instant,
    MAX_SCRATCH_LEN, Received, ShortBytes, UdpPath,
};

use crate::faults::Failure;
use crate::options::{CommandLine, CredentialKind, Options, Versions};

/// The runner's schedule of retransmissions: 400 ms, doubling to 60 s, and the thirteenth time-out is the end.
const INITIAL_TIMEOUT: Duration = Duration::from_millis(400);
const MAX_TIMEOUT: Duration = Duration::from_mins(1);
const MAX_RETRANSMITS: u8 = 12;
/// Longer than that schedule, so that only it ends a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_hours(1);
/// A timer with less than this left is taken as fired.
const FUDGE: Duration = Duration::from_millis(15);
/// Bytes that a record adds to a payload, and some.
const RECORD_ROOM: usize = 128;

/// One end of one connection, on a clock that the runner moves.
pub(crate) struct Engine {
    endpoint: Endpoint<AwsLc, UdpPath>,
    now: Instant,
}

/// What of the command line cannot be done, if something cannot.
pub(crate) fn not_implemented(line: &CommandLine) -> Option<&'static str> {
    let o = &line.initial;
    if !o.dtls {
        return Some("anything but DTLS");
    }
    match o.versions() {
        Versions::Include12 => {}
        Versions::Others => return Some("a handshake without DTLS 1.2"),
        // Nothing is asked of us but to say so.
        Versions::Nothing => return None,
    }
    if o.resume_count > 0 {
        return Some("resumption");
    }
    if let Some(credential) = o.credential.iter().chain(&o.more_credentials).next() {
        return Some(match credential.kind {
            CredentialKind::X509 => "certificates",
            CredentialKind::RawPublicKey => "raw public keys",
            CredentialKind::ImportedPsk => "imported pre-shared keys",
        });
    }
    if o.psk.is_empty() {
        return Some("a handshake without a pre-shared key");
    }
    if !o.advertise_alpn.is_empty() || !o.expect_advertised_alpn.is_empty() {
        return Some("ALPN");
    }
    if o.send_alert {
        return Some("an alert of the caller's choice");
    }
    None
}

impl Engine {
    /// An engine without connections.
    pub(crate) fn new(options: &Options) -> Result<Self, Failure> {
        let hint = ShortBytes::new(&options.psk_identity)
            .ok_or_else(|| Failure::new("options", "the PSK identity is too long"))?;
        let config = Config {
            cid: CidConfig::Off,
            psk_identity_hint: hint,
            mtu: options.mtu.unwrap_or(Config::default().mtu),
            initial_timeout: options
                .initial_timeout_ms
                .map_or(INITIAL_TIMEOUT, |ms| Duration::from_millis(ms.into())),
            max_timeout: MAX_TIMEOUT,
            max_retransmits: MAX_RETRANSMITS,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            replay_window: 128,
            ..Config::default()
        };
        let config = EndpointConfig {
            config,
            server: options.server,
            // The runner expects no HelloVerifyRequest.
            cookies: false,
            max_connections: 16,
            scratch_len: MAX_SCRATCH_LEN,
            ..EndpointConfig::default()
        };
        let now = Instant::default();
        let endpoint = Endpoint::new(AwsLc, now, config).map_err(|e| Failure::new("options", e))?;
        Ok(Self { endpoint, now })
    }

    /// Begins a handshake with the runner.
    pub(crate) fn connect(
        &mut self,
        path: UdpPath,
        options: &Options,
    ) -> Result<ConnectionHandle, Failure> {
        Ok(self.endpoint.connect(self.now, path, &options.host_name)?)
    }

    /// Takes the next record of a datagram in.
    pub(crate) fn handle(&mut self, path: UdpPath, input: &mut Datagram<'_>) -> Option<Received> {
        self.endpoint.handle(self.now, path, input)
    }

    /// What happened.
    pub(crate) fn poll_event(&mut self) -> Option<(ConnectionHandle, Event)> {
        self.endpoint.poll_event()
    }

    /// The next datagram to send.
    pub(crate) fn poll_transmit<'a>(&mut self, buf: &'a mut [u8]) -> Option<&'a [u8]> {
        let transmit = self.endpoint.poll_transmit(self.now, buf)?;
        buf.get(..transmit.len)
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, time: Duration) {
        self.now = self.now + time;
        if let Some(at) = self.endpoint.poll_timeout()
            && at.saturating_since(self.now) < FUDGE
        {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
        }
    }

    /// How long until the next deadline.
    pub(crate) fn until_deadline(&self) -> Option<Duration> {
        let left = self.endpoint.poll_timeout()?.saturating_since(self.now);
        Some(if left < FUDGE { Duration::ZERO } else { left })
    }

    /// The path carries datagrams of so many bytes from now on.
    #[expect(clippy::unused_self, reason = "the engine cannot do it yet")]
    pub(crate) fn set_mtu(&mut self, _: ConnectionHandle, _: usize) -> Result<(), Failure> {
        Err(Failure::NotImplemented(
            "another MTU during a handshake".into(),
        ))
    }

    /// The first retransmission time-out is another one from now on, for the running timer too.
    #[expect(clippy::unused_self, reason = "the engine cannot do it yet")]
    pub(crate) fn set_initial_timeout(
        &mut self,
        _: ConnectionHandle,
        _: Duration,
    ) -> Result<(), Failure> {
        Err(Failure::NotImplemented(
            "another time-out during a handshake".into(),
        ))
    }

    /// Answers what the engine asks its caller for.
    pub(crate) fn answer(
        &mut self,
        handle: ConnectionHandle,
        request: &Event,
        options: &Options,
    ) -> Result<(), Failure> {
        if matches!(request, Event::PskRequested) {
            self.answer_psk(handle, options)?;
        }
        Ok(())
    }

    fn answer_psk(&mut self, handle: ConnectionHandle, options: &Options) -> Result<(), Failure> {
        let shown = self.endpoint.psk_identity(handle).unwrap_or_default();
        let ours = shown == options.psk_identity;
        if options.server {
            if ours {
                self.endpoint.provide_psk(self.now, handle, &options.psk)?;
            } else {
                self.endpoint.refuse_psk(self.now, handle)?;
            }
        } else if ours {
            self.endpoint.provide_identity(
                self.now,
                handle,
                &options.psk_identity,
                &options.psk,
            )?;
        } else {
            return Err(Failure::expectation("the server hints at another identity"));
        }
        Ok(())
    }

    /// Looks whether the handshake came to what the runner expects.
    pub(crate) fn check(
        &self,
        handle: ConnectionHandle,
        _options: &Options,
        _resumes: bool,
    ) -> Result<(), Failure> {
        self.endpoint
            .info(handle)
            .map(|_| ())
            .ok_or_else(|| Failure::expectation("the connection is not established"))
    }

    /// One application datagram, protected.
    pub(crate) fn protect(
        &mut self,
        handle: ConnectionHandle,
        payload: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let mut out = vec![0; payload.len() + RECORD_ROOM];
        let (range, _) = self.endpoint.send(handle, payload, &mut out)?;
        out.truncate(range.end);
        Ok(out.split_off(range.start))
    }

    /// The keying material that the runner asks for.
    pub(crate) fn export(
        &self,
        handle: ConnectionHandle,
        options: &Options,
    ) -> Result<Vec<u8>, Failure> {
        let context = options
            .export_with_context
            .then_some(options.export_context.as_slice());
        let mut out = vec![0; options.export_len];
        self.endpoint
            .export_keying_material(handle, &options.export_label, context, &mut out)?;
        Ok(out)
    }

    /// Ends a connection in the usual way.
    pub(crate) fn close(&mut self, handle: ConnectionHandle) {
        self.endpoint.close(handle);
    }
}
