//! A number of devices with one server.

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::config::CidConfig;
use lockgate_dtls::{AddressPolicy, CipherSuite, Config, Endpoint, EndpointConfig};
use lockgate_tokio::{Credentials, DropCounters};

use crate::connecting::{self, Pace};
use crate::exchange;
use crate::figures::{Exchanged, Handshakes, Probed, Stormed};
use crate::keys::Keys;
use crate::phase::Phase;
use crate::probe;
use crate::sockets::{Sockets, Sources};
use crate::turn::{Core, Identity, Progress, Session, State, Watch, engine_time};

/// How a fleet is made.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// Where the server is.
    pub server: SocketAddr,
    /// Where datagrams come from. Default a socket for each device.
    pub sources: Sources,
    /// What handshakes and sessions go by. Default: the engine's, and as devices do, the server's connection IDs are used
    /// and none are asked for ourselves. With [`Config::resumption`] every device goes on with its newest session when it
    /// connects again.
    pub config: Config,
    /// The host name to ask for (RFC 6066), or empty. Default empty.
    pub server_name: Vec<u8>,
    /// The DNS name or IP address that the server's certificate has to be for, or empty for any. Default empty.
    pub certificate_name: String,
    /// Pre-shared keys.
    pub keys: Keys,
    /// Certificates and raw public keys: the one that all devices show, and whom they believe. Default none.
    pub credentials: Credentials,
    /// How many sessions' keys are kept expanded, at some 1,300 bytes each; where there are more sessions than that, their
    /// keys are expanded for each datagram. Default 65,536.
    pub key_cache: usize,
    /// The share of datagrams that is lost on purpose, in either direction, 0 to 1. Default 0.
    pub loss: f64,
    /// What decides which ones, among other things that look random. Default 1.
    pub seed: u64,
}

impl FleetOptions {
    /// The defaults.
    pub fn new(server: SocketAddr, keys: Keys) -> Self {
        Self {
            server,
            sources: Sources::Sockets(None),
            config: Config {
                cid: CidConfig::Length(0),
                ..Config::default()
            },
            server_name: Vec::new(),
            certificate_name: String::new(),
            keys,
            credentials: Credentials::new(),
            key_cache: 1 << 16,
            loss: 0.0,
            seed: 1,
        }
    }
}

/// What a session and the server agreed on.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    /// The cipher suite.
    pub cipher_suite: CipherSuite,
    /// Length of the connection ID in the server's records, in bytes; 0 for none.
    pub own_cid_len: usize,
    /// Length of the connection ID in the device's records, in bytes; 0 for none.
    pub peer_cid_len: usize,
    /// Longest payload that one record carries to the server, in bytes.
    pub max_payload: usize,
    /// Bytes that a record adds around a payload.
    pub record_overhead: usize,
}

/// A number of devices with one server, simulated in the thread that calls.
///
/// Every phase takes somebody who watches: called ten times a second with what has come of the phase so far, and able to
/// end it early, with the figures up to then. An error of a phase is the machine's (no descriptors, no addresses) or the
/// caller's; what servers and networks do is counted.
pub struct Fleet {
    core: Core,
}

impl Fleet {
    /// A fleet without sessions.
    ///
    /// # Errors
    /// Options out of range, or sources from which the server cannot be reached.
    pub fn new(options: FleetOptions) -> io::Result<Self> {
        let mut config = options.config;
        options.credentials.configure_client(&mut config);
        config.psk &= !matches!(options.keys, Keys::None);
        // A device is told by where its datagrams come to, and stays the one that it is.
        config.address_policy = AddressPolicy::NeverMove;
        let config = EndpointConfig {
            config,
            server: false,
            max_connections: 1 << 24,
            max_fragmented_hellos: 0,
            key_cache: options.key_cache,
            ..EndpointConfig::default()
        };
        let endpoint = Endpoint::new(AwsLc, engine_time(0), config).map_err(io::Error::other)?;
        Ok(Self {
            core: Core::new(
                endpoint,
                Sockets::new(options.server, options.sources)?,
                Identity {
                    keys: options.keys,
                    credentials: options.credentials,
                    server_name: options.server_name,
                    certificate_name: options.certificate_name,
                },
                options.loss,
                options.seed,
            ),
        })
    }

    /// How many handshakes were asked for a certificate and had none to show that the server takes. Servers differ in what
    /// they say when they end a handshake for that.
    pub const fn declined(&self) -> u64 {
        self.core.declined
    }

    /// Why the kernel did not take the first datagram that it did not take, if there was any.
    pub const fn send_error(&self) -> Option<&io::Error> {
        self.core.send_error.as_ref()
    }

    /// Records of the server's that led nowhere since the fleet was made: repeated, not authentic, of sessions that are
    /// gone, …
    pub const fn dropped(&self) -> &DropCounters {
        &self.core.dropped
    }

    /// How many sessions there are.
    pub const fn sessions(&self) -> u32 {
        self.core.up
    }

    /// What the first session agreed with the server, if there is any.
    pub fn agreed(&self) -> Option<Agreed> {
        let up = |session: &&Session| session.state == State::Up;
        let session = self.core.sessions.iter().find(up)?;
        let info = self.core.endpoint.info(session.handle?)?;
        Some(Agreed {
            cipher_suite: info.cipher_suite,
            own_cid_len: info.own_cid.as_slice().len(),
            peer_cid_len: info.peer_cid.as_slice().len(),
            max_payload: info.max_payload,
            record_overhead: info.record_overhead,
        })
    }

    /// Makes sessions until devices 0 to `total` - 1 have one each: those that never had one, and those that lost it.
    /// Nothing is tried again of what fails; after so many failures in a row that there seems to be no server (any more),
    /// the rest is not begun.
    pub fn connect(
        &mut self,
        total: u32,
        pace: Pace,
        watch: &mut Watch<'_>,
    ) -> io::Result<Handshakes> {
        connecting::connect(&mut self.core, total, pace, watch)
    }

    /// Forgets all sessions without a word to the server, as devices do that lose power. [`Fleet::connect`] makes new
    /// ones, from the same addresses.
    pub fn forget_all(&mut self) {
        for n in 0..self.core.sessions.len() as u32 {
            self.core.forget(n);
        }
    }

    /// Has all devices lose power together and come back, again and again until `duration` has passed: forgets all
    /// sessions and makes them anew. The last round is finished.
    pub fn storm(
        &mut self,
        pace: Pace,
        duration: Duration,
        watch: &mut Watch<'_>,
    ) -> io::Result<Stormed> {
        let total = self.core.sessions.len() as u32;
        let start = Instant::now();
        let mut seen = Stormed::default();
        let mut stopped = false;
        while !stopped && start.elapsed() < duration {
            self.forget_all();
            let before = seen.handshakes.completed;
            let failed = seen.handshakes.failed.total();
            let round = self.connect(total, pace, &mut |progress| {
                let flow = watch(&Progress {
                    elapsed: start.elapsed(),
                    completed: before + progress.completed,
                    failed: failed + progress.failed,
                    ..*progress
                });
                stopped = flow == ControlFlow::Break(());
                flow
            })?;
            seen.rounds += 1;
            seen.round_us.record(exchange::nanos(round.elapsed));
            // A server that lets nobody in any more is left alone.
            stopped |= round.completed == 0;
            seen.handshakes.add(&round);
        }
        Ok(seen)
    }

    /// Runs one phase of traffic on all sessions that there are.
    ///
    /// # Errors
    /// Payloads that are longer than the server takes.
    pub fn run(&mut self, phase: &Phase, watch: &mut Watch<'_>) -> io::Result<Exchanged> {
        let longest = match &phase.coap {
            Some(get) => get.len(),
            None => phase.sizes.max().into(),
        };
        let limit = self.agreed().map_or(longest, |agreed| agreed.max_payload);
        if longest > limit {
            return Err(io::Error::other(format!(
                "payloads of {longest} bytes are too long: this server takes {limit}"
            )));
        }
        exchange::run(&mut self.core, phase, watch)
    }

    /// Has every session echo once, and tells how many did. One that is not answered after `lost_after` is asked again,
    /// twice at most.
    pub fn probe(&mut self, lost_after: Duration, watch: &mut Watch<'_>) -> io::Result<Probed> {
        probe::run(&mut self.core, lost_after, watch)
    }

    /// Ends all sessions with `close_notify`.
    pub fn close(&mut self) {
        for n in 0..self.core.sessions.len() {
            if let Some(handle) = self.core.sessions[n].handle.take() {
                self.core.endpoint.close(handle);
                self.core.transmit();
                while self.core.endpoint.poll_event().is_some() {}
            }
            self.core.sessions[n].state = State::Down;
        }
        (self.core.up, self.core.under_way) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_small_and_a_fleet_can_live_in_any_thread() {
        const fn sent<T: Send>() {}
        sent::<Fleet>();
        // Beside the engine's 500 or so: a million of them share a machine with the server that they measure.
        assert!(size_of::<Session>() <= 32, "{}", size_of::<Session>());
    }
}
