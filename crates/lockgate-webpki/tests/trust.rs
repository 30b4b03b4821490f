//! What a device does: no heap in the check, no clock, one authority in the firmware. With `--no-default-features` these
//! tests run as a device is built.

use lockgate_dtls::certificate::{CertificateError, CertificateType, PeerCertificate};
use lockgate_webpki::{
    CertificateDer, KeyHash, ServerName, Time, Trust, Usage, algorithms, trust_anchor,
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PublicKeyData,
};

fn authority() -> (CertificateDer<'static>, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let der = params.self_signed(&key).unwrap().der().clone();
    (der, Issuer::new(params, key))
}

fn server(issuer: &Issuer<'_, KeyPair>) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::new(["gateway.example".to_string()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (params.signed_by(&key, issuer).unwrap().der().clone(), key)
}

fn message(certificate: &[u8]) -> Vec<u8> {
    let len = u32::try_from(certificate.len()).unwrap().to_be_bytes();
    [&len[1..], certificate].concat()
}

#[test]
fn a_device_checks_its_server() {
    let (ca, issuer) = authority();
    let (leaf, key) = server(&issuer);
    let certificates = [ca];
    let anchors = [trust_anchor(&certificates[0]).unwrap()];
    let keys = [KeyHash::of(&key.subject_public_key_info())];
    let trust = Trust {
        anchors: &anchors,
        pinned: &certificates,
        keys: &keys,
        ..Trust::new(algorithms::RUSTCRYPTO)
    };
    let named = |name| Usage::Server {
        name: ServerName::parse(name),
    };
    let body = message(&leaf);
    let peer = PeerCertificate::new(CertificateType::X509, &body);
    let identity = trust.verify(&peer, named("gateway.example"), Time::Unknown);
    assert_eq!(identity.unwrap().key_hash(), keys[0]);
    assert_eq!(
        trust
            .verify(&peer, named("other.example"), Time::Unknown)
            .unwrap_err(),
        CertificateError::WrongName
    );

    let info = key.subject_public_key_info();
    let peer = PeerCertificate::new(CertificateType::RawPublicKey, &info);
    let identity = trust.verify(&peer, named("gateway.example"), Time::Unknown);
    assert_eq!(identity.unwrap().key_hash(), keys[0]);

    // Somebody else's.
    let (_, issuer) = authority();
    let (leaf, key) = server(&issuer);
    let body = message(&leaf);
    let peer = PeerCertificate::new(CertificateType::X509, &body);
    assert_eq!(
        trust
            .verify(&peer, named("gateway.example"), Time::Unknown)
            .unwrap_err(),
        CertificateError::BadSignature
    );
    let info = key.subject_public_key_info();
    let peer = PeerCertificate::new(CertificateType::RawPublicKey, &info);
    assert_eq!(
        trust
            .verify(&peer, named("gateway.example"), Time::Unknown)
            .unwrap_err(),
        CertificateError::UnknownKey
    );
}

#[test]
fn our_own_intermediates_and_pins() {
    let (root, root_issuer) = authority();
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "below");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let below = params.signed_by(&key, &root_issuer).unwrap().der().clone();
    let (leaf, _) = server(&Issuer::new(params, key));

    let certificates = [root];
    let anchors = [trust_anchor(&certificates[0]).unwrap()];
    let mut trust = Trust {
        anchors: &anchors,
        pinned: &certificates,
        ..Trust::new(algorithms::RUSTCRYPTO)
    };
    let usage = Usage::Server { name: None };
    let body = message(&leaf);
    let peer = PeerCertificate::new(CertificateType::X509, &body);
    assert_eq!(
        trust.verify(&peer, usage, Time::Unknown).unwrap_err(),
        CertificateError::UnknownIssuer
    );
    let intermediates = [below];
    trust.intermediates = &intermediates;
    assert!(trust.verify(&peer, usage, Time::Unknown).is_ok());
    // The root as the server's own: it is pinned, byte for byte.
    let body = message(&certificates[0]);
    let peer = PeerCertificate::new(CertificateType::X509, &body);
    assert!(trust.verify(&peer, usage, Time::Unknown).is_ok());
    trust.pinned = &[];
    assert_eq!(
        trust.verify(&peer, usage, Time::Unknown).unwrap_err(),
        CertificateError::UnknownIssuer
    );
}
