//! Our certificates and raw public keys, and whose of them we take.
//!
//! [`CertificateOptions`] name files. [`open()`] reads them all, or says which one is wrong; [`Certificates`] keeps what was
//! read and reads it again, on demand and when a file changes. Handshakes take `Certificates::current`: one whole set,
//! which never changes.

mod allowed;
mod error;
mod load;
mod reload;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

use lockgate_dtls::certificate::{CertificateType, CertificateTypes, ClientAuth};

pub use self::error::CertificateFileError;
pub(crate) use self::load::{Own, TrustId, expires};
pub use self::reload::Certificates;

/// Which files there are, and what clients have to show. Later ones of a kind add to earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateOptions {
    /// Chains of ours with their private keys (`--cert`, `--key`).
    pub own: Vec<CertificateFiles>,
    /// The same, each only for clients that ask for its name (`--sni-cert`).
    pub for_names: Vec<(String, CertificateFiles)>,
    /// Private keys whose public half we show as it is (`--rpk`).
    pub raw_keys: Vec<PathBuf>,
    /// Who issues clients' certificates (`--ca`).
    pub authorities: Vec<PathBuf>,
    /// What they have revoked (`--crl`).
    pub revocation_lists: Vec<PathBuf>,
    /// Clients' raw public keys (`--rpk-allow`).
    pub allowed_keys: Vec<PathBuf>,
    /// Whether clients are asked who they are (`--client-auth`).
    pub client_auth: ClientAuth,
}

/// A chain of certificates and the private key to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificates, in any order.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl CertificateOptions {
    /// Whether we have nothing to show, so that only pre-shared keys remain.
    pub const fn is_empty(&self) -> bool {
        self.own.is_empty() && self.for_names.is_empty() && self.raw_keys.is_empty()
    }

    /// What we can show, the preferred kind first.
    pub fn own_types(&self) -> CertificateTypes {
        let chains = !(self.own.is_empty() && self.for_names.is_empty());
        types(chains, !self.raw_keys.is_empty())
    }

    /// What we take of clients, the preferred kind first.
    pub fn peer_types(&self) -> CertificateTypes {
        if self.client_auth == ClientAuth::None {
            return CertificateTypes::EMPTY;
        }
        types(!self.authorities.is_empty(), !self.allowed_keys.is_empty())
    }

    /// All files.
    fn paths(&self) -> Vec<PathBuf> {
        let for_names = self.for_names.iter().map(|(_, files)| files);
        let pairs = self.own.iter().chain(for_names);
        pairs
            .flat_map(|files| [&files.certificate, &files.key])
            .chain(&self.raw_keys)
            .chain(&self.authorities)
            .chain(&self.revocation_lists)
            .chain(&self.allowed_keys)
            .cloned()
            .collect()
    }
}

fn types(chains: bool, raw_keys: bool) -> CertificateTypes {
    let chains = chains.then_some(CertificateType::X509);
    let raw_keys = raw_keys.then_some(CertificateType::RawPublicKey);
    let list: Vec<_> = chains.into_iter().chain(raw_keys).collect();
    CertificateTypes::new(&list)
}

/// Reads all files and begins to watch them. Must be called within a tokio runtime.
///
/// # Errors
/// The first file that cannot be used, and why.
pub async fn open(options: &CertificateOptions) -> Result<Certificates, CertificateFileError> {
    Certificates::open(options).await
}

/// The SHA-256 of a public key as it stands in log lines: its first eight bytes.
pub(crate) fn short(hash: &[u8; 32]) -> impl fmt::Display + use<> {
    let first = hash
        .first_chunk()
        .map_or(0, |first| u64::from_be_bytes(*first));
    format!("{first:016x}")
}
