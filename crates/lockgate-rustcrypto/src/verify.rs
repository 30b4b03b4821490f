//! Verifying signatures of peers.

use lockgate_dtls::crypto::{CryptoError, KeyType, PublicKey, SignatureScheme};
#[cfg(any(feature = "p256", feature = "p384"))]
use lockgate_dtls::crypto::{Hash as _, HashAlgorithm, HashOutput};

pub(crate) const fn supports(scheme: SignatureScheme) -> bool {
    let ecdsa = cfg!(any(feature = "p256", feature = "p384"));
    match scheme {
        SignatureScheme::ECDSA_SECP256R1_SHA256 => ecdsa,
        SignatureScheme::ECDSA_SECP384R1_SHA384 => ecdsa && cfg!(feature = "sha384"),
        SignatureScheme::ED25519 => cfg!(feature = "ed25519"),
        _ => false,
    }
}

/// Whether keys of this type are compiled in.
pub(crate) const fn supports_key(key_type: KeyType) -> bool {
    match key_type {
        KeyType::EcdsaP256 => cfg!(feature = "p256"),
        KeyType::EcdsaP384 => cfg!(feature = "p384"),
        KeyType::Ed25519 => cfg!(feature = "ed25519"),
        KeyType::Rsa => false,
    }
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
    if !scheme.fits(key.key_type) {
        return Err(CryptoError::BadSignature);
    }
    let verified = match key.key_type {
        #[cfg(feature = "p256")]
        KeyType::EcdsaP256 => {
            use p256::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier as _};
            if !crate::ec::is_uncompressed(key.bytes, 32) {
                return Err(CryptoError::BadSignature);
            }
            let digest = digest(scheme, message)?;
            VerifyingKey::from_sec1_bytes(key.bytes).and_then(|key| {
                key.verify_prehash(digest.as_ref(), &Signature::from_der(signature)?)
            })
        }
        #[cfg(feature = "p384")]
        KeyType::EcdsaP384 => {
            use p384::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier as _};
            if !crate::ec::is_uncompressed(key.bytes, 48) {
                return Err(CryptoError::BadSignature);
            }
            let digest = digest(scheme, message)?;
            VerifyingKey::from_sec1_bytes(key.bytes).and_then(|key| {
                key.verify_prehash(digest.as_ref(), &Signature::from_der(signature)?)
            })
        }
        #[cfg(feature = "ed25519")]
        KeyType::Ed25519 => {
            use ed25519_dalek::{Signature, VerifyingKey};
            let key = key
                .bytes
                .try_into()
                .map_err(|_| CryptoError::BadSignature)?;
            // Strictly: a key of small order would verify one signature for any message.
            VerifyingKey::from_bytes(key)
                .and_then(|key| key.verify_strict(message, &Signature::from_slice(signature)?))
        }
        _ => return Err(CryptoError::Unsupported),
    };
    verified.map_err(|_| CryptoError::BadSignature)
}

/// The digest that an ECDSA scheme names.
#[cfg(any(feature = "p256", feature = "p384"))]
pub(crate) fn digest(scheme: SignatureScheme, message: &[u8]) -> Result<HashOutput, CryptoError> {
    let algorithm = match scheme {
        SignatureScheme::ECDSA_SECP256R1_SHA256 => HashAlgorithm::Sha256,
        SignatureScheme::ECDSA_SECP384R1_SHA384 => HashAlgorithm::Sha384,
        _ => return Err(CryptoError::Unsupported),
    };
    let mut hash = crate::Hash::new(algorithm)?;
    hash.update(message);
    Ok(hash.finish())
}
