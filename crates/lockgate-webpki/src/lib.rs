//! Certificate checks for `lockgate-dtls`, and our own certificates.
//!
//! The engine hands out what a peer showed as a [`PeerCertificate`](lockgate_dtls::certificate::PeerCertificate) and waits
//! for a verdict. It knows neither names nor authorities nor the time; here they are:
//!
//! - `Verifier` (needs a heap): what a server trusts, read from files, checked and shared.
//! - [`Trust`]: the same, borrowed from wherever a device has it; no heap, no clock needed ([`Time::Unknown`]).
//! - `CredentialStore` (needs a heap): our own certificates and raw public keys, and which of them a peer gets to see.
//! - [`Identity`]: who the peer is, for logs and for whoever decides by names.
//!
//! Chains are verified by `rustls-webpki`, with the signatures that the caller names ([`algorithms`]). What a peer sends
//! never panics, and how much of it is looked at is bounded ([`Policy`]).
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod algorithms;
mod certificate;
mod chain;
#[cfg(feature = "alloc")]
mod credential;
mod der;
mod identity;
mod name;
mod policy;
#[cfg(feature = "alloc")]
mod source;
#[cfg(feature = "alloc")]
mod store;
mod time;
mod trust;
#[cfg(feature = "alloc")]
mod verifier;

pub use chain::{RevocationList, TrustAnchor, trust_anchor};
#[cfg(feature = "alloc")]
pub use credential::{Credential, CredentialLoader};
#[cfg(feature = "alloc")]
pub use identity::OwnedIdentity;
pub use identity::{Identity, KeyHash};
pub use name::{AlternativeName, DistinguishedName, ServerName, Text};
pub use policy::{
    MAX_CERTIFICATES, MAX_CHAIN_BYTES, MAX_INTERMEDIATES, MAX_SAME_SUBJECT, Policy, Revocation,
    RevocationDepth, UnknownStatus, Usage,
};
pub use rustls_pki_types::CertificateDer;
#[cfg(feature = "std")]
pub use source::MAX_FILE_LEN;
#[cfg(feature = "alloc")]
pub use source::{Fault, Item, LoadError, PemFault, Source};
#[cfg(feature = "alloc")]
pub use store::{CredentialStore, Mismatch, Request};
pub use time::{Date, Time, Validity};
#[cfg(not(feature = "alloc"))]
pub use trust::MAX_OWN_INTERMEDIATES;
pub use trust::Trust;
#[cfg(feature = "alloc")]
pub use verifier::{Verifier, VerifierBuilder};
