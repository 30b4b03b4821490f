//! What a verifier insists on.

use crate::name::ServerName;

/// Most bytes of a chain that is looked at: the sum of its certificates.
pub const MAX_CHAIN_BYTES: usize = 16_384;

/// Most certificates that a peer may show: its own, the authorities between, and what others add without need.
pub const MAX_CERTIFICATES: usize = 10;

/// Most authorities between a certificate and the anchor; more are never tried.
pub const MAX_INTERMEDIATES: usize = 6;

/// Most authorities of one name that a peer may show: an old key and a new one, or one key that two have signed. With more
/// of them the orders in which they might form a chain become too many to try.
pub const MAX_SAME_SUBJECT: usize = 2;

/// What a peer's certificate has to be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage<'a> {
    /// A server's: what a client checks.
    Server {
        /// What the server is called; `None` accepts any name, which leaves it to the anchors to vouch for no others. A
        /// raw public key has no name: that it is known is all.
        name: Option<ServerName<'a>>,
    },
    /// A client's: what a server checks.
    Client,
}

/// What a verifier insists on, beside names and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Most bytes of all certificates that a peer shows: [`MAX_CHAIN_BYTES`].
    pub max_chain_bytes: usize,
    /// Most certificates that a peer shows: [`MAX_CERTIFICATES`], which is also the most that can be set.
    pub max_certificates: usize,
    /// Most authorities between a certificate and the anchor: [`MAX_INTERMEDIATES`], which is also the most that can be
    /// set.
    pub max_intermediates: usize,
    /// Refuses a certificate without extended key usage. RFC 5280 §4.2.1.12 takes it for good for everything, and so
    /// does a verifier that is not told otherwise.
    pub require_purpose: bool,
    /// What to do about revocation; without lists nothing is done.
    pub revocation: Revocation,
}

impl Policy {
    /// The limits above, extended key usage when there is one, [`Revocation::DEFAULT`].
    pub const DEFAULT: Self = Self {
        max_chain_bytes: MAX_CHAIN_BYTES,
        max_certificates: MAX_CERTIFICATES,
        max_intermediates: MAX_INTERMEDIATES,
        require_purpose: false,
        revocation: Revocation::DEFAULT,
    };
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How lists of revoked certificates (RFC 5280 §5) are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Which certificates are looked up.
    pub depth: RevocationDepth,
    /// What happens to one that no list covers.
    pub unknown: UnknownStatus,
    /// Whether a list past its `nextUpdate` counts as none; it does not do so silently.
    pub refuse_outdated_lists: bool,
}

impl Revocation {
    /// The peer's own certificate has to be covered; a list that is out of date is better than none.
    pub const DEFAULT: Self = Self {
        depth: RevocationDepth::EndEntity,
        unknown: UnknownStatus::Refuse,
        refuse_outdated_lists: false,
    };
}

impl Default for Revocation {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Which certificates of a chain are looked up in lists of revoked ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationDepth {
    /// The peer's own.
    EndEntity,
    /// The peer's own and all authorities below the anchor.
    Chain,
}

/// What happens to a certificate of which no list tells whether it is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownStatus {
    /// It is refused as [`CertificateError::RevocationUnknown`](lockgate_dtls::certificate::CertificateError).
    Refuse,
    /// It is taken as not revoked.
    Allow,
}
