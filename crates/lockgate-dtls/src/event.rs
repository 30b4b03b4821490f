//! What a connection tells its caller.

#[cfg(feature = "key-log")]
use core::fmt;

#[cfg(feature = "key-log")]
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::CloseReason;
#[cfg(feature = "key-log")]
use crate::key_schedule::MASTER_SECRET_LEN;
#[cfg(feature = "key-log")]
use crate::wire::RANDOM_LEN;

/// What happened to one connection.
#[derive(Clone, Debug)]
pub enum Event {
    /// A key is needed. A server reads the client's identity, a client the server's hint, from `psk_identity`; the
    /// answer is `provide_psk` (or, on a server without the key, `refuse_psk`), now or later.
    PskRequested,
    /// A certificate or raw public key of ours may be needed: read `credential_request`, and answer with
    /// `provide_credential`, or with `decline_credential` when there is none that fits.
    #[cfg(feature = "certificates")]
    CredentialRequested,
    /// A signature with our private key is needed: read `signature_request`, answer with `provide_signature`.
    #[cfg(feature = "certificates")]
    SignatureRequested,
    /// The peer showed what it is: read `peer_certificate`, and answer with `accept_peer` or `refuse_peer`. That it holds
    /// the private key is proved only when the handshake completes.
    #[cfg(feature = "certificates")]
    PeerCertificate,
    /// An earlier session is to go on: read `resumption_request`, and answer with `accept_resumption`, or with
    /// `provide_session` where only its ID is known, or with `refuse_resumption`.
    #[cfg(feature = "resumption")]
    ResumptionRequested,
    /// A session that can be resumed. A client keeps it for its next connection with this server; a server keeps it under
    /// its ID. Comes just before [`Event::Connected`].
    #[cfg(feature = "endpoint")]
    NewSession(crate::session::Session),
    /// The handshake is complete; data can be sent, after what transmits are polled for: a server's `Finished` is among
    /// them, and data that overtakes it is dropped.
    Connected,
    /// The session moved to the address that its newest record came from (RFC 9146 §6).
    PathChanged,
    /// The connection is over.
    Closed(CloseReason),
    /// Keys were made, and [`Config::key_log`](crate::Config::key_log) asks to see them.
    #[cfg(feature = "key-log")]
    KeyLog(KeyLogEntry),
}

#[cfg(feature = "key-log")]
/// A line for a key log file, such as Wireshark reads it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct KeyLogEntry {
    #[zeroize(skip)]
    client_random: [u8; RANDOM_LEN],
    secret: [u8; MASTER_SECRET_LEN],
}

#[cfg(feature = "key-log")]
impl KeyLogEntry {
    pub(crate) const fn new(
        client_random: &[u8; RANDOM_LEN],
        secret: &[u8; MASTER_SECRET_LEN],
    ) -> Self {
        Self {
            client_random: *client_random,
            secret: *secret,
        }
    }

    /// The label of the line (`SSLKEYLOGFILE`).
    pub const fn label(&self) -> &'static str {
        "CLIENT_RANDOM"
    }

    /// The client random, which names the connection.
    pub const fn client_random(&self) -> &[u8; RANDOM_LEN] {
        &self.client_random
    }

    /// The master secret.
    pub const fn secret(&self) -> &[u8; MASTER_SECRET_LEN] {
        &self.secret
    }
}

#[cfg(feature = "key-log")]
impl fmt::Debug for KeyLogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLogEntry").finish_non_exhaustive()
    }
}

/// What a handshake waits for its caller to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Psk,
    #[cfg(feature = "certificates")]
    Credential,
    #[cfg(feature = "certificates")]
    Signature,
    #[cfg(feature = "certificates")]
    PeerCertificate,
    #[cfg(feature = "resumption")]
    Resumption,
}

impl From<Request> for Event {
    fn from(request: Request) -> Self {
        match request {
            Request::Psk => Self::PskRequested,
            #[cfg(feature = "certificates")]
            Request::Credential => Self::CredentialRequested,
            #[cfg(feature = "certificates")]
            Request::Signature => Self::SignatureRequested,
            #[cfg(feature = "certificates")]
            Request::PeerCertificate => Self::PeerCertificate,
            #[cfg(feature = "resumption")]
            Request::Resumption => Self::ResumptionRequested,
        }
    }
}

/// What one step of a handshake has to tell; the caller turns it into [`Event`]s.
#[derive(Debug, Default)]
pub(crate) struct EventFlags {
    pub(crate) request: Option<Request>,
    pub(crate) connected: bool,
    #[cfg(feature = "key-log")]
    pub(crate) key_log: Option<KeyLogEntry>,
    /// The end has been told (used where there is no queue of events).
    pub(crate) closed_told: bool,
}

impl EventFlags {
    /// Nothing to tell.
    pub(crate) const NONE: Self = Self {
        request: None,
        connected: false,
        #[cfg(feature = "key-log")]
        key_log: None,
        closed_told: false,
    };
}
