//! Certificates for tests.

use std::path::Path;

use lockgate_aws_lc::PrivateKey;
use lockgate_tokio::webpki::{
    Credential, CredentialLoader, Source, Time, Verifier, VerifierBuilder, algorithms,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key.
    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        self.issue_with(name, |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn credential(&self, name: &str) -> Credential<PrivateKey> {
        let (certificate, key) = self.issue(name);
        let key = PrivateKey::from_pem(key.as_bytes()).unwrap();
        let loader = CredentialLoader {
            algorithms: algorithms::AWS_LC,
            time: Time::now(),
        };
        let certificate = Source::new("certificate", certificate);
        loader.x509(&certificate, "key", key).unwrap()
    }

    fn builder(&self) -> VerifierBuilder {
        let builder = Verifier::builder(algorithms::AWS_LC);
        builder.anchors(&Source::new("ca", self.pem())).unwrap()
    }

    pub(crate) fn verifier(&self) -> Verifier {
        self.builder().build()
    }
}

/// `ca.pem`, and certificate and key of `server` (for localhost) and `device`.
pub(crate) fn write_all(dir: &Path) {
    let authority = Authority::new("Test CA");
    std::fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    for (file, name) in [("server", "localhost"), ("device", "device-1")] {
        let (certificate, key) = authority.issue(name);
        std::fs::write(dir.join(format!("{file}.pem")), certificate).unwrap();
        std::fs::write(dir.join(format!("{file}.key")), key).unwrap();
    }
}
