//! Public keys in the handshake: ephemeral key exchange, the peer's key, signatures over what was said.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::bytes::ShortBytes;
use crate::certificate::{
    CertificateError, CertificateType, PeerCertificate, parse_public_key, public_key_info,
};
use crate::crypto::{
    CryptoError, Hash, HashAlgorithm, KeyExchange, KeyType, MAX_PUBLIC_VALUE_LEN,
    MAX_SHARED_SECRET_LEN, NamedGroup, Provider, PublicKey, SignatureScheme,
};
use crate::error::{HandshakeError, PeerMisbehaved};
use crate::suite::KeyExchangeAlgorithm;
use crate::wire::RANDOM_LEN;

/// Longest public key of a peer's, in bytes: on a device a point of P-384, on a server RSA with 8,192 bits.
const MAX_PEER_KEY_LEN: usize = if cfg!(feature = "endpoint") {
    1056
} else {
    MAX_PUBLIC_VALUE_LEN
};

/// Longest `ServerECDHParams`, in bytes.
pub(super) const MAX_PARAMS_LEN: usize = 4 + MAX_PUBLIC_VALUE_LEN;

/// Longest that a server signs, in bytes: both randoms and the parameters (RFC 8422 §5.4).
pub(super) const MAX_SIGNED_PARAMS_LEN: usize = 2 * RANDOM_LEN + MAX_PARAMS_LEN;

/// What an ephemeral key exchange came to.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct SharedSecret {
    bytes: [u8; MAX_SHARED_SECRET_LEN],
    len: u8,
}

impl SharedSecret {
    pub(super) fn agree<K: KeyExchange>(key: K, peer: &[u8]) -> Result<Self, CryptoError> {
        let mut this = Self {
            bytes: [0; MAX_SHARED_SECRET_LEN],
            len: 0,
        };
        this.len = key.agree(peer, &mut this.bytes)? as u8;
        Ok(this)
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSecret").finish_non_exhaustive()
    }
}

/// The peer's public key, out of its certificate.
#[derive(Debug)]
pub(super) struct PeerKey {
    key_type: KeyType,
    /// On a server apart: of the half-open handshakes that a peer can leave behind, none has got so far.
    #[cfg(feature = "endpoint")]
    bytes: alloc::boxed::Box<[u8]>,
    #[cfg(not(feature = "endpoint"))]
    bytes: [u8; MAX_PEER_KEY_LEN],
    #[cfg(not(feature = "endpoint"))]
    len: u16,
}

impl PeerKey {
    #[cfg(feature = "endpoint")]
    fn new(key: PublicKey<'_>) -> Option<Self> {
        (key.bytes.len() <= MAX_PEER_KEY_LEN).then(|| Self {
            key_type: key.key_type,
            bytes: key.bytes.into(),
        })
    }

    #[cfg(not(feature = "endpoint"))]
    fn new(key: PublicKey<'_>) -> Option<Self> {
        let mut bytes = [0; MAX_PEER_KEY_LEN];
        bytes.get_mut(..key.bytes.len())?.copy_from_slice(key.bytes);
        Some(Self {
            key_type: key.key_type,
            bytes,
            len: key.bytes.len() as u16,
        })
    }

    fn get(&self) -> PublicKey<'_> {
        #[cfg(feature = "endpoint")]
        let bytes = &*self.bytes;
        #[cfg(not(feature = "endpoint"))]
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        PublicKey {
            key_type: self.key_type,
            bytes,
        }
    }
}

/// The public-key part of a handshake.
#[allow(
    clippy::struct_excessive_bools,
    reason = "what was agreed, one thing each"
)]
pub(super) struct Exchange<P: Provider> {
    /// Server: our ephemeral key, until the client's value is there.
    #[cfg(feature = "endpoint")]
    pub(super) ephemeral: Option<P::KeyExchange>,
    #[cfg(not(feature = "endpoint"))]
    provider: core::marker::PhantomData<fn() -> P>,
    pub(super) group: NamedGroup,
    pub(super) peer_key: Option<PeerKey>,
    /// Client: our public value, and the secret that it led to.
    pub(super) own_public: ShortBytes<MAX_PUBLIC_VALUE_LEN>,
    pub(super) shared: Option<SharedSecret>,
    /// What the hellos agreed that we show, and that the peer shows.
    pub(super) own_type: CertificateType,
    pub(super) peer_type: CertificateType,
    /// The scheme of the signature that is asked for or awaited.
    pub(super) scheme: SignatureScheme,
    /// Server: the client is asked for a certificate. Client: it was asked.
    pub(super) client_auth: bool,
    /// The raw transcript is kept, for a client's signature over it; so many bytes of it.
    pub(super) keeping: bool,
    pub(super) kept: u16,
    /// The agreed application protocol by its place in our list, counted from 1.
    pub(super) protocol: u8,
    /// Server: the client gets a ticket; or a newer one than it has.
    #[cfg(feature = "endpoint")]
    pub(super) give_ticket: bool,
    #[cfg(feature = "endpoint")]
    pub(super) renew_ticket: bool,
}

impl<P: Provider> Exchange<P> {
    pub(super) const fn new() -> Self {
        Self {
            #[cfg(feature = "endpoint")]
            ephemeral: None,
            #[cfg(not(feature = "endpoint"))]
            provider: core::marker::PhantomData,
            group: NamedGroup(0),
            peer_key: None,
            own_public: ShortBytes::EMPTY,
            shared: None,
            own_type: CertificateType::X509,
            peer_type: CertificateType::X509,
            scheme: SignatureScheme(0),
            client_auth: false,
            keeping: false,
            kept: 0,
            protocol: 0,
            #[cfg(feature = "endpoint")]
            give_ticket: false,
            #[cfg(feature = "endpoint")]
            renew_ticket: false,
        }
    }

    /// Takes the key out of what the peer showed. `suite` is that of a server whose certificate it is.
    pub(super) fn take_peer_key(
        &mut self,
        certificate: PeerCertificate<'_>,
        suite: Option<KeyExchangeAlgorithm>,
    ) -> Result<(), HandshakeError> {
        let own = certificate
            .chain()
            .next()
            .ok_or(CertificateError::Malformed)?;
        let info = match self.peer_type {
            CertificateType::X509 => {
                public_key_info(own).map_err(|_| CertificateError::Malformed)?
            }
            CertificateType::RawPublicKey => own,
        };
        let key = parse_public_key(info)
            .map_err(|_| CertificateError::Malformed)?
            .ok_or(CertificateError::UnsupportedAlgorithm)?;
        if suite
            .is_some_and(|suite| key.key_type.is_rsa() != (suite == KeyExchangeAlgorithm::EcdheRsa))
        {
            return Err(PeerMisbehaved::WrongCertificateType.into());
        }
        self.peer_key = Some(PeerKey::new(key).ok_or(CertificateError::UnsupportedAlgorithm)?);
        Ok(())
    }

    /// Checks the peer's signature; `offered` says whether we offered its scheme.
    pub(super) fn check_signature(
        &self,
        provider: &P,
        offered: bool,
        scheme: SignatureScheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), HandshakeError> {
        let key = self
            .peer_key
            .as_ref()
            .ok_or(CertificateError::Malformed)?
            .get();
        if !offered || !scheme.fits(key.key_type) {
            return Err(PeerMisbehaved::IllegalSignatureScheme.into());
        }
        provider
            .verify(scheme, key, message, signature)
            .map_err(|error| match error {
                CryptoError::BadSignature => PeerMisbehaved::BadSignature.into(),
                other => HandshakeError::Crypto(other),
            })
    }
}

/// SHA-256 of a peer's `SubjectPublicKeyInfo`.
pub(crate) fn key_hash<P: Provider>(
    provider: &P,
    certificate: PeerCertificate<'_>,
) -> Result<[u8; 32], HandshakeError> {
    let info = certificate
        .public_key_info()
        .map_err(|_| CertificateError::Malformed)?;
    sha_256(provider, info)
}

pub(super) fn sha_256<P: Provider>(provider: &P, bytes: &[u8]) -> Result<[u8; 32], HandshakeError> {
    let mut hash = provider.hash(HashAlgorithm::Sha256)?;
    hash.update(bytes);
    let digest = hash.finish();
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    Ok(out)
}
