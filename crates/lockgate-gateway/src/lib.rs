//! The services behind `lockgate proxy`.
//!
//! - [`keys`] finds pre-shared keys: given ones, a CSV file, an HTTP service, a program.

pub mod keys;
