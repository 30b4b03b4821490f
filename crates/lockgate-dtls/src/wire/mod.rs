//! Bytes to values and back: one file per structure, without state, allocation or panics.
//!
//! Parsers take exactly the structure's bytes; what is left over is malformed (RFC 5246 §7.4.1.4). Emitters write
//! into a [`Writer`] and fail only for want of room.

mod alert;
mod buffer;
mod certificate;
mod client_hello;
mod extension;
mod handshake;
mod hello_verify_request;
mod key_exchange;
mod record;
mod server_hello;
mod session_ticket;
#[cfg(test)]
mod tests;

pub use alert::{Alert, AlertDescription, AlertLevel};
pub use buffer::{BufferTooSmall, Malformed, Reader, Writer};
pub use certificate::{CertificateMessage, CertificateRequest};
pub use client_hello::ClientHello;
#[cfg(feature = "certificates")]
pub(crate) use extension::names;
#[cfg(feature = "certificates")]
pub(crate) use extension::pairs;
pub use extension::{Extension, ExtensionType, Extensions, MalformedHello, MaxFragmentLength};
pub use handshake::{HANDSHAKE_HEADER_LEN, HandshakeHeader, HandshakeType};
pub use hello_verify_request::HelloVerifyRequest;
pub use key_exchange::{
    EcdheClientKeyExchange, EcdheParams, PskClientKeyExchange, PskServerKeyExchange, Signed,
};
pub use record::{ContentType, RECORD_HEADER_LEN, RecordHeader};
pub use server_hello::ServerHello;
pub use session_ticket::NewSessionTicket;

/// DTLS 1.0, legal only as the record version of a `ClientHello` and in a `HelloVerifyRequest` (RFC 6347 §4.2.1).
pub const DTLS_1_0: u16 = 0xFEFF;
/// DTLS 1.2.
pub const DTLS_1_2: u16 = 0xFEFD;
/// Length of the randoms in hello messages, in bytes.
pub const RANDOM_LEN: usize = 32;
/// Length of `verify_data` in `Finished`, in bytes (RFC 5246 §7.4.9).
pub const VERIFY_DATA_LEN: usize = 12;
/// Longest `session_id`, in bytes (RFC 5246 §7.4.1.2).
pub const MAX_SESSION_ID_LEN: usize = 32;
/// Longest content of one record, in bytes: 2^14 (RFC 6347 §4.1).
pub const MAX_PLAINTEXT_LEN: usize = 1 << 14;
