//! Cipher suites and what each consists of.

use core::fmt;

use crate::crypto::{AeadAlgorithm, HashAlgorithm};

/// A cipher suite by its number in the TLS registry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CipherSuite(pub u16);

impl CipherSuite {
    /// `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256` (RFC 5289)
    pub const ECDHE_ECDSA_AES_128_GCM_SHA256: Self = Self(0xC02B);
    /// `TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384` (RFC 5289)
    pub const ECDHE_ECDSA_AES_256_GCM_SHA384: Self = Self(0xC02C);
    /// `TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256` (RFC 7905)
    pub const ECDHE_ECDSA_CHACHA20_POLY1305_SHA256: Self = Self(0xCCA9);
    /// `TLS_ECDHE_ECDSA_WITH_AES_128_CCM` (RFC 7251)
    pub const ECDHE_ECDSA_AES_128_CCM: Self = Self(0xC0AC);
    /// `TLS_ECDHE_ECDSA_WITH_AES_256_CCM` (RFC 7251)
    pub const ECDHE_ECDSA_AES_256_CCM: Self = Self(0xC0AD);
    /// `TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8` (RFC 7251), mandatory for CoAP (RFC 7252 §9.1.3.2)
    pub const ECDHE_ECDSA_AES_128_CCM_8: Self = Self(0xC0AE);
    /// `TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8` (RFC 7251)
    pub const ECDHE_ECDSA_AES_256_CCM_8: Self = Self(0xC0AF);
    /// `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` (RFC 5289)
    pub const ECDHE_RSA_AES_128_GCM_SHA256: Self = Self(0xC02F);
    /// `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384` (RFC 5289)
    pub const ECDHE_RSA_AES_256_GCM_SHA384: Self = Self(0xC030);
    /// `TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256` (RFC 7905)
    pub const ECDHE_RSA_CHACHA20_POLY1305_SHA256: Self = Self(0xCCA8);
    /// `TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256` (RFC 8442)
    pub const ECDHE_PSK_AES_128_GCM_SHA256: Self = Self(0xD001);
    /// `TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384` (RFC 8442)
    pub const ECDHE_PSK_AES_256_GCM_SHA384: Self = Self(0xD002);
    /// `TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256` (RFC 7905)
    pub const ECDHE_PSK_CHACHA20_POLY1305_SHA256: Self = Self(0xCCAC);
    /// `TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256` (RFC 8442)
    pub const ECDHE_PSK_AES_128_CCM_SHA256: Self = Self(0xD005);
    /// `TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256` (RFC 8442)
    pub const ECDHE_PSK_AES_128_CCM_8_SHA256: Self = Self(0xD003);
    /// `TLS_PSK_WITH_AES_128_GCM_SHA256` (RFC 5487)
    pub const PSK_AES_128_GCM_SHA256: Self = Self(0x00A8);
    /// `TLS_PSK_WITH_AES_256_GCM_SHA384` (RFC 5487)
    pub const PSK_AES_256_GCM_SHA384: Self = Self(0x00A9);
    /// `TLS_PSK_WITH_CHACHA20_POLY1305_SHA256` (RFC 7905)
    pub const PSK_CHACHA20_POLY1305_SHA256: Self = Self(0xCCAB);
    /// `TLS_PSK_WITH_AES_128_CCM` (RFC 6655)
    pub const PSK_AES_128_CCM: Self = Self(0xC0A4);
    /// `TLS_PSK_WITH_AES_256_CCM` (RFC 6655)
    pub const PSK_AES_256_CCM: Self = Self(0xC0A5);
    /// `TLS_PSK_WITH_AES_128_CCM_8` (RFC 6655), mandatory for CoAP (RFC 7252 §9.1.3.1)
    pub const PSK_AES_128_CCM_8: Self = Self(0xC0A8);
    /// `TLS_PSK_WITH_AES_256_CCM_8` (RFC 6655)
    pub const PSK_AES_256_CCM_8: Self = Self(0xC0A9);

    /// Every suite the engine knows, in the order in which it prefers them: full tags first, among these forward secrecy
    /// first (RFC 9325 §4.2), then by what hardware makes fast; 8-byte tags last.
    pub const ALL: [Self; 22] = [
        Self::ECDHE_ECDSA_AES_128_GCM_SHA256,
        Self::ECDHE_ECDSA_AES_256_GCM_SHA384,
        Self::ECDHE_ECDSA_CHACHA20_POLY1305_SHA256,
        Self::ECDHE_ECDSA_AES_128_CCM,
        Self::ECDHE_ECDSA_AES_256_CCM,
        Self::ECDHE_RSA_AES_128_GCM_SHA256,
        Self::ECDHE_RSA_AES_256_GCM_SHA384,
        Self::ECDHE_RSA_CHACHA20_POLY1305_SHA256,
        Self::ECDHE_PSK_AES_128_GCM_SHA256,
        Self::ECDHE_PSK_AES_256_GCM_SHA384,
        Self::ECDHE_PSK_CHACHA20_POLY1305_SHA256,
        Self::ECDHE_PSK_AES_128_CCM_SHA256,
        Self::PSK_AES_128_GCM_SHA256,
        Self::PSK_AES_256_GCM_SHA384,
        Self::PSK_CHACHA20_POLY1305_SHA256,
        Self::PSK_AES_128_CCM,
        Self::PSK_AES_256_CCM,
        Self::ECDHE_ECDSA_AES_128_CCM_8,
        Self::ECDHE_ECDSA_AES_256_CCM_8,
        Self::ECDHE_PSK_AES_128_CCM_8_SHA256,
        Self::PSK_AES_128_CCM_8,
        Self::PSK_AES_256_CCM_8,
    ];

    /// The registry's name, or `None` for a suite that the engine does not know.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::ECDHE_ECDSA_AES_128_GCM_SHA256 => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            Self::ECDHE_ECDSA_AES_256_GCM_SHA384 => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            Self::ECDHE_ECDSA_CHACHA20_POLY1305_SHA256 => {
                "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
            }
            Self::ECDHE_ECDSA_AES_128_CCM => "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
            Self::ECDHE_ECDSA_AES_256_CCM => "TLS_ECDHE_ECDSA_WITH_AES_256_CCM",
            Self::ECDHE_ECDSA_AES_128_CCM_8 => "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
            Self::ECDHE_ECDSA_AES_256_CCM_8 => "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8",
            Self::ECDHE_RSA_AES_128_GCM_SHA256 => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            Self::ECDHE_RSA_AES_256_GCM_SHA384 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            Self::ECDHE_RSA_CHACHA20_POLY1305_SHA256 => {
                "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
            }
            Self::ECDHE_PSK_AES_128_GCM_SHA256 => "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256",
            Self::ECDHE_PSK_AES_256_GCM_SHA384 => "TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384",
            Self::ECDHE_PSK_CHACHA20_POLY1305_SHA256 => {
                "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256"
            }
            Self::ECDHE_PSK_AES_128_CCM_SHA256 => "TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256",
            Self::ECDHE_PSK_AES_128_CCM_8_SHA256 => "TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256",
            Self::PSK_AES_128_GCM_SHA256 => "TLS_PSK_WITH_AES_128_GCM_SHA256",
            Self::PSK_AES_256_GCM_SHA384 => "TLS_PSK_WITH_AES_256_GCM_SHA384",
            Self::PSK_CHACHA20_POLY1305_SHA256 => "TLS_PSK_WITH_CHACHA20_POLY1305_SHA256",
            Self::PSK_AES_128_CCM => "TLS_PSK_WITH_AES_128_CCM",
            Self::PSK_AES_256_CCM => "TLS_PSK_WITH_AES_256_CCM",
            Self::PSK_AES_128_CCM_8 => "TLS_PSK_WITH_AES_128_CCM_8",
            Self::PSK_AES_256_CCM_8 => "TLS_PSK_WITH_AES_256_CCM_8",
            _ => return None,
        })
    }

    /// What the suite consists of, or `None` for a suite that the engine does not know, or whose key exchange is switched
    /// off by feature.
    pub const fn parameters(self) -> Option<SuiteParameters> {
        use {AeadAlgorithm as A, HashAlgorithm as H, KeyExchangeAlgorithm as K};
        let (key_exchange, aead, hash) = match self {
            #[cfg(feature = "certificates")]
            Self::ECDHE_ECDSA_AES_128_GCM_SHA256 => (K::EcdheEcdsa, A::Aes128Gcm, H::Sha256),
            #[cfg(feature = "certificates")]
            Self::ECDHE_ECDSA_AES_256_GCM_SHA384 => (K::EcdheEcdsa, A::Aes256Gcm, H::Sha384),
            #[cfg(feature = "certificates")]
            Self::ECDHE_ECDSA_CHACHA20_POLY1305_SHA256 => {
                (K::EcdheEcdsa, A::ChaCha20Poly1305, H::Sha256)
            }
            #[cfg(feature = "certificates")]
            Self::ECDHE_ECDSA_AES_128_CCM => (K::EcdheEcdsa, A::Aes128Ccm, H::Sha256),
            #[cfg(feature = "certificates")]
            Self::ECDHE_ECDSA_AES_256_CCM => (K::EcdheEcdsa, A::Aes256Ccm, H::Sha256),
            #[cfg(feature = "certificates")]
            Self::ECDHE_ECDSA_AES_128_CCM_8 => (K::EcdheEcdsa, A::Aes128Ccm8, H::Sha256),
            #[cfg(feature = "certificates")]
            Self::ECDHE_ECDSA_AES_256_CCM_8 => (K::EcdheEcdsa, A::Aes256Ccm8, H::Sha256),
            #[cfg(feature = "certificates")]
            Self::ECDHE_RSA_AES_128_GCM_SHA256 => (K::EcdheRsa, A::Aes128Gcm, H::Sha256),
            #[cfg(feature = "certificates")]
            Self::ECDHE_RSA_AES_256_GCM_SHA384 => (K::EcdheRsa, A::Aes256Gcm, H::Sha384),
            #[cfg(feature = "certificates")]
            Self::ECDHE_RSA_CHACHA20_POLY1305_SHA256 => {
                (K::EcdheRsa, A::ChaCha20Poly1305, H::Sha256)
            }
            #[cfg(feature = "certificates")]
            Self::ECDHE_PSK_AES_128_GCM_SHA256 => (K::EcdhePsk, A::Aes128Gcm, H::Sha256),
            #[cfg(feature = "certificates")]
            Self::ECDHE_PSK_AES_256_GCM_SHA384 => (K::EcdhePsk, A::Aes256Gcm, H::Sha384),
            #[cfg(feature = "certificates")]
            Self::ECDHE_PSK_CHACHA20_POLY1305_SHA256 => {
                (K::EcdhePsk, A::ChaCha20Poly1305, H::Sha256)
            }
            #[cfg(feature = "certificates")]
            Self::ECDHE_PSK_AES_128_CCM_SHA256 => (K::EcdhePsk, A::Aes128Ccm, H::Sha256),
            #[cfg(feature = "certificates")]
            Self::ECDHE_PSK_AES_128_CCM_8_SHA256 => (K::EcdhePsk, A::Aes128Ccm8, H::Sha256),
            Self::PSK_AES_128_GCM_SHA256 => (K::Psk, A::Aes128Gcm, H::Sha256),
            Self::PSK_AES_256_GCM_SHA384 => (K::Psk, A::Aes256Gcm, H::Sha384),
            Self::PSK_CHACHA20_POLY1305_SHA256 => (K::Psk, A::ChaCha20Poly1305, H::Sha256),
            Self::PSK_AES_128_CCM => (K::Psk, A::Aes128Ccm, H::Sha256),
            Self::PSK_AES_256_CCM => (K::Psk, A::Aes256Ccm, H::Sha256),
            Self::PSK_AES_128_CCM_8 => (K::Psk, A::Aes128Ccm8, H::Sha256),
            Self::PSK_AES_256_CCM_8 => (K::Psk, A::Aes256Ccm8, H::Sha256),
            _ => return None,
        };
        Some(SuiteParameters {
            key_exchange,
            aead,
            hash,
        })
    }
}

impl fmt::Debug for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:04X}", self.0),
        }
    }
}

/// How a suite agrees on its secret, and what proves the server. Without feature `certificates` there is one way, which
/// takes no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyExchangeAlgorithm {
    /// A pre-shared key alone (RFC 4279)
    Psk,
    /// A pre-shared key and ephemeral Diffie-Hellman (RFC 5489)
    #[cfg(feature = "certificates")]
    EcdhePsk,
    /// Ephemeral Diffie-Hellman, signed with ECDSA or `EdDSA` (RFC 8422)
    #[cfg(feature = "certificates")]
    EcdheEcdsa,
    /// Ephemeral Diffie-Hellman, signed with RSA (RFC 8422)
    #[cfg(feature = "certificates")]
    EcdheRsa,
}

impl KeyExchangeAlgorithm {
    /// Whether there is a pre-shared key.
    pub const fn uses_psk(self) -> bool {
        match self {
            Self::Psk => true,
            #[cfg(feature = "certificates")]
            other => matches!(other, Self::EcdhePsk),
        }
    }

    /// Whether there is an ephemeral key exchange.
    pub const fn is_ephemeral(self) -> bool {
        !matches!(self, Self::Psk)
    }
}

/// The algorithms of a cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuiteParameters {
    /// Key exchange and authentication.
    pub key_exchange: KeyExchangeAlgorithm,
    /// Record protection.
    pub aead: AeadAlgorithm,
    /// The hash of the PRF and of the transcript.
    pub hash: HashAlgorithm,
}

/// Cipher suites in order of preference, at most [`SuiteList::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuiteList {
    suites: [CipherSuite; Self::MAX],
    len: u8,
}

impl SuiteList {
    /// How many suites a list holds.
    pub const MAX: usize = 32;

    /// The list of `suites`; what is over [`SuiteList::MAX`] is left out.
    pub fn new(suites: &[CipherSuite]) -> Self {
        let mut list = Self {
            suites: [CipherSuite(0); Self::MAX],
            len: 0,
        };
        for (place, suite) in list.suites.iter_mut().zip(suites) {
            *place = *suite;
            list.len += 1;
        }
        list
    }

    /// The suites in order.
    pub fn iter(&self) -> impl Iterator<Item = CipherSuite> + '_ {
        self.suites[..usize::from(self.len)].iter().copied()
    }
}

impl Default for SuiteList {
    /// [`CipherSuite::ALL`].
    fn default() -> Self {
        Self::new(&CipherSuite::ALL)
    }
}
