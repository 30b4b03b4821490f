//! `lockgate nc` as a program: against itself, OpenSSL and `gnutls`, and what it says when things go wrong.

mod failures;
mod itself;
mod others;
mod process;

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// `secretPSK`
const PSK: &str = "73656372657450534b";

/// Files with certificates and keys.
struct Papers {
    dir: tempfile::TempDir,
}

impl Papers {
    /// Of one authority: `server` (for localhost), `device`, and `expired` for the server.
    fn new() -> Self {
        let papers = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Test CA");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(papers.path("ca.pem"), authority.pem()).unwrap();
        for (file, name) in [
            ("server", "localhost"),
            ("device", "device-1"),
            ("short", "localhost"),
        ] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![name.into()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            if file == "short" {
                // Over in two seconds: who loads it now finds it in order.
                params.not_after = time::OffsetDateTime::now_utc() + time::Duration::seconds(2);
            }
            let certificate = params.signed_by(&key, &authority).unwrap();
            std::fs::write(papers.path(&format!("{file}.pem")), certificate.pem()).unwrap();
            std::fs::write(papers.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
            std::fs::write(papers.path(&format!("{file}.pub")), key.public_key_pem()).unwrap();
        }
        papers
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn name(&self, file: &str) -> String {
        text(&self.path(file))
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
