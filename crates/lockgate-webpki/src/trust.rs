//! The check itself, which needs no heap.

use lockgate_dtls::certificate::{
    CertificateError, CertificateType, PeerCertificate, parse_public_key,
};
use rustls_pki_types::CertificateDer;

use crate::algorithms::Algorithm;
use crate::certificate::Fields;
use crate::chain::{self, Chain, RevocationList, TrustAnchor};
use crate::identity::{Identity, KeyHash};
use crate::policy::{MAX_CERTIFICATES, MAX_SAME_SUBJECT, Policy, Usage};
use crate::time::Time;

/// Most intermediates of our own that a build without a heap has room for.
#[cfg(not(feature = "alloc"))]
pub const MAX_OWN_INTERMEDIATES: usize = 4;

/// What is trusted, borrowed: for devices, which have it in their firmware. Servers have a `Verifier`, which owns it.
///
/// ```
/// use lockgate_dtls::certificate::{CertificateError, PeerCertificate};
/// use lockgate_webpki::algorithms::Algorithm;
/// use lockgate_webpki::{CertificateDer, ServerName, Time, Trust, Usage, trust_anchor};
///
/// /// `algorithms` is `RUSTCRYPTO` on a device.
/// fn check(
///     factory_ca: &[u8],
///     algorithms: &[&Algorithm],
///     peer: &PeerCertificate<'_>,
/// ) -> Result<(), CertificateError> {
///     let certificates = [CertificateDer::from_slice(factory_ca)];
///     let anchors = [trust_anchor(&certificates[0])?];
///     let trust = Trust {
///         anchors: &anchors,
///         ..Trust::new(algorithms)
///     };
///     let usage = Usage::Server {
///         name: ServerName::parse("gateway.example"),
///     };
///     trust.verify(peer, usage, Time::Unknown)?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Trust<'a> {
    /// Who may issue certificates: [`trust_anchor`](crate::trust_anchor).
    pub anchors: &'a [TrustAnchor<'a>],
    /// Certificates that are accepted as a peer's own though they signed themselves, byte for byte. A device that is its
    /// own authority is known in this way. Those that others have issued have no effect here.
    pub pinned: &'a [CertificateDer<'a>],
    /// Authorities that peers may forget to send.
    pub intermediates: &'a [CertificateDer<'a>],
    /// What is revoked, for each issuer the newest list first. Only the first one of an issuer counts.
    pub revocation_lists: &'a [&'a RevocationList<'a>],
    /// The raw public keys that are accepted.
    pub keys: &'a [KeyHash],
    /// The signatures that are verified in chains.
    pub algorithms: &'a [&'a Algorithm],
    /// What else is insisted on.
    pub policy: Policy,
}

impl<'a> Trust<'a> {
    /// Trusts nobody, until its fields say otherwise.
    pub const fn new(algorithms: &'a [&'a Algorithm]) -> Self {
        Self {
            anchors: &[],
            pinned: &[],
            intermediates: &[],
            revocation_lists: &[],
            keys: &[],
            algorithms,
            policy: Policy::DEFAULT,
        }
    }

    /// Checks what a peer showed. The certificate's name is checked last: that it is for another one says that all else is
    /// in order.
    ///
    /// That the peer holds the private key is not checked here; the engine does that.
    ///
    /// # Errors
    /// The first fault that was found, or the most telling one when several chains were tried.
    pub fn verify<'p>(
        &self,
        peer: &PeerCertificate<'p>,
        usage: Usage<'_>,
        time: Time,
    ) -> Result<Identity<'p>, CertificateError> {
        match peer.certificate_type() {
            CertificateType::RawPublicKey => {
                verify_raw_public_key(peer, |key| self.keys.contains(key))
            }
            CertificateType::X509 => self.verify_chain(peer, usage, time),
        }
    }

    fn verify_chain<'p>(
        &self,
        peer: &PeerCertificate<'p>,
        usage: Usage<'_>,
        time: Time,
    ) -> Result<Identity<'p>, CertificateError> {
        let mut bytes = 0;
        for (place, certificate) in peer.chain().enumerate() {
            bytes += certificate.len();
            if place >= self.policy.max_certificates.min(MAX_CERTIFICATES)
                || bytes > self.policy.max_chain_bytes
            {
                return Err(CertificateError::Constraint);
            }
        }
        check_names_of_authorities(peer)?;
        let own = peer.chain().next().ok_or(CertificateError::Missing)?;
        let fields = Fields::parse(own).map_err(|_| CertificateError::Malformed)?;
        let identity = Identity::of_fields(fields).map_err(|_| CertificateError::Malformed)?;
        check_key(fields.public_key_info)?;

        let (purpose, name) = match usage {
            Usage::Server { name } => (chain::SERVER_AUTH, name),
            Usage::Client => (chain::CLIENT_AUTH, None),
        };
        let pinned = fields.is_self_issued() && self.pinned.iter().any(|pin| pin.as_ref() == own);
        if pinned {
            self.check_pinned(&fields, purpose, time)?;
        } else {
            self.check_issued(peer, own, purpose, time)?;
        }
        // webpki leaves this one to us.
        if !fields.may_sign() {
            return Err(CertificateError::WrongUsage);
        }
        if let Some(name) = name {
            chain::check_name(own, name)?;
        }
        Ok(identity)
    }

    fn check_issued(
        &self,
        peer: &PeerCertificate<'_>,
        own: &[u8],
        purpose: &'static [u8],
        time: Time,
    ) -> Result<(), CertificateError> {
        let presented = peer.chain().skip(1).map(CertificateDer::from_slice);
        let ours = self
            .intermediates
            .iter()
            .map(|certificate| CertificateDer::from_slice(certificate));
        #[cfg(feature = "alloc")]
        let intermediates: &[_] = &presented.chain(ours).collect::<alloc::vec::Vec<_>>();
        #[cfg(not(feature = "alloc"))]
        let intermediates = {
            const ROOM: usize = MAX_CERTIFICATES + MAX_OWN_INTERMEDIATES;
            let mut room = [const { CertificateDer::from_slice(&[]) }; ROOM];
            let used = room
                .iter_mut()
                .zip(presented.chain(ours))
                .map(|(place, certificate)| *place = certificate)
                .count();
            (room, used)
        };
        #[cfg(not(feature = "alloc"))]
        let intermediates = intermediates.0.get(..intermediates.1).unwrap_or_default();
        Chain {
            anchors: self.anchors,
            intermediates,
            revocation_lists: self.revocation_lists,
            algorithms: self.algorithms,
            policy: &self.policy,
        }
        .check(own, purpose, time)
    }

    /// Nobody else vouches for it, so there is no chain; time and purpose count all the same.
    fn check_pinned(
        &self,
        fields: &Fields<'_>,
        purpose: &[u8],
        time: Time,
    ) -> Result<(), CertificateError> {
        let validity = fields.validity;
        let now = match time {
            Time::Unix(now) => now,
            Time::Unknown => validity.not_before,
        };
        if now > validity.not_after {
            return Err(CertificateError::Expired);
        }
        if now < validity.not_before {
            return Err(CertificateError::NotYetValid);
        }
        match fields.has_purpose(purpose) {
            Ok(Some(true)) => Ok(()),
            Ok(None) if !self.policy.require_purpose => Ok(()),
            Ok(_) => Err(CertificateError::WrongUsage),
            Err(_) => Err(CertificateError::Malformed),
        }
    }
}

/// That not too many authorities share a name. What cannot be decoded is left to the search, which passes over it.
fn check_names_of_authorities(peer: &PeerCertificate<'_>) -> Result<(), CertificateError> {
    let mut subjects = [None; MAX_CERTIFICATES];
    for (place, certificate) in subjects.iter_mut().zip(peer.chain().skip(1)) {
        *place = Fields::parse(certificate).ok().map(|fields| fields.subject);
    }
    let crowded = subjects.iter().flatten().any(|subject| {
        subjects
            .iter()
            .flatten()
            .filter(|other| *other == subject)
            .count()
            > MAX_SAME_SUBJECT
    });
    if crowded {
        return Err(CertificateError::Constraint);
    }
    Ok(())
}

/// A raw public key is known or it is not (RFC 7250 §4.2). Keys are public, so how long the look-up takes tells nothing.
pub(crate) fn verify_raw_public_key<'p>(
    peer: &PeerCertificate<'p>,
    is_known: impl FnOnce(&KeyHash) -> bool,
) -> Result<Identity<'p>, CertificateError> {
    let info = peer.chain().next().ok_or(CertificateError::Missing)?;
    check_key(info)?;
    let identity = Identity::of_public_key(info);
    if is_known(&identity.key_hash()) {
        Ok(identity)
    } else {
        Err(CertificateError::UnknownKey)
    }
}

/// That the engine knows keys of this kind.
fn check_key(public_key_info: &[u8]) -> Result<(), CertificateError> {
    match parse_public_key(public_key_info) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(CertificateError::UnsupportedAlgorithm),
        Err(_) => Err(CertificateError::Malformed),
    }
}
