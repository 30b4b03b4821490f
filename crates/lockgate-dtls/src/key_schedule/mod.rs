//! Secrets and what is derived from them, as typestates: a secret can only be used where it exists.

mod v12;
#[cfg(test)]
mod vectors;

#[cfg(feature = "exporter")]
pub(crate) use v12::exporter;
pub(crate) use v12::{MASTER_SECRET_LEN, MasterSecret, Premaster, PremasterParts, Seed};
