//! Several credentials, and which of them a peer gets to see.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use lockgate_dtls::certificate::CertificateType;
use lockgate_dtls::crypto::{KeyType, NamedGroup, SignatureScheme, SigningKey};

use crate::chain;
use crate::credential::Credential;
use crate::name::AlternativeName;
use crate::source::{Fault, LoadError, Source};

/// What a peer asks for and can deal with.
#[derive(Clone, Debug)]
pub struct Request<'a, S> {
    /// The name that a client asks for (RFC 6066 §3).
    pub server_name: Option<&'a str>,
    /// The signatures that the peer verifies, in any order.
    pub schemes: S,
    /// The kinds of keys that the cipher suites of both, or the kinds of certificates that a server asks for, leave open;
    /// `None` for all.
    pub key_types: Option<&'a [KeyType]>,
    /// The groups that a client knows: a key for ECDSA has to be on one of them (RFC 8422 §5.1). `None` for all.
    pub groups: Option<&'a [NamedGroup]>,
    /// The types of certificates that the peer takes, in any order: X.509 alone unless RFC 7250 is negotiated.
    pub types: &'a [CertificateType],
    /// The authorities that the peer lists, each the DER of a `Name` (RFC 5246 §7.4.4).
    pub authorities: &'a [&'a [u8]],
}

impl<S> Request<'_, S> {
    /// A peer that verifies these signatures and wishes nothing else.
    pub const fn new(schemes: S) -> Self {
        Self {
            server_name: None,
            schemes,
            key_types: None,
            groups: None,
            types: &[CertificateType::X509],
            authorities: &[],
        }
    }
}

/// Why none of our credentials fits a peer: what was in the way of the one that came closest. The later ones are closer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mismatch {
    /// We have none at all.
    NoCredential,
    /// They are kept for other names.
    Name,
    /// The peer takes another type of certificate.
    CertificateType,
    /// It is only for peers that list its issuers.
    Issuer,
    /// Its key is of a kind that serves no cipher suite of both, or that a server did not ask for.
    KeyType,
    /// Its key is on a curve that the peer does not know.
    Group,
    /// The peer verifies no signature that its key can make.
    Scheme,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCredential => "there is neither a certificate nor a raw public key of ours",
            Self::Name => "no credential is for the name that the peer asks for",
            Self::CertificateType => "no credential is of a type that the peer takes",
            Self::Issuer => "no credential is issued by an authority that the peer lists",
            Self::KeyType => "no credential has a key of a kind that the peer takes",
            Self::Group => "no credential has a key on a curve that the peer knows",
            Self::Scheme => "no credential makes signatures that the peer verifies",
        })
    }
}

impl core::error::Error for Mismatch {}

/// Our credentials. It never changes while it is shared: whoever reads its files again builds another one.
pub struct CredentialStore<K> {
    entries: Vec<Entry<K>>,
}

struct Entry<K> {
    credential: Arc<Credential<K>>,
    /// Kept for these names; for everybody when there are none.
    names: Vec<Pattern>,
    /// What the certificate itself is for.
    certified: Vec<Pattern>,
}

/// How well an entry fits the name that is asked for; more is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Default,
    CertifiedWildcard,
    CertifiedName,
    Wildcard,
    Name,
}

impl<K> Default for CredentialStore<K> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
        }
    }
}

impl<K: SigningKey> CredentialStore<K> {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one for everybody. Of several that fit equally well, the one that was added first is shown; one whose
    /// certificate is for the name that is asked for fits better than others.
    pub fn add(&mut self, credential: impl Into<Arc<Credential<K>>>) {
        let credential = credential.into();
        let certified = credential
            .identity()
            .alternative_names()
            .filter_map(|name| match name {
                AlternativeName::Dns(name) => Pattern::parse(name),
                _ => None,
            })
            .collect();
        self.entries.push(Entry {
            credential,
            names: Vec::new(),
            certified,
        });
    }

    /// Adds one for clients that ask for one of these names, whatever its certificate says; others never see it. The
    /// first label of a name may be `*`, which stands for one label. `origin` is where the names come from, for errors.
    pub fn add_for_names(
        &mut self,
        origin: &str,
        names: &[&str],
        credential: impl Into<Arc<Credential<K>>>,
    ) -> Result<(), LoadError> {
        let names = names
            .iter()
            .map(|name| {
                Pattern::parse(name).ok_or_else(|| {
                    Source::new(origin, Vec::new()).fault(Fault::NoName {
                        name: (*name).into(),
                    })
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if !names.is_empty() {
            self.entries.push(Entry {
                credential: credential.into(),
                names,
                certified: Vec::new(),
            });
        }
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them, in the order in which they were added.
    pub fn credentials(&self) -> impl Iterator<Item = &Arc<Credential<K>>> {
        self.entries.iter().map(|entry| &entry.credential)
    }

    /// The credential that fits a peer best, and the scheme to sign with. What the peer cannot deal with is never
    /// chosen. Among the rest one that is kept for the name comes before one whose certificate is for it, and that before
    /// any other; then one that an authority of the peer's has issued; then the one that was added first.
    pub fn select<S>(
        &self,
        request: &Request<'_, S>,
    ) -> Result<(&Arc<Credential<K>>, SignatureScheme), Mismatch>
    where
        S: Iterator<Item = SignatureScheme> + Clone,
    {
        let mut best: Option<((Fit, bool), &Entry<K>, SignatureScheme)> = None;
        let mut mismatch = Mismatch::NoCredential;
        for entry in &self.entries {
            match entry.fits(request) {
                Ok((fit, scheme)) => {
                    if best.as_ref().is_none_or(|(best, ..)| *best < fit) {
                        best = Some((fit, entry, scheme));
                    }
                }
                Err(closer) => mismatch = mismatch.max(closer),
            }
        }
        best.map(|(_, entry, scheme)| (&entry.credential, scheme))
            .ok_or(mismatch)
    }
}

impl<K: SigningKey> Entry<K> {
    fn fits<S>(&self, request: &Request<'_, S>) -> Result<((Fit, bool), SignatureScheme), Mismatch>
    where
        S: Iterator<Item = SignatureScheme> + Clone,
    {
        let credential = &self.credential;
        let key_type = credential.key().key_type();
        let fit = self.fit(request.server_name).ok_or(Mismatch::Name)?;
        if !request.types.contains(&credential.certificate_type()) {
            return Err(Mismatch::CertificateType);
        }
        let issued = credential.is_issued_by(request.authorities);
        if !issued && credential.must_match_issuer() && !request.authorities.is_empty() {
            return Err(Mismatch::Issuer);
        }
        if (request.key_types).is_some_and(|types| !types.contains(&key_type)) {
            return Err(Mismatch::KeyType);
        }
        let curve = match key_type {
            KeyType::EcdsaP256 => Some(NamedGroup::SECP256R1),
            KeyType::EcdsaP384 => Some(NamedGroup::SECP384R1),
            // RFC 8422 §5.1.1: the schemes alone speak of Ed25519.
            KeyType::Ed25519 | KeyType::Rsa => None,
        };
        if let (Some(curve), Some(groups)) = (curve, request.groups)
            && !groups.contains(&curve)
        {
            return Err(Mismatch::Group);
        }
        let scheme = credential
            .schemes()
            .iter()
            .copied()
            .find(|ours| request.schemes.clone().any(|theirs| theirs == *ours))
            .ok_or(Mismatch::Scheme)?;
        Ok(((fit, issued), scheme))
    }

    fn fit(&self, server_name: Option<&str>) -> Option<Fit> {
        let kept = !self.names.is_empty();
        let patterns = if kept { &self.names } else { &self.certified };
        let matching = server_name.and_then(|name| {
            patterns
                .iter()
                .filter(|pattern| pattern.matches(name))
                .map(|pattern| match (kept, pattern.wildcard) {
                    (true, false) => Fit::Name,
                    (true, true) => Fit::Wildcard,
                    (false, false) => Fit::CertifiedName,
                    (false, true) => Fit::CertifiedWildcard,
                })
                .max()
        });
        matching.or((!kept).then_some(Fit::Default))
    }
}

impl<K: SigningKey> fmt::Debug for CredentialStore<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.credentials()).finish()
    }
}

/// A DNS name, or `*.` and one.
struct Pattern {
    wildcard: bool,
    /// Without the wildcard.
    name: String,
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        chain::is_dns_name(name).then(|| Self {
            wildcard,
            name: name.into(),
        })
    }

    fn matches(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        let name = if self.wildcard {
            match name.split_once('.') {
                Some((label, rest)) if !label.is_empty() => rest,
                _ => return false,
            }
        } else {
            name
        };
        name.eq_ignore_ascii_case(&self.name)
    }
}
