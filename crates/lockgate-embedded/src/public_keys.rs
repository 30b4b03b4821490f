//! Certificates and raw public keys: what we show, and which servers we take.

use core::fmt;

use lockgate_dtls::certificate::{CertificateError, CertificateType, PeerCertificate};
use lockgate_dtls::crypto::{SignatureScheme, SigningKey};
use lockgate_dtls::{Credential, CredentialRequest};

/// Longest signature that a device makes, in bytes: ECDSA on P-384.
pub(crate) const MAX_SIGNATURE_LEN: usize = 104;

/// What [`Session::with_public_keys`](crate::Session::with_public_keys) is told. All of it can live in flash.
///
/// The [`Config`](lockgate_dtls::Config) has to say which types of certificate each side may show; without, the session
/// does PSK alone.
///
/// ```
/// use lockgate_dtls::certificate::{CertificateType, CertificateTypes};
/// use lockgate_dtls::crypto::SigningKey;
/// use lockgate_dtls::{CipherSuite, Config, SuiteList};
/// use lockgate_embedded::{Credentials, Device, Link, Memory, OwnKey, PublicKeys, Servers, scratch_len};
/// use lockgate_rustcrypto::{RandomSource, RustCrypto};
///
/// fn device<'m, R: RandomSource, L: Link>(
///     random: R,
///     link: L,
///     config: &'m mut Config,
///     memory: &'m mut Memory<576, 576, { scratch_len(100, 100) }>,
///     own: &'m dyn SigningKey,
///     server: &'m [[u8; 32]],
/// ) -> Device<'m, RustCrypto<R>, L> {
///     let raw = CertificateTypes::new(&[CertificateType::RawPublicKey]);
///     *config = Config {
///         cipher_suites: SuiteList::new(&[CipherSuite::ECDHE_ECDSA_AES_128_CCM_8]),
///         psk: false,
///         own_certificate_types: raw,
///         peer_certificate_types: raw,
///         ..Config::default()
///     };
///     Device::new(RustCrypto::new(random), config, Credentials::NONE, memory, link).with_public_keys(PublicKeys {
///         server_name: "",
///         servers: Servers::KeyHashes(server),
///         own: Some(OwnKey::raw(own)),
///     })
/// }
/// ```
#[derive(Clone, Copy)]
pub struct PublicKeys<'m> {
    /// The host name to ask the server for (RFC 6066), or empty.
    pub server_name: &'m str,
    /// Which servers are taken.
    pub servers: Servers<'m>,
    /// What we show to a server that asks; without, it is up to the server whether we come in.
    pub own: Option<OwnKey<'m>>,
}

impl fmt::Debug for PublicKeys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKeys")
            .field("server_name", &self.server_name)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

/// Which servers are taken.
#[derive(Clone, Copy)]
pub enum Servers<'m> {
    /// Those whose key is one of these, each the DER of a `SubjectPublicKeyInfo`. Of a certificate nothing else is looked
    /// at.
    Keys(&'m [&'m [u8]]),
    /// The same, by the SHA-256 of each.
    KeyHashes(&'m [[u8; 32]]),
    /// Those that this lets pass.
    Checked(&'m dyn CheckServer),
}

/// A verdict about servers, such as `X509` (feature `webpki`).
pub trait CheckServer {
    /// Judges what a server showed. That it holds the private key is the engine's to check.
    fn check(&self, shown: &PeerCertificate<'_>) -> Result<(), CertificateError>;

    /// Whether an earlier session with the server of this key (SHA-256 of its `SubjectPublicKeyInfo`), which was taken
    /// then, may go on.
    fn still(&self, key_hash: &[u8; 32]) -> bool {
        let _ = key_hash;
        true
    }
}

impl Servers<'_> {
    pub(crate) fn check(
        &self,
        shown: &PeerCertificate<'_>,
        key_hash: Option<[u8; 32]>,
    ) -> Result<(), CertificateError> {
        let known = match self {
            Self::Keys(keys) => {
                let shown = shown
                    .public_key_info()
                    .map_err(|_| CertificateError::Malformed)?;
                keys.contains(&shown)
            }
            Self::KeyHashes(hashes) => {
                hashes.contains(&key_hash.ok_or(CertificateError::Malformed)?)
            }
            Self::Checked(check) => return check.check(shown),
        };
        if known {
            Ok(())
        } else {
            Err(CertificateError::UnknownKey)
        }
    }

    pub(crate) fn still(&self, key_hash: &[u8; 32]) -> bool {
        match self {
            // They cannot have changed since, other than by an update that this memory did not outlive.
            Self::Keys(_) => true,
            Self::KeyHashes(hashes) => hashes.contains(key_hash),
            Self::Checked(check) => check.still(key_hash),
        }
    }
}

/// Our private key, and what we show for it.
#[derive(Clone, Copy)]
pub struct OwnKey<'m> {
    /// Signs; where a secure element holds the key, this asks it.
    pub key: &'m dyn SigningKey,
    /// The DER of our certificate and of those that vouch for it, our own first; empty for the raw public key.
    pub chain: &'m [&'m [u8]],
}

impl<'m> OwnKey<'m> {
    /// A raw public key (RFC 7250).
    pub const fn raw(key: &'m dyn SigningKey) -> Self {
        Self { key, chain: &[] }
    }

    /// An X.509 certificate.
    pub const fn x509(key: &'m dyn SigningKey, chain: &'m [&'m [u8]]) -> Self {
        Self { key, chain }
    }

    const fn certificate_type(&self) -> CertificateType {
        if self.chain.is_empty() {
            CertificateType::RawPublicKey
        } else {
            CertificateType::X509
        }
    }

    /// With which scheme we can show it to this server.
    pub(crate) fn scheme(&self, request: &CredentialRequest<'_>) -> Option<SignatureScheme> {
        if !request.takes(self.key.key_type())
            || !request
                .certificate_types()
                .contains(self.certificate_type())
        {
            return None;
        }
        request.schemes().find(|&scheme| self.key.supports(scheme))
    }

    /// As the engine wants it.
    pub(crate) fn credential<'a>(
        &'a self,
        raw: &'a [&'a [u8]; 1],
        scheme: SignatureScheme,
    ) -> Credential<'a> {
        Credential {
            certificate_type: self.certificate_type(),
            chain: if self.chain.is_empty() {
                raw
            } else {
                self.chain
            },
            key_type: self.key.key_type(),
            scheme,
            authorities: &[],
        }
    }
}

impl fmt::Debug for OwnKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnKey")
            .field("certificate_type", &self.certificate_type())
            .field("key_type", &self.key.key_type())
            .finish_non_exhaustive()
    }
}
