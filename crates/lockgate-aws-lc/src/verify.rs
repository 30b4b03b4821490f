//! Verifying signatures of peers.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use lockgate_dtls::crypto::{CryptoError, KeyType, PublicKey, SignatureScheme};

pub(crate) fn supports(scheme: SignatureScheme) -> bool {
    SignatureScheme::ALL.contains(&scheme)
}

pub(crate) fn verify(
    scheme: SignatureScheme,
    key: PublicKey<'_>,
    message: &[u8],
    signature: &[u8],
) -> Result<(), CryptoError> {
    if !supports(scheme) {
        return Err(CryptoError::Unsupported);
    }
    if !well_formed(key) {
        return Err(CryptoError::BadSignature);
    }
    let algorithm = algorithm(scheme, key.key_type).ok_or(CryptoError::BadSignature)?;
    UnparsedPublicKey::new(algorithm, key.bytes)
        .verify(message, signature)
        .map_err(|_| CryptoError::BadSignature)
}

/// In TLS 1.2 the hash of ECDSA does not name the curve: the key does.
fn algorithm(
    scheme: SignatureScheme,
    key_type: KeyType,
) -> Option<&'static dyn VerificationAlgorithm> {
    use SignatureScheme as S;
    Some(match (key_type, scheme) {
        (KeyType::EcdsaP256, S::ECDSA_SECP256R1_SHA256) => &signature::ECDSA_P256_SHA256_ASN1,
        (KeyType::EcdsaP256, S::ECDSA_SECP384R1_SHA384) => &signature::ECDSA_P256_SHA384_ASN1,
        (KeyType::EcdsaP384, S::ECDSA_SECP256R1_SHA256) => &signature::ECDSA_P384_SHA256_ASN1,
        (KeyType::EcdsaP384, S::ECDSA_SECP384R1_SHA384) => &signature::ECDSA_P384_SHA384_ASN1,
        (KeyType::Ed25519, S::ED25519) => &signature::ED25519,
        (KeyType::Rsa, S::RSA_PKCS1_SHA256) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (KeyType::Rsa, S::RSA_PKCS1_SHA384) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (KeyType::Rsa, S::RSA_PKCS1_SHA512) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (KeyType::Rsa, S::RSA_PSS_RSAE_SHA256) => &signature::RSA_PSS_2048_8192_SHA256,
        (KeyType::Rsa, S::RSA_PSS_RSAE_SHA384) => &signature::RSA_PSS_2048_8192_SHA384,
        (KeyType::Rsa, S::RSA_PSS_RSAE_SHA512) => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

/// AWS-LC also takes compressed points and whole `SubjectPublicKeyInfo`s; the engine's `PublicKey` is neither.
fn well_formed(key: PublicKey<'_>) -> bool {
    match key.key_type {
        KeyType::EcdsaP256 => key.bytes.len() == 65 && key.bytes[0] == 0x04,
        KeyType::EcdsaP384 => key.bytes.len() == 97 && key.bytes[0] == 0x04,
        KeyType::Ed25519 => key.bytes.len() == 32,
        // A SEQUENCE that begins with an INTEGER; of 2,048 bits and more the length takes two bytes.
        KeyType::Rsa => matches!(key.bytes, [0x30, 0x82, _, _, 0x02, ..]),
    }
}
