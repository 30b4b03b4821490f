//! Kinds of keys and signatures; raw public keys.

mod common;

use common::*;
use lockgate_dtls::certificate::{CertificateError, CertificateType};
use lockgate_webpki::Verifier;
use rcgen::KeyPair;

#[test]
fn algorithms_of_signatures() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
        &rcgen::PKCS_RSA_SHA384,
        &rcgen::PKCS_RSA_SHA512,
    ] {
        let root = Ca::root_with("root", algorithm);
        let key = KeyPair::generate_for(algorithm).unwrap();
        let leaf = root.issue_to(&client(), &key);
        assert_eq!(
            verdict(&trusting(&root), &[&leaf], CLIENT, AT),
            Ok(()),
            "{algorithm:?}"
        );
    }
    // A curve that the engine does not know.
    let root = Ca::root("root");
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    let leaf = root.issue_to(&client(), &key);
    let unsupported = Err(CertificateError::UnsupportedAlgorithm);
    assert_eq!(verdict(&trusting(&root), &[&leaf], CLIENT, AT), unsupported);
    // One that signed the chain.
    let root = Ca::root_with("root", &rcgen::PKCS_ECDSA_P521_SHA512);
    let leaf = root.issue(&client());
    assert_eq!(verdict(&trusting(&root), &[&leaf], CLIENT, AT), unsupported);
}

#[test]
fn what_devices_verify() {
    let with = |ca: &Ca| {
        Verifier::builder(lockgate_webpki::algorithms::RUSTCRYPTO)
            .anchors(&ca.source())
            .unwrap()
            .build()
    };
    let root = Ca::root("root");
    let below = root.below("below");
    let leaf = below.issue(&client());
    let chain: [&[u8]; 2] = [&leaf, &below.der];
    assert_eq!(verdict(&with(&root), &chain, CLIENT, AT), Ok(()));
    let same_name = Ca::root("root");
    assert_eq!(
        verdict(&with(&same_name), &chain, CLIENT, AT),
        Err(CertificateError::BadSignature)
    );
    let root = Ca::root_with("root", &rcgen::PKCS_ECDSA_P384_SHA384);
    let leaf = root.issue(&client());
    assert_eq!(
        verdict(&with(&root), &[&leaf], CLIENT, AT),
        Err(CertificateError::UnsupportedAlgorithm)
    );
}

#[test]
fn raw_public_keys() {
    use rcgen::PublicKeyData;
    let (known, unknown) = (p256(), p256());
    let (known, unknown) = (
        known.subject_public_key_info(),
        unknown.subject_public_key_info(),
    );
    let hash = lockgate_webpki::KeyHash::of(&known);
    let verifier = builder().key(hash).build();
    for usage in [CLIENT, ANY_SERVER, named("gateway.example")] {
        let identity = verifier.verify(&raw(&known), usage, AT).unwrap();
        assert_eq!(identity.key_hash(), hash);
        assert_eq!(identity.certificate_type(), CertificateType::RawPublicKey);
        assert_eq!(identity.name().to_string(), format!("spki:{hash}"));
        assert_eq!(
            verifier
                .verify(&raw(&unknown), usage, AT)
                .map(|_| ())
                .unwrap_err(),
            CertificateError::UnknownKey
        );
    }
    // A known key says nothing about certificates, and the other way round.
    let root = Ca::root("root");
    let body = message(&[&root.der]);
    assert_eq!(
        verifier.verify(&x509(&body), CLIENT, AT).map(|_| ()),
        Err(CertificateError::UnknownIssuer)
    );
    let certified = trusting(&root);
    assert_eq!(
        certified.verify(&raw(&known), CLIENT, AT).map(|_| ()),
        Err(CertificateError::UnknownKey)
    );
    // Not a kind of key that the engine knows.
    let p521 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    let info = p521.subject_public_key_info();
    assert_eq!(
        verifier.verify(&raw(&info), CLIENT, AT).map(|_| ()),
        Err(CertificateError::UnsupportedAlgorithm)
    );
    // Bytes behind the key.
    let longer = [&known[..], &[0]].concat();
    assert_eq!(
        verifier.verify(&raw(&longer), CLIENT, AT).map(|_| ()),
        Err(CertificateError::Malformed)
    );
    assert_eq!(
        verifier.certificate_types().collect::<Vec<_>>(),
        [CertificateType::RawPublicKey]
    );
}
