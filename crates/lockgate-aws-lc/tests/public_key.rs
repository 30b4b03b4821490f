//! Key exchange and signatures of `AwsLc`.

#[path = "../../lockgate-rustcrypto/tests/common/public_key.rs"]
mod common;

use lockgate_aws_lc::{AwsLc, KeyExchange, PrivateKey};
use lockgate_dtls::certificate::parse_public_key;
use lockgate_dtls::crypto::{
    CryptoError, KeyType, MAX_SIGNATURE_LEN, NamedGroup, Provider as _, PublicKey, SignatureScheme,
    SigningKey as _,
};

const KEY_TYPES: [KeyType; 4] = [
    KeyType::EcdsaP256,
    KeyType::EcdsaP384,
    KeyType::Ed25519,
    KeyType::Rsa,
];

fn sign(key: &PrivateKey, scheme: SignatureScheme, message: &[u8]) -> Vec<u8> {
    let mut out = [0; MAX_SIGNATURE_LEN];
    let len = key.sign(scheme, message, &mut out).unwrap();
    out[..len].to_vec()
}

#[test]
fn does_what_every_provider_must() {
    common::check(&mut AwsLc, |vector| {
        Some(PrivateKey::from_der(&vector.pkcs8()).unwrap())
    });
}

#[test]
fn supports_everything() {
    assert!(common::GROUPS.into_iter().all(|g| AwsLc.supports_group(g)));
    assert!(
        SignatureScheme::ALL
            .into_iter()
            .all(|s| AwsLc.supports_scheme(s))
    );
}

#[test]
fn keys_can_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<KeyExchange>();
    crosses::<PrivateKey>();
}

#[test]
fn debug_shows_no_secret() {
    let exchange = AwsLc.key_exchange(NamedGroup::X25519).unwrap();
    assert_eq!(format!("{exchange:?}"), "KeyExchange { .. }");
    let key = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey { key_type: EcdsaP256, .. }");
}

/// Each type of key with each scheme: signed and verified where they fit, refused on both sides where they do not.
#[test]
fn every_scheme_with_every_type_of_key() {
    let keys = KEY_TYPES.map(|key_type| PrivateKey::generate(key_type).unwrap());
    for scheme in SignatureScheme::ALL {
        for key in &keys {
            let what = format!("{scheme}, {:?}", key.key_type());
            let mut out = [0; MAX_SIGNATURE_LEN];
            if !scheme.fits(key.key_type()) {
                assert!(!key.supports(scheme), "{what}");
                let refused = key.sign(scheme, b"message", &mut out);
                assert_eq!(refused, Err(CryptoError::Unsupported), "{what}");
                let refused = AwsLc.verify(scheme, key.public_key(), b"message", &[0; 64]);
                assert_eq!(refused, Err(CryptoError::BadSignature), "{what}");
                continue;
            }
            let signature = sign(key, scheme, b"message");
            let verify = |scheme, key: &PrivateKey, message: &[u8], signature: &[u8]| {
                AwsLc.verify(scheme, key.public_key(), message, signature)
            };
            let bad = Err(CryptoError::BadSignature);
            assert_eq!(
                verify(scheme, key, b"message", &signature),
                Ok(()),
                "{what}"
            );
            assert_eq!(verify(scheme, key, b"massage", &signature), bad, "{what}");
            assert_eq!(verify(scheme, key, b"message", &[]), bad, "{what}");
            for end in 1..signature.len() {
                let cut = verify(scheme, key, b"message", &signature[..end]);
                assert_eq!(cut, bad, "{what}, {end} bytes");
            }
            let long = [&signature[..], &[0]].concat();
            assert_eq!(verify(scheme, key, b"message", &long), bad, "{what}");
            for bit in (0..signature.len() * 8).step_by(7) {
                let mut flipped = signature.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let flipped = verify(scheme, key, b"message", &flipped);
                assert_eq!(flipped, bad, "{what}, bit {bit}");
            }
            for other in SignatureScheme::ALL.into_iter().filter(|&s| s != scheme) {
                assert_eq!(verify(other, key, b"message", &signature), bad, "{what}");
            }
            let other = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
            assert_eq!(verify(scheme, &other, b"message", &signature), bad);

            // A buffer that is too short by one, where the length is fixed.
            if !matches!(key.key_type(), KeyType::EcdsaP256 | KeyType::EcdsaP384) {
                let short = key.sign(scheme, b"message", &mut out[..signature.len() - 1]);
                assert_eq!(short, Err(CryptoError::BadLength), "{what}");
            }
            let short = key.sign(scheme, b"message", &mut []);
            assert_eq!(short, Err(CryptoError::BadLength), "{what}");
        }
    }
}

/// What the engine hands over is a bare key, and nothing else that AWS-LC would take is one.
#[test]
fn keys_in_other_clothes_are_refused() {
    for key_type in KEY_TYPES {
        let key = PrivateKey::generate(key_type).unwrap();
        let scheme = SignatureScheme::ALL.into_iter().find(|s| s.fits(key_type));
        let scheme = scheme.unwrap();
        let signature = sign(&key, scheme, b"message");
        let verify = |bytes: &[u8]| {
            AwsLc.verify(
                scheme,
                PublicKey { key_type, bytes },
                b"message",
                &signature,
            )
        };
        let bare = key.public_key().bytes;
        assert_eq!(verify(bare), Ok(()));
        assert_eq!(
            verify(key.public_key_info()),
            Err(CryptoError::BadSignature)
        );
        assert_eq!(verify(&[]), Err(CryptoError::BadSignature));
        assert_eq!(verify(&bare[1..]), Err(CryptoError::BadSignature));
        assert_eq!(verify(&vec![0; bare.len()]), Err(CryptoError::BadSignature));
        if matches!(key_type, KeyType::EcdsaP256 | KeyType::EcdsaP384) {
            let half = bare.len() / 2;
            let parity = bare[bare.len() - 1] & 1;
            let compressed = [&[2 + parity], &bare[1..=half]].concat();
            assert_eq!(verify(&compressed), Err(CryptoError::BadSignature));
            let hybrid = [&[6 + parity], &bare[1..]].concat();
            assert_eq!(verify(&hybrid), Err(CryptoError::BadSignature));
        }
    }
}

#[test]
fn a_key_knows_its_own_half() {
    let keys = KEY_TYPES.map(|key_type| PrivateKey::generate(key_type).unwrap());
    for (i, ours) in keys.iter().enumerate() {
        for (j, theirs) in keys.iter().enumerate() {
            let key = parse_public_key(theirs.public_key_info()).unwrap().unwrap();
            assert_eq!(key, theirs.public_key());
            assert_eq!(ours.matches(&key), i == j);
            assert_eq!(ours.matches_info(theirs.public_key_info()), i == j);
        }
        assert!(!ours.matches_info(b""));
        let again = PrivateKey::from_der(&ours.to_pkcs8_der()).unwrap();
        assert_eq!(again.public_key_info(), ours.public_key_info());
        let another = PrivateKey::generate(ours.key_type()).unwrap();
        assert!(!another.matches(&ours.public_key()));
    }
}
