//! `AwsLc` against published vectors by the hundred.

#[path = "../../lockgate-rustcrypto/tests/vectors/aead.rs"]
mod aead;
#[path = "../../lockgate-rustcrypto/tests/vectors/cavp.rs"]
mod cavp;
#[path = "../../lockgate-rustcrypto/tests/vectors/exchange.rs"]
mod exchange;
#[path = "../../lockgate-rustcrypto/tests/vectors/signatures.rs"]
mod signatures;

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::crypto::{CryptoError, KeyExchange as _, Provider as _, SignatureScheme};
use lockgate_rustcrypto::{RandomSource, RustCrypto};

/// "Random" bytes for one draw: a vector's private key.
struct Known<'a>(&'a [u8]);

impl RandomSource for Known<'_> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        if out.len() != self.0.len() {
            return Err(CryptoError::NoRandomness);
        }
        out.copy_from_slice(self.0);
        self.0 = &[];
        Ok(())
    }
}

#[test]
fn nist_aes_ccm() {
    aead::nist_aes_ccm(&AwsLc);
}

#[test]
fn wycheproof_aeads() {
    aead::wycheproof(&AwsLc);
}

#[test]
fn wycheproof_signatures() {
    signatures::wycheproof(&AwsLc, &SignatureScheme::ALL);
}

/// Private keys of AWS-LC cannot be chosen from outside, so only half of each vector is of use: which public values are
/// taken. What comes of them is held against `RustCrypto`, which passes the vectors.
#[test]
fn wycheproof_key_exchanges() {
    for (i, vector) in exchange::vectors().iter().enumerate() {
        let ours = AwsLc.key_exchange(vector.group).unwrap();
        let refused = exchange::agree(ours, &vector.public).err();
        let right = vector
            .shared
            .is_none()
            .then_some(CryptoError::BadPublicValue);
        assert_eq!(refused, right, "{}", vector.name);

        // The other side is slow.
        if i % 8 == 0 {
            let ours = AwsLc.key_exchange(vector.group).unwrap();
            let mut other = RustCrypto::new(Known(&vector.private));
            let theirs = other.key_exchange(vector.group).unwrap();
            let values = [ours.public_value().to_vec(), theirs.public_value().to_vec()];
            let shared = exchange::agree(ours, &values[1]).unwrap();
            assert_eq!(
                exchange::agree(theirs, &values[0]),
                Ok(shared),
                "{}",
                vector.name
            );
        }
    }
}
