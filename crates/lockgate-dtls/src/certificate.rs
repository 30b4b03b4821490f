//! What the engine itself reads of certificates, and the words for what others find when they check them.
//!
//! The engine only takes the public key out; chains, names and times are a verifier's business (`lockgate-webpki`).

use core::fmt;

use crate::crypto::{KeyType, PublicKey};
use crate::wire::{AlertDescription, Malformed};

/// What a peer proves itself with (RFC 7250 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CertificateType {
    /// A chain of X.509 certificates.
    X509 = 0,
    /// A bare `SubjectPublicKeyInfo`.
    RawPublicKey = 2,
}

impl CertificateType {
    /// The type of this number in the TLS registry, if the engine knows it.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::X509),
            2 => Some(Self::RawPublicKey),
            _ => None,
        }
    }
}

/// Certificate types in order of preference.
pub type CertificateTypes = crate::bytes::ShortList<CertificateType, 2>;

/// Whether a server wants to see its clients' certificates or raw public keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Not asked for.
    #[default]
    None,
    /// Asked for; a client that shows none comes in without a name.
    Optional,
    /// A client that shows none is refused. One that comes with a pre-shared key is not asked: where that is not wanted,
    /// [`Config::psk`](crate::Config::psk) is off.
    Required,
}

/// Why a peer's certificate or raw public key does not do. Each has an alert of its own where TLS has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateError {
    /// The peer has none, and we require one.
    Missing,
    /// It cannot be decoded.
    Malformed,
    /// Its key, or an algorithm in its chain, is not one that we know.
    UnsupportedAlgorithm,
    /// It is past its end.
    Expired,
    /// It has not begun.
    NotYetValid,
    /// It is not for the name that was asked for.
    WrongName,
    /// It is not for this use: no server's or no client's extended key usage.
    WrongUsage,
    /// No authority that we trust has issued it.
    UnknownIssuer,
    /// Its authority has withdrawn it.
    Revoked,
    /// Nobody can tell whether its authority has withdrawn it, and that is required.
    RevocationUnknown,
    /// A signature in its chain does not verify.
    BadSignature,
    /// A constraint in its chain forbids it.
    Constraint,
    /// The raw public key is not among those that we know.
    UnknownKey,
    /// The caller's own verdict, and what the peer is told of it.
    Refused(AlertDescription),
    /// The verdict could not be found.
    VerifierFailed,
}

impl CertificateError {
    /// The alert that tells the peer (RFC 5246 §7.2.2).
    pub const fn alert(self) -> AlertDescription {
        use AlertDescription as A;
        match self {
            // RFC 5246 §7.4.6 knows no alert for a missing certificate but this.
            Self::Missing => A::HANDSHAKE_FAILURE,
            Self::Malformed | Self::BadSignature => A::BAD_CERTIFICATE,
            Self::UnsupportedAlgorithm | Self::WrongUsage => A::UNSUPPORTED_CERTIFICATE,
            Self::Expired | Self::NotYetValid => A::CERTIFICATE_EXPIRED,
            Self::UnknownIssuer | Self::UnknownKey => A::UNKNOWN_CA,
            Self::Revoked => A::CERTIFICATE_REVOKED,
            Self::WrongName | Self::RevocationUnknown | Self::Constraint => A::CERTIFICATE_UNKNOWN,
            Self::Refused(alert) => alert,
            Self::VerifierFailed => A::INTERNAL_ERROR,
        }
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the peer has no certificate, and one is required",
            Self::Malformed => "the certificate is malformed",
            Self::UnsupportedAlgorithm => "the certificate uses an algorithm that is not supported",
            Self::Expired => "the certificate has expired",
            Self::NotYetValid => "the certificate is not valid yet",
            Self::WrongName => "the certificate is for another name",
            Self::WrongUsage => "the certificate is for another usage",
            Self::UnknownIssuer => "the certificate's issuer is not known",
            Self::Revoked => "the certificate is revoked",
            Self::RevocationUnknown => "nobody can tell whether the certificate is revoked",
            Self::BadSignature => "a signature in the certificate chain does not verify",
            Self::Constraint => "a constraint in the certificate chain forbids it",
            Self::UnknownKey => "the raw public key is not known",
            Self::Refused(_) => "the certificate is refused",
            Self::VerifierFailed => "the certificate could not be checked",
        })
    }
}

impl core::error::Error for CertificateError {}

/// What a peer showed: a chain of X.509 certificates, its own first, or a raw public key.
#[derive(Clone, Copy, Debug)]
pub struct PeerCertificate<'a> {
    kind: CertificateType,
    /// The list of a `Certificate` message, or the bare key.
    body: &'a [u8],
}

impl<'a> PeerCertificate<'a> {
    /// What a `Certificate` message lists: certificates, each behind three bytes of length (RFC 5246 §7.4.2), or one
    /// `SubjectPublicKeyInfo`. What is badly framed ends the chain early.
    pub const fn new(kind: CertificateType, body: &'a [u8]) -> Self {
        Self { kind, body }
    }

    /// Which of the two it is.
    pub const fn certificate_type(&self) -> CertificateType {
        self.kind
    }

    /// The DER of each certificate, the peer's own first; of a raw public key the one `SubjectPublicKeyInfo`.
    pub fn chain(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut reader = crate::wire::Reader::new(self.body);
        let raw = self.kind == CertificateType::RawPublicKey;
        core::iter::from_fn(move || {
            if reader.is_empty() {
                return None;
            }
            if raw {
                return reader.take(reader.rest().len()).ok();
            }
            let len = reader.u24().ok()?;
            reader.take(len as usize).ok()
        })
    }

    /// The DER of the peer's own `SubjectPublicKeyInfo`.
    pub fn public_key_info(&self) -> Result<&'a [u8], Malformed> {
        let own = self.chain().next().ok_or(Malformed)?;
        match self.kind {
            CertificateType::X509 => public_key_info(own),
            CertificateType::RawPublicKey => Ok(own),
        }
    }
}

/// The `SubjectPublicKeyInfo` of a certificate (RFC 5280 §4.1), as DER.
pub fn public_key_info(certificate: &[u8]) -> Result<&[u8], Malformed> {
    let mut outer = Der::new(certificate);
    let mut certificate = outer.sequence()?;
    outer.end()?;
    let mut tbs = certificate.sequence()?;
    // [0] version may be missing; serialNumber, signature, issuer, validity and subject come before the key.
    tbs.skip_if(Der::CONTEXT_0)?;
    tbs.expect(Der::INTEGER)?;
    for _ in 0..4 {
        tbs.expect(Der::SEQUENCE)?;
    }
    let (whole, _) = tbs.expect(Der::SEQUENCE)?;
    Ok(whole)
}

/// Reads the DER of a `SubjectPublicKeyInfo`. `None` for a key of a kind that the engine does not know.
pub fn parse_public_key(info: &[u8]) -> Result<Option<PublicKey<'_>>, Malformed> {
    const EC_PUBLIC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
    const SECP256R1: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
    const SECP384R1: &[u8] = &[0x2B, 0x81, 0x04, 0x00, 0x22];
    const ED25519: &[u8] = &[0x2B, 0x65, 0x70];
    const RSA_ENCRYPTION: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];

    let mut outer = Der::new(info);
    let mut info = outer.sequence()?;
    outer.end()?;
    let mut algorithm = info.sequence()?;
    let (_, oid) = algorithm.expect(Der::OBJECT_IDENTIFIER)?;
    let (_, bits) = info.expect(Der::BIT_STRING)?;
    info.end()?;
    // No unused bits: keys are whole bytes.
    let Some((0, bytes)) = bits.split_first().map(|(unused, bytes)| (*unused, bytes)) else {
        return Err(Malformed);
    };
    let key_type = match oid {
        EC_PUBLIC_KEY => match algorithm.expect(Der::OBJECT_IDENTIFIER)?.1 {
            SECP256R1 => KeyType::EcdsaP256,
            SECP384R1 => KeyType::EcdsaP384,
            _ => return Ok(None),
        },
        ED25519 => KeyType::Ed25519,
        RSA_ENCRYPTION => KeyType::Rsa,
        _ => return Ok(None),
    };
    Ok(Some(PublicKey { key_type, bytes }))
}

/// As much of DER (X.690) as it takes to find a key.
struct Der<'a> {
    bytes: &'a [u8],
}

impl<'a> Der<'a> {
    const INTEGER: u8 = 0x02;
    const BIT_STRING: u8 = 0x03;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    const SEQUENCE: u8 = 0x30;
    const CONTEXT_0: u8 = 0xA0;

    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next value of type `tag`: with its header, and without.
    fn expect(&mut self, tag: u8) -> Result<(&'a [u8], &'a [u8]), Malformed> {
        let [found, first, rest @ ..] = self.bytes else {
            return Err(Malformed);
        };
        let (header, len) = match (*first, rest) {
            (len, _) if len < 0x80 => (2, usize::from(len)),
            (0x81, [len, ..]) if *len >= 0x80 => (3, usize::from(*len)),
            (0x82, [high, low, ..]) if *high > 0 => {
                (4, usize::from(u16::from_be_bytes([*high, *low])))
            }
            // Longer than any handshake message that is taken, or not the shortest form.
            _ => return Err(Malformed),
        };
        let (whole, after) = self.bytes.split_at_checked(header + len).ok_or(Malformed)?;
        if *found != tag {
            return Err(Malformed);
        }
        self.bytes = after;
        Ok((whole, whole.get(header..).ok_or(Malformed)?))
    }

    fn sequence(&mut self) -> Result<Self, Malformed> {
        self.expect(Self::SEQUENCE)
            .map(|(_, inner)| Self::new(inner))
    }

    fn skip_if(&mut self, tag: u8) -> Result<(), Malformed> {
        if self.bytes.first() == Some(&tag) {
            self.expect(tag)?;
        }
        Ok(())
    }

    const fn end(&self) -> Result<(), Malformed> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}
