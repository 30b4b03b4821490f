//! The signatures that are verified in chains. A set is a slice, so that only what is named is linked.

use rustls_pki_types::SignatureVerificationAlgorithm;

/// A way to verify one kind of signature.
pub type Algorithm = dyn SignatureVerificationAlgorithm;

/// All that AWS-LC verifies for us: ECDSA on P-256 and P-384 with SHA-256, SHA-384 and SHA-512, Ed25519, and RSA of 2,048
/// to 8,192 bits, PKCS#1 and PSS.
#[cfg(feature = "aws-lc")]
pub static AWS_LC: &[&Algorithm] = crate::chain::AWS_LC;

/// ECDSA on P-256 with SHA-256, in pure Rust and without a heap.
#[cfg(feature = "rustcrypto")]
pub static RUSTCRYPTO: &[&Algorithm] = &[&rustcrypto::EcdsaP256Sha256];

#[cfg(feature = "rustcrypto")]
mod rustcrypto {
    use p256::ecdsa::signature::Verifier;
    use p256::ecdsa::{Signature, VerifyingKey};
    use rustls_pki_types::{
        AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
    };

    #[derive(Debug)]
    pub(super) struct EcdsaP256Sha256;

    impl SignatureVerificationAlgorithm for EcdsaP256Sha256 {
        fn verify_signature(
            &self,
            public_key: &[u8],
            message: &[u8],
            signature: &[u8],
        ) -> Result<(), InvalidSignature> {
            let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
            let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
            key.verify(message, &signature)
                .map_err(|_| InvalidSignature)
        }

        fn public_key_alg_id(&self) -> AlgorithmIdentifier {
            alg_id::ECDSA_P256
        }

        fn signature_alg_id(&self) -> AlgorithmIdentifier {
            alg_id::ECDSA_SHA256
        }
    }
}
