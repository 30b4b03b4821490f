//! Our own certificates: what is wrong with them is said by the name of the file.

mod common;

use common::*;
use lockgate_aws_lc::PrivateKey;
use lockgate_dtls::certificate::PeerCertificate;
use lockgate_webpki::{CredentialLoader, LoadError, Source, Time, Usage, VerifierBuilder};
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};

fn fault(source: &Source, key: &KeyPair) -> String {
    load(source, key).map(|_| ()).unwrap_err()
}

#[test]
fn a_chain_in_any_order() {
    let root = Ca::root("root");
    let below = root.below("below");
    let lowest = below.below("lowest");
    let key = p256();
    let leaf = lowest.issue_to(&server(&["gateway.example"]), &key);
    let ordered: [&[u8]; 4] = [&leaf, &lowest.der, &below.der, &root.der];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let credential = load(&bundle(&order.map(|place| ordered[place])), &key).unwrap();
        assert_eq!(credential.chain().collect::<Vec<_>>(), ordered, "{order:?}");
        assert_eq!(credential.list(), message(&ordered));
    }
    // DER, one behind the other; without the root; twice the same.
    let der = Source::new("server.der", ordered[..3].concat());
    let credential = load(&der, &key).unwrap();
    assert_eq!(credential.chain().collect::<Vec<_>>(), ordered[..3]);
    let twice = [&ordered[..2], &ordered[..2]].concat();
    let credential = load(&bundle(&twice), &key).unwrap();
    assert_eq!(credential.chain().collect::<Vec<_>>(), ordered[..2]);
    assert_eq!(credential.identity().name().to_string(), "server");
    // What a peer makes of it.
    let usage = Usage::Server { name: None };
    let peer = PeerCertificate::new(credential.certificate_type(), credential.list());
    assert!(trusting(&below).verify(&peer, usage, AT).is_ok());
    // A private key in the same file does no harm.
    let text = pem("PRIVATE KEY", key.serialized_der()) + &pem("CERTIFICATE", &leaf);
    let both = Source::new("server.pem", text);
    assert!(load(&both, &key).is_ok());
    let private = both.private_key(PrivateKey::from_pem, PrivateKey::from_der);
    assert!(private.is_ok());
}

#[test]
fn a_chain_whose_authority_has_an_old_key_and_a_new_one() {
    let (old, new) = (Ca::root("root"), Ca::root("root"));
    let key = p256();
    let leaf = new.issue_to(&client(), &key);
    let credential = load(&bundle(&[&leaf, &old.der, &new.der]), &key);
    // The old one has no place in it.
    assert_eq!(
        credential.map(|_| ()).unwrap_err(),
        "server.pem: the certificate of \"CN=root\" is not part of the chain, which ends with \"CN=root\", issued by \
         \"CN=root\""
    );
    assert!(load(&bundle(&[&leaf, &new.der]), &key).is_ok());
    assert_eq!(
        fault(&bundle(&[&leaf, &old.der]), &key),
        "server.pem: the certificate of \"CN=device-1\" is not signed by the key of \"CN=root\" in the same file"
    );
}

#[test]
fn what_is_wrong_with_a_certificate() {
    let root = Ca::root("root");
    let other = Ca::root("other");
    let (key, other_key) = (p256(), p256());
    let leaf = root.issue_to(&client(), &key);

    assert_eq!(
        fault(&bundle(&[&leaf]), &other_key),
        "key.pem: the private key does not belong to the certificate in server.pem"
    );
    assert_eq!(
        fault(&bundle(&[&leaf, &other.der]), &key),
        "server.pem: the certificate of \"CN=other\" is not part of the chain, which ends with \"CN=device-1\", issued \
         by \"CN=root\""
    );
    let many = vec![&leaf[..]; 11];
    assert_eq!(
        fault(&bundle(&many), &key),
        "server.pem: there are more than 10 certificates in it"
    );

    let with = |change: fn(&mut CertificateParams)| {
        let mut params = client();
        change(&mut params);
        bundle(&[&root.issue_to(&params, &key)])
    };
    assert_eq!(
        fault(&with(|params| params.not_after = date(NOW - 1)), &key),
        "server.pem: the certificate expired on 2027-01-15 07:59:59 UTC"
    );
    assert_eq!(
        fault(&with(|params| params.not_before = date(NOW + 1)), &key),
        "server.pem: the certificate is not valid before 2027-01-15 08:00:01 UTC"
    );
    let without_clock = CredentialLoader {
        time: Time::Unknown,
        ..LOADER
    };
    let expired = with(|params| params.not_after = date(NOW - 1));
    assert!(
        without_clock
            .x509(&expired, "key.pem", private(&key))
            .is_ok()
    );
    let below = root.below_with("below", |params| params.not_after = date(NOW - 1));
    let leaf = below.issue_to(&client(), &key);
    assert_eq!(
        fault(&bundle(&[&leaf, &below.der]), &key),
        "server.pem: the certificate of its issuer \"CN=below\" expired on 2027-01-15 07:59:59 UTC"
    );
}

#[test]
fn what_is_wrong_with_a_file() {
    let key = p256();
    let root = Ca::root("root");
    let source = |text: &str| Source::new("server.pem", text);
    let secret = pem("PRIVATE KEY", key.serialized_der());
    let whole = pem("CERTIFICATE", &root.der);
    let not_der = pem("CERTIFICATE", b"what is this?");
    for (text, expected) in [
        ("", "no certificate in it"),
        (&secret, "no certificate in it, but a private key"),
        ("hello", "the file is neither PEM nor DER"),
        (&whole[..whole.len() - 30], "a PEM section has no END line"),
        (
            &whole.replace("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE---"),
            "a PEM section has a broken BEGIN line",
        ),
        (
            &whole.replace("MII", "M!I"),
            "a PEM section is not in base64",
        ),
        (
            &(whole.clone() + &not_der),
            "certificate 2 cannot be decoded",
        ),
    ] {
        assert_eq!(
            fault(&source(text), &key),
            format!("server.pem: {expected}")
        );
        // The same for what is trusted.
        let error = builder().anchors(&source(text)).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), format!("server.pem: {expected}"));
    }
    let missing = Source::read("no/such/file.pem").unwrap_err();
    assert_eq!(
        missing.to_string(),
        "no/such/file.pem: the file cannot be read: entity not found"
    );
    assert_eq!(missing.name(), "no/such/file.pem");
    let key_in = |text: &str| -> Result<PrivateKey, LoadError> {
        Source::new("key.pem", text).private_key(PrivateKey::from_pem, PrivateKey::from_der)
    };
    assert!(key_in(&secret).is_ok());
    let no_key = key_in(&whole).map(|_| ()).unwrap_err().to_string();
    assert!(
        no_key.starts_with("key.pem: there is no private key"),
        "{no_key}"
    );

    // Lists of what is revoked, and of keys.
    let lists = |text: &str| builder().revocation_lists(&Source::new("crl.pem", text));
    assert_eq!(
        lists(&whole).unwrap_err().to_string(),
        "crl.pem: no list of revoked certificates in it, but a certificate"
    );
    assert_eq!(
        lists(&pem("X509 CRL", &root.der)).unwrap_err().to_string(),
        "crl.pem: list 1 of revoked certificates is malformed"
    );
    assert!(lists(&pem("X509 CRL", &root.revokes(&[1], NOW))).is_ok());
    let keys = |text: &str| builder().keys(&Source::new("keys.txt", text));
    for (text, expected) in [
        ("# none\n\n", "no public key in it"),
        (
            "abc",
            "line 1 is not the SHA-256 of a public key in 64 hexadecimal digits",
        ),
        (&secret, "no public key in it, but a private key"),
        (
            &pem("PUBLIC KEY", &root.der),
            "public key 1 cannot be decoded, or is of a kind that is not supported",
        ),
    ] {
        let error = keys(text).unwrap_err().to_string();
        assert_eq!(error, format!("keys.txt: {expected}"));
    }
}

#[test]
fn lists_of_raw_public_keys_in_each_form() {
    use rcgen::PublicKeyData;
    let key = p256();
    let info = key.subject_public_key_info();
    let hash = lockgate_webpki::KeyHash::of(&info).to_string();
    let certificate = Ca::root("root").issue_to(&client(), &key);
    let colons: Vec<_> = hash
        .as_bytes()
        .chunks(2)
        .map(|byte| core::str::from_utf8(byte).unwrap().to_uppercase())
        .collect();
    for content in [
        info.clone(),
        pem("PUBLIC KEY", &info).into_bytes(),
        pem("CERTIFICATE", &certificate).into_bytes(),
        format!("# devices\n\n{hash}  device-1 # in the cellar\n").into_bytes(),
        colons.join(":").into_bytes(),
    ] {
        let source = Source::new("keys", content);
        let verifier = builder().keys(&source).unwrap().build();
        assert!(verifier.verify(&raw(&info), Usage::Client, AT).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Files that are damaged anywhere lead to an error or to what they hold, never to a panic.
    #[test]
    fn no_file_makes_us_panic(
        place in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..20),
        binary in any::<bool>(),
    ) {
        use std::sync::OnceLock;
        static FILES: OnceLock<(KeyPair, [Vec<u8>; 2])> = OnceLock::new();
        let (key, files) = FILES.get_or_init(|| {
            let root = Ca::root("root");
            let key = p256();
            let leaf = root.issue_to(&client(), &key);
            let list = root.revokes(&[1, 2, 3], NOW);
            let text = pem("CERTIFICATE", &leaf) + &pem("CERTIFICATE", &root.der) + &pem("X509 CRL", &list);
            (key, [text.into_bytes(), [leaf, root.der, list].concat()])
        });
        let mut file = files[usize::from(binary)].clone();
        let place = place.index(file.len());
        let end = (place + bytes.len()).min(file.len());
        file.splice(place..end, bytes);
        let source = Source::new("file", file);
        let _ = load(&source, key);
        let _ = builder().anchors(&source).map(VerifierBuilder::build);
        let _ = builder().revocation_lists(&source).map(VerifierBuilder::build);
        let _ = builder().keys(&source).map(VerifierBuilder::build);
    }
}
