//! Certificates that OpenSSL made, which writes some things in other ways than rcgen.

mod common;

use std::path::Path;
use std::process::Command;

use common::{message, x509};
use lockgate_aws_lc::PrivateKey;
use lockgate_dtls::certificate::CertificateError;
use lockgate_webpki::{
    CredentialLoader, LoadError, ServerName, Source, Time, Usage, Verifier, algorithms,
};

/// Runs `openssl` in `dir` with words between spaces; `false` when there is none and that is allowed.
fn openssl(dir: &Path, arguments: &str) -> bool {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(dir)
        .output();
    let Ok(output) = output else {
        let may = std::env::var_os("LOCKGATE_ALLOW_SKIP").is_some();
        assert!(may, "needs openssl; on Debian: apt-get install openssl");
        eprintln!("skipped: there is no openssl");
        return false;
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {stderr}");
    true
}

const CONFIG: &str = "\
[ca]
default_ca = it
[it]
database = index.txt
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_days = 30
default_crl_days = 30
new_certs_dir = .
serial = serial
crlnumber = crlnumber
policy = any
x509_extensions = leaf
crl_extensions = crl
[any]
commonName = supplied
organizationName = optional
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = DNS:gateway.example,IP:192.0.2.1,URI:coaps://gateway.example,email:it@example.com
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[crl]
authorityKeyIdentifier = keyid
";

/// For each kind of key: an authority, a certificate, its revocation.
#[test]
fn each_kind_of_key() {
    for (algorithm, rest) in [
        ("EC -pkeyopt ec_paramgen_curve:P-256", ""),
        ("EC -pkeyopt ec_paramgen_curve:P-384", "-md sha384"),
        ("RSA -pkeyopt rsa_keygen_bits:2048", "-md sha512"),
        (
            "RSA -pkeyopt rsa_keygen_bits:2048",
            "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
        ),
        ("ED25519", "-md null"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let write = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();
        write("ca.conf", CONFIG);
        write("index.txt", "");
        write("serial", "1000\n");
        write("crlnumber", "01\n");
        if !openssl(path, &format!("genpkey -algorithm {algorithm} -out ca.key")) {
            return;
        }
        for command in [
            format!("genpkey -algorithm {algorithm} -out leaf.key"),
            "req -x509 -new -key ca.key -out ca.pem -subj /O=Example/CN=Root -days 60".into(),
            "req -new -key leaf.key -out leaf.csr -subj /O=Example/CN=gateway".into(),
            format!("ca -config ca.conf -batch -in leaf.csr -out leaf.pem {rest}"),
            format!("ca -config ca.conf -gencrl -out before.pem {rest}"),
            "ca -config ca.conf -revoke leaf.pem".into(),
            format!("ca -config ca.conf -gencrl -out after.pem {rest}"),
        ] {
            assert!(openssl(path, &command));
        }
        let source = |name: &str| Source::read(path.join(name)).unwrap();
        let load = || -> Result<_, LoadError> {
            let key = source("leaf.key").private_key(PrivateKey::from_pem, PrivateKey::from_der)?;
            CredentialLoader {
                algorithms: algorithms::AWS_LC,
                time: Time::now(),
            }
            .x509(&source("leaf.pem"), "leaf.key", key)
        };
        let credential = load().unwrap();
        let leaf: Vec<&[u8]> = credential.chain().collect();
        let body = message(&leaf);
        let verify = |list: Option<&str>, name: &str| {
            let mut builder = Verifier::builder(algorithms::AWS_LC)
                .anchors(&source("ca.pem"))
                .unwrap();
            if let Some(list) = list {
                builder = builder.revocation_lists(&source(list)).unwrap();
            }
            let usage = Usage::Server {
                name: ServerName::parse(name),
            };
            builder
                .build()
                .verify(&x509(&body), usage, Time::now())
                .map(|identity| identity.to_owned())
        };
        let identity = verify(None, "gateway.example").unwrap();
        assert_eq!(identity.subject.as_deref(), Some("O=Example,CN=gateway"));
        assert_eq!(
            identity.alternative_names,
            [
                "dns:gateway.example",
                "ip:192.0.2.1",
                "uri:coaps://gateway.example",
                "email:it@example.com"
            ]
        );
        assert!(verify(Some("before.pem"), "192.0.2.1").is_ok());
        assert_eq!(
            verify(Some("after.pem"), "gateway.example"),
            Err(CertificateError::Revoked),
            "{algorithm}"
        );
        assert_eq!(
            verify(Some("before.pem"), "gateway"),
            Err(CertificateError::WrongName)
        );
    }
}

/// What `openssl req -x509` makes says that it is an authority; a version before the third says nothing.
#[test]
fn self_signed_certificates_of_both_kinds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    if !openssl(
        path,
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem",
    ) {
        return;
    }
    for command in [
        "req -x509 -new -key key.pem -out v3.pem -subj /CN=device -addext subjectAltName=DNS:device.example",
        "req -new -key key.pem -out csr.pem -subj /CN=device",
        "x509 -req -in csr.pem -key key.pem -out v1.pem",
        "pkey -in key.pem -pubout -out public.pem",
    ] {
        assert!(openssl(path, command));
    }
    let source = |name: &str| Source::read(path.join(name)).unwrap();
    for (file, has_name) in [("v3.pem", true), ("v1.pem", false)] {
        let key = source("key.pem")
            .private_key(PrivateKey::from_pem, PrivateKey::from_der)
            .unwrap();
        let loader = CredentialLoader {
            algorithms: algorithms::AWS_LC,
            time: Time::now(),
        };
        let credential = loader.x509(&source(file), "key.pem", key).unwrap();
        let peer = x509(credential.list());
        let verifier = Verifier::builder(algorithms::AWS_LC)
            .anchors(&source(file))
            .unwrap()
            .build();
        assert!(verifier.verify(&peer, Usage::Client, Time::now()).is_ok());
        let usage = Usage::Server {
            name: ServerName::parse("device.example"),
        };
        let expected = if has_name {
            Ok(())
        } else {
            Err(CertificateError::WrongName)
        };
        let verdict = verifier.verify(&peer, usage, Time::now()).map(|_| ());
        assert_eq!(verdict, expected, "{file}");
        // The key alone, as a raw public key.
        let verifier = Verifier::builder(algorithms::AWS_LC)
            .keys(&source("public.pem"))
            .unwrap()
            .build();
        let info = peer.public_key_info().unwrap();
        assert!(
            verifier
                .verify(&common::raw(info), Usage::Client, Time::now())
                .is_ok()
        );
        assert_eq!(
            verifier
                .verify(&peer, Usage::Client, Time::now())
                .map(|_| ()),
            Err(if has_name {
                CertificateError::UnknownIssuer
            } else {
                CertificateError::UnsupportedAlgorithm
            }),
            "{file}"
        );
    }
}
