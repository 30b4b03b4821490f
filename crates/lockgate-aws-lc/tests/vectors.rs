//! `AwsLc` against published vectors by the hundred.

#[path = "../../lockgate-rustcrypto/tests/vectors/aead.rs"]
mod aead;
#[path = "../../lockgate-rustcrypto/tests/vectors/cavp.rs"]
mod cavp;

use lockgate_aws_lc::AwsLc;

#[test]
fn nist_aes_ccm() {
    aead::nist_aes_ccm(&AwsLc);
}

#[test]
fn wycheproof_aeads() {
    aead::wycheproof(&AwsLc);
}
