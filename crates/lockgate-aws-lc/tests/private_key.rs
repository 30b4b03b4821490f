//! Private keys that OpenSSL made, what is wrong with others, and signatures that OpenSSL checks.

mod openssl;

use std::path::Path;

use lockgate_aws_lc::{AwsLc, PrivateKey, PrivateKeyError};
use lockgate_dtls::certificate::parse_public_key;
use lockgate_dtls::crypto::{
    CryptoError, KeyType, MAX_SIGNATURE_LEN, Provider as _, SignatureScheme, SigningKey as _,
};

use openssl::Dir;

/// What OpenSSL makes of the key's public half.
fn public_info(dir: &Dir, key: &Path) -> Vec<u8> {
    let key = key.display();
    let info = dir.openssl(&format!("pkey -in {key} -pubout -outform DER -out {{}}"));
    std::fs::read(info).unwrap()
}

#[test]
fn reads_the_keys_that_openssl_makes() {
    use KeyType::{EcdsaP256, EcdsaP384, Ed25519, Rsa};
    let Some(dir) = Dir::new("keys") else { return };
    for (key_type, label, arguments) in [
        (
            EcdsaP256,
            "PRIVATE KEY",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        ),
        (
            EcdsaP384,
            "PRIVATE KEY",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384",
        ),
        (Ed25519, "PRIVATE KEY", "genpkey -algorithm ED25519"),
        (
            Rsa,
            "PRIVATE KEY",
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048",
        ),
        (
            Rsa,
            "PRIVATE KEY",
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072",
        ),
        (Rsa, "RSA PRIVATE KEY", "genrsa -traditional"),
        // With the parameters in a section of their own before the key.
        (
            EcdsaP256,
            "EC PARAMETERS",
            "ecparam -name prime256v1 -genkey",
        ),
        (
            EcdsaP256,
            "EC PRIVATE KEY",
            "ecparam -name prime256v1 -genkey -noout",
        ),
        (
            EcdsaP384,
            "EC PARAMETERS",
            "ecparam -name secp384r1 -genkey",
        ),
        (
            EcdsaP384,
            "EC PRIVATE KEY",
            "ecparam -name secp384r1 -genkey -noout",
        ),
    ] {
        let path = dir.openssl(&format!("{arguments} -out {{}}"));
        let pem = std::fs::read_to_string(&path).unwrap();
        assert!(
            pem.starts_with(&format!("-----BEGIN {label}-----\n")),
            "{arguments}"
        );
        let key = PrivateKey::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(key.key_type(), key_type, "{arguments}");
        assert_eq!(
            key.public_key_info(),
            public_info(&dir, &path),
            "{arguments}"
        );

        // A file of certificate and key, as many servers have it, and line ends of another system.
        let both = format!("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n{pem}");
        let dos = both.replace('\n', "\r\n");
        for pem in [both, dos] {
            let again = PrivateKey::from_pem(pem.as_bytes()).unwrap();
            assert!(again.matches(&key.public_key()), "{arguments}");
        }

        // And back: OpenSSL reads what we write.
        let written = dir.file("written.der");
        std::fs::write(&written, &*key.to_pkcs8_der()).unwrap();
        assert_eq!(
            public_info(&dir, &written),
            key.public_key_info(),
            "{arguments}"
        );
    }
}

#[test]
fn reads_der_in_all_three_forms() {
    let Some(dir) = Dir::new("der") else { return };
    for (key_type, make, own_form) in [
        (
            KeyType::EcdsaP256,
            "ecparam -name prime256v1 -genkey -noout",
            "ec",
        ),
        (
            KeyType::EcdsaP384,
            "ecparam -name secp384r1 -genkey -noout",
            "ec",
        ),
        (KeyType::Rsa, "genrsa", "rsa -traditional"),
    ] {
        let path = dir.openssl(&format!("{make} -out {{}}"));
        for convert in [own_form, "pkcs8 -topk8 -nocrypt"] {
            let key = path.display();
            let der = dir.openssl(&format!("{convert} -in {key} -outform DER -out {{}}"));
            let der = std::fs::read(der).unwrap();
            let key = PrivateKey::from_der(&der).unwrap();
            assert_eq!(key.key_type(), key_type, "{convert}");
            assert_eq!(key.public_key_info(), public_info(&dir, &path), "{convert}");
            // Cut anywhere, or with more behind it, it is no key.
            for end in 0..der.len() {
                let cut = PrivateKey::from_der(&der[..end]);
                assert_eq!(cut.err(), Some(PrivateKeyError::Malformed), "{end}");
            }
            let long = PrivateKey::from_der(&[&der[..], &[0]].concat());
            assert_eq!(long.err(), Some(PrivateKeyError::Malformed));
            // Any bit may be wrong: whatever comes of it, it is no panic.
            for bit in (0..der.len() * 8).step_by(if key_type == KeyType::Rsa { 997 } else { 5 }) {
                let mut flipped = der.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let _ = PrivateKey::from_der(&flipped);
            }
        }
    }
}

fn why(pem: impl AsRef<[u8]>) -> Option<PrivateKeyError> {
    PrivateKey::from_pem(pem.as_ref()).err()
}

fn why_file(path: &Path) -> Option<PrivateKeyError> {
    why(std::fs::read(path).unwrap())
}

#[test]
fn an_encrypted_key_is_called_encrypted() {
    let Some(dir) = Dir::new("encrypted") else {
        return;
    };
    let ec = dir.openssl("ecparam -name prime256v1 -genkey -noout -out {}");
    let rsa = dir.openssl("genrsa -out {}");
    let (ec, rsa) = (ec.display(), rsa.display());
    let how = "-aes128 -passout pass:secret -out {}";
    for what in [
        format!("ec -in {ec}"),
        format!("rsa -traditional -in {rsa}"),
        format!("pkey -in {ec}"),
    ] {
        let path = dir.openssl(&format!("{what} {how}"));
        assert_eq!(why_file(&path), Some(PrivateKeyError::Encrypted), "{what}");
    }
    let der = dir.openssl(&format!(
        "pkcs8 -topk8 -in {ec} -passout pass:secret -outform DER -out {{}}"
    ));
    let error = PrivateKey::from_der(&std::fs::read(der).unwrap()).err();
    assert_eq!(error, Some(PrivateKeyError::Encrypted));
    let text = PrivateKeyError::Encrypted.to_string();
    assert!(text.starts_with("the key is encrypted; ") && !text.contains('\n'));
}

#[test]
fn keys_of_other_kinds_are_called_unsupported() {
    let Some(dir) = Dir::new("kinds") else { return };
    for curve in ["secp521r1", "secp256k1"] {
        let sec1 = dir.openssl(&format!("ecparam -name {curve} -genkey -noout -out {{}}"));
        assert_eq!(
            why_file(&sec1),
            Some(PrivateKeyError::Unsupported),
            "{curve}"
        );
        let sec1 = sec1.display();
        let pkcs8 = dir.openssl(&format!("pkcs8 -topk8 -nocrypt -in {sec1} -out {{}}"));
        assert_eq!(
            why_file(&pkcs8),
            Some(PrivateKeyError::Unsupported),
            "{curve}"
        );
    }
    for algorithm in ["X25519", "ED448", "RSA-PSS"] {
        let path = dir.openssl(&format!("genpkey -algorithm {algorithm} -out {{}}"));
        assert_eq!(
            why_file(&path),
            Some(PrivateKeyError::Unsupported),
            "{algorithm}"
        );
    }
    let spelt_out = "ecparam -name prime256v1 -param_enc explicit -genkey -noout -out {}";
    assert_eq!(
        why_file(&dir.openssl(spelt_out)),
        Some(PrivateKeyError::Unsupported)
    );
}

#[test]
fn what_is_no_key_is_called_by_its_name() {
    let Some(dir) = Dir::new("no-key") else {
        return;
    };
    let path = dir.openssl("ecparam -name prime256v1 -genkey -noout -out {}");
    let pem = std::fs::read_to_string(&path).unwrap();
    let path = path.display();
    let public = dir.openssl(&format!("pkey -in {path} -pubout -out {{}}"));
    assert_eq!(why_file(&public), Some(PrivateKeyError::NoKey));
    assert_eq!(why(""), Some(PrivateKeyError::NoKey));
    assert_eq!(why("garbage"), Some(PrivateKeyError::NoKey));
    let label = "OPENSSH PRIVATE KEY-----\n";
    let open_ssh = format!("-----BEGIN {label}-----END {label}");
    assert_eq!(why(open_ssh), Some(PrivateKeyError::OpenSsh));
    assert_eq!(
        why(pem.replace("-----END", "")),
        Some(PrivateKeyError::BadPem)
    );
    assert_eq!(
        why(pem.replace("\nMH", "\n!H")),
        Some(PrivateKeyError::BadPem)
    );

    let of_der = |der: &[u8]| PrivateKey::from_der(der).err();
    let key = PrivateKey::from_pem(pem.as_bytes()).unwrap();
    assert_eq!(
        of_der(key.public_key_info()),
        Some(PrivateKeyError::Malformed)
    );
    assert_eq!(of_der(b"garbage"), Some(PrivateKeyError::Malformed));
    assert_eq!(of_der(&[0x30, 0x80]), Some(PrivateKeyError::Malformed));
    assert_eq!(of_der(pem.as_bytes()), Some(PrivateKeyError::Malformed));

    // The public half of another key.
    let other = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
    let mut mixed = key.to_pkcs8_der().to_vec();
    let at = mixed.len() - 64;
    mixed[at..].copy_from_slice(&other.public_key().bytes[1..]);
    assert_eq!(of_der(&mixed), Some(PrivateKeyError::Inconsistent));
}

/// An RSA key of 1,024 bits signs nothing here, whoever made it.
#[test]
fn short_rsa_keys_are_refused() {
    let Some(dir) = Dir::new("short") else { return };
    let key = dir.openssl("genrsa -traditional -out {} 1024");
    assert_eq!(why_file(&key), Some(PrivateKeyError::RsaSize));
    std::fs::write(dir.file("message"), b"message").unwrap();
    let (name, message) = (key.display(), dir.name("message"));
    let signature = dir.openssl(&format!("dgst -sha256 -sign {name} -out {{}} {message}"));
    let (info, signature) = (public_info(&dir, &key), std::fs::read(signature).unwrap());
    let public = parse_public_key(&info).unwrap().unwrap();
    let scheme = SignatureScheme::RSA_PKCS1_SHA256;
    let result = AwsLc.verify(scheme, public, b"message", &signature);
    assert_eq!(result, Err(CryptoError::BadSignature));
}

/// Each verifies what the other signed, with each scheme.
#[test]
fn signatures_go_both_ways_with_openssl() {
    let Some(dir) = Dir::new("signatures") else {
        return;
    };
    std::fs::write(dir.file("message"), b"message").unwrap();
    let message = dir.name("message");
    for key_type in [
        KeyType::EcdsaP256,
        KeyType::EcdsaP384,
        KeyType::Ed25519,
        KeyType::Rsa,
    ] {
        let key = PrivateKey::generate(key_type).unwrap();
        std::fs::write(dir.file("key.der"), &*key.to_pkcs8_der()).unwrap();
        let private = dir.openssl(&format!("pkey -in {} -out {{}}", dir.name("key.der")));
        let private = private.display();
        for scheme in SignatureScheme::ALL
            .into_iter()
            .filter(|s| s.fits(key_type))
        {
            let name = scheme.to_string();
            let mut how = match name.rsplit('_').next() {
                Some(hash) if hash.starts_with("sha") => format!("-rawin -digest {hash}"),
                _ => "-rawin".to_owned(),
            };
            if name.contains("pss") {
                how += " -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest";
            }
            let theirs = dir.openssl(&format!(
                "pkeyutl -sign -inkey {private} {how} -in {message} -out {{}}"
            ));
            let theirs = std::fs::read(theirs).unwrap();
            let verified = AwsLc.verify(scheme, key.public_key(), b"message", &theirs);
            assert_eq!(verified, Ok(()), "{name}, {key_type:?}");

            let mut ours = [0; MAX_SIGNATURE_LEN];
            let len = key.sign(scheme, b"message", &mut ours).unwrap();
            std::fs::write(dir.file("ours"), &ours[..len]).unwrap();
            let ours = dir.name("ours");
            dir.openssl(&format!(
                "pkeyutl -verify -inkey {private} {how} -in {message} -sigfile {ours}"
            ));
        }
    }
}
