//! What may stand in a certificate and in a file's name.

use std::net::IpAddr;

use rcgen::{DistinguishedName, DnType, SanType};
use rustls_pki_types::DnsName;

use crate::Failure;

/// The longest common name, in characters (`ub-common-name`, RFC 5280 appendix A.1).
pub(super) const MAX_COMMON_NAME: usize = 64;

/// A subject of one common name.
pub(super) fn subject(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// A common name as X.509 allows it.
pub(super) fn check_common_name(name: &str) -> Result<(), Failure> {
    let reason = if name.is_empty() {
        "is empty"
    } else if name.chars().any(char::is_control) {
        "has a control character"
    } else if name.chars().count() > MAX_COMMON_NAME {
        "is longer than 64 characters, which certificates do not allow"
    } else {
        return Ok(());
    };
    Err(format!("the name {name:?} {reason}"))
}

/// A name that files are called by, such as a device's.
pub(super) fn check_file_stem(name: &str) -> Result<(), Failure> {
    check_common_name(name)?;
    let reason = if name.contains('/') {
        "has a slash, which no file's name can have"
    } else if name.starts_with('.') {
        "begins with a dot; its files would be hidden"
    } else if name == "ca" {
        "is taken: ca.pem is the authority's"
    } else {
        return Ok(());
    };
    Err(format!("the name {name:?} {reason}"))
}

/// A name that servers are reached by: a DNS name, with `*.` for any first label, or an address.
pub(super) fn server_name(text: &str) -> Result<SanType, Failure> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(ip));
    }
    let domain = text.strip_prefix("*.").unwrap_or(text);
    dns_name(domain)
        .and_then(|_| text.try_into().ok())
        .map(SanType::DnsName)
        .ok_or_else(|| {
            let hint = if text.is_ascii() {
                "write it without scheme, port, brackets or a dot at the end"
            } else {
                "write international names as xn--…"
            };
            format!("{text:?} is neither a DNS name nor an IP address; {hint}")
        })
}

/// `text` when it is a DNS name, without a dot at its end (RFC 5280 §4.2.1.6).
pub(super) fn dns_name(text: &str) -> Option<DnsName<'_>> {
    let name = DnsName::try_from(text).ok()?;
    (!text.ends_with('.')).then_some(name)
}

/// Identities of devices: those given, or counted ones.
#[derive(clap::Args)]
pub(super) struct IdArgs {
    /// The identities
    #[arg(value_name = "ID", conflicts_with = "count")]
    ids: Vec<String>,

    /// Make this many, called PREFIX1, PREFIX2, …
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: Option<u32>,

    /// What counted identities begin with
    #[arg(long, value_name = "PREFIX", default_value = "dev-")]
    prefix: String,

    /// The number of the first counted identity
    #[arg(long, value_name = "N", default_value = "1")]
    first: u32,
}

impl IdArgs {
    /// All of them, in order; empty when none are asked for.
    pub(super) fn resolve(&self) -> Vec<String> {
        let Some(count) = self.count else {
            return self.ids.clone();
        };
        let first = u64::from(self.first);
        (first..first + u64::from(count))
            .map(|number| format!("{}{number}", self.prefix))
            .collect()
    }

    /// The first counted one, for those who ask for nothing.
    pub(super) fn first(&self) -> String {
        format!("{}{}", self.prefix, self.first)
    }
}
