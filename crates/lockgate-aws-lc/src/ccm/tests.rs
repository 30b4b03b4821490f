//! Both ways of AES-CCM against that of the `ccm` crate (through `lockgate-rustcrypto`) and FIPS 197.

use lockgate_dtls::crypto::{AeadAlgorithm, AeadKey as _, CryptoError};
use proptest::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::aes_ni;
use super::{Key, MAX_TEXT_LEN, Schedule};

const ALGORITHMS: [AeadAlgorithm; 4] = [
    AeadAlgorithm::Aes128Ccm,
    AeadAlgorithm::Aes256Ccm,
    AeadAlgorithm::Aes128Ccm8,
    AeadAlgorithm::Aes256Ccm8,
];

const BARE_KEY: [u8; 32] = *b"a key of thirty-two bytes, by us";
const NONCE: [u8; 12] = *b"twelve bytes";

/// The ways that this processor has, each with its name.
fn ways(algorithm: AeadAlgorithm, bare_key: &[u8]) -> Vec<(&'static str, Key)> {
    let portable = Key::portable(algorithm, bare_key).unwrap();
    assert!(matches!(portable.schedule, Schedule::Portable(_)));
    let ways = vec![("portable", portable)];
    #[cfg(target_arch = "x86_64")]
    let ways = {
        let mut ways = ways;
        match Key::with_aes_ni(algorithm, bare_key).unwrap() {
            Some(key) => ways.push(("AES-NI", key)),
            None => println!("skipped: this processor has no AES-NI"),
        }
        ways
    };
    ways
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 256) as u8).collect()
}

/// Seals `text` in every way and as `RustCrypto` does, compares, opens again.
fn check(
    algorithm: AeadAlgorithm,
    bare_key: &[u8],
    nonce: &[u8; 12],
    aad: &[u8],
    text: &[u8],
) -> Vec<u8> {
    let bare_key = &bare_key[..algorithm.key_len()];
    let reference = lockgate_rustcrypto::AeadKey::new(algorithm, bare_key).unwrap();
    let mut right = text.to_vec();
    right.resize(text.len() + algorithm.tag_len(), 0xee);
    reference.seal_in_place(nonce, aad, &mut right).unwrap();
    for (way, key) in ways(algorithm, bare_key) {
        let what = || {
            format!(
                "{algorithm:?}, {way}, {} bytes of text, {} of AAD",
                text.len(),
                aad.len()
            )
        };
        let mut in_out = text.to_vec();
        in_out.resize(text.len() + algorithm.tag_len(), 0x55);
        key.seal_in_place(nonce, aad, &mut in_out).unwrap();
        assert!(in_out == right, "{}", what());
        key.open_in_place(nonce, aad, &mut in_out).unwrap();
        assert!(in_out[..text.len()] == *text, "{}", what());
    }
    right
}

fn refused(algorithm: AeadAlgorithm, bare_key: &[u8], nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) {
    let text_len = sealed.len() - algorithm.tag_len();
    for (way, key) in ways(algorithm, &bare_key[..algorithm.key_len()]) {
        let mut in_out = sealed.to_vec();
        let result = key.open_in_place(nonce, aad, &mut in_out);
        assert_eq!(
            result,
            Err(CryptoError::Unauthenticated),
            "{algorithm:?}, {way}"
        );
        assert!(
            in_out[..text_len].iter().all(|&byte| byte == 0),
            "{algorithm:?}, {way}: unverified plaintext is left"
        );
    }
}

#[test]
fn every_length_of_text_up_to_nine_blocks() {
    for algorithm in ALGORITHMS {
        for len in 0..=144 {
            check(algorithm, &BARE_KEY, &NONCE, b"thirteen long", &bytes(len));
        }
    }
}

/// The counter's second byte: 256 blocks and more. The third: 65,536 blocks, 1 MiB.
#[test]
fn every_byte_of_the_counter() {
    for algorithm in ALGORITHMS {
        for len in [4079, 4080, 4081, 4096, 4097, (1 << 14) + 255] {
            check(algorithm, &BARE_KEY, &NONCE, b"", &bytes(len));
        }
    }
    for len in [(1 << 20) - 16, (1 << 20) + 5] {
        check(
            AeadAlgorithm::Aes128Ccm,
            &BARE_KEY,
            &NONCE,
            b"",
            &bytes(len),
        );
    }
}

#[test]
fn every_length_of_additional_data() {
    for algorithm in ALGORITHMS {
        for len in 0..=64 {
            check(algorithm, &BARE_KEY, &NONCE, &bytes(len), b"");
            check(
                algorithm,
                &BARE_KEY,
                &NONCE,
                &bytes(len),
                b"some text that ends in a second block",
            );
        }
    }
}

/// From 2^16 - 2^8 on the length takes six bytes instead of two (RFC 3610 §2.2).
#[test]
fn long_additional_data() {
    for len in [
        0xfeff, 0xff00, 0xff01, 0xff0a, 0xffff, 0x1_0000, 0x1_0001, 300_000,
    ] {
        check(
            AeadAlgorithm::Aes128Ccm8,
            &BARE_KEY,
            &NONCE,
            &bytes(len),
            b"text",
        );
        check(
            AeadAlgorithm::Aes256Ccm,
            &BARE_KEY,
            &NONCE,
            &bytes(len),
            b"text",
        );
    }
}

/// The examples of RFC 3610 §2.2, and the form that only lengths of 4 GiB and more have.
#[cfg(target_arch = "x86_64")]
#[test]
fn how_the_length_of_additional_data_is_written() {
    let written = |len| {
        let (header, header_len) = aes_ni::aad_header(len);
        assert!(
            header.to_le_bytes()[header_len..]
                .iter()
                .all(|&byte| byte == 0)
        );
        header.to_le_bytes()[..header_len].to_vec()
    };
    assert_eq!(written(1), [0, 1]);
    assert_eq!(written(0xfeff), [0xfe, 0xff]);
    assert_eq!(written(0xff00), [0xff, 0xfe, 0, 0, 0xff, 0]);
    assert_eq!(written(0xffff_ffff), [0xff, 0xfe, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(written(0x1_0000_0000), [0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn the_longest_text_and_one_more_byte() {
    let algorithm = AeadAlgorithm::Aes128Ccm8;
    let too_long = vec![7; MAX_TEXT_LEN + 1 + algorithm.tag_len()];
    let mut sealed_before: Option<Vec<u8>> = None;
    for (way, key) in ways(algorithm, &BARE_KEY[..algorithm.key_len()]) {
        let mut in_out = too_long.clone();
        let refused = Err(CryptoError::BadLength);
        assert_eq!(
            key.seal_in_place(&NONCE, b"", &mut in_out),
            refused,
            "{way}"
        );
        assert_eq!(
            key.open_in_place(&NONCE, b"", &mut in_out),
            refused,
            "{way}"
        );
        assert!(in_out == too_long, "{way}: a refused buffer is left alone");

        in_out.pop();
        key.seal_in_place(&NONCE, b"", &mut in_out).unwrap();
        if let Some(before) = &sealed_before {
            assert!(in_out == *before, "{way}");
        }
        sealed_before = Some(in_out);
    }
}

#[test]
fn other_lengths_are_refused() {
    for algorithm in ALGORITHMS {
        for len in (0..=64).filter(|&len| len != algorithm.key_len()) {
            let key = Key::new(algorithm, &bytes(len));
            assert_eq!(key.err(), Some(CryptoError::BadLength));
            let key = Key::portable(algorithm, &bytes(len));
            assert_eq!(key.err(), Some(CryptoError::BadLength));
        }
        for (_, key) in ways(algorithm, &BARE_KEY[..algorithm.key_len()]) {
            for len in 0..algorithm.tag_len() {
                let refused = Err(CryptoError::BadLength);
                assert_eq!(key.seal_in_place(&NONCE, b"", &mut bytes(len)), refused);
                assert_eq!(key.open_in_place(&NONCE, b"", &mut bytes(len)), refused);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_tag_differs_in_any_bit() {
    let right = *b"sixteen bytes it";
    for tag in (4..=16).map(|len| &right[..len]) {
        assert!(aes_ni::same_tag(&right, tag));
        for bit in 0..8 * tag.len() {
            let mut tag = tag.to_vec();
            tag[bit / 8] ^= 1 << (bit % 8);
            assert!(!aes_ni::same_tag(&right, &tag), "bit {bit}");
        }
    }
}

/// A cache holds thousands of these.
#[test]
fn a_key_is_small() {
    assert!(size_of::<Key>() <= 24);
    #[cfg(target_arch = "x86_64")]
    {
        assert_eq!(size_of::<aes_ni::Key<11>>(), 11 * 16);
        assert_eq!(size_of::<aes_ni::Key<15>>(), 15 * 16);
        assert!(std::mem::needs_drop::<aes_ni::Key<11>>());
    }
}

proptest! {
    #[test]
    fn seals_and_opens_as_rustcrypto_does(
        bare_key: [u8; 32],
        nonce: [u8; 12],
        aad in prop::collection::vec(any::<u8>(), 0..=64),
        text in prop::collection::vec(any::<u8>(), 0..=2048),
        in_sealed: prop::sample::Index,
        in_aad: prop::sample::Index,
        in_nonce: prop::sample::Index,
        bit in 0u8..8,
    ) {
        for algorithm in ALGORITHMS {
            let sealed = check(algorithm, &bare_key, &nonce, &aad, &text);

            let mut changed = sealed.clone();
            changed[in_sealed.index(sealed.len())] ^= 1u8 << bit;
            refused(algorithm, &bare_key, &nonce, &aad, &changed);
            let mut changed = sealed.clone();
            changed[text.len() + in_sealed.index(algorithm.tag_len())] ^= 1u8 << bit;
            refused(algorithm, &bare_key, &nonce, &aad, &changed);
            if !aad.is_empty() {
                let mut changed = aad.clone();
                changed[in_aad.index(aad.len())] ^= 1u8 << bit;
                refused(algorithm, &bare_key, &nonce, &changed, &sealed);
                refused(algorithm, &bare_key, &nonce, &aad[1..], &sealed);
            }
            refused(algorithm, &bare_key, &nonce, &[&aad[..], &[0]].concat(), &sealed);
            let mut changed = nonce;
            changed[in_nonce.index(nonce.len())] ^= 1u8 << bit;
            refused(algorithm, &bare_key, &changed, &aad, &sealed);
        }
    }
}
