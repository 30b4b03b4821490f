//! The services behind `lockgate proxy`.
//!
//! - [`keys`] finds pre-shared keys: given ones, a CSV file, an HTTP service, a program.
//! - [`limits`] tells how many sessions descriptors and ports allow.

pub mod keys;
pub mod limits;
