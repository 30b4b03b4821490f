//! Lockgate's DTLS engine: the protocol, and nothing else.
//!
//! It owns no socket, no clock, no thread and no cryptography, and needs no heap. Datagrams, the time and random numbers
//! come from the caller; what is to be sent, when to come back, and what happened are polled for. It never calls back and
//! never waits: a key that must be looked up is an [`Event`] that is answered when the key is there, so a slow key server
//! delays one handshake and nothing else.
//!
//! - [`Endpoint`] (feature `endpoint`, needs a heap): many connections on one socket, routed by connection ID (RFC 9146)
//!   or address, with stateless cookies and caps on what is half open.
//! - [`Connection`]: one connection, without a heap, for devices.
//! - [`Association`]: what is left when the handshake is over, small and of fixed size; it can be exported and brought
//!   back ([`export`], [`lease`]).
//! - [`crypto`]: what a provider implements. `lockgate-aws-lc` and `lockgate-rustcrypto` do.
//!
//! What comes in a datagram is never an `Err`: it leads to something or it has a [`DropReason`].
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "endpoint")]
extern crate alloc;

mod address;
mod association;
mod bytes;
pub mod certificate;
pub mod config;
mod connection;
pub mod crypto;
mod datagram;
mod drop_reason;
#[cfg(feature = "endpoint")]
mod endpoint;
mod error;
mod event;
pub mod export;
mod flight;
mod handshake;
mod key_schedule;
pub mod lease;
mod record;
#[cfg(feature = "resumption")]
mod session;
mod suite;
mod time;
mod transmit;
mod v12;
pub mod wire;

pub use address::{Address, MAX_ADDRESS_LEN, UdpPath};
pub use association::{Association, Role};
pub use bytes::{OwnCid, PeerCid, ShortBytes, ShortList};
pub use config::{AddressPolicy, AeadLimits, CidConfig, Config, ConfigError, Padding};
pub use connection::{Connection, Outcome};
pub use datagram::Datagram;
pub use drop_reason::DropReason;
#[cfg(feature = "endpoint")]
pub use endpoint::{
    CidKey, CidRoute, ConnectionHandle, ConnectionInfo, Endpoint, EndpointConfig, Placement,
    Received, TicketSecret, Transmit,
};
pub use error::{
    ApiError, CloseReason, HandshakeError, Limit, PeerIncompatible, PeerMisbehaved, SendError,
    Timeout, WaitingFor,
};
pub use event::Event;
#[cfg(feature = "key-log")]
pub use event::KeyLogEntry;
pub use handshake::{MAX_SCRATCH_LEN, MIN_CLIENT_SCRATCH_LEN, MIN_SCRATCH_LEN};
#[cfg(feature = "resumption")]
pub use session::PeerIdentity;
#[cfg(feature = "endpoint")]
pub use session::Session;
pub use suite::{CipherSuite, KeyExchangeAlgorithm, SuiteList, SuiteParameters};
pub use time::{Duration, Instant};
#[cfg(feature = "resumption")]
pub use v12::ResumptionRequest;
#[cfg(feature = "certificates")]
pub use v12::{Credential, CredentialRequest, SignatureRequest};
