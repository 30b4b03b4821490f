//! Key exchange and signatures of `RustCrypto`, as far as they are compiled in.
#![cfg(any(feature = "p256", feature = "p384", feature = "ed25519"))]

#[path = "common/public_key.rs"]
mod common;

use common::{GROUPS, VECTORS, Vector, hex};
use lockgate_dtls::crypto::{
    CryptoError, KeyExchange as _, KeyType, MAX_SHARED_SECRET_LEN, MAX_SIGNATURE_LEN, NamedGroup,
    Provider as _, SignatureScheme, SigningKey as _,
};
use lockgate_rustcrypto::{PrivateKey, PrivateKeyError, RandomSource, RustCrypto};

/// Different bytes each time.
struct Counter(u64);

impl RandomSource for Counter {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        for byte in out {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005) + 99;
            *byte = (self.0 >> 56) as u8;
        }
        Ok(())
    }
}

/// The same bytes each time.
struct Fixed(Vec<u8>);

impl RandomSource for Fixed {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        out.copy_from_slice(&self.0[..out.len()]);
        Ok(())
    }
}

struct Broken;

impl RandomSource for Broken {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), CryptoError> {
        Err(CryptoError::NoRandomness)
    }
}

const KEY_TYPES: [(KeyType, bool); 4] = [
    (KeyType::EcdsaP256, cfg!(feature = "p256")),
    (KeyType::EcdsaP384, cfg!(feature = "p384")),
    (KeyType::Ed25519, cfg!(feature = "ed25519")),
    (KeyType::Rsa, false),
];

fn key(vector: &Vector) -> Option<PrivateKey> {
    match PrivateKey::from_secret(vector.key_type, &hex(vector.secret)) {
        Ok(key) => Some(key),
        Err(error) => {
            assert_eq!(error, PrivateKeyError::Unsupported, "{}", vector.source);
            None
        }
    }
}

#[test]
fn does_what_every_provider_must() {
    common::check(&mut RustCrypto::new(Counter(1)), key);
}

#[test]
fn supports_what_is_compiled_in() {
    let provider = RustCrypto::new(Counter(1));
    let groups = GROUPS.map(|group| provider.supports_group(group));
    let compiled = [
        cfg!(feature = "p256"),
        cfg!(feature = "p384"),
        cfg!(feature = "x25519"),
    ];
    assert_eq!(groups, compiled);
    let ecdsa = cfg!(any(feature = "p256", feature = "p384"));
    for scheme in SignatureScheme::ALL {
        let expected = match scheme {
            SignatureScheme::ECDSA_SECP256R1_SHA256 => ecdsa,
            SignatureScheme::ECDSA_SECP384R1_SHA384 => ecdsa && cfg!(feature = "sha384"),
            SignatureScheme::ED25519 => cfg!(feature = "ed25519"),
            _ => false,
        };
        assert_eq!(provider.supports_scheme(scheme), expected, "{scheme}");
    }
}

/// RFC 7748 §6.1 and RFC 5903 §8.
#[test]
fn agrees_as_the_rfcs_do() {
    let vectors = [
        (
            NamedGroup::X25519,
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
        ),
        (
            NamedGroup::SECP256R1,
            "C88F01F5 10D9AC3F 70A292DA A2316DE5 44E9AAB8 AFE84049 C62A9C57 862D1433",
            "04 DAD0B653 94221CF9 B051E1FE CA5787D0 98DFE637 FC90B9EF 945D0C37 72581180 \
             5271A046 1CDB8252 D61F1C45 6FA3E59A B1F45B33 ACCF5F58 389E0577 B8990BB3",
            "04 D12DFB52 89C8D4F8 1208B702 70398C34 2296970A 0BCCB74C 736FC755 4494BF63 \
             56FBF3CA 366CC23E 8157854C 13C58D6A AC23F046 ADA30F83 53E74F33 039872AB",
            "D6840F6B 42F6EDAF D13116E0 E1256520 2FEF8E9E CE7DCE03 812464D0 4B9442DE",
        ),
        (
            NamedGroup::SECP384R1,
            "099F3C70 34D4A2C6 99884D73 A375A67F 7624EF7C 6B3C0F16 0647B674 14DCE655 E35B5380 41E649EE 3FAEF896 \
             783AB194",
            "04 667842D7 D180AC2C DE6F74F3 7551F557 55C7645C 20EF73E3 1634FE72 B4C55EE6 DE3AC808 ACB4BDB4 C88732AE \
             E95F41AA 9482ED1F C0EEB9CA FC498462 5CCFC23F 65032149 E0E144AD A0241815 35A0F38E EB9FCFF3 C2C947DA \
             E69B4C63 4573A81C",
            "04 E558DBEF 53EECDE3 D3FCCFC1 AEA08A89 A987475D 12FD950D 83CFA417 32BC509D 0D1AC43A 0336DEF9 6FDA41D0 \
             774A3571 DCFBEC7A ACF31964 72169E83 8430367F 66EEBE3C 6E70C416 DD5F0C68 759DD1FF F83FA401 42209DFF \
             5EAAD96D B9E6386C",
            "11187331 C279962D 93D60424 3FD592CB 9D0A926F 422E4718 7521287E 7156C5C4 D6031355 69B9E9D0 9CF5D4A2 \
             70F59746",
        ),
    ];
    for (group, secret, public, peer, shared) in vectors {
        let mut provider = RustCrypto::new(Fixed(hex(secret)));
        if !provider.supports_group(group) {
            continue;
        }
        let key = provider.key_exchange(group).unwrap();
        assert_eq!(key.public_value(), hex(public), "{group}");
        let mut out = [0; MAX_SHARED_SECRET_LEN];
        let len = key.agree(&hex(peer), &mut out).unwrap();
        assert_eq!(out[..len], hex(shared), "{group}");
    }
}

/// Signatures are those of RFC 6979 where its hash is the curve's own, and of RFC 8032.
#[test]
fn signs_as_the_rfcs_do() {
    for vector in &VECTORS {
        let own_hash = matches!(
            (vector.key_type, vector.scheme),
            (KeyType::EcdsaP256, SignatureScheme::ECDSA_SECP256R1_SHA256)
                | (KeyType::EcdsaP384, SignatureScheme::ECDSA_SECP384R1_SHA384)
                | (KeyType::Ed25519, _)
        );
        if let Some(key) = key(vector).filter(|_| own_hash) {
            let mut out = [0; MAX_SIGNATURE_LEN];
            let len = key.sign(vector.scheme, vector.message, &mut out).unwrap();
            assert_eq!(out[..len], vector.signature(), "{}", vector.source);
        }
    }
}

/// A source that fails, and ones that are stuck: no key is zero, and none is beyond the order.
#[test]
fn keys_need_randomness() {
    for group in GROUPS {
        let mut provider = RustCrypto::new(Broken);
        if !provider.supports_group(group) {
            continue;
        }
        let failed = Some(CryptoError::NoRandomness);
        assert_eq!(provider.key_exchange(group).err(), failed, "{group}");
        if group != NamedGroup::X25519 {
            for stuck in [0, 0xff] {
                let mut provider = RustCrypto::new(Fixed(vec![stuck; 48]));
                assert_eq!(provider.key_exchange(group).err(), failed, "{group}");
            }
        }
    }
    for (key_type, compiled) in KEY_TYPES {
        let failed = PrivateKey::generate(key_type, &mut Broken).err();
        if compiled {
            assert_eq!(failed, Some(CryptoError::NoRandomness));
            let mut source = Counter(5);
            let first = PrivateKey::generate(key_type, &mut source).unwrap();
            let second = PrivateKey::generate(key_type, &mut source).unwrap();
            assert_ne!(first.public_key_info(), second.public_key_info());
            assert!(first.matches_info(first.public_key_info()));
            assert!(!first.matches_info(second.public_key_info()));
            assert!(!first.matches(&second.public_key()));
        } else {
            assert_eq!(failed, Some(CryptoError::Unsupported));
        }
    }
}

#[test]
fn reads_pkcs8_and_nothing_else() {
    for vector in &VECTORS {
        let Some(expected) = key(vector) else {
            let refused = PrivateKey::from_pkcs8_der(&vector.pkcs8()).err();
            assert_eq!(refused, Some(PrivateKeyError::Unsupported));
            continue;
        };
        let der = vector.pkcs8();
        let key = PrivateKey::from_pkcs8_der(&der).unwrap();
        assert_eq!(key.public_key_info(), expected.public_key_info());
        assert_eq!(key.public_key().bytes, hex(vector.public));
        let why = |der: &[u8]| PrivateKey::from_pkcs8_der(der).err();
        for end in 0..der.len() {
            assert_eq!(why(&der[..end]), Some(PrivateKeyError::Malformed), "{end}");
        }
        let long = [&der[..], &[0]].concat();
        assert_eq!(why(&long), Some(PrivateKeyError::Malformed));
        assert_eq!(why(key.public_key_info()), Some(PrivateKeyError::Malformed));
        // Whatever comes of a wrong bit, it is no panic.
        for bit in (0..der.len() * 8).step_by(7) {
            let mut flipped = der.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = PrivateKey::from_pkcs8_der(&flipped);
        }
        // An EncryptedPrivateKeyInfo: an algorithm and an OCTET STRING.
        let encrypted = hex("300F 300B 0609 2A864886F70D01050D 0400");
        assert_eq!(why(&encrypted), Some(PrivateKeyError::Encrypted));
        // secp521r1, RSA
        let other = hex("3017 020100 3010 06072A8648CE3D0201 06052B81040023 0400");
        assert_eq!(why(&other), Some(PrivateKeyError::Unsupported));
        let other = hex("3014 020100 300D 06092A864886F70D010101 0500 0400");
        assert_eq!(why(&other), Some(PrivateKeyError::Unsupported));
    }
}

#[test]
fn secrets_out_of_range_are_refused() {
    for (key_type, compiled) in KEY_TYPES {
        let why = |secret: &[u8]| PrivateKey::from_secret(key_type, secret).err();
        if !compiled {
            assert_eq!(why(&[1; 32]), Some(PrivateKeyError::Unsupported));
            continue;
        }
        let len = if key_type == KeyType::EcdsaP384 {
            48
        } else {
            32
        };
        let inconsistent = Some(PrivateKeyError::Inconsistent);
        for wrong in (0..=100).filter(|&wrong| wrong != len) {
            assert_eq!(why(&vec![1; wrong]), inconsistent, "{key_type:?}, {wrong}");
        }
        if key_type != KeyType::Ed25519 {
            assert_eq!(why(&vec![0; len]), inconsistent);
            assert_eq!(why(&vec![0xff; len]), inconsistent);
        }
        let key = PrivateKey::from_secret(key_type, &vec![1; len]).unwrap();
        let shown = format!("PrivateKey {{ key_type: {key_type:?}, .. }}");
        assert_eq!(format!("{key:?}"), shown);
    }
}

#[cfg(feature = "p256")]
#[test]
fn a_public_half_of_another_key_is_found() {
    let vector = &VECTORS[0];
    let with_public = |public: &str| {
        let head = "308187020100301306072A8648CE3D020106082A8648CE3D030107046D306B0201010420";
        let der = [head, vector.secret, "A144034200", public].concat();
        PrivateKey::from_pkcs8_der(&hex(&der))
    };
    assert!(with_public(vector.public).is_ok());
    let mut other = vector.public.to_owned();
    other.replace_range(129.., "8");
    let error = with_public(&other).err();
    assert_eq!(error, Some(PrivateKeyError::Inconsistent));
}

/// Under the neutral element as a key, one signature would verify for every message.
#[cfg(feature = "ed25519")]
#[test]
fn ed25519_keys_of_small_order_are_refused() {
    use lockgate_dtls::crypto::PublicKey;

    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    let key = PublicKey {
        key_type: KeyType::Ed25519,
        bytes: &neutral,
    };
    let provider = RustCrypto::new(Broken);
    let result = provider.verify(SignatureScheme::ED25519, key, b"anything", &signature);
    assert_eq!(result, Err(CryptoError::BadSignature));
}
