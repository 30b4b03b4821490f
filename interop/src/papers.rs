//! Certificates and keys for both ends, as files for programs and as values for ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockgate_aws_lc::PrivateKey;
use lockgate_dtls::certificate::CertificateType;
use lockgate_dtls::crypto::{KeyType, SigningKey as _};
use lockgate_webpki::{KeyHash, Source, Verifier, algorithms};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SignatureAlgorithm,
};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

use crate::ours::Own;

/// What servers are called.
pub const SERVER_NAME: &str = "gate.example";
/// What the client's certificate is for.
pub const CLIENT_NAME: &str = "device-7";

/// Every kind of key.
pub const KEY_TYPES: [KeyType; 4] = [
    KeyType::EcdsaP256,
    KeyType::EcdsaP384,
    KeyType::Ed25519,
    KeyType::Rsa,
];

/// A key and its certificate.
pub struct Paper {
    /// PEM of the certificate.
    pub certificate: PathBuf,
    /// PEM of the private key.
    pub key: PathBuf,
    /// PEM of the public key.
    pub public: PathBuf,
    /// DER of the public key.
    pub public_der: PathBuf,
    /// PEM of the public key and the private one.
    pub pair: PathBuf,
    /// For our end, with the certificate.
    pub x509: Arc<Own>,
    /// For our end, the key alone.
    pub raw: Arc<Own>,
}

/// One authority and what it has issued, all with keys of one kind.
pub struct Family {
    /// PEM of the authority's certificate.
    pub authority: PathBuf,
    /// For [`SERVER_NAME`] and 127.0.0.1.
    pub server: Paper,
    /// For [`CLIENT_NAME`].
    pub client: Paper,
}

/// All papers of a run, in a folder that is removed at the end.
pub struct Papers {
    folder: TempDir,
    families: Vec<(KeyType, Family)>,
    /// An authority that nobody trusts, and its papers.
    pub stranger: Family,
    /// The server's certificate by the authority of P-256, expired yesterday.
    pub expired: Paper,
    /// The same, for another name and another address.
    pub misnamed: Paper,
}

impl Papers {
    /// Makes them; RSA keys take a second.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = folder.path();
        let mut families = Vec::new();
        let mut trusted = None;
        for key_type in KEY_TYPES {
            let (issuer, family) = family(at, &format!("{key_type:?}"), algorithm(key_type));
            if key_type == KeyType::EcdsaP256 {
                trusted = Some(issuer);
            }
            families.push((key_type, family));
        }
        let (_, stranger) = family(at, "stranger", &rcgen::PKCS_ECDSA_P256_SHA256);
        let trusted = trusted.expect("one of the kinds");
        let mut old = server_params(&[SERVER_NAME, "127.0.0.1"]);
        old.not_after = OffsetDateTime::now_utc() - Duration::days(1);
        let p256 = &rcgen::PKCS_ECDSA_P256_SHA256;
        let expired = paper(at, "expired", p256, &old, &trusted);
        let elsewhere = server_params(&["elsewhere.example", "192.0.2.1"]);
        let misnamed = paper(at, "misnamed", p256, &elsewhere, &trusted);
        Self {
            folder,
            families,
            stranger,
            expired,
            misnamed,
        }
    }

    /// The family with keys of this kind.
    ///
    /// # Panics
    /// Never: there is one of each kind.
    pub fn family(&self, key_type: KeyType) -> &Family {
        let (_, family) = self
            .families
            .iter()
            .find(|(kind, _)| *kind == key_type)
            .expect("one of each kind");
        family
    }

    /// A path in the folder, for a file that somebody will write.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Default for Papers {
    fn default() -> Self {
        Self::new()
    }
}

impl Family {
    /// Trusts what this authority has issued.
    pub fn trust(&self) -> Arc<Verifier> {
        let source = Source::read(&self.authority).expect("a file of ours");
        let builder = Verifier::builder(algorithms::AWS_LC).anchors(&source);
        Arc::new(builder.expect("an authority").build())
    }
}

impl Paper {
    /// Trusts this raw public key.
    pub fn trust_key(&self) -> Arc<Verifier> {
        let hash = KeyHash::of(self.raw.key.public_key_info());
        Arc::new(Verifier::builder(algorithms::AWS_LC).key(hash).build())
    }
}

/// A path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str()
        .expect("temporary folders have names in UTF-8")
}

fn algorithm(key_type: KeyType) -> &'static SignatureAlgorithm {
    match key_type {
        KeyType::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        KeyType::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        KeyType::Ed25519 => &rcgen::PKCS_ED25519,
        KeyType::Rsa => &rcgen::PKCS_RSA_SHA256,
    }
}

fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = OffsetDateTime::now_utc() - Duration::days(30);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(30);
    params
}

fn server_params(names: &[&str]) -> CertificateParams {
    let mut params = params(names[0], names);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn family(
    at: &Path,
    name: &str,
    algorithm: &'static SignatureAlgorithm,
) -> (Issuer<'static, KeyPair>, Family) {
    let mut root = params(&format!("{name} authority"), &[]);
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate_for(algorithm).expect("a key");
    let certificate = root.self_signed(&key).expect("signed");
    let authority = at.join(format!("{name}-ca.pem"));
    fs::write(&authority, certificate.pem()).expect("written");
    let issuer = Issuer::new(root, key);
    let server = server_params(&[SERVER_NAME, "127.0.0.1"]);
    let mut client = params(CLIENT_NAME, &[CLIENT_NAME]);
    client.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let family = Family {
        authority,
        server: paper(at, &format!("{name}-server"), algorithm, &server, &issuer),
        client: paper(at, &format!("{name}-client"), algorithm, &client, &issuer),
    };
    (issuer, family)
}

/// An Ed25519 key in the first version of PKCS#8 (RFC 5208): OpenSSL 3.0 and `GnuTLS` 3.7 do not read the second, which
/// has the public key, too.
fn readable(pair: KeyPair) -> KeyPair {
    const SEED: usize = 16;
    const LEN: usize = 48;
    if !pair.is_compatible(&rcgen::PKCS_ED25519) {
        return pair;
    }
    let whole = pair.serialize_der();
    // Version, algorithm and the two headers of the seed, which stand at the same place in both versions.
    let mut short = b"\x30\x2E\x02\x01\x00\x30\x05\x06\x03\x2B\x65\x70\x04\x22\x04\x20".to_vec();
    short.extend_from_slice(&whole[SEED..LEN]);
    KeyPair::try_from(short).expect("the same key")
}

fn paper(
    at: &Path,
    name: &str,
    algorithm: &'static SignatureAlgorithm,
    params: &CertificateParams,
    issuer: &Issuer<'static, KeyPair>,
) -> Paper {
    let pair = readable(KeyPair::generate_for(algorithm).expect("a key"));
    let certificate = params.signed_by(&pair, issuer).expect("signed");
    let write = |ending: &str, text: &[u8]| {
        let path = at.join(format!("{name}{ending}"));
        fs::write(&path, text).expect("written");
        path
    };
    let public = pair.public_key_pem();
    let both = public.clone() + &pair.serialize_pem();
    let key = PrivateKey::from_der(&pair.serialize_der()).expect("a key that we read");
    let own = |certificate_type, entry: &[u8]| {
        Arc::new(Own {
            certificate_type,
            chain: vec![entry.to_vec()],
            key: key.clone(),
        })
    };
    Paper {
        certificate: write(".pem", certificate.pem().as_bytes()),
        key: write("-key.pem", pair.serialize_pem().as_bytes()),
        public: write("-public.pem", public.as_bytes()),
        public_der: write("-public.der", key.public_key_info()),
        pair: write("-pair.pem", both.as_bytes()),
        x509: own(CertificateType::X509, certificate.der()),
        raw: own(CertificateType::RawPublicKey, key.public_key_info()),
    }
}
