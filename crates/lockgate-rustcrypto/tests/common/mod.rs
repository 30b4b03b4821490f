//! What every provider must do, whichever it is. Both provider crates include this file.

mod vectors;

use std::fmt::Debug;

use lockgate_dtls::crypto::{
    AeadAlgorithm, AeadKey as _, CryptoError, Hash as _, HashAlgorithm, Hmac as _, Mask as _,
    Provider,
};

pub(crate) const ALL_AEADS: [AeadAlgorithm; 7] = [
    AeadAlgorithm::Aes128Gcm,
    AeadAlgorithm::Aes256Gcm,
    AeadAlgorithm::Aes128Ccm,
    AeadAlgorithm::Aes256Ccm,
    AeadAlgorithm::Aes128Ccm8,
    AeadAlgorithm::Aes256Ccm8,
    AeadAlgorithm::ChaCha20Poly1305,
];

const ALL_HASHES: [HashAlgorithm; 2] = [HashAlgorithm::Sha256, HashAlgorithm::Sha384];

const NONCE: [u8; 12] = *b"twelve bytes";

/// Runs every check on `provider`, for all that it supports.
pub(crate) fn check<P>(provider: &mut P)
where
    P: Provider<AeadKey: Debug, Hash: Debug, Hmac: Debug, Mask: Debug>,
{
    aead_vectors(provider);
    hash_vectors(provider);
    hmac_vectors(provider);
    mask_vectors(provider);
    for algorithm in ALL_AEADS {
        if provider.supports_aead(algorithm) {
            every_length_round_trips(provider, algorithm);
            every_flipped_bit_is_refused(provider, algorithm);
            every_other_input_is_refused(provider, algorithm);
            wrong_lengths_are_refused(provider, algorithm);
        } else {
            assert_eq!(
                provider
                    .aead_key(algorithm, &vec![0; algorithm.key_len()])
                    .err(),
                Some(CryptoError::Unsupported)
            );
        }
    }
    debug_shows_nothing(provider);
}

fn aead_vectors(provider: &impl Provider) {
    for vector in vectors::AEAD {
        if !provider.supports_aead(vector.algorithm) {
            continue;
        }
        let key = provider
            .aead_key(vector.algorithm, &hex(vector.key))
            .unwrap();
        let nonce = hex(vector.nonce).try_into().unwrap();
        let (aad, plaintext, sealed) = (hex(vector.aad), hex(vector.plaintext), hex(vector.sealed));

        let mut in_out = plaintext.clone();
        in_out.resize(plaintext.len() + vector.algorithm.tag_len(), 0);
        key.seal_in_place(&nonce, &aad, &mut in_out).unwrap();
        assert_eq!(in_out, sealed, "{}", vector.source);

        key.open_in_place(&nonce, &aad, &mut in_out).unwrap();
        assert_eq!(in_out[..plaintext.len()], plaintext, "{}", vector.source);
    }
}

fn hash_vectors(provider: &impl Provider) {
    for vector in vectors::HASH {
        for algorithm in ALL_HASHES
            .into_iter()
            .filter(|&a| provider.supports_hash(a))
        {
            let digest = hex(match algorithm {
                HashAlgorithm::Sha256 => vector.sha256,
                HashAlgorithm::Sha384 => vector.sha384,
            });
            let message = vector.message.as_bytes();
            let (head, tail) = message.split_at(message.len() / 2);
            let mut hash = provider.hash(algorithm).unwrap();
            hash.update(head);
            // A fork goes its own way.
            let mut fork = hash.clone();
            fork.update(b"something else");
            assert_ne!(fork.finish().as_ref(), digest);
            hash.update(tail);
            assert_eq!(hash.finish().as_ref(), digest, "{}", vector.message);
        }
    }
}

fn hmac_vectors(provider: &impl Provider) {
    for vector in vectors::HMAC {
        for algorithm in ALL_HASHES
            .into_iter()
            .filter(|&a| provider.supports_hash(a))
        {
            let mac = hex(match algorithm {
                HashAlgorithm::Sha256 => vector.sha256,
                HashAlgorithm::Sha384 => vector.sha384,
            });
            let data = hex(vector.data);
            let key = provider.hmac(algorithm, &hex(vector.key)).unwrap();
            // Twice with one key: signing must not use it up. Once in parts.
            assert_eq!(key.sign(&[&data]).as_ref(), mac, "{}", vector.source);
            let (head, tail) = data.split_at(3);
            assert_eq!(
                key.sign(&[head, &[], tail]).as_ref(),
                mac,
                "{}",
                vector.source
            );
        }
    }
}

fn mask_vectors(provider: &impl Provider) {
    for vector in vectors::MASK {
        let mask = provider.mask(&hex(vector.key).try_into().unwrap()).unwrap();
        let sample = hex(vector.sample).try_into().unwrap();
        assert_eq!(
            mask.mask(&sample)[..],
            hex(vector.begins),
            "{}",
            vector.source
        );
    }
}

fn every_length_round_trips<P: Provider>(provider: &P, algorithm: AeadAlgorithm) {
    let key = some_key(provider, algorithm);
    // Around every block border, the longest TLS record, and one that ends within a block.
    for len in (0..=130).chain([1 << 14, (1 << 14) + 255]) {
        let plaintext = pattern(len);
        let mut in_out = seal::<P>(&key, algorithm, b"header", &plaintext);
        if len >= 16 {
            assert_ne!(in_out[..len], plaintext);
        }
        key.open_in_place(&NONCE, b"header", &mut in_out).unwrap();
        assert_eq!(in_out[..len], plaintext, "{algorithm:?}, {len} bytes");
    }
    for aad_len in 0..=50 {
        let aad = pattern(aad_len);
        let mut in_out = seal::<P>(&key, algorithm, &aad, b"text");
        key.open_in_place(&NONCE, &aad, &mut in_out).unwrap();
        assert_eq!(&in_out[..4], b"text");
    }
}

fn every_flipped_bit_is_refused<P: Provider>(provider: &P, algorithm: AeadAlgorithm) {
    let key = some_key(provider, algorithm);
    let aad = pattern(13);
    for len in [0, 1, 16, 37] {
        let plaintext = pattern(len);
        let sealed = seal::<P>(&key, algorithm, &aad, &plaintext);
        for bit in 0..sealed.len() * 8 {
            let mut in_out = sealed.clone();
            in_out[bit / 8] ^= 1 << (bit % 8);
            let result = key.open_in_place(&NONCE, &aad, &mut in_out);
            assert_eq!(
                result,
                Err(CryptoError::Unauthenticated),
                "{algorithm:?}, bit {bit}"
            );
            // Nothing that a careless caller could take for the plaintext.
            assert!(
                len < 16 || in_out[1..len] != plaintext[1..],
                "{algorithm:?}, bit {bit}"
            );
        }
        for bit in 0..aad.len() * 8 {
            let mut aad = aad.clone();
            aad[bit / 8] ^= 1 << (bit % 8);
            let mut in_out = sealed.clone();
            let result = key.open_in_place(&NONCE, &aad, &mut in_out);
            assert_eq!(
                result,
                Err(CryptoError::Unauthenticated),
                "{algorithm:?}, AAD {bit}"
            );
            assert!(
                len < 16 || in_out[..len] != plaintext,
                "{algorithm:?}, AAD {bit}"
            );
        }
        for bit in 0..NONCE.len() * 8 {
            let mut nonce = NONCE;
            nonce[bit / 8] ^= 1 << (bit % 8);
            let result = key.open_in_place(&nonce, &aad, &mut sealed.clone());
            assert_eq!(
                result,
                Err(CryptoError::Unauthenticated),
                "{algorithm:?}, nonce {bit}"
            );
        }
    }
}

fn every_other_input_is_refused<P: Provider>(provider: &P, algorithm: AeadAlgorithm) {
    let key = some_key(provider, algorithm);
    let sealed = seal::<P>(&key, algorithm, b"header", b"some text");
    let refused = |key: &P::AeadKey, aad: &[u8], in_out: &[u8]| {
        let result = key.open_in_place(&NONCE, aad, &mut in_out.to_vec());
        assert_eq!(result, Err(CryptoError::Unauthenticated), "{algorithm:?}");
    };
    refused(&key, b"", &sealed);
    refused(&key, b"heade", &sealed);
    refused(&key, b"header\0", &sealed);
    refused(&key, b"header", &sealed[1..]);
    refused(&key, b"header", &sealed[..sealed.len() - 1]);
    refused(&key, b"header", &[&sealed[..], &[0]].concat());
    let other = provider
        .aead_key(algorithm, &vec![0x5a; algorithm.key_len()])
        .unwrap();
    refused(&other, b"header", &sealed);
}

fn wrong_lengths_are_refused(provider: &impl Provider, algorithm: AeadAlgorithm) {
    for len in (0..=64).filter(|&len| len != algorithm.key_len()) {
        assert_eq!(
            provider.aead_key(algorithm, &pattern(len)).err(),
            Some(CryptoError::BadLength),
            "{algorithm:?}, a key of {len} bytes"
        );
    }
    let key = some_key(provider, algorithm);
    for len in 0..algorithm.tag_len() {
        let mut in_out = pattern(len);
        assert_eq!(
            key.seal_in_place(&NONCE, b"", &mut in_out),
            Err(CryptoError::BadLength)
        );
        assert_eq!(
            key.open_in_place(&NONCE, b"", &mut in_out),
            Err(CryptoError::BadLength)
        );
        assert_eq!(
            in_out,
            pattern(len),
            "{algorithm:?}: a refused buffer is left alone"
        );
    }
}

fn debug_shows_nothing<P>(provider: &mut P)
where
    P: Provider<AeadKey: Debug, Hash: Debug, Hmac: Debug, Mask: Debug>,
{
    for algorithm in ALL_AEADS {
        if let Ok(key) = provider.aead_key(algorithm, &pattern(algorithm.key_len())) {
            assert_eq!(format!("{key:?}"), "AeadKey { .. }");
        }
    }
    for algorithm in ALL_HASHES {
        if let Ok(mut hash) = provider.hash(algorithm) {
            hash.update(b"secret");
            assert_eq!(format!("{hash:?}"), "Hash { .. }");
            let hmac = provider.hmac(algorithm, b"secret").unwrap();
            assert_eq!(format!("{hmac:?}"), "Hmac { .. }");
        }
    }
    assert_eq!(
        format!("{:?}", provider.mask(&[1; 16]).unwrap()),
        "Mask { .. }"
    );
}

fn some_key<P: Provider>(provider: &P, algorithm: AeadAlgorithm) -> P::AeadKey {
    provider
        .aead_key(algorithm, &pattern(algorithm.key_len()))
        .unwrap()
}

fn seal<P: Provider>(
    key: &P::AeadKey,
    algorithm: AeadAlgorithm,
    aad: &[u8],
    plaintext: &[u8],
) -> Vec<u8> {
    let mut in_out = plaintext.to_vec();
    in_out.resize(plaintext.len() + algorithm.tag_len(), 0xee);
    key.seal_in_place(&NONCE, aad, &mut in_out).unwrap();
    in_out
}

/// `len` bytes that differ from their neighbours.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 256) as u8).collect()
}

fn hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2));
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
        .collect()
}
