//! What we show to peers: a chain of certificates or a raw public key, with the private key to it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use lockgate_dtls::certificate::{CertificateType, PeerCertificate, parse_public_key};
use lockgate_dtls::crypto::{KeyType, SignatureScheme, SigningKey};
use rustls_pki_types::CertificateDer;

use crate::algorithms::Algorithm;
use crate::certificate::Fields;
use crate::chain;
use crate::identity::Identity;
use crate::name::DistinguishedName;
use crate::policy::MAX_CERTIFICATES;
use crate::source::{Fault, LoadError, Source};
use crate::time::{Date, Time};

/// A private key and what we show for it.
pub struct Credential<K> {
    key: K,
    kind: CertificateType,
    /// As a `Certificate` message has it.
    list: Vec<u8>,
    /// In order of preference.
    schemes: Vec<SignatureScheme>,
    must_match_issuer: bool,
}

impl<K: SigningKey> Credential<K> {
    /// Shows the bare public key (RFC 7250). Only a peer that asks for raw public keys gets to see it.
    pub fn raw_public_key(key: K) -> Self {
        let list = key.public_key_info().to_vec();
        Self::new(key, CertificateType::RawPublicKey, list)
    }

    fn new(key: K, kind: CertificateType, list: Vec<u8>) -> Self {
        let mut schemes: Vec<_> = SignatureScheme::ALL
            .into_iter()
            .filter(|scheme| key.supports(*scheme))
            .collect();
        if key.key_type() == KeyType::EcdsaP384 {
            // The hash that fits the curve before the others.
            schemes.sort_by_key(|scheme| *scheme != SignatureScheme::ECDSA_SECP384R1_SHA384);
        }
        Self {
            key,
            kind,
            list,
            schemes,
            must_match_issuer: false,
        }
    }

    /// Signs with these schemes only, the first ones rather than the last; those that the key cannot make are left out.
    #[must_use]
    pub fn with_schemes(mut self, schemes: &[SignatureScheme]) -> Self {
        self.schemes = schemes
            .iter()
            .copied()
            .filter(|scheme| self.key.supports(*scheme))
            .collect();
        self
    }

    /// Shows it only to peers that list one of its issuers, or list nobody. Otherwise that is a reason to prefer a
    /// credential, no condition: a peer may trust more than it lists.
    #[must_use]
    pub fn only_for_its_issuers(mut self) -> Self {
        self.must_match_issuer = true;
        self
    }

    /// The private key.
    pub const fn key(&self) -> &K {
        &self.key
    }

    /// A chain or a bare key.
    pub const fn certificate_type(&self) -> CertificateType {
        self.kind
    }

    /// What a `Certificate` message says: a list of certificates, each behind three bytes of length, our own first (RFC
    /// 5246 §7.4.2), or the DER of our `SubjectPublicKeyInfo`.
    pub fn list(&self) -> &[u8] {
        &self.list
    }

    /// The DER of each certificate, our own first; of a raw public key the one `SubjectPublicKeyInfo`.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        PeerCertificate::new(self.kind, &self.list).chain()
    }

    /// Who we say we are.
    pub fn identity(&self) -> Identity<'_> {
        let raw = || Identity::of_public_key(self.key.public_key_info());
        match self.kind {
            // It was decoded when it was loaded.
            CertificateType::X509 => self
                .chain()
                .next()
                .and_then(|own| Identity::of_certificate(own).ok())
                .unwrap_or_else(raw),
            CertificateType::RawPublicKey => raw(),
        }
    }

    /// The schemes it signs with, in order of preference.
    pub fn schemes(&self) -> &[SignatureScheme] {
        &self.schemes
    }

    pub(crate) const fn must_match_issuer(&self) -> bool {
        self.must_match_issuer
    }

    /// Whether one of its certificates is issued by one of these, each the DER of a `Name`.
    pub(crate) fn is_issued_by(&self, authorities: &[&[u8]]) -> bool {
        self.kind == CertificateType::X509
            && self
                .chain()
                .filter_map(|certificate| Fields::parse(certificate).ok())
                .any(|fields| authorities.contains(&fields.issuer))
    }
}

impl<K: SigningKey> fmt::Debug for Credential<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("kind", &self.kind)
            .field("identity", &self.identity())
            .field("schemes", &self.schemes)
            .finish_non_exhaustive()
    }
}

/// Reads credentials from files and finds what is wrong with them before a peer does.
#[derive(Clone, Copy)]
pub struct CredentialLoader<'a> {
    /// For the signatures in our own chain; one that is of no algorithm in here is taken on trust.
    pub algorithms: &'a [&'a Algorithm],
    /// What time it is, for what has expired; [`Time::Unknown`] lets that pass.
    pub time: Time,
}

impl CredentialLoader<'_> {
    /// A chain of certificates, in any order and with or without the anchor, and the private key to one of them, which
    /// is ours. `key_name` is the name of the key's file, for errors.
    ///
    /// ```
    /// use lockgate_aws_lc::PrivateKey;
    /// use lockgate_webpki::{Credential, CredentialLoader, LoadError, Source, Time, algorithms};
    ///
    /// fn load() -> Result<Credential<PrivateKey>, LoadError> {
    ///     let key = Source::read("key.pem")?.private_key(PrivateKey::from_pem, PrivateKey::from_der)?;
    ///     let loader = CredentialLoader {
    ///         algorithms: algorithms::AWS_LC,
    ///         time: Time::now(),
    ///     };
    ///     loader.x509(&Source::read("server.pem")?, "key.pem", key)
    /// }
    /// # assert!(load().is_err());
    /// ```
    pub fn x509<K: SigningKey>(
        &self,
        certificates: &Source,
        key_name: &str,
        key: K,
    ) -> Result<Credential<K>, LoadError> {
        let mut bundle = certificates.certificates()?;
        if bundle.len() > MAX_CERTIFICATES {
            return Err(certificates.fault(Fault::TooManyCertificates));
        }
        let own = bundle
            .iter()
            .position(|certificate| is_for(certificate, key.public_key_info()));
        let Some(own) = own else {
            return Err(Source::new(key_name, Vec::new()).fault(Fault::OtherKey {
                certificates: certificates.name().into(),
            }));
        };
        let own = bundle.remove(own);
        let chain = self
            .put_in_order(own, bundle)
            .and_then(|chain| self.check_times(&chain).map(|()| chain))
            .map_err(|fault| certificates.fault(fault))?;
        let mut list = Vec::new();
        for certificate in &chain {
            let [0, len @ ..] = u32::try_from(certificate.len())
                .unwrap_or(u32::MAX)
                .to_be_bytes()
            else {
                return Err(certificates.fault(Fault::MalformedCertificate { place: 1 }));
            };
            list.extend_from_slice(&len);
            list.extend_from_slice(certificate);
        }
        Ok(Credential::new(key, CertificateType::X509, list))
    }

    /// Our own certificate, its issuer, the issuer of that, until nothing is left.
    fn put_in_order(
        &self,
        own: CertificateDer<'static>,
        mut others: Vec<CertificateDer<'static>>,
    ) -> Result<Vec<CertificateDer<'static>>, Fault> {
        let mut chain = alloc::vec![own];
        loop {
            others.retain(|other| !chain.contains(other));
            let Some((last, first)) = chain.last().zip(others.first()) else {
                return Ok(chain);
            };
            let fields =
                Fields::parse(last).map_err(|_| Fault::MalformedCertificate { place: 1 })?;
            let mut named = others
                .iter()
                .enumerate()
                .filter(|(_, other)| !fields.is_self_issued() && subject(other) == fields.issuer)
                .peekable();
            if named.peek().is_none() {
                return Err(Fault::NotInChain {
                    subject: show(subject(first)),
                    last: show(fields.subject),
                    issuer: show(fields.issuer),
                });
            }
            // Two authorities of one name: an old key and a new one.
            let signer = named.find(|(_, other)| {
                chain::has_signed(other, &fields.signed, self.algorithms) != Some(false)
            });
            let Some((place, _)) = signer else {
                return Err(Fault::NotSignedBy {
                    subject: show(fields.subject),
                    issuer: show(fields.issuer),
                });
            };
            chain.push(others.remove(place));
        }
    }

    /// That no peer will find the chain expired. What an anchor says of its own time counts for nobody.
    fn check_times(&self, chain: &[CertificateDer<'_>]) -> Result<(), Fault> {
        let Time::Unix(now) = self.time else {
            return Ok(());
        };
        for (place, certificate) in chain.iter().enumerate() {
            let Ok(fields) = Fields::parse(certificate) else {
                continue;
            };
            if place > 0 && fields.is_self_issued() {
                continue;
            }
            let issuer = (place > 0).then(|| show(fields.subject));
            if now > fields.validity.not_after {
                let date = Date(fields.validity.not_after);
                return Err(Fault::Expired { issuer, date });
            }
            if now < fields.validity.not_before {
                let date = Date(fields.validity.not_before);
                return Err(Fault::NotYetValid { issuer, date });
            }
        }
        Ok(())
    }
}

/// Whether the certificate is for this key, a `SubjectPublicKeyInfo`, which may be encoded in another way.
fn is_for(certificate: &[u8], key: &[u8]) -> bool {
    let Ok(fields) = Fields::parse(certificate) else {
        return false;
    };
    let info = fields.public_key_info;
    info == key
        || matches!(
            (parse_public_key(info), parse_public_key(key)),
            (Ok(Some(certified)), Ok(Some(ours))) if certified == ours
        )
}

fn subject(certificate: &[u8]) -> &[u8] {
    Fields::parse(certificate).map_or(&[], |fields| fields.subject)
}

fn show(name: &[u8]) -> String {
    DistinguishedName::parse(name).map_or_else(|_| String::new(), |name| name.to_string())
}
