//! Who the device is, and which server it takes, in the images with public keys.

use lockgate_dtls::Config;
use lockgate_dtls::certificate::{CertificateType, CertificateTypes};
use lockgate_dtls::config::{GroupList, SchemeList};
use lockgate_dtls::crypto::{KeyType, NamedGroup, SignatureScheme};
use lockgate_dtls::{CipherSuite, SuiteList};
#[cfg(feature = "webpki")]
use lockgate_embedded::X509;
use lockgate_embedded::{Credentials, OwnKey, PublicKeys, Servers, scratch_len};
use lockgate_rustcrypto::PrivateKey;
#[cfg(feature = "webpki")]
use lockgate_webpki::{CertificateDer, ServerName, Trust, TrustAnchor, algorithms, trust_anchor};

/// No pre-shared key.
pub const WHO: Credentials<'static> = Credentials::NONE;

/// Scratch memory of a handshake.
pub const SCRATCH: usize = scratch_len(if cfg!(feature = "webpki") { 500 } else { 100 }, 100);

/// SHA-256 of the server's `SubjectPublicKeyInfo`.
#[cfg(not(feature = "webpki"))]
static SERVERS: [[u8; 32]; 1] = [[
    0xce, 0x97, 0xec, 0x20, 0xd4, 0x36, 0x61, 0xa1, 0x9b, 0x21, 0x5c, 0xb2, 0xe3, 0x76, 0xa6, 0x98,
    0xd0, 0xb4, 0xaa, 0x2a, 0xa5, 0xb4, 0xc7, 0x85, 0x4e, 0x91, 0x6b, 0xd0, 0x50, 0x82, 0xfc, 0xee,
]];

/// The certificate of the authority that issues the server's.
#[cfg(feature = "webpki")]
pub(crate) static AUTHORITY: &[u8] = include_bytes!("../../certificates/ca.der");

/// Our key; on a real board its bytes come from protected memory.
pub(crate) struct Proof {
    key: PrivateKey,
}

impl Proof {
    /// The key of the test device.
    pub(crate) fn new() -> Self {
        match PrivateKey::from_secret(KeyType::EcdsaP256, &[9; 32]) {
            Ok(key) => Self { key },
            Err(_) => lockgate_firmware_board::exit(false),
        }
    }
}

impl Proof {
    /// What the session is told.
    #[cfg(not(feature = "webpki"))]
    pub(crate) fn public_keys(&self) -> PublicKeys<'_> {
        PublicKeys {
            server_name: "",
            servers: Servers::KeyHashes(&SERVERS),
            own: Some(OwnKey::raw(&self.key)),
        }
    }

    /// What the session is told; `check` is [`server_check`]'s.
    #[cfg(feature = "webpki")]
    pub(crate) fn public_keys<'m>(&'m self, check: &'m X509<'m>) -> PublicKeys<'m> {
        PublicKeys {
            server_name: "gateway.example",
            servers: Servers::Checked(check),
            own: Some(OwnKey::raw(&self.key)),
        }
    }
}

/// The authority, parsed.
#[cfg(feature = "webpki")]
pub(crate) fn anchor<'a>(certificate: &'a CertificateDer<'_>) -> [TrustAnchor<'a>; 1] {
    match trust_anchor(certificate) {
        Ok(anchor) => [anchor],
        Err(_) => lockgate_firmware_board::exit(false),
    }
}

/// Takes `gateway.example`, vouched for by `anchors`. The board has no clock.
#[cfg(feature = "webpki")]
pub(crate) fn server_check<'m>(anchors: &'m [TrustAnchor<'m>]) -> X509<'m> {
    let trust = Trust {
        anchors,
        ..Trust::new(algorithms::RUSTCRYPTO)
    };
    X509::new(trust, ServerName::parse("gateway.example"))
}

/// The options of the sessions: ECDHE and ECDSA on P-256, `CCM_8`.
pub fn config() -> Config {
    let server = if cfg!(feature = "webpki") {
        CertificateType::X509
    } else {
        CertificateType::RawPublicKey
    };
    Config {
        cipher_suites: SuiteList::new(&[CipherSuite::ECDHE_ECDSA_AES_128_CCM_8]),
        psk: false,
        groups: GroupList::new(&[NamedGroup::SECP256R1]),
        signature_schemes: SchemeList::new(&[SignatureScheme::ECDSA_SECP256R1_SHA256]),
        own_certificate_types: CertificateTypes::new(&[CertificateType::RawPublicKey]),
        peer_certificate_types: CertificateTypes::new(&[server]),
        ..Config::default()
    }
}
