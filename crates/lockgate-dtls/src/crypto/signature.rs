//! Signatures: RFC 5246 §7.4.1.4.1, RFC 8422, RFC 8446 §4.2.3.

use core::fmt;

use super::CryptoError;

/// Longest signature in bytes: RSA with 8,192 bits.
pub const MAX_SIGNATURE_LEN: usize = 1024;

/// A signature scheme by its number in the TLS registry: in TLS 1.2 a pair of hash and signature algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignatureScheme(pub u16);

impl SignatureScheme {
    /// `rsa_pkcs1_sha256`
    pub const RSA_PKCS1_SHA256: Self = Self(0x0401);
    /// `rsa_pkcs1_sha384`
    pub const RSA_PKCS1_SHA384: Self = Self(0x0501);
    /// `rsa_pkcs1_sha512`
    pub const RSA_PKCS1_SHA512: Self = Self(0x0601);
    /// `ecdsa_secp256r1_sha256`; in TLS 1.2 ECDSA on any curve with SHA-256
    pub const ECDSA_SECP256R1_SHA256: Self = Self(0x0403);
    /// `ecdsa_secp384r1_sha384`; in TLS 1.2 ECDSA on any curve with SHA-384
    pub const ECDSA_SECP384R1_SHA384: Self = Self(0x0503);
    /// `rsa_pss_rsae_sha256`
    pub const RSA_PSS_RSAE_SHA256: Self = Self(0x0804);
    /// `rsa_pss_rsae_sha384`
    pub const RSA_PSS_RSAE_SHA384: Self = Self(0x0805);
    /// `rsa_pss_rsae_sha512`
    pub const RSA_PSS_RSAE_SHA512: Self = Self(0x0806);
    /// `ed25519`
    pub const ED25519: Self = Self(0x0807);

    /// Every scheme the engine knows, in the order in which it prefers them.
    pub const ALL: [Self; 9] = [
        Self::ECDSA_SECP256R1_SHA256,
        Self::ECDSA_SECP384R1_SHA384,
        Self::ED25519,
        Self::RSA_PSS_RSAE_SHA256,
        Self::RSA_PSS_RSAE_SHA384,
        Self::RSA_PSS_RSAE_SHA512,
        Self::RSA_PKCS1_SHA256,
        Self::RSA_PKCS1_SHA384,
        Self::RSA_PKCS1_SHA512,
    ];

    /// The registry's name, or `None` for a scheme that the engine does not know.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::RSA_PKCS1_SHA256 => "rsa_pkcs1_sha256",
            Self::RSA_PKCS1_SHA384 => "rsa_pkcs1_sha384",
            Self::RSA_PKCS1_SHA512 => "rsa_pkcs1_sha512",
            Self::ECDSA_SECP256R1_SHA256 => "ecdsa_secp256r1_sha256",
            Self::ECDSA_SECP384R1_SHA384 => "ecdsa_secp384r1_sha384",
            Self::RSA_PSS_RSAE_SHA256 => "rsa_pss_rsae_sha256",
            Self::RSA_PSS_RSAE_SHA384 => "rsa_pss_rsae_sha384",
            Self::RSA_PSS_RSAE_SHA512 => "rsa_pss_rsae_sha512",
            Self::ED25519 => "ed25519",
            _ => return None,
        })
    }

    /// Whether it is one of RSA keys.
    pub const fn is_rsa(self) -> bool {
        self.fits(KeyType::Rsa)
    }

    /// Whether keys of this type make signatures of this scheme in TLS 1.2, where ECDSA's hash does not name the curve
    /// (RFC 8422 §5.1.1).
    pub const fn fits(self, key_type: KeyType) -> bool {
        match key_type {
            KeyType::EcdsaP256 | KeyType::EcdsaP384 => matches!(
                self,
                Self::ECDSA_SECP256R1_SHA256 | Self::ECDSA_SECP384R1_SHA384
            ),
            KeyType::Ed25519 => matches!(self, Self::ED25519),
            KeyType::Rsa => matches!(
                self,
                Self::RSA_PKCS1_SHA256
                    | Self::RSA_PKCS1_SHA384
                    | Self::RSA_PKCS1_SHA512
                    | Self::RSA_PSS_RSAE_SHA256
                    | Self::RSA_PSS_RSAE_SHA384
                    | Self::RSA_PSS_RSAE_SHA512
            ),
        }
    }
}

impl fmt::Debug for SignatureScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SignatureScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:04X}", self.0),
        }
    }
}

/// What kind of key a certificate or raw public key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// An elliptic curve key on P-256
    EcdsaP256,
    /// An elliptic curve key on P-384
    EcdsaP384,
    /// An Ed25519 key (RFC 8410)
    Ed25519,
    /// An RSA key (`rsaEncryption`)
    Rsa,
}

impl KeyType {
    /// Whether the key serves suites named `ECDHE_RSA`; the others serve `ECDHE_ECDSA` (RFC 8422 §2).
    pub const fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa)
    }
}

/// A peer's public key, as it stands in a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey<'a> {
    /// What kind it is.
    pub key_type: KeyType,
    /// The contents of `subjectPublicKey`: an uncompressed point, 32 bytes of Ed25519, or the DER of an
    /// `RSAPublicKey`.
    pub bytes: &'a [u8],
}

/// A private key of ours that signs handshakes.
///
/// The engine asks for signatures by an event and never calls this; it is the word that drivers, tools and keys
/// outside of the process share.
pub trait SigningKey {
    /// What kind of key it is.
    fn key_type(&self) -> KeyType;

    /// Whether it makes signatures of this scheme. [`SignatureScheme::fits`] its type is not enough: an RSA key of 1,024
    /// bits has no room for RSA-PSS with SHA-512.
    fn supports(&self, scheme: SignatureScheme) -> bool {
        scheme.fits(self.key_type())
    }

    /// Signs `message`, writes the signature to the front of `out` and returns its length: DER for ECDSA.
    ///
    /// # Errors
    /// [`CryptoError::Unsupported`] for a scheme that the key does not make, [`CryptoError::BadLength`] when `out` is
    /// too short.
    fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CryptoError>;

    /// Our public key as the DER of a `SubjectPublicKeyInfo`: what a raw public key (RFC 7250) is.
    fn public_key_info(&self) -> &[u8];
}
