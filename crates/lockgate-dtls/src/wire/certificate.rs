//! `Certificate` (RFC 5246 §7.4.2, RFC 7250 §3) and `CertificateRequest` (RFC 5246 §7.4.4).

use super::extension::{only_values16, pairs};
use super::{BufferTooSmall, Malformed, Reader, Writer};
use crate::certificate::{CertificateType, PeerCertificate};
use crate::crypto::SignatureScheme;

/// What a peer shows; an empty list when it has nothing to show.
#[derive(Clone, Copy, Debug)]
pub struct CertificateMessage<'a> {
    /// The chain or the raw public key.
    pub certificate: PeerCertificate<'a>,
    /// There is none.
    pub is_empty: bool,
}

impl<'a> CertificateMessage<'a> {
    /// Reads the message body, whose form the hellos have settled.
    pub fn parse(body: &'a [u8], kind: CertificateType) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let len = reader.u24()?;
        let list = reader.take(len as usize)?;
        reader.end()?;
        if kind == CertificateType::X509 {
            let mut chain = Reader::new(list);
            while !chain.is_empty() {
                let len = chain.u24()?;
                if chain.take(len as usize)?.is_empty() {
                    return Err(Malformed);
                }
            }
        }
        Ok(Self {
            certificate: PeerCertificate::new(kind, list),
            is_empty: list.is_empty(),
        })
    }

    /// Writes the message body: the DER of each certificate, the own one first, or a raw public key alone.
    pub fn emit(
        kind: CertificateType,
        chain: &[&[u8]],
        out: &mut Writer<'_>,
    ) -> Result<(), BufferTooSmall> {
        out.vec24(|w| match kind {
            CertificateType::X509 => chain.iter().try_for_each(|der| w.vec24(|w| w.put(der))),
            CertificateType::RawPublicKey => w.put(chain.first().copied().unwrap_or_default()),
        })
    }
}

/// `ecdsa_sign` (RFC 8422 §5.5): ECDSA and `EdDSA`.
const ECDSA_SIGN: u8 = 64;
/// `rsa_sign` (RFC 5246 §7.4.4).
const RSA_SIGN: u8 = 1;

/// What a server wants to see of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateRequest<'a> {
    /// Key types, one byte each.
    pub certificate_types: &'a [u8],
    /// Signature schemes, two bytes each.
    pub signature_algorithms: &'a [u8],
    /// The DER of distinguished names, each behind two bytes of length; empty for any.
    pub authorities: &'a [u8],
}

impl<'a> CertificateRequest<'a> {
    /// Reads the message body.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let certificate_types = reader.vec8()?;
        let before = reader.rest();
        let len = reader.vec16()?.len();
        let signature_algorithms = only_values16(before.get(..len + 2).ok_or(Malformed)?)?;
        let authorities = reader.vec16()?;
        reader.end()?;
        let mut names = Reader::new(authorities);
        while !names.is_empty() {
            if names.vec16()?.is_empty() {
                return Err(Malformed);
            }
        }
        if certificate_types.is_empty() {
            return Err(Malformed);
        }
        Ok(Self {
            certificate_types,
            signature_algorithms,
            authorities,
        })
    }

    /// Whether keys of this kind are wanted.
    pub fn accepts(&self, is_rsa: bool) -> bool {
        let wanted = if is_rsa { RSA_SIGN } else { ECDSA_SIGN };
        self.certificate_types.contains(&wanted)
    }

    /// The signature schemes in the server's order.
    pub fn schemes(&self) -> impl Iterator<Item = SignatureScheme> + use<'a> {
        pairs(self.signature_algorithms).map(SignatureScheme)
    }

    /// Writes the start of a message body that takes keys of any kind; the authorities come behind it.
    pub fn emit(
        mut schemes: impl Iterator<Item = SignatureScheme>,
        out: &mut Writer<'_>,
    ) -> Result<(), BufferTooSmall> {
        out.vec8(|w| w.put(&[ECDSA_SIGN, RSA_SIGN]))?;
        out.vec16(|w| schemes.try_for_each(|scheme| w.u16(scheme.0)))
    }
}
