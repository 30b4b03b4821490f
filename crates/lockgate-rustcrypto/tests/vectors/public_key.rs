//! Key exchange and signatures.

#[path = "exchange.rs"]
mod exchange;
#[path = "signatures.rs"]
mod signatures;

use lockgate_dtls::crypto::{CryptoError, Provider as _, SignatureScheme};
use lockgate_rustcrypto::RustCrypto;

use super::{Known, NOTHING_RANDOM};

#[test]
fn wycheproof_signatures() {
    signatures::wycheproof(
        &NOTHING_RANDOM,
        &[
            SignatureScheme::ECDSA_SECP256R1_SHA256,
            SignatureScheme::ECDSA_SECP384R1_SHA384,
            SignatureScheme::ED25519,
        ],
    );
}

#[test]
fn wycheproof_key_exchanges() {
    for vector in exchange::vectors() {
        let mut provider = RustCrypto::new(Known(&vector.private));
        let ours = provider.key_exchange(vector.group).unwrap();
        let shared = exchange::agree(ours, &vector.public);
        let right = vector.shared.ok_or(CryptoError::BadPublicValue);
        assert_eq!(shared, right, "{}", vector.name);
    }
}
