use lockgate_dtls::certificate::{CertificateType, ClientAuth};

use super::*;
use crate::certificates::CertificateFiles;

fn files(certificate: &str, key: &str) -> CertificateFiles {
    CertificateFiles {
        certificate: certificate.into(),
        key: key.into(),
    }
}

#[test]
fn every_flag_of_certificates_arrives() {
    let o = parse(
        "--connect b:1 --cert a.pem --key a.key --cert b.pem --key b.key --rpk r.key --ca c.pem \
         --ca d.pem --crl e.crl --rpk-allow f.txt --sni-cert *.x.example=g,1.pem,h.key \
         --client-auth optional",
    )
    .unwrap();
    let c = &o.certificates;
    assert_eq!(c.own, [files("a.pem", "a.key"), files("b.pem", "b.key")]);
    let named = ("*.x.example".to_owned(), files("g,1.pem", "h.key"));
    assert_eq!(c.for_names, [named]);
    assert_eq!(c.raw_keys, [Path::new("r.key")]);
    assert_eq!(c.authorities, [Path::new("c.pem"), Path::new("d.pem")]);
    assert_eq!(c.revocation_lists, [Path::new("e.crl")]);
    assert_eq!(c.allowed_keys, [Path::new("f.txt")]);
    assert_eq!(c.client_auth, ClientAuth::Optional);
    assert!(!o.psk && o.resumption);
    let both = [CertificateType::X509, CertificateType::RawPublicKey];
    assert!(c.own_types().iter().eq(both));
    assert!(c.peer_types().iter().eq(both));
}

#[test]
fn who_names_authorities_wants_to_know_who_comes() {
    let of = |line: &str| {
        let o = with(&format!("--cert a --key b {line}")).unwrap();
        assert!(o.psk);
        let takes = o.certificates.peer_types().iter().count();
        (o.certificates.client_auth, takes)
    };
    assert_eq!(of(""), (ClientAuth::None, 0));
    assert_eq!(of("--ca c"), (ClientAuth::Required, 1));
    assert_eq!(of("--rpk-allow c"), (ClientAuth::Required, 1));
    assert_eq!(of("--ca c --client-auth none"), (ClientAuth::None, 0));
    assert_eq!(
        of("--ca c --client-auth optional"),
        (ClientAuth::Optional, 1)
    );
}

#[test]
fn mistakes_with_certificates_get_one_clear_line() {
    for (line, says) in [
        (
            "--cert a",
            "--cert and --key belong together, but 1 certificate file and 0 key files are given",
        ),
        (
            "--key a --key b --cert c",
            "--cert and --key belong together, but 1 certificate file and 2",
        ),
        ("--ca a", "--ca and --rpk-allow need a certificate"),
        ("--cert a --key b --crl c", "--crl needs --ca"),
        (
            "--rpk a --client-auth required",
            "--client-auth: nobody is known",
        ),
        (
            "--rpk a --client-auth maybe",
            "invalid value 'maybe' for '--client-auth <WHETHER>'",
        ),
        ("--sni-cert a=b", "expected NAME=CERT,KEY"),
        ("--sni-cert =b,c", "expected NAME=CERT,KEY"),
        ("--sni-cert a=,c", "expected NAME=CERT,KEY"),
        ("--resumption sometimes", "expected on or off"),
        (
            "--session-lifetime 0",
            "--session-lifetime: must be more than 0",
        ),
    ] {
        let error = with(line).unwrap_err();
        assert!(error.contains(says), "{line}: {error}");
    }
}

#[test]
fn certificates_in_a_file_lie_beside_it() {
    let file = Path::new("/etc/gate/gate.toml");
    let text = "cert = ['a.pem', '/b.pem']\nkey = ['a.key', 'b.key']\nca = 'ca.pem'\ncrl = 'c'\n\
        rpk = 'r'\nrpk-allow = 'l'\nsni-cert = ['x.example=x.pem,/x.key']\nresumption = false\n\
        connect = 'b:1'\nclient-auth = 'required'\n";
    let matches = file::parse(file, text).unwrap();
    let o = ProxyOptions::from_matches(&matches).unwrap();
    let c = o.certificates;
    assert_eq!(
        c.own,
        [
            files("/etc/gate/a.pem", "/etc/gate/a.key"),
            files("/b.pem", "/etc/gate/b.key")
        ]
    );
    assert_eq!(c.for_names[0].1, files("/etc/gate/x.pem", "/x.key"));
    assert_eq!(c.authorities, [Path::new("/etc/gate/ca.pem")]);
    assert_eq!(c.revocation_lists, [Path::new("/etc/gate/c")]);
    assert_eq!(c.raw_keys, [Path::new("/etc/gate/r")]);
    assert_eq!(c.allowed_keys, [Path::new("/etc/gate/l")]);
    assert!(!o.resumption);
}
