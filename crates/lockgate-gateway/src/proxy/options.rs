//! From the proxy's options to the engine's.

use lockgate_dtls::{CidConfig, CipherSuite, Config, EndpointConfig, SuiteList};

use crate::config::{MAX_SESSIONS, ProxyOptions};

/// What the engine of each worker goes by, for a proxy of so many sessions.
pub(super) fn endpoint(options: &ProxyOptions, sessions: u32) -> EndpointConfig {
    let workers = u32::from(options.workers);
    let suites: Vec<_> = options
        .cipher_suites
        .iter()
        .map(|&n| CipherSuite(n))
        .collect();
    let config = Config {
        cipher_suites: SuiteList::new(&suites),
        psk: options.psk,
        own_certificate_types: options.certificates.own_types(),
        peer_certificate_types: options.certificates.peer_types(),
        client_auth: options.certificates.client_auth,
        resumption: options.resumption,
        // With 0, clients that want to be sent connection IDs still are.
        cid: CidConfig::Length(options.cid_length),
        require_extended_master_secret: options.require_extended_master_secret,
        reveal_unknown_identity: options.reveal_unknown_identity,
        mtu: usize::from(options.mtu),
        handshake_timeout: options.handshake_timeout,
        key_log: options.keylog.is_some(),
        ..Config::default()
    };
    EndpointConfig {
        config,
        // The sessions may all come to one worker. Handshakes need places of their own: with all sessions taken, a device must be able to replace its own.
        max_connections: sessions
            .saturating_add(options.max_half_open)
            .min(MAX_SESSIONS),
        // A ticket holds for one to two of these.
        ticket_lifetime: options.session_lifetime / 2,
        // The kernel spreads what comes from one address over the workers as well, by its port.
        max_half_open: options.max_half_open.div_ceil(workers),
        max_half_open_per_address: options.max_half_open_per_address.div_ceil(workers),
        ..EndpointConfig::default()
    }
}
