//! The services behind `lockgate proxy`.
//!
//! - [`keys`] finds pre-shared keys: given ones, a CSV file, an HTTP service, a program.
//! - [`config`] holds the options, from the command line and an optional TOML file.
//! - [`limits`] tells how many sessions descriptors and ports allow.
//! - [`proxy`] serves.

pub mod config;
pub mod keys;
pub mod limits;
pub mod proxy;
