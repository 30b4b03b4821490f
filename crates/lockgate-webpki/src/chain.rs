//! Chains of certificates (RFC 5280 §6). This is the only module that knows `rustls-webpki`.

use core::net::IpAddr;

use lockgate_dtls::certificate::CertificateError;
use rustls_pki_types::{CertificateDer, DnsName, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage, RevocationOptionsBuilder, VerifiedPath};

use crate::algorithms::Algorithm;
use crate::name::{ServerName, ServerNameKind};
use crate::policy::{MAX_INTERMEDIATES, Policy, RevocationDepth, UnknownStatus};
use crate::time::Time;

/// A name and a key that are trusted to issue certificates.
pub type TrustAnchor<'a> = rustls_pki_types::TrustAnchor<'a>;

/// What an authority has withdrawn.
pub type RevocationList<'a> = webpki::CertRevocationList<'a>;

/// id-kp-serverAuth, id-kp-clientAuth (RFC 5280 §4.2.1.12)
pub(crate) const SERVER_AUTH: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
pub(crate) const CLIENT_AUTH: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

#[cfg(feature = "aws-lc")]
pub(crate) static AWS_LC: &[&Algorithm] = &[
    webpki::aws_lc_rs::ECDSA_P256_SHA256,
    webpki::aws_lc_rs::ECDSA_P256_SHA384,
    webpki::aws_lc_rs::ECDSA_P256_SHA512,
    webpki::aws_lc_rs::ECDSA_P384_SHA256,
    webpki::aws_lc_rs::ECDSA_P384_SHA384,
    webpki::aws_lc_rs::ECDSA_P384_SHA512,
    webpki::aws_lc_rs::ED25519,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA384,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA512,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    webpki::aws_lc_rs::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    webpki::aws_lc_rs::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    webpki::aws_lc_rs::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// Most rounds to find the latest beginning of a chain: each one is the beginning of another of its certificates.
const MAX_ROUNDS: usize = MAX_INTERMEDIATES + 2;

/// Takes name, key and name constraints out of the certificate of an authority. Nothing else of it is ever looked at,
/// its end included (RFC 5280 §6.1.1).
///
/// # Errors
/// [`CertificateError::Malformed`]
pub fn trust_anchor<'a>(
    certificate: &'a CertificateDer<'a>,
) -> Result<TrustAnchor<'a>, CertificateError> {
    webpki::anchor_from_trusted_cert(certificate).map_err(|_| CertificateError::Malformed)
}

/// What a chain is held against.
pub(crate) struct Chain<'a> {
    pub(crate) anchors: &'a [TrustAnchor<'a>],
    /// Of the peer and our own, in any order.
    pub(crate) intermediates: &'a [CertificateDer<'a>],
    pub(crate) revocation_lists: &'a [&'a RevocationList<'a>],
    pub(crate) algorithms: &'a [&'a Algorithm],
    pub(crate) policy: &'a Policy,
}

impl Chain<'_> {
    /// Whether a chain leads from `certificate` to an anchor, all of it valid at `time` and good for `purpose`.
    pub(crate) fn check(
        &self,
        certificate: &[u8],
        purpose: &'static [u8],
        time: Time,
    ) -> Result<(), CertificateError> {
        let der = CertificateDer::from_slice(certificate);
        let certificate = EndEntityCert::try_from(&der).map_err(|error| translate(&error))?;
        let own_issuer = certificate.issuer() == certificate.subject();
        let result = match time {
            Time::Unix(seconds) => self.check_at(&certificate, purpose, seconds),
            Time::Unknown => self.check_without_clock(&certificate, purpose),
        };
        result.map_err(|error| match error {
            // What signed itself and is not pinned; most of those say that they are authorities, some do not.
            Error::CaUsedAsEndEntity if own_issuer => CertificateError::UnknownIssuer,
            error => translate(&error),
        })
    }

    /// Each round names a certificate that had not begun, and its beginning is the time of the next round: the first
    /// time at which a whole chain has begun is the latest beginning among its certificates.
    fn check_without_clock(
        &self,
        certificate: &EndEntityCert<'_>,
        purpose: &'static [u8],
    ) -> Result<(), Error> {
        let mut now = 0;
        for _ in 0..MAX_ROUNDS {
            match self.check_at(certificate, purpose, now) {
                Err(Error::CertNotValidYet { not_before, .. }) if not_before.as_secs() > now => {
                    now = not_before.as_secs();
                }
                result => return result,
            }
        }
        Err(Error::MaximumPathBuildCallsExceeded)
    }

    fn check_at(
        &self,
        certificate: &EndEntityCert<'_>,
        purpose: &'static [u8],
        seconds: u64,
    ) -> Result<(), Error> {
        let usage = if self.policy.require_purpose {
            KeyUsage::required(purpose)
        } else {
            KeyUsage::required_if_present(purpose)
        };
        let short_enough = |path: &VerifiedPath<'_>| {
            if path.intermediate_certificates().count() > self.policy.max_intermediates {
                return Err(Error::MaximumPathDepthExceeded);
            }
            Ok(())
        };
        certificate
            .verify_for_usage(
                self.algorithms,
                self.anchors,
                self.intermediates,
                UnixTime::since_unix_epoch(core::time::Duration::from_secs(seconds)),
                usage,
                self.revocation(),
                Some(&short_enough),
            )
            .map(|_| ())
    }

    fn revocation(&self) -> Option<webpki::RevocationOptions<'_>> {
        let policy = &self.policy.revocation;
        // Without lists nothing is looked up.
        let builder = RevocationOptionsBuilder::new(self.revocation_lists).ok()?;
        Some(
            builder
                .with_depth(match policy.depth {
                    RevocationDepth::EndEntity => webpki::RevocationCheckDepth::EndEntity,
                    RevocationDepth::Chain => webpki::RevocationCheckDepth::Chain,
                })
                .with_status_policy(match policy.unknown {
                    UnknownStatus::Refuse => webpki::UnknownStatusPolicy::Deny,
                    UnknownStatus::Allow => webpki::UnknownStatusPolicy::Allow,
                })
                .with_expiration_policy(if policy.refuse_outdated_lists {
                    webpki::ExpirationPolicy::Enforce
                } else {
                    webpki::ExpirationPolicy::Ignore
                })
                .build(),
        )
    }
}

/// Whether the certificate is for this name (RFC 6125): subjectAltName alone counts, a wildcard stands for one label.
pub(crate) fn check_name(certificate: &[u8], name: ServerName<'_>) -> Result<(), CertificateError> {
    use rustls_pki_types::ServerName as Expected;
    let der = CertificateDer::from_slice(certificate);
    let certificate = EndEntityCert::try_from(&der).map_err(|error| match error {
        // Older ones, which can only get here pinned, have no alternative names.
        Error::UnsupportedCertVersion => CertificateError::WrongName,
        error => translate(&error),
    })?;
    let expected = match name.0 {
        ServerNameKind::Dns(name) => {
            Expected::DnsName(DnsName::try_from(name).map_err(|_| CertificateError::WrongName)?)
        }
        ServerNameKind::Ip(IpAddr::V4(address)) => {
            Expected::IpAddress(rustls_pki_types::IpAddr::V4(address.octets().into()))
        }
        ServerNameKind::Ip(IpAddr::V6(address)) => {
            Expected::IpAddress(rustls_pki_types::IpAddr::V6(address.segments().into()))
        }
    };
    certificate
        .verify_is_valid_for_subject_name(&expected)
        .map_err(|error| translate(&error))
}

/// Whether the key in the certificate `issuer` made this signature. `None` when that cannot be told: an algorithm that is
/// not in the set, or an issuer's certificate that webpki does not read.
#[cfg(feature = "alloc")]
pub(crate) fn has_signed(
    issuer: &[u8],
    signed: &crate::certificate::Signed<'_>,
    algorithms: &[&Algorithm],
) -> Option<bool> {
    let der = CertificateDer::from_slice(issuer);
    let issuer = EndEntityCert::try_from(&der).ok()?;
    algorithms
        .iter()
        .filter(|algorithm| algorithm.signature_alg_id().as_ref() == signed.algorithm)
        .find_map(|algorithm| {
            match issuer.verify_signature(*algorithm, signed.message, signed.signature) {
                Ok(()) => Some(true),
                // The same algorithm may be there for keys of another kind.
                Err(Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)) => None,
                Err(_) => Some(false),
            }
        })
}

/// Whether the text is a DNS name.
pub(crate) fn is_dns_name(text: &str) -> bool {
    DnsName::try_from(text).is_ok()
}

/// Reads a list of what is revoked.
#[cfg(feature = "alloc")]
pub(crate) fn owned_revocation_list(der: &[u8]) -> Result<RevocationList<'static>, &'static str> {
    webpki::BorrowedCertRevocationList::from_der(der)
        .and_then(|list| list.to_owned())
        .map(RevocationList::Owned)
        .map_err(|error| match error {
            Error::UnsupportedCrlVersion => "is of a version other than 2",
            Error::UnsupportedDeltaCrl => "lists only changes, which is not supported",
            Error::UnsupportedIndirectCrl => "is indirect, which is not supported",
            Error::UnsupportedCriticalExtension
            | Error::UnsupportedCrlIssuingDistributionPoint
            | Error::UnsupportedRevocationReason
            | Error::UnsupportedRevocationReasonsPartitioning => {
                "has an extension that is not supported"
            }
            _ => "is malformed",
        })
}

/// Our word for what webpki found. Its error carries details that only a build with a heap has.
fn translate(error: &Error) -> CertificateError {
    use CertificateError as E;
    match error {
        Error::CertExpired { .. } => E::Expired,
        Error::CertNotValidYet { .. } => E::NotYetValid,
        Error::CertNotValidForName(_) => E::WrongName,
        Error::CertRevoked => E::Revoked,
        Error::UnknownIssuer => E::UnknownIssuer,
        Error::InvalidSignatureForPublicKey => E::BadSignature,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => E::WrongUsage,

        // Of lists of what is revoked: as good as none.
        Error::UnknownRevocationStatus
        | Error::CrlExpired { .. }
        | Error::InvalidCrlNumber
        | Error::InvalidCrlSignatureForPublicKey
        | Error::IssuerNotCrlSigner
        | Error::UnsupportedCrlIssuingDistributionPoint
        | Error::UnsupportedCrlVersion
        | Error::UnsupportedDeltaCrl
        | Error::UnsupportedIndirectCrl
        | Error::UnsupportedRevocationReason
        | Error::UnsupportedRevocationReasonsPartitioning
        | Error::UnsupportedCrlSignatureAlgorithmContext(_)
        | Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => E::RevocationUnknown,

        // A version of X.509 before the third is what TLS calls an unsupported certificate.
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
        | Error::UnsupportedCertVersion => E::UnsupportedAlgorithm,

        Error::CaUsedAsEndEntity
        | Error::EndEntityUsedAsCa
        | Error::CertDistrusted
        | Error::MaximumNameConstraintComparisonsExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded
        | Error::NameConstraintViolation
        | Error::PathLenConstraintViolated
        | Error::UnsupportedCriticalExtension
        | Error::UnsupportedNameType => E::Constraint,

        // What cannot be decoded, and what a later release may add: never accepted.
        _ => E::Malformed,
    }
}
