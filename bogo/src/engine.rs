//! The engine as the shim uses it: its options from the runner's flags, on a clock that the runner moves.

use std::collections::HashMap;
use std::time::Duration;

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::certificate::{CertificateType, CertificateTypes, ClientAuth};
use lockgate_dtls::config::{GroupList, ProtocolList, SchemeList};
use lockgate_dtls::crypto::{NamedGroup, SignatureScheme};
use lockgate_dtls::wire::AlertDescription;
use lockgate_dtls::{
    CidConfig, Config, ConnectionHandle, ConnectionInfo, Datagram, Endpoint, EndpointConfig, Event,
    Instant, MAX_SCRATCH_LEN, Received, Session, ShortBytes, UdpPath,
};

use crate::credentials::Keyring;
use crate::faults::Failure;
use crate::options::{AlpnAnswer, CommandLine, Options, Versions};

/// The runner's schedule of retransmissions: 400 ms, doubling to 60 s, and the thirteenth time-out is the end.
const INITIAL_TIMEOUT: Duration = Duration::from_millis(400);
const MAX_TIMEOUT: Duration = Duration::from_mins(1);
const MAX_RETRANSMITS: u8 = 12;
/// Longer than that schedule, so that only it ends a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_hours(1);
/// A timer with less than this left is taken as fired.
const FUDGE: Duration = Duration::from_millis(15);
/// The widest that a test with records out of order needs.
const REPLAY_WINDOW: u16 = 256;
/// Bytes that a record adds to a payload, and some.
const RECORD_ROOM: usize = 128;
/// A protocol that no client of the runner's offers.
const NOBODYS_PROTOCOL: &[u8] = b"lockgate-none";

/// One end of all connections of a run: tickets and sessions of one serve the next.
pub(crate) struct Engine {
    pub(super) endpoint: Endpoint<AwsLc, UdpPath>,
    pub(super) now: Instant,
    pub(super) keyring: Keyring,
    /// A server's sessions by their IDs.
    pub(super) sessions: HashMap<Vec<u8>, Session>,
    /// A client's newest session.
    pub(super) newest: Option<Session>,
}

/// What of the command line cannot be done, if something cannot.
pub(crate) fn not_implemented(line: &CommandLine) -> Option<&'static str> {
    if !line.initial.dtls {
        return Some("anything but DTLS");
    }
    (line.initial.versions() == Versions::Others).then_some("a handshake without DTLS 1.2")
}

fn bad_options(what: impl std::fmt::Display) -> Failure {
    Failure::new("options", what)
}

/// The certificate types that we can show. A server lets all be agreed on, so that it is asked even when it has none of
/// the agreed type, and can say so.
fn own_certificate_types(options: &Options, keyring: &Keyring) -> CertificateTypes {
    let mut types = keyring.certificate_types();
    if options.server && !types.is_empty() {
        for other in [CertificateType::X509, CertificateType::RawPublicKey] {
            if !types.contains(&other) {
                types.push(other);
            }
        }
    } else if !options.client_certificate_types.is_empty() {
        let given = options.client_certificate_types.iter();
        types = given
            .filter_map(|&b| CertificateType::from_byte(b))
            .collect();
    }
    CertificateTypes::new(&types)
}

fn protocols(options: &Options) -> Result<ProtocolList, Failure> {
    let mut names: Vec<&[u8]> = Vec::new();
    if options.server {
        match &options.alpn_answer {
            AlpnAnswer::Decline | AlpnAnswer::SelectEmpty => {}
            AlpnAnswer::Select(name) => names.push(name),
            AlpnAnswer::Reject => names.push(NOBODYS_PROTOCOL),
        }
    } else {
        let mut rest = options.advertise_alpn.as_slice();
        while let Some((&len, tail)) = rest.split_first() {
            let (name, tail) = tail
                .split_at_checked(len.into())
                .ok_or_else(|| bad_options("the list of protocols is cut short"))?;
            names.push(name);
            rest = tail;
        }
    }
    ProtocolList::new(&names).ok_or_else(|| bad_options("the protocols do not fit"))
}

fn config(options: &Options, keyring: &Keyring) -> Result<Config, Failure> {
    let defaults = Config::default();
    Ok(Config {
        psk: !options.psk.is_empty(),
        psk_identity_hint: ShortBytes::new(&options.psk_identity)
            .ok_or_else(|| bad_options("the PSK identity is too long"))?,
        own_certificate_types: own_certificate_types(options, keyring),
        peer_certificate_types: CertificateTypes::new(&[CertificateType::X509]),
        client_auth: if options.require_client_certificate {
            ClientAuth::Required
        } else if options.server && options.verify_peer {
            ClientAuth::Optional
        } else {
            ClientAuth::None
        },
        groups: if options.groups.is_empty() {
            defaults.groups
        } else {
            let groups: Vec<_> = options.groups.iter().map(|&g| NamedGroup(g)).collect();
            GroupList::new(&groups)
        },
        signature_schemes: if options.verify_prefs.is_empty() {
            defaults.signature_schemes
        } else {
            let schemes = options.verify_prefs.iter().map(|&s| SignatureScheme(s));
            SchemeList::new(&schemes.collect::<Vec<_>>())
        },
        max_certificate_list: options
            .max_certificate_list
            .and_then(|len| u16::try_from(len).ok())
            .unwrap_or(u16::MAX),
        protocols: protocols(options)?,
        take_unoffered_protocol: options.allow_unknown_alpn,
        acknowledge_server_name: !options.no_server_name_ack,
        resumption: true,
        cid: CidConfig::Off,
        mtu: options.mtu.unwrap_or(defaults.mtu),
        initial_timeout: options
            .initial_timeout_ms
            .map_or(INITIAL_TIMEOUT, |ms| Duration::from_millis(ms.into())),
        max_timeout: MAX_TIMEOUT,
        max_retransmits: MAX_RETRANSMITS,
        handshake_timeout: HANDSHAKE_TIMEOUT,
        // The runner asks for the deadlines of its connection; that of one before it must not come between.
        settle_time: HANDSHAKE_TIMEOUT,
        replay_window: REPLAY_WINDOW,
        ..defaults
    })
}

impl Engine {
    /// An engine without connections.
    pub(crate) fn new(options: &Options) -> Result<Self, Failure> {
        let keyring = Keyring::load(options)?;
        let config = EndpointConfig {
            config: config(options, &keyring)?,
            server: options.server,
            // The runner expects no HelloVerifyRequest.
            cookies: false,
            max_connections: 16,
            scratch_len: Some(MAX_SCRATCH_LEN),
            ..EndpointConfig::default()
        };
        let now = Instant::default();
        Ok(Self {
            endpoint: Endpoint::new(AwsLc, now, config).map_err(bad_options)?,
            now,
            keyring,
            sessions: HashMap::new(),
            newest: None,
        })
    }

    /// Begins a handshake with the runner, offering the newest session if `resumes`.
    pub(crate) fn connect(
        &mut self,
        path: UdpPath,
        options: &Options,
        resumes: bool,
    ) -> Result<ConnectionHandle, Failure> {
        let offered = if resumes { self.newest.take() } else { None };
        if resumes && offered.is_none() {
            return Err(Failure::expectation("there is no session to resume"));
        }
        let name = options.host_name.as_slice();
        let connected = self
            .endpoint
            .connect_with(self.now, path, name, offered.as_ref());
        // It may well be offered again.
        self.newest = offered;
        Ok(connected?)
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
    pub(crate) fn set_mtu(&mut self, handle: ConnectionHandle, mtu: usize) -> Result<(), Failure> {
        Ok(self.endpoint.set_mtu(handle, mtu)?)
    }

    /// The first retransmission time-out is another one from now on, for the running timer too.
    pub(crate) fn set_initial_timeout(
        &mut self,
        handle: ConnectionHandle,
        timeout: Duration,
    ) -> Result<(), Failure> {
        Ok(self.endpoint.set_initial_timeout(handle, timeout)?)
    }

    /// What an established connection is.
    pub(crate) fn info(
        &self,
        handle: ConnectionHandle,
    ) -> Result<ConnectionInfo<UdpPath>, Failure> {
        self.endpoint
            .info(handle)
            .ok_or_else(|| Failure::expectation("the connection is not established"))
    }

    /// The agreed application protocol, or nothing.
    pub(crate) fn protocol(&self, handle: ConnectionHandle) -> &[u8] {
        self.endpoint.protocol(handle).unwrap_or_default()
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

    /// Ends a connection with an alert.
    pub(crate) fn abort(&mut self, handle: ConnectionHandle, alert: AlertDescription) {
        self.endpoint.abort(handle, alert);
    }

    /// Forgets a connection.
    pub(crate) fn discard(&mut self, handle: ConnectionHandle) {
        self.endpoint.discard(handle);
    }
}
