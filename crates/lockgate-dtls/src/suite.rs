//! Cipher suites and what each consists of.

use core::fmt;

use crate::crypto::{AeadAlgorithm, HashAlgorithm};

/// A cipher suite by its number in the TLS registry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CipherSuite(pub u16);

impl CipherSuite {
    /// `TLS_PSK_WITH_AES_128_GCM_SHA256` (RFC 5487)
    pub const PSK_AES_128_GCM_SHA256: Self = Self(0x00A8);
    /// `TLS_PSK_WITH_AES_256_GCM_SHA384` (RFC 5487)
    pub const PSK_AES_256_GCM_SHA384: Self = Self(0x00A9);
    /// `TLS_PSK_WITH_AES_128_CCM` (RFC 6655)
    pub const PSK_AES_128_CCM: Self = Self(0xC0A4);
    /// `TLS_PSK_WITH_AES_256_CCM` (RFC 6655)
    pub const PSK_AES_256_CCM: Self = Self(0xC0A5);
    /// `TLS_PSK_WITH_AES_128_CCM_8` (RFC 6655), mandatory for CoAP (RFC 7252 §9.1.3.1)
    pub const PSK_AES_128_CCM_8: Self = Self(0xC0A8);
    /// `TLS_PSK_WITH_AES_256_CCM_8` (RFC 6655)
    pub const PSK_AES_256_CCM_8: Self = Self(0xC0A9);
    /// `TLS_PSK_WITH_CHACHA20_POLY1305_SHA256` (RFC 7905)
    pub const PSK_CHACHA20_POLY1305_SHA256: Self = Self(0xCCAB);

    /// Every suite the engine knows, in the order in which it prefers them: full tags first, then by what
    /// hardware makes fast, 8-byte tags last.
    pub const ALL: [Self; 7] = [
        Self::PSK_AES_128_GCM_SHA256,
        Self::PSK_AES_256_GCM_SHA384,
        Self::PSK_CHACHA20_POLY1305_SHA256,
        Self::PSK_AES_128_CCM,
        Self::PSK_AES_256_CCM,
        Self::PSK_AES_128_CCM_8,
        Self::PSK_AES_256_CCM_8,
    ];

    /// The registry's name, or `None` for a suite that the engine does not know.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::PSK_AES_128_GCM_SHA256 => "TLS_PSK_WITH_AES_128_GCM_SHA256",
            Self::PSK_AES_256_GCM_SHA384 => "TLS_PSK_WITH_AES_256_GCM_SHA384",
            Self::PSK_AES_128_CCM => "TLS_PSK_WITH_AES_128_CCM",
            Self::PSK_AES_256_CCM => "TLS_PSK_WITH_AES_256_CCM",
            Self::PSK_AES_128_CCM_8 => "TLS_PSK_WITH_AES_128_CCM_8",
            Self::PSK_AES_256_CCM_8 => "TLS_PSK_WITH_AES_256_CCM_8",
            Self::PSK_CHACHA20_POLY1305_SHA256 => "TLS_PSK_WITH_CHACHA20_POLY1305_SHA256",
            _ => return None,
        })
    }

    /// What the suite consists of, or `None` for a suite that the engine does not know.
    pub const fn parameters(self) -> Option<SuiteParameters> {
        use {AeadAlgorithm as A, HashAlgorithm as H};
        let (aead, hash) = match self {
            Self::PSK_AES_128_GCM_SHA256 => (A::Aes128Gcm, H::Sha256),
            Self::PSK_AES_256_GCM_SHA384 => (A::Aes256Gcm, H::Sha384),
            Self::PSK_AES_128_CCM => (A::Aes128Ccm, H::Sha256),
            Self::PSK_AES_256_CCM => (A::Aes256Ccm, H::Sha256),
            Self::PSK_AES_128_CCM_8 => (A::Aes128Ccm8, H::Sha256),
            Self::PSK_AES_256_CCM_8 => (A::Aes256Ccm8, H::Sha256),
            Self::PSK_CHACHA20_POLY1305_SHA256 => (A::ChaCha20Poly1305, H::Sha256),
            _ => return None,
        };
        Some(SuiteParameters { aead, hash })
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

/// The algorithms of a cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuiteParameters {
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
