//! What is trusted, owned and shared: for servers, which read it from files.

use alloc::vec::Vec;

use lockgate_dtls::certificate::{
    CertificateError, CertificateType, PeerCertificate, parse_public_key,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::SectionKind;

use crate::algorithms::Algorithm;
use crate::certificate::Fields;
use crate::chain::{self, RevocationList, TrustAnchor};
use crate::der;
use crate::identity::{Identity, KeyHash};
use crate::policy::{Policy, Usage};
use crate::source::{Fault, Item, LoadError, Source};
use crate::time::{Time, parse_time};
use crate::trust::{Trust, verify_raw_public_key};

/// Checks the certificates and raw public keys of peers. It never changes: whoever reads its files again builds another
/// one and shares that instead.
///
/// ```
/// use lockgate_webpki::{LoadError, Source, Verifier, algorithms};
///
/// fn load() -> Result<Verifier, LoadError> {
///     Ok(Verifier::builder(algorithms::AWS_LC)
///         .anchors(&Source::read("ca.pem")?)?
///         .revocation_lists(&Source::read("revoked.pem")?)?
///         .build())
/// }
/// # assert!(load().is_err());
/// ```
pub struct Verifier {
    anchors: Vec<TrustAnchor<'static>>,
    pinned: Vec<CertificateDer<'static>>,
    intermediates: Vec<CertificateDer<'static>>,
    revocation_lists: Vec<RevocationList<'static>>,
    /// In ascending order: fleets have many.
    keys: Vec<KeyHash>,
    algorithms: &'static [&'static Algorithm],
    policy: Policy,
}

impl Verifier {
    /// Trusts nobody, until the builder is told otherwise. `algorithms` is
    /// [`algorithms::AWS_LC`](crate::algorithms) or another set.
    pub const fn builder(algorithms: &'static [&'static Algorithm]) -> VerifierBuilder {
        VerifierBuilder {
            verifier: Self {
                anchors: Vec::new(),
                pinned: Vec::new(),
                intermediates: Vec::new(),
                revocation_lists: Vec::new(),
                keys: Vec::new(),
                algorithms,
                policy: Policy::DEFAULT,
            },
            lists: Vec::new(),
        }
    }

    /// Checks what a peer showed: [`Trust::verify`].
    pub fn verify<'p>(
        &self,
        peer: &PeerCertificate<'p>,
        usage: Usage<'_>,
        time: Time,
    ) -> Result<Identity<'p>, CertificateError> {
        if peer.certificate_type() == CertificateType::RawPublicKey {
            return verify_raw_public_key(peer, |key| self.keys.binary_search(key).is_ok());
        }
        let revocation_lists: Vec<_> = self.revocation_lists.iter().collect();
        Trust {
            anchors: &self.anchors,
            pinned: &self.pinned,
            intermediates: &self.intermediates,
            revocation_lists: &revocation_lists,
            keys: &[],
            algorithms: self.algorithms,
            policy: self.policy,
        }
        .verify(peer, usage, time)
    }

    /// The DER of the name of each anchor: what a server lists as the authorities that it takes (RFC 5246 §7.4.4). Of the
    /// names that a certificate can have, those too long for the list are left out.
    pub fn authorities(&self) -> impl Iterator<Item = Vec<u8>> {
        self.anchors.iter().filter_map(|anchor| {
            let contents = anchor.subject.as_ref();
            let len = u16::try_from(contents.len()).ok()?.to_be_bytes();
            let mut name = Vec::with_capacity(4 + contents.len());
            name.push(der::SEQUENCE);
            match len {
                [0, len @ ..0x80] => name.push(len),
                [0, len] => name.extend([0x81, len]),
                [high, low] => name.extend([0x82, high, low]),
            }
            name.extend_from_slice(contents);
            Some(name)
        })
    }

    /// Which kinds of proof somebody can be known by: certificates when there is an anchor, raw public keys when there
    /// is a key.
    pub fn certificate_types(&self) -> impl Iterator<Item = CertificateType> + use<> {
        let x509 = (!self.anchors.is_empty()).then_some(CertificateType::X509);
        let raw = (!self.keys.is_empty()).then_some(CertificateType::RawPublicKey);
        x509.into_iter().chain(raw)
    }
}

impl core::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Verifier")
            .field("anchors", &self.anchors.len())
            .field("intermediates", &self.intermediates.len())
            .field("revocation_lists", &self.revocation_lists.len())
            .field("keys", &self.keys.len())
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Collects what a [`Verifier`] trusts. Each call adds to what the earlier ones brought.
#[derive(Debug)]
#[must_use]
pub struct VerifierBuilder {
    verifier: Verifier,
    /// With when each was issued.
    lists: Vec<(u64, RevocationList<'static>)>,
}

impl VerifierBuilder {
    /// Trusts the authorities in a file. A certificate that signed itself is also taken as the peer's own, byte for byte.
    pub fn anchors(mut self, source: &Source) -> Result<Self, LoadError> {
        for (place, certificate) in source.certificates()?.into_iter().enumerate() {
            let anchor = chain::trust_anchor(&certificate)
                .map_err(|_| source.fault(Fault::MalformedCertificate { place: place + 1 }))?
                .to_owned();
            self.verifier.anchors.push(anchor);
            let fields = Fields::parse(&certificate);
            if fields.is_ok_and(|fields| fields.is_self_issued()) {
                self.verifier.pinned.push(certificate);
            }
        }
        Ok(self)
    }

    /// Knows the authorities in a file, without trusting them: for peers that do not send their whole chain.
    pub fn intermediates(mut self, source: &Source) -> Result<Self, LoadError> {
        self.verifier.intermediates.extend(source.certificates()?);
        Ok(self)
    }

    /// Refuses what the lists in a file revoke. Of several by one issuer the newest counts.
    pub fn revocation_lists(mut self, source: &Source) -> Result<Self, LoadError> {
        let items = source.items(SectionKind::Crl, Item::RevocationList)?;
        for (place, item) in items.iter().enumerate() {
            let list = chain::owned_revocation_list(item)
                .and_then(|list| Ok((this_update(item).map_err(|_| "is malformed")?, list)));
            self.lists.push(list.map_err(|because| {
                source.fault(Fault::RevocationList {
                    place: place + 1,
                    because,
                })
            })?);
        }
        Ok(self)
    }

    /// Accepts the raw public keys in a file: PEM (public keys, or certificates for the keys in them), the DER of one, or
    /// text with the SHA-256 of a `SubjectPublicKeyInfo` at the beginning of each line. Empty lines and what follows a
    /// `#` say nothing.
    pub fn keys(mut self, source: &Source) -> Result<Self, LoadError> {
        let binary = source.bytes().first() == Some(&der::SEQUENCE) && !source.bytes().is_ascii();
        if source.is_pem() || binary {
            self.keys_in_items(source)?;
        } else {
            let text = core::str::from_utf8(source.bytes())
                .map_err(|_| source.fault(Fault::NeitherPemNorDer))?;
            let mut found = false;
            for (place, line) in text.lines().enumerate() {
                let line = line.split('#').next().unwrap_or_default();
                let Some(hash) = line.split_whitespace().next() else {
                    continue;
                };
                let hash = KeyHash::parse(hash)
                    .ok_or_else(|| source.fault(Fault::NoKeyHash { line: place + 1 }))?;
                self.verifier.keys.push(hash);
                found = true;
            }
            if !found {
                return Err(source.fault(Fault::Without {
                    what: Item::PublicKey,
                    but: None,
                }));
            }
        }
        Ok(self)
    }

    fn keys_in_items(&mut self, source: &Source) -> Result<(), LoadError> {
        // Certificates as well, when there is no bare key.
        let infos = match source.items(SectionKind::PublicKey, Item::PublicKey) {
            Ok(items) => items,
            Err(error) => {
                let Fault::Without {
                    but: Some(Item::Certificate),
                    ..
                } = error.fault()
                else {
                    return Err(error);
                };
                source
                    .certificates()?
                    .iter()
                    .filter_map(|certificate| Fields::parse(certificate).ok())
                    .map(|fields| fields.public_key_info.to_vec())
                    .collect()
            }
        };
        for (place, info) in infos.iter().enumerate() {
            if !matches!(parse_public_key(info), Ok(Some(_))) {
                return Err(source.fault(Fault::MalformedPublicKey { place: place + 1 }));
            }
            self.verifier.keys.push(KeyHash::of(info));
        }
        Ok(())
    }

    /// Accepts one more raw public key.
    pub fn key(mut self, key: KeyHash) -> Self {
        self.verifier.keys.push(key);
        self
    }

    /// What else is insisted on.
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.verifier.policy = policy;
        self
    }

    /// The verifier.
    pub fn build(mut self) -> Verifier {
        self.verifier.keys.sort_unstable();
        self.verifier.keys.dedup();
        self.lists
            .sort_by_key(|(issued, _)| core::cmp::Reverse(*issued));
        self.verifier.revocation_lists = self.lists.into_iter().map(|(_, list)| list).collect();
        self.verifier
    }
}

/// When a list of revoked certificates was issued (RFC 5280 §5.1.2.4).
fn this_update(list: &[u8]) -> Result<u64, lockgate_dtls::wire::Malformed> {
    let mut list = der::Reader::new(list).nested(der::SEQUENCE)?;
    let mut tbs = list.nested(der::SEQUENCE)?;
    tbs.optional(der::INTEGER)?;
    tbs.expect(der::SEQUENCE)?;
    tbs.expect(der::SEQUENCE)?;
    parse_time(tbs.any()?)
}
