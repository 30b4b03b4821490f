//! Each peer gets the credential that fits.

mod common;

use common::*;
use lockgate_aws_lc::{AwsLc, PrivateKey};
use lockgate_dtls::certificate::{CertificateType, PeerCertificate, parse_public_key};
use lockgate_dtls::crypto::{
    KeyType, MAX_SIGNATURE_LEN, NamedGroup, Provider, SignatureScheme, SigningKey,
};
use lockgate_webpki::{Credential, CredentialStore, Mismatch, Request, Usage};
use rcgen::{KeyPair, SignatureAlgorithm};

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
        let (credential, scheme) = self.store.select(request).ok()?;
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
        let (credential, scheme) = fixture.store.select(&request).ok()?;
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

#[test]
fn why_nothing_fits() {
    use SignatureScheme as S;
    let mut fixture = Fixture::new();
    let all = || Request::new(S::ALL.into_iter());
    let why = |fixture: &Fixture, request: &Request<'_, core::array::IntoIter<S, 9>>| {
        fixture.store.select(request).map(|_| ()).unwrap_err()
    };
    assert_eq!(why(&fixture, &all()), Mismatch::NoCredential);
    let p384 = fixture
        .credential("p384", &[], &rcgen::PKCS_ECDSA_P384_SHA384)
        .only_for_its_issuers();
    let kept = fixture.credential("kept", &[], &rcgen::PKCS_ED25519);
    fixture
        .store
        .add_for_names("", &["kept.example"], kept)
        .unwrap();
    assert_eq!(why(&fixture, &all()), Mismatch::Name);
    fixture.store.add(p384);
    assert!(fixture.store.select(&all()).is_ok());
    for (request, expected) in [
        (
            Request {
                types: &[CertificateType::RawPublicKey],
                ..all()
            },
            Mismatch::CertificateType,
        ),
        (
            Request {
                authorities: &[&[0x30, 0x00]],
                ..all()
            },
            Mismatch::Issuer,
        ),
        (
            Request {
                key_types: Some(&[KeyType::Rsa]),
                ..all()
            },
            Mismatch::KeyType,
        ),
        (
            Request {
                groups: Some(&[NamedGroup::SECP256R1, NamedGroup::X25519]),
                ..all()
            },
            Mismatch::Group,
        ),
        (
            Request {
                groups: Some(&[NamedGroup::SECP384R1]),
                schemes: [S::ED25519; 9].into_iter(),
                ..all()
            },
            Mismatch::Scheme,
        ),
    ] {
        assert_eq!(why(&fixture, &request), expected);
    }
    // Ed25519 is on no curve of the list.
    let request = Request {
        server_name: Some("kept.example"),
        groups: Some(&[NamedGroup::SECP256R1]),
        ..all()
    };
    assert_eq!(fixture.choice(&request), Some(("kept".into(), S::ED25519)));
}
