//! DTLS on tokio: gives the engine of [`lockgate_dtls`] sockets, a clock and timers.
//!
//! For applications:
//!
//! - [`Listener`] accepts peers, [`Connector`] and [`connect`] make connections to servers; each [`Connection`] is owned
//!   by a task of the application's.
//! - [`Client`] is one connection to one server that needs no other task, and [`blocking::Client`] the same without a
//!   runtime.
//!
//! Beneath, for those who count every microsecond: [`Driver`] serves many peers on a few UDP sockets and hands what comes
//! to a [`Service`], datagram by datagram, in the task that it runs in: no channel, no lock, no copy, no allocation
//! between a socket and the service. The kernel is asked for many datagrams at a time, and given many. One driver is one
//! worker: one engine, one task, no state shared with others; [`bind_workers`] binds several.
//!
//! # An echo server
//!
//! ```
#![doc = include_str!("../examples/echo_server.rs")]
//! ```

mod batch;
pub mod blocking;
mod client;
mod clock;
mod connection;
mod connector;
mod counters;
mod credentials;
mod driver;
mod error;
mod hub;
mod incoming;
mod io;
mod keys;
mod listener;
mod path;
mod path_error;
mod peers;
mod port;
mod seat;
mod shared;
mod single;
mod socket;
mod steer;
mod stream;

pub use batch::{Arrived, ReceiveBatch, SendBatch};
pub use bytes::Bytes;
pub use client::{Client, ClientError, ClientOptions};
pub use clock::Clock;
pub use connection::{Connection, ReceiveHalf, SendHalf};
pub use connector::{Connector, ConnectorOptions, Peer, connect};
pub use counters::{DropCounters, IoCounters};
pub use credentials::{ClientPapers, Credentials, ShownCertificate};
pub use driver::{Driver, DriverError, Service};
pub use error::Error;
pub use hub::{HandshakeDatagram, KeyLog, Observer};
pub use incoming::Incoming;
pub use io::Io;
pub use keys::{
    ChannelKeys, KeyAnswer, KeyFuture, KeyQuestion, KeyRequest, KeyStore, Psk, StaticKeys,
};
pub use listener::{Listener, Options, Statistics};
pub use lockgate_dtls as dtls;
use lockgate_dtls::Instant;
pub use lockgate_webpki as webpki;
pub use path::Path;
pub use path_error::{PathError, PathErrorKind};
pub use port::may_be_of_another;
pub use seat::{MAX_WORKERS, Seat, bind_workers, share_keys};
pub use shared::{ConnectionStatistics, QueueLimits};
pub use socket::{MAX_SOCKETS, RECEIVE_BUFFER_LEN, bind, widen};
pub use stream::{ByteStream, Datagrams};

/// The longest payload of a UDP datagram that can arrive, and so the size of a buffer that takes every one, in bytes.
pub const MAX_DATAGRAM_LEN: usize = 65_535;

/// The engine as this crate runs it: AWS-LC's cryptography, [`Path`]s for addresses.
pub type Endpoint = lockgate_dtls::Endpoint<lockgate_aws_lc::AwsLc, Path>;
