//! `AwsLc` as a provider, and side by side with `RustCrypto`.

#[path = "../../lockgate-rustcrypto/tests/common/mod.rs"]
mod common;

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::crypto::{
    AeadKey as _, CryptoError, Hash as _, HashAlgorithm, Hmac as _, Mask as _, Provider,
};
use lockgate_rustcrypto::{OsRandom, RustCrypto};
use proptest::prelude::*;

const OTHER: RustCrypto<OsRandom> = RustCrypto::new(OsRandom);

#[test]
fn does_what_every_provider_must() {
    common::check(&mut AwsLc);
}

#[test]
fn supports_everything() {
    assert!(
        common::ALL_AEADS
            .into_iter()
            .all(|algorithm| AwsLc.supports_aead(algorithm))
    );
    assert!(AwsLc.supports_hash(HashAlgorithm::Sha256));
    assert!(AwsLc.supports_hash(HashAlgorithm::Sha384));
}

#[test]
fn random_numbers_differ() {
    let (mut a, mut b) = ([0; 32], [0; 32]);
    AwsLc.random(&mut a).unwrap();
    AwsLc.random(&mut b).unwrap();
    assert_ne!(a, b);
    assert_ne!(a, [0; 32]);
    assert_eq!(AwsLc.random(&mut []), Ok(()));
}

#[test]
fn keys_can_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<<AwsLc as Provider>::AeadKey>();
    crosses::<<AwsLc as Provider>::Hmac>();
    crosses::<<AwsLc as Provider>::Mask>();
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=max)
}

proptest! {
    /// Each opens what the other sealed, and they seal alike.
    #[test]
    fn both_providers_seal_the_same_bytes(
        bare_key: [u8; 32],
        nonce: [u8; 12],
        aad in bytes(64),
        plaintext in bytes(1500),
        flipped: prop::sample::Index,
    ) {
        for algorithm in common::ALL_AEADS {
            let bare_key = &bare_key[..algorithm.key_len()];
            let ours = AwsLc.aead_key(algorithm, bare_key).unwrap();
            let theirs = OTHER.aead_key(algorithm, bare_key).unwrap();
            let mut sealed = plaintext.clone();
            sealed.resize(plaintext.len() + algorithm.tag_len(), 0);
            let mut sealed_by_them = sealed.clone();
            ours.seal_in_place(&nonce, &aad, &mut sealed).unwrap();
            theirs.seal_in_place(&nonce, &aad, &mut sealed_by_them).unwrap();
            prop_assert_eq!(&sealed, &sealed_by_them, "{:?}", algorithm);

            let mut opened = sealed.clone();
            ours.open_in_place(&nonce, &aad, &mut opened).unwrap();
            prop_assert_eq!(&opened[..plaintext.len()], &plaintext[..]);
            let mut opened = sealed.clone();
            theirs.open_in_place(&nonce, &aad, &mut opened).unwrap();
            prop_assert_eq!(&opened[..plaintext.len()], &plaintext[..]);

            let flipped = flipped.index(sealed.len());
            sealed[flipped] ^= 1;
            let refused = Err(CryptoError::Unauthenticated);
            prop_assert_eq!(ours.open_in_place(&nonce, &aad, &mut sealed.clone()), refused);
            prop_assert_eq!(theirs.open_in_place(&nonce, &aad, &mut sealed), refused);
        }
    }

    #[test]
    fn both_providers_hash_and_sign_alike(key in bytes(200), parts in prop::collection::vec(bytes(200), 0..5)) {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha384] {
            let (mut ours, mut theirs) =
                (AwsLc.hash(algorithm).unwrap(), OTHER.hash(algorithm).unwrap());
            for part in &parts {
                ours.update(part);
                theirs.update(part);
            }
            let (ours, theirs) = (ours.finish(), theirs.finish());
            prop_assert_eq!(ours.as_ref(), theirs.as_ref());
            prop_assert_eq!(ours.as_ref().len(), algorithm.output_len());

            let ours = AwsLc.hmac(algorithm, &key).unwrap().sign(&parts);
            let theirs = OTHER.hmac(algorithm, &key).unwrap().sign(&parts);
            prop_assert_eq!(ours.as_ref(), theirs.as_ref());
        }
    }

    #[test]
    fn both_providers_mask_alike(key: [u8; 16], sample: [u8; 16]) {
        let (ours, theirs) = (AwsLc.mask(&key).unwrap(), OTHER.mask(&key).unwrap());
        prop_assert_eq!(ours.mask(&sample), theirs.mask(&sample));
    }
}
