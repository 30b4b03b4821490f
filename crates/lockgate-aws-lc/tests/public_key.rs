//! Key exchange and signatures of `AwsLc`.

use lockgate_aws_lc::{AwsLc, KeyExchange, PrivateKey};
use lockgate_dtls::certificate::parse_public_key;
use lockgate_dtls::crypto::{
    CryptoError, KeyExchange as _, KeyType, MAX_SIGNATURE_LEN, NamedGroup, Provider as _,
    PublicKey, SignatureScheme, SigningKey as _,
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

#[test]
fn unknown_schemes_and_groups_are_unsupported() {
    let key = PrivateKey::generate(KeyType::Ed25519).unwrap();
    // ecdsa_sha1, ecdsa_secp521r1_sha512, ed448
    for scheme in [0x0203, 0x0603, 0x0808].map(SignatureScheme) {
        assert!(!AwsLc.supports_scheme(scheme));
        let result = AwsLc.verify(scheme, key.public_key(), b"", &[0; 64]);
        assert_eq!(result, Err(CryptoError::Unsupported));
        let result = key.sign(scheme, b"", &mut [0; 64]);
        assert_eq!(result, Err(CryptoError::Unsupported));
    }
    // secp521r1, x448, X25519MLKEM768
    for group in [25, 30, 0x11EC].map(NamedGroup) {
        assert!(!AwsLc.supports_group(group));
        let result = AwsLc.key_exchange(group);
        assert_eq!(result.err(), Some(CryptoError::Unsupported));
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

/// The public values that TLS does not allow, and those that are no points.
#[test]
fn other_public_values_are_refused() {
    for group in [
        NamedGroup::SECP256R1,
        NamedGroup::SECP384R1,
        NamedGroup::X25519,
    ] {
        assert!(AwsLc.supports_group(group));
        let theirs = AwsLc.key_exchange(group).unwrap();
        let good = theirs.public_value().to_vec();
        let agree = |peer: &[u8]| {
            let mut out = [0; 48];
            AwsLc.key_exchange(group).unwrap().agree(peer, &mut out)
        };
        let len = if group == NamedGroup::SECP384R1 {
            48
        } else {
            32
        };
        assert_eq!(agree(&good), Ok(len), "{group}");
        let mut bad = vec![
            vec![],
            vec![0],
            good[1..].to_vec(),
            good[..good.len() - 1].to_vec(),
            [&good[..], &[0]].concat(),
            vec![0; good.len()],
        ];
        if group == NamedGroup::X25519 {
            // Points of low order, in every encoding of RFC 7748's remarks that 32 bytes hold.
            bad.push([&[1][..], &[0; 31]].concat());
            for low in [0xec_u8, 0xed, 0xee] {
                bad.push([&[low][..], &[0xff; 30], &[0x7f]].concat());
                bad.push([&[low][..], &[0xff; 31]].concat());
            }
        } else {
            let half = good.len() / 2;
            let parity = good[good.len() - 1] & 1;
            bad.push([&[2 + parity], &good[1..=half]].concat());
            bad.push([&[6 + parity], &good[1..]].concat());
            let mut off_curve = good.clone();
            *off_curve.last_mut().unwrap() ^= 1;
            bad.push(off_curve);
            // Coordinates beyond the field.
            bad.push([&[4][..], &vec![0xff; good.len() - 1]].concat());
            bad.push([&[4][..], &vec![0; good.len() - 1]].concat());
        }
        for peer in bad {
            assert_eq!(
                agree(&peer),
                Err(CryptoError::BadPublicValue),
                "{group}: {peer:02x?}"
            );
        }
    }
}
