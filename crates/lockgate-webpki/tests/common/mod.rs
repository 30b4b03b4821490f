//! A small factory of authorities and certificates.
#![allow(dead_code, reason = "each file of tests uses a part of it")]

use lockgate_aws_lc::PrivateKey;
use lockgate_dtls::certificate::{CertificateError, CertificateType, PeerCertificate};
use lockgate_webpki::{
    Credential, CredentialLoader, ServerName, Source, Time, Usage, Verifier, VerifierBuilder,
    algorithms,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, SignatureAlgorithm,
};
use time::OffsetDateTime;

/// What time it is in all tests: some day in 2027.
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const DAY: u64 = 86_400;
pub(crate) const AT: Time = Time::Unix(NOW);

pub(crate) fn date(seconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap()).unwrap()
}

pub(crate) fn p256() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

/// Parameters of a certificate that is valid from a year before [`NOW`] until a year after.
pub(crate) fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if !common_name.is_empty() {
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
    }
    params.not_before = date(NOW - 365 * DAY);
    params.not_after = date(NOW + 365 * DAY);
    params
}

pub(crate) fn server(names: &[&str]) -> CertificateParams {
    let mut params = params("server", names);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

pub(crate) fn client() -> CertificateParams {
    let mut params = params("device-1", &[]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// An authority.
pub(crate) struct Ca {
    pub(crate) issuer: Issuer<'static, KeyPair>,
    pub(crate) der: Vec<u8>,
}

impl Ca {
    fn params(name: &str) -> CertificateParams {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    pub(crate) fn root(name: &str) -> Self {
        Self::root_with(name, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub(crate) fn root_with(name: &str, algorithm: &'static SignatureAlgorithm) -> Self {
        let params = Self::params(name);
        let key = KeyPair::generate_for(algorithm).unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            issuer: Issuer::new(params, key),
            der,
        }
    }

    /// An authority below this one.
    pub(crate) fn below(&self, name: &str) -> Self {
        self.below_with(name, |_| ())
    }

    pub(crate) fn below_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = Self::params(name);
        params.key_identifier_method = KeyIdMethod::Sha256;
        change(&mut params);
        let key = p256();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Self {
            issuer: Issuer::new(params, key),
            der,
        }
    }

    pub(crate) fn issue(&self, params: &CertificateParams) -> Vec<u8> {
        self.issue_to(params, &p256())
    }

    pub(crate) fn issue_to(&self, params: &CertificateParams, key: &KeyPair) -> Vec<u8> {
        params.signed_by(key, &self.issuer).unwrap().der().to_vec()
    }

    /// A list that revokes these serial numbers, issued at `issued` and to be replaced a week later.
    pub(crate) fn revokes(&self, serials: &[u64], issued: u64) -> Vec<u8> {
        CertificateRevocationListParams {
            this_update: date(issued),
            next_update: date(issued + 7 * DAY),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from(*serial),
                    revocation_time: date(issued),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)
        .unwrap()
        .der()
        .to_vec()
    }

    pub(crate) fn source(&self) -> Source {
        Source::new("ca.der", self.der.clone())
    }
}

/// The list of a `Certificate` message.
pub(crate) fn message(chain: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for certificate in chain {
        let len = u32::try_from(certificate.len()).unwrap().to_be_bytes();
        body.extend_from_slice(&len[1..]);
        body.extend_from_slice(certificate);
    }
    body
}

pub(crate) fn x509(body: &[u8]) -> PeerCertificate<'_> {
    PeerCertificate::new(CertificateType::X509, body)
}

pub(crate) fn raw(info: &[u8]) -> PeerCertificate<'_> {
    PeerCertificate::new(CertificateType::RawPublicKey, info)
}

pub(crate) fn builder() -> VerifierBuilder {
    Verifier::builder(algorithms::AWS_LC)
}

pub(crate) fn trusting(ca: &Ca) -> Verifier {
    builder().anchors(&ca.source()).unwrap().build()
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub(crate) fn email(text: &str) -> SanType {
    SanType::Rfc822Name(text.try_into().unwrap())
}

pub(crate) const LOADER: CredentialLoader<'static> = CredentialLoader {
    algorithms: algorithms::AWS_LC,
    time: AT,
};

pub(crate) fn private(key: &KeyPair) -> PrivateKey {
    PrivateKey::from_der(key.serialized_der()).unwrap()
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in der.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, place| {
            bits << 8 | u32::from(chunk.get(place).copied().unwrap_or(0))
        });
        for place in 0..4 {
            text.push(if place <= chunk.len() {
                char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63])
            } else {
                '='
            });
        }
    }
    let lines: Vec<_> = text.as_bytes().chunks(64).collect();
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in lines {
        out += core::str::from_utf8(line).unwrap();
        out += "\n";
    }
    out + &format!("-----END {label}-----\n")
}

pub(crate) fn bundle(chain: &[&[u8]]) -> Source {
    let text: String = chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
    Source::new("server.pem", text)
}

pub(crate) fn load(source: &Source, key: &KeyPair) -> Result<Credential<PrivateKey>, String> {
    LOADER
        .x509(source, "key.pem", private(key))
        .map_err(|error| error.to_string())
}

pub(crate) const CLIENT: Usage<'static> = Usage::Client;
pub(crate) const ANY_SERVER: Usage<'static> = Usage::Server { name: None };

pub(crate) fn named(name: &str) -> Usage<'_> {
    Usage::Server {
        name: Some(ServerName::parse(name).expect("a name")),
    }
}

/// The verdict on a chain.
pub(crate) fn verdict(
    verifier: &Verifier,
    chain: &[&[u8]],
    usage: Usage<'_>,
    time: Time,
) -> Result<(), CertificateError> {
    verifier
        .verify(&x509(&message(chain)), usage, time)
        .map(|_| ())
}
