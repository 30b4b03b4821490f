//! Our own certificates: what is wrong with them is said by file name, and each peer gets the one that fits.

mod common;

use common::*;
use lockgate_aws_lc::{AwsLc, PrivateKey};
use lockgate_dtls::certificate::{CertificateType, PeerCertificate, parse_public_key};
use lockgate_dtls::crypto::{KeyType, MAX_SIGNATURE_LEN, Provider, SignatureScheme, SigningKey};
use lockgate_webpki::{
    Credential, CredentialLoader, CredentialStore, LoadError, Request, Source, Time, Usage,
    algorithms,
};
use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};

const LOADER: CredentialLoader<'static> = CredentialLoader {
    algorithms: algorithms::AWS_LC,
    time: AT,
};

fn private(key: &KeyPair) -> PrivateKey {
    PrivateKey::from_der(key.serialized_der()).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in der.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, place| {
            bits << 8 | u32::from(chunk.get(place).copied().unwrap_or(0))
        });
        for place in 0..4 {
            text.push(if place <= chunk.len() {
                char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63])
            } else {
                '='
            });
        }
    }
    let lines: Vec<_> = text.as_bytes().chunks(64).collect();
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in lines {
        out += core::str::from_utf8(line).unwrap();
        out += "\n";
    }
    out + &format!("-----END {label}-----\n")
}

fn bundle(chain: &[&[u8]]) -> Source {
    let text: String = chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
    Source::new("server.pem", text)
}

fn load(source: &Source, key: &KeyPair) -> Result<Credential<PrivateKey>, String> {
    LOADER
        .x509(source, "key.pem", private(key))
        .map_err(|error| error.to_string())
}

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

/// Signs and verifies with the scheme that was chosen.
fn proves(credential: &Credential<PrivateKey>, scheme: SignatureScheme) {
    let mut signature = [0; MAX_SIGNATURE_LEN];
    let len = credential
        .key()
        .sign(scheme, b"message", &mut signature)
        .unwrap();
    let peer = PeerCertificate::new(credential.certificate_type(), credential.list());
    let info = peer.public_key_info().unwrap();
    let key = parse_public_key(info).unwrap().unwrap();
    AwsLc
        .verify(scheme, key, b"message", &signature[..len])
        .unwrap();
}

struct Fixture {
    root: Ca,
    store: CredentialStore<PrivateKey>,
}

impl Fixture {
    fn new() -> Self {
        Self {
            root: Ca::root("root"),
            store: CredentialStore::new(),
        }
    }

    fn credential(
        &self,
        common_name: &str,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
    ) -> Credential<PrivateKey> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let leaf = self.root.issue_to(&params(common_name, names), &key);
        load(&bundle(&[&leaf]), &key).unwrap()
    }

    /// The common name of what is chosen, and the scheme.
    fn choice<S>(&self, request: &Request<'_, S>) -> Option<(String, SignatureScheme)>
    where
        S: Iterator<Item = SignatureScheme> + Clone,
    {
        let (credential, scheme) = self.store.select(request)?;
        proves(credential, scheme);
        Some((credential.identity().name().to_string(), scheme))
    }

    fn name_for(&self, server_name: Option<&str>) -> Option<String> {
        let request = Request {
            server_name,
            ..Request::new(SignatureScheme::ALL.into_iter())
        };
        self.choice(&request).map(|(name, _)| name)
    }
}

#[test]
fn the_name_that_is_asked_for() {
    let mut fixture = Fixture::new();
    assert!(fixture.store.is_empty());
    assert_eq!(fixture.name_for(None), None);
    let p256 = &rcgen::PKCS_ECDSA_P256_SHA256;
    let default = fixture.credential("default", &["one.example"], p256);
    let second = fixture.credential("second", &["two.example", "*.two.example"], p256);
    let kept = fixture.credential("kept", &[], p256);
    let wild = fixture.credential("wild", &[], p256);
    fixture.store.add(default);
    fixture.store.add(second);
    let names = ["three.example", "x.four.example"];
    fixture
        .store
        .add_for_names("--sni-cert", &names, kept)
        .unwrap();
    let names = ["*.four.example", "one.example"];
    fixture
        .store
        .add_for_names("--sni-cert", &names, wild)
        .unwrap();
    for (name, expected) in [
        (None, "default"),
        (Some("unknown.example"), "default"),
        (Some("one.example"), "wild"),
        (Some("two.example"), "second"),
        (Some("a.two.example"), "second"),
        (Some("a.b.two.example"), "default"),
        (Some("THREE.example."), "kept"),
        (Some("x.four.example"), "kept"),
        (Some("y.four.example"), "wild"),
        (Some("four.example"), "default"),
        (Some(".four.example"), "default"),
        (Some(""), "default"),
    ] {
        assert_eq!(
            fixture.name_for(name).as_deref(),
            Some(expected),
            "{name:?}"
        );
    }
    let extra = fixture.credential("extra", &[], p256);
    assert_eq!(
        fixture
            .store
            .add_for_names("--sni-cert", &["a.*.example"], extra)
            .unwrap_err()
            .to_string(),
        "--sni-cert: \"a.*.example\" is not a DNS name, nor one with \"*\" for its first label"
    );
    assert_eq!(fixture.store.credentials().count(), 4);

    // Those that are kept for names are for nobody else.
    let mut fixture = Fixture::new();
    let kept = fixture.credential("kept", &["kept.example"], p256);
    fixture
        .store
        .add_for_names("", &["kept.example"], kept)
        .unwrap();
    assert_eq!(fixture.name_for(None), None);
    assert_eq!(fixture.name_for(Some("other.example")), None);
}

#[test]
fn the_signatures_that_the_peer_verifies() {
    use SignatureScheme as S;
    let mut fixture = Fixture::new();
    for (name, algorithm) in [
        ("p256", &rcgen::PKCS_ECDSA_P256_SHA256),
        ("p384", &rcgen::PKCS_ECDSA_P384_SHA384),
        ("ed25519", &rcgen::PKCS_ED25519),
        ("rsa", &rcgen::PKCS_RSA_SHA256),
    ] {
        let credential = fixture.credential(name, &[], algorithm);
        fixture.store.add(credential);
    }
    let choice = |schemes: &[S], key_types: Option<&[KeyType]>| {
        let request = Request {
            key_types,
            ..Request::new(schemes.iter().copied())
        };
        fixture.choice(&request)
    };
    let chosen = |name: &str, scheme| Some((name.to_string(), scheme));
    assert_eq!(
        choice(&S::ALL, None),
        chosen("p256", S::ECDSA_SECP256R1_SHA256)
    );
    // In TLS 1.2 the hash does not name the curve.
    assert_eq!(
        choice(&[S::ECDSA_SECP384R1_SHA384], None),
        chosen("p256", S::ECDSA_SECP384R1_SHA384)
    );
    assert_eq!(
        choice(&S::ALL, Some(&[KeyType::EcdsaP384])),
        chosen("p384", S::ECDSA_SECP384R1_SHA384)
    );
    assert_eq!(choice(&[S::ED25519], None), chosen("ed25519", S::ED25519));
    // Our order, not the peer's.
    assert_eq!(
        choice(&[S::RSA_PKCS1_SHA256, S::RSA_PSS_RSAE_SHA512], None),
        chosen("rsa", S::RSA_PSS_RSAE_SHA512)
    );
    assert_eq!(
        choice(&S::ALL, Some(&[KeyType::Rsa])),
        chosen("rsa", S::RSA_PSS_RSAE_SHA256)
    );
    assert_eq!(choice(&[S::ED25519], Some(&[KeyType::Rsa])), None);
    assert_eq!(choice(&[], None), None);
    // SHA-1 with anything.
    assert_eq!(choice(&[S(0x0201), S(0x0203)], None), None);

    let mut fixture = Fixture::new();
    let credential = fixture
        .credential("rsa", &[], &rcgen::PKCS_RSA_SHA256)
        .with_schemes(&[S::RSA_PKCS1_SHA384, S::ED25519, S::RSA_PKCS1_SHA256]);
    assert_eq!(
        credential.schemes(),
        [S::RSA_PKCS1_SHA384, S::RSA_PKCS1_SHA256]
    );
    fixture.store.add(credential);
    let request = Request::new(S::ALL.into_iter());
    assert_eq!(fixture.choice(&request), chosen("rsa", S::RSA_PKCS1_SHA384));
}

#[test]
fn the_authorities_that_the_peer_lists() {
    let other = Ca::root("other");
    let below = other.below("below");
    let key = p256();
    let leaf = below.issue_to(&params("from other", &[]), &key);
    let from_other = load(&bundle(&[&leaf, &below.der]), &key).unwrap();
    let stranger = trusting(&Ca::root("stranger"));
    let (other, below) = (trusting(&other), trusting(&below));
    let names = |verifier: &lockgate_webpki::Verifier| verifier.authorities().next().unwrap();
    let (other, below, stranger) = (names(&other), names(&below), names(&stranger));

    let mut fixture = Fixture::new();
    let p256 = &rcgen::PKCS_ECDSA_P256_SHA256;
    let credential = fixture.credential("from root", &[], p256);
    fixture.store.add(credential);
    fixture.store.add(from_other);
    let root = names(&trusting(&fixture.root));
    let name_for = |fixture: &Fixture, authorities: &[&[u8]]| {
        let request = Request {
            authorities,
            ..Request::new(SignatureScheme::ALL.into_iter())
        };
        fixture.choice(&request).map(|(name, _)| name)
    };
    for (authorities, expected) in [
        (&[][..], "from root"),
        (&[&root[..]], "from root"),
        (&[&other[..]], "from other"),
        (&[&stranger[..], &below], "from other"),
        (&[&other[..], &root], "from root"),
        (&[&stranger[..]], "from root"),
    ] {
        assert_eq!(name_for(&fixture, authorities).as_deref(), Some(expected));
    }
    let mut fixture = Fixture::new();
    let credential = fixture.credential("from root", &[], p256);
    fixture.store.add(credential.only_for_its_issuers());
    assert_eq!(name_for(&fixture, &[&stranger]), None);
    assert!(name_for(&fixture, &[&stranger, &root]).is_some());
    assert!(name_for(&fixture, &[]).is_some());
}

#[test]
fn certificates_and_raw_public_keys() {
    use CertificateType::{RawPublicKey, X509};
    let mut fixture = Fixture::new();
    let raw = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
    let info = raw.public_key_info().to_vec();
    fixture.store.add(Credential::raw_public_key(raw));
    let p256 = &rcgen::PKCS_ECDSA_P256_SHA256;
    let credential = fixture.credential("certified", &[], p256);
    fixture.store.add(credential);
    let choice = |types: &[CertificateType]| {
        let request = Request {
            types,
            ..Request::new(SignatureScheme::ALL.into_iter())
        };
        let (credential, scheme) = fixture.store.select(&request)?;
        proves(credential, scheme);
        Some(credential.certificate_type())
    };
    assert_eq!(choice(&[X509]), Some(X509));
    assert_eq!(choice(&[RawPublicKey]), Some(RawPublicKey));
    assert_eq!(choice(&[X509, RawPublicKey]), Some(RawPublicKey));
    assert_eq!(choice(&[]), None);
    let shown = fixture.store.credentials().next().unwrap();
    assert_eq!(shown.list(), info);
    let verifier = builder().key(shown.identity().key_hash()).build();
    let peer = PeerCertificate::new(shown.certificate_type(), shown.list());
    assert!(verifier.verify(&peer, Usage::Client, AT).is_ok());
}
