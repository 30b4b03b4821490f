//! The services behind `lockgate proxy`.
//!
//! - [`keys`] finds pre-shared keys: given ones, a CSV file, an HTTP service, a program.
//! - [`addresses`] gives devices addresses that the backend knows them by.
//! - [`certificates`] holds our certificates and raw public keys, and whose of them we take.
//! - [`config`] holds the options, from the command line and an optional TOML file.
//! - [`limits`] tells how many sessions descriptors and ports allow.
//! - [`proxy`] serves: it starts, watches signals and stops.
//! - `relay` is what it does with every datagram, and the policy of sessions.

pub mod addresses;
pub mod certificates;
pub mod config;
mod files;
pub mod keys;
pub mod limits;
pub mod proxy;
mod relay;
mod watch;
