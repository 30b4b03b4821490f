//! Key exchange and signatures of `AwsLc` and `RustCrypto` against each other.

use lockgate_aws_lc::{AwsLc, PrivateKey};
use lockgate_dtls::crypto::{
    CryptoError, KeyExchange as _, KeyType, MAX_SHARED_SECRET_LEN, MAX_SIGNATURE_LEN, NamedGroup,
    Provider, SignatureScheme, SigningKey,
};
use lockgate_rustcrypto::{OsRandom, RustCrypto};

const OTHER: RustCrypto<OsRandom> = RustCrypto::new(OsRandom);

fn agree(a: &mut impl Provider, b: &mut impl Provider, group: NamedGroup) {
    let (a, b) = (
        a.key_exchange(group).unwrap(),
        b.key_exchange(group).unwrap(),
    );
    let (for_a, for_b) = (b.public_value().to_vec(), a.public_value().to_vec());
    let (mut of_a, mut of_b) = ([0; MAX_SHARED_SECRET_LEN], [0; MAX_SHARED_SECRET_LEN]);
    let len = a.agree(&for_a, &mut of_a).unwrap();
    assert_eq!(b.agree(&for_b, &mut of_b), Ok(len), "{group}");
    assert_eq!(of_a, of_b, "{group}");
    assert_ne!(of_a, [0; MAX_SHARED_SECRET_LEN], "{group}");
}

#[test]
fn both_agree() {
    for group in [
        NamedGroup::SECP256R1,
        NamedGroup::SECP384R1,
        NamedGroup::X25519,
    ] {
        for _ in 0..20 {
            agree(&mut AwsLc, &mut OTHER.clone(), group);
            agree(&mut OTHER.clone(), &mut AwsLc, group);
        }
    }
}

fn verified(
    verifier: &impl Provider,
    signer: &impl SigningKey,
    scheme: SignatureScheme,
    message: &[u8],
) {
    let mut signature = [0; MAX_SIGNATURE_LEN];
    let len = signer.sign(scheme, message, &mut signature).unwrap();
    let key = lockgate_dtls::certificate::parse_public_key(signer.public_key_info());
    let key = key.unwrap().unwrap();
    let what = format!("{scheme}, {:?}", key.key_type);
    let result = verifier.verify(scheme, key, message, &signature[..len]);
    assert_eq!(result, Ok(()), "{what}");
    signature[len - 1] ^= 1;
    let result = verifier.verify(scheme, key, message, &signature[..len]);
    assert_eq!(result, Err(CryptoError::BadSignature), "{what}");
}

/// The same key in both, which reads it from what the other wrote.
#[test]
fn each_verifies_what_the_other_signed() {
    for key_type in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::Ed25519] {
        for round in 0..10 {
            let ours = PrivateKey::generate(key_type).unwrap();
            let theirs = lockgate_rustcrypto::PrivateKey::from_pkcs8_der(&ours.to_pkcs8_der());
            let theirs = theirs.unwrap();
            assert_eq!(ours.public_key_info(), theirs.public_key_info());
            assert_eq!(ours.public_key(), theirs.public_key());
            assert!(ours.matches(&theirs.public_key()));
            let message = vec![round; usize::from(round) * 30];
            for scheme in SignatureScheme::ALL {
                assert_eq!(ours.supports(scheme), scheme.fits(key_type));
                assert_eq!(theirs.supports(scheme), scheme.fits(key_type));
                if scheme.fits(key_type) {
                    verified(&OTHER, &ours, scheme, &message);
                    verified(&AwsLc, &theirs, scheme, &message);
                }
            }
        }
    }
}

#[test]
fn rsa_is_for_servers() {
    let key = PrivateKey::generate(KeyType::Rsa).unwrap();
    let scheme = SignatureScheme::RSA_PSS_RSAE_SHA256;
    assert!(!OTHER.supports_scheme(scheme));
    let result = OTHER.verify(scheme, key.public_key(), b"", &[]);
    assert_eq!(result, Err(CryptoError::Unsupported));
    let error = lockgate_rustcrypto::PrivateKey::from_pkcs8_der(&key.to_pkcs8_der()).err();
    let unsupported = lockgate_rustcrypto::PrivateKeyError::Unsupported;
    assert_eq!(error, Some(unsupported));
}
