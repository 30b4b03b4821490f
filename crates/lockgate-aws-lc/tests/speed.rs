//! How long the public-key operations of a handshake take:
//! `cargo test --release -p lockgate-aws-lc --test speed -- --ignored --nocapture`

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use lockgate_aws_lc::{AwsLc, PrivateKey};
use lockgate_dtls::crypto::{
    KeyExchange as _, KeyType, MAX_SHARED_SECRET_LEN, MAX_SIGNATURE_LEN, NamedGroup, Provider as _,
    SignatureScheme, SigningKey as _,
};

/// Prints the median of batches, since one core shares its caches and its clock with others.
fn time(what: &str, mut run: impl FnMut()) {
    const BATCH: u32 = 50;
    let begun = Instant::now();
    let mut batches = Vec::new();
    while begun.elapsed() < Duration::from_millis(400) {
        let begun = Instant::now();
        for _ in 0..BATCH {
            run();
        }
        batches.push(begun.elapsed() / BATCH);
    }
    batches.sort_unstable();
    let (median, least) = (batches[batches.len() / 2], batches[0]);
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    println!(
        "{what:<44} {:8.1} µs, at best {:8.1} µs",
        micros(median),
        micros(least)
    );
}

#[test]
#[ignore = "measures; see the top of the file"]
fn speed() {
    for group in [
        NamedGroup::SECP256R1,
        NamedGroup::SECP384R1,
        NamedGroup::X25519,
    ] {
        time(&format!("{group}: make a key"), || {
            black_box(AwsLc.key_exchange(group).unwrap());
        });
        let peer = AwsLc.key_exchange(group).unwrap();
        time(&format!("{group}: make a key and agree"), || {
            let key = AwsLc.key_exchange(group).unwrap();
            let mut out = [0; MAX_SHARED_SECRET_LEN];
            key.agree(black_box(peer.public_value()), &mut out).unwrap();
            black_box(out);
        });
    }
    for key_type in [
        KeyType::EcdsaP256,
        KeyType::EcdsaP384,
        KeyType::Ed25519,
        KeyType::Rsa,
    ] {
        let key = PrivateKey::generate(key_type).unwrap();
        for scheme in SignatureScheme::ALL {
            if !scheme.fits(key_type) {
                continue;
            }
            let mut out = [0; MAX_SIGNATURE_LEN];
            let message = [7; 150];
            time(&format!("{key_type:?}, {scheme}: sign"), || {
                black_box(key.sign(scheme, black_box(&message), &mut out).unwrap());
            });
            let len = key.sign(scheme, &message, &mut out).unwrap();
            let signature = &out[..len];
            time(&format!("{key_type:?}, {scheme}: verify"), || {
                AwsLc
                    .verify(scheme, key.public_key(), black_box(&message), signature)
                    .unwrap();
            });
        }
    }
    // What of that is reading the key, which stands in a new certificate each time.
    let key = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
    let bytes = key.public_key().bytes;
    time("EcdsaP256: read a public key", || {
        black_box(ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, black_box(bytes)).unwrap());
    });
}
