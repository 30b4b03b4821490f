use std::fs;
use std::path::{Path, PathBuf};

use lockgate_dtls::certificate::ClientAuth;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

use super::load::Set;
use super::*;

struct Pki {
    dir: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(params, key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        Self { dir, authority }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A server's certificate that is valid from and until so many days from now.
    fn server(&self, name: &str, from: i64, until: i64) -> CertificateFiles {
        let day = |days| time::OffsetDateTime::now_utc() + time::Duration::days(days);
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        (params.not_before, params.not_after) = (day(from), day(until));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let files = CertificateFiles {
            certificate: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
        };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

fn only(own: CertificateFiles) -> CertificateOptions {
    CertificateOptions {
        own: vec![own],
        ..CertificateOptions::default()
    }
}

fn error(options: &CertificateOptions) -> String {
    match Set::read(options, None) {
        Ok(_) => panic!("it is taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn faults_name_their_file() {
    let pki = Pki::new();
    let good = pki.server("good", -1, 90);
    assert!(Set::read(&only(good.clone()), None).is_ok());
    let other = pki.server("other", -1, 90);
    let with_key = |key: &Path| {
        only(CertificateFiles {
            key: key.into(),
            ..good.clone()
        })
    };
    let said = error(&with_key(&other.key));
    assert!(
        said.contains("other.key: the private key does not belong"),
        "{said}"
    );
    let said = error(&with_key(&pki.path("nothing")));
    assert!(
        said.contains("nothing: cannot be read: No such file"),
        "{said}"
    );
    let said = error(&with_key(pki.dir.path()));
    assert!(said.contains("is not a regular file"), "{said}");
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(pki.path("secret.key"), encrypted).unwrap();
    let said = error(&with_key(&pki.path("secret.key")));
    assert!(said.contains("secret.key: the key is encrypted"), "{said}");
    let said = error(&only(pki.server("old", -9, -1)));
    assert!(
        said.contains("old.pem: the certificate expired on"),
        "{said}"
    );
    let said = error(&only(pki.server("young", 1, 9)));
    assert!(
        said.contains("young.pem: the certificate is not valid before"),
        "{said}"
    );
    let mut options = only(good.clone());
    options.for_names = vec![("a_b..c".into(), good.clone())];
    let said = error(&options);
    assert!(said.contains("\"a_b..c\" is not a DNS name"), "{said}");
    let mut options = only(good.clone());
    options.authorities = vec![good.key.clone()];
    let said = error(&options);
    assert!(
        said.contains("good.key: no certificate in it, but a private key"),
        "{said}"
    );
}

#[test]
fn an_expired_certificate_stays_while_nobody_replaces_it() {
    let pki = Pki::new();
    let own = pki.server("server", -1, 90);
    let before = Set::read(&only(own.clone()), None).unwrap();
    let old = pki.server("server", -9, -1);
    assert!(
        Set::read(&only(old.clone()), Some(&before)).is_err(),
        "it is a new one"
    );
    // As if it had been read while it was valid.
    let mut before = before;
    let bytes = fs::read(&old.certificate).unwrap();
    before.certificate_files = [lockgate_webpki::KeyHash::of(&bytes)].into();
    let again = Set::read(&only(old), Some(&before)).unwrap();
    assert!(
        again.warnings[0].contains("expired on"),
        "{:?}",
        again.warnings
    );
}

#[test]
fn a_certificate_that_ends_soon_is_warned_about() {
    let pki = Pki::new();
    let soon = Set::read(&only(pki.server("server", -1, 20)), None).unwrap();
    assert!(soon.warnings[0].contains("server.pem: the certificate expires on"));
    let later = Set::read(&only(pki.server("server", -1, 40)), None).unwrap();
    assert!(later.warnings.is_empty());
}

#[test]
fn only_what_is_trusted_makes_another_trust() {
    let pki = Pki::new();
    let mut options = only(pki.server("server", -1, 90));
    options.authorities = vec![pki.path("ca.pem")];
    options.allowed_keys = vec![pki.path("allow.txt")];
    options.client_auth = ClientAuth::Required;
    let list = |text: &str| fs::write(pki.path("allow.txt"), text).unwrap();
    let trust = |options: &CertificateOptions| Set::read(options, None).unwrap().trust;
    list(&format!(
        "{} sensor # the one in the yard\n",
        "0a".repeat(32)
    ));
    let first = trust(&options);
    assert_eq!(trust(&options), first);
    pki.server("server", -1, 80);
    assert_eq!(
        trust(&options),
        first,
        "our own certificate changes nothing"
    );
    list(&format!("{} sensor\n", "0b".repeat(32)));
    assert_ne!(trust(&options), first);
    let mut lenient = options.clone();
    lenient.client_auth = ClientAuth::Optional;
    assert_ne!(trust(&lenient), trust(&options));
}

#[test]
fn allow_lists_give_names() {
    let mut found = std::collections::HashMap::new();
    let text = format!(
        "# comment\n\n{} sensor-1\n{}\n{} # no name\n{} {}\n",
        "0a".repeat(32),
        "0b".repeat(32),
        "0c".repeat(32),
        "0d".repeat(32),
        "x".repeat(70)
    );
    allowed::names(text.as_bytes(), &mut found);
    let of = |byte| {
        found
            .get(&lockgate_webpki::KeyHash([byte; 32]))
            .map(AsRef::as_ref)
    };
    assert_eq!(of(0x0a), Some("sensor-1"));
    assert_eq!((of(0x0b), of(0x0c)), (None, None));
    assert_eq!(of(0x0d), Some(&*"x".repeat(64)));
    allowed::names(b"\xff\xfe", &mut found);
    assert_eq!(found.len(), 2);
}
