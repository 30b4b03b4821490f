//! What a handshake asks its caller about, beside keys.

#[cfg(feature = "certificates")]
use crate::association::Role;
#[cfg(feature = "certificates")]
use crate::certificate::{CertificateType, CertificateTypes};
#[cfg(feature = "certificates")]
use crate::crypto::{KeyType, NamedGroup, SignatureScheme};
use crate::session::PeerIdentity;
#[cfg(feature = "certificates")]
use crate::suite::CipherSuite;
#[cfg(feature = "certificates")]
use crate::wire::{Reader, pairs};

/// What the caller shows: a chain of X.509 certificates, the own one first, or a raw public key.
#[cfg(feature = "certificates")]
#[derive(Clone, Copy, Debug)]
pub struct Credential<'a> {
    /// Which of the two.
    pub certificate_type: CertificateType,
    /// The DER of each certificate, or the one `SubjectPublicKeyInfo`.
    pub chain: &'a [&'a [u8]],
    /// What kind of key it has.
    pub key_type: KeyType,
    /// The scheme that it is to sign with: one of the request's.
    pub scheme: SignatureScheme,
    /// Servers that ask for certificates: the DER of the names of the authorities that they trust, for the client to
    /// choose by; empty for any.
    pub authorities: &'a [&'a [u8]],
}

/// What the peer takes, for the choice of a [`Credential`].
#[cfg(feature = "certificates")]
#[derive(Clone, Copy, Debug)]
pub struct CredentialRequest<'a> {
    pub(crate) role: Role,
    pub(crate) server_name: &'a [u8],
    pub(crate) schemes: &'a [u8],
    pub(crate) groups: Option<&'a [u8]>,
    pub(crate) certificate_types: CertificateTypes,
    pub(crate) key_types: (bool, bool),
    pub(crate) authorities: &'a [u8],
    pub(crate) suites: &'a [u8],
}

#[cfg(feature = "certificates")]
impl<'a> CredentialRequest<'a> {
    /// Which end we are.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Servers: the host name that the client asked for, or empty.
    pub const fn server_name(&self) -> &'a [u8] {
        self.server_name
    }

    /// The signature schemes that the peer takes, in its order.
    pub fn schemes(&self) -> impl Iterator<Item = SignatureScheme> + use<'a> {
        pairs(self.schemes).map(SignatureScheme)
    }

    /// Servers: the groups that the client takes, in its order; a certificate's curve must be among them (RFC 8422 §5.1).
    /// `None` when it takes any.
    pub fn groups(&self) -> Option<impl Iterator<Item = NamedGroup> + use<'a>> {
        Some(pairs(self.groups?).map(NamedGroup))
    }

    /// What both ends take, best first.
    pub const fn certificate_types(&self) -> CertificateTypes {
        self.certificate_types
    }

    /// Whether the peer takes keys of this kind.
    pub const fn takes(&self, key_type: KeyType) -> bool {
        if key_type.is_rsa() {
            self.key_types.0
        } else {
            self.key_types.1
        }
    }

    /// Whether this can be shown: of a type, with a key and a scheme that both ends take.
    pub(super) fn lets(&self, credential: &Credential<'_>) -> bool {
        self.takes(credential.key_type)
            && self.certificate_types.contains(credential.certificate_type)
            && self.schemes().any(|scheme| scheme == credential.scheme)
            && credential.scheme.fits(credential.key_type)
            && !credential.chain.is_empty()
    }

    /// Servers: the cipher suites that the client offers, in its order.
    pub fn cipher_suites(&self) -> impl Iterator<Item = CipherSuite> + use<'a> {
        pairs(self.suites).map(CipherSuite)
    }

    /// The DER of the names of the authorities that the peer trusts; none for any.
    pub fn authorities(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut reader = Reader::new(self.authorities);
        core::iter::from_fn(move || reader.vec16().ok())
    }
}

/// What our private key is to sign.
#[cfg(feature = "certificates")]
#[derive(Clone, Copy, Debug)]
pub struct SignatureRequest<'a> {
    /// With which scheme.
    pub scheme: SignatureScheme,
    /// The message, which the scheme hashes.
    pub message: &'a [u8],
}

/// The session that may go on.
#[cfg(feature = "resumption")]
#[derive(Clone, Copy, Debug)]
pub enum ResumptionRequest<'a> {
    /// Its ID, for the caller to look up.
    SessionId(&'a [u8]),
    /// It is known, by its ticket or because it is our own: may it go on?
    Known(PeerIdentity<'a>),
}
