//! Certificates and key pairs, as OpenSSL sees them.

use std::fs;

use crate::{fails, folder, made, names, openssl_ok, openssl_refuses, skipped};

#[test]
fn openssl_accepts_every_kind_of_key() {
    if skipped() {
        return;
    }
    let dir = folder();
    let dir = dir.path();
    let kinds = ["p256", "p384", "ed25519", "rsa2048"];
    // Each kind is signed by the next one too.
    for (kind, authority) in kinds.iter().zip(kinds.iter().cycle().skip(1)) {
        made(dir, &format!("ca --out {kind} --algorithm {authority}"));
        let rest = format!("--ca {kind} --out {kind} --algorithm {kind}");
        made(dir, &format!("server {rest} localhost"));
        made(dir, &format!("device {rest} dev-1"));
        made(dir, &format!("raw --out {kind} --algorithm {kind} raw"));
        for (purpose, stem) in [("sslserver", "server"), ("sslclient", "dev-1")] {
            let file = format!("{kind}/{stem}.pem");
            let verify = format!("verify -x509_strict -CAfile {kind}/ca.pem -purpose");
            openssl_ok(dir, &format!("{verify} {purpose} {file}"));
            let of_key = openssl_ok(dir, &format!("pkey -in {kind}/{stem}-key.pem -pubout"));
            assert_eq!(
                openssl_ok(dir, &format!("x509 -in {file} -noout -pubkey")),
                of_key
            );
        }
        let of_key = openssl_ok(dir, &format!("pkey -in {kind}/raw-key.pem -pubout"));
        let public = fs::read_to_string(dir.join(format!("{kind}/raw-pub.pem"))).unwrap();
        assert_eq!(public, of_key);
        openssl_ok(dir, &format!("pkey -in {kind}/ca-key.pem -check -noout"));
    }
}

#[test]
fn a_servers_certificate_names_it_and_is_for_servers_only() {
    if skipped() {
        return;
    }
    let dir = folder();
    let dir = dir.path();
    made(dir, "ca --out pki --name Lock --days 100");
    made(
        dir,
        "server --ca pki --out pki gate.example *.b.example 192.0.2.1 ::1 gate.example",
    );
    let text = openssl_ok(dir, "x509 -in pki/server.pem -noout -text");
    for part in [
        "Issuer: CN = Lock\n",
        "Subject: CN = gate.example\n",
        "DNS:gate.example, DNS:*.b.example, IP Address:192.0.2.1, IP Address:0:0:0:0:0:0:0:1\n",
        "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "CA:FALSE",
        "X509v3 Authority Key Identifier",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let verify = "verify -CAfile pki/ca.pem -purpose";
    for name in ["hostname gate.example", "hostname a.b.example", "ip ::1"] {
        openssl_ok(
            dir,
            &format!("{verify} sslserver -verify_{name} pki/server.pem"),
        );
    }
    openssl_refuses(
        dir,
        &format!("{verify} sslserver -verify_ip 192.0.2.2 pki/server.pem"),
        "IP address mismatch",
    );
    openssl_refuses(
        dir,
        &format!("{verify} sslclient pki/server.pem"),
        "purpose",
    );
    // The authority's 100 days bound the 365 that a server would get.
    let day = 86_400;
    openssl_ok(
        dir,
        &format!("x509 -in pki/server.pem -noout -checkend {}", 99 * day),
    );
    openssl_refuses(
        dir,
        &format!("x509 -in pki/server.pem -noout -checkend {}", 101 * day),
        "will expire",
    );
    // With a root alone there is nothing to send but the leaf.
    let chain = fs::read_to_string(dir.join("pki/server.pem")).unwrap();
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 1);
}

#[test]
fn a_name_that_is_too_long_to_be_common_stands_among_the_others_only() {
    if skipped() {
        return;
    }
    let dir = folder();
    let dir = dir.path();
    let label = "a".repeat(60);
    made(dir, "ca --out pki");
    made(
        dir,
        &format!("server --ca pki --out pki {label}.gate.example"),
    );
    let text = openssl_ok(dir, "x509 -in pki/server.pem -noout -text");
    assert!(
        text.contains("X509v3 Subject Alternative Name: critical"),
        "{text}"
    );
    openssl_ok(
        dir,
        &format!(
            "verify -x509_strict -CAfile pki/ca.pem -verify_hostname {label}.gate.example pki/server.pem"
        ),
    );
}

#[test]
fn devices_are_named_or_counted() {
    if skipped() {
        return;
    }
    let dir = folder();
    let dir = dir.path();
    made(dir, "ca --out pki");
    let list = made(
        dir,
        "device --ca pki --out new/devices a.example urn:imei:490154203237518",
    );
    assert_eq!(
        list,
        "# wrote new/devices/a.example-key.pem\n\
         # wrote new/devices/a.example.pem\n\
         # wrote new/devices/urn:imei:490154203237518-key.pem\n\
         # wrote new/devices/urn:imei:490154203237518.pem\n"
    );
    let text = openssl_ok(dir, "x509 -in new/devices/a.example.pem -noout -text");
    assert!(text.contains("DNS:a.example\n"), "{text}");
    assert!(text.contains("TLS Web Client Authentication\n"), "{text}");
    let other = openssl_ok(
        dir,
        "x509 -in new/devices/urn:imei:490154203237518.pem -noout -text",
    );
    assert!(
        other.contains("Subject: CN = urn:imei:490154203237518\n"),
        "{other}"
    );
    assert!(!other.contains("Alternative Name"), "{other}");

    made(
        dir,
        "device -ca pki -out counted -count 3 -prefix s -first 9",
    );
    assert_eq!(
        names(&dir.join("counted")),
        [
            "s10-key.pem",
            "s10.pem",
            "s11-key.pem",
            "s11.pem",
            "s9-key.pem",
            "s9.pem"
        ]
    );
    openssl_ok(
        dir,
        "verify -CAfile pki/ca.pem -purpose sslclient counted/s9.pem counted/s10.pem",
    );
}

#[test]
fn an_intermediate_comes_with_the_chain() {
    if skipped() {
        return;
    }
    let dir = folder();
    let dir = dir.path();
    made(dir, "ca --out root");
    made(dir, "ca --out middle --ca root");
    made(dir, "ca --out low --ca middle --algorithm p384");
    made(dir, "server --ca low --out low gate.example");
    let chain = fs::read_to_string(dir.join("low/server.pem")).unwrap();
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 3);
    openssl_ok(
        dir,
        "verify -x509_strict -CAfile root/ca.pem -untrusted low/server.pem low/server.pem",
    );
    openssl_refuses(
        dir,
        "verify -CAfile root/ca.pem low/server.pem",
        "unable to get local issuer",
    );
}

#[test]
fn validity_may_lie_in_the_past_or_in_the_future() {
    if skipped() {
        return;
    }
    let dir = folder();
    let dir = dir.path();
    made(dir, "ca --out pki");
    made(
        dir,
        "device --ca pki --out pki --not-before 2020-02-29 --days 1 old",
    );
    let text = openssl_ok(dir, "x509 -in pki/old.pem -noout -dates");
    assert_eq!(
        text,
        "notBefore=Feb 29 00:00:00 2020 GMT\nnotAfter=Mar  1 00:00:00 2020 GMT\n"
    );
    openssl_refuses(
        dir,
        "verify -CAfile pki/ca.pem pki/old.pem",
        "certificate has expired",
    );
    made(
        dir,
        "ca --out far --not-before 2150-01-01 --days 36500 --name Far",
    );
    openssl_refuses(
        dir,
        "verify -CAfile far/ca.pem far/ca.pem",
        "certificate is not yet valid",
    );
    let text = openssl_ok(dir, "x509 -in far/ca.pem -noout -dates");
    assert!(text.contains("notAfter=Dec  8 00:00:00 2249 GMT"), "{text}");

    made(dir, "ca --out gone --not-before 2020-01-01 --days 30");
    let said = fails(dir, "server --ca gone --out gone a.example");
    assert_eq!(
        said,
        "the authority is good until 2020-01-31 only; make a new one"
    );
    let said = fails(dir, "server --ca pki --out pki --days 3651 a.example");
    assert!(
        said.starts_with("--days 3651: that is later than the end"),
        "{said}"
    );
}

#[test]
fn der_is_what_pem_wraps() {
    if skipped() {
        return;
    }
    let dir = folder();
    let dir = dir.path();
    made(dir, "ca --out pki --der");
    made(dir, "server --ca pki --out pki --der a.example");
    made(dir, "device --ca pki --out pki dev");
    made(dir, "raw --out pki --der raw");
    made(dir, "crl --ca pki --out pki/list.der --der");
    assert_eq!(
        names(&dir.join("pki")),
        [
            "ca-key.der",
            "ca.der",
            "dev-key.pem",
            "dev.pem",
            "list.der",
            "raw-key.der",
            "raw-pub.der",
            "server-key.der",
            "server.der"
        ]
    );
    openssl_ok(dir, "x509 -inform DER -in pki/ca.der -out pki/ca.pem");
    openssl_ok(
        dir,
        "x509 -inform DER -in pki/server.der -out pki/server.pem",
    );
    openssl_ok(
        dir,
        "verify -CAfile pki/ca.pem pki/server.pem pki/ca.pem pki/dev.pem",
    );
    openssl_ok(
        dir,
        "crl -inform DER -in pki/list.der -CAfile pki/ca.pem -noout",
    );
    openssl_ok(
        dir,
        "pkey -inform DER -in pki/raw-key.der -pubout -outform DER -out pki/other.der",
    );
    assert_eq!(
        fs::read(dir.join("pki/other.der")).unwrap(),
        fs::read(dir.join("pki/raw-pub.der")).unwrap()
    );
}

#[test]
fn an_authority_of_openssl_does_as_well() {
    if skipped() {
        return;
    }
    let dir = folder();
    let dir = dir.path();
    fs::create_dir(dir.join("pki")).unwrap();
    openssl_ok(
        dir,
        "req -x509 -newkey rsa:2048 -nodes -subj /C=DE/O=Example/CN=Root -days 30 \
         -keyout pki/ca-key.pem -out pki/ca.pem",
    );
    // The older form of a private key.
    openssl_ok(
        dir,
        "rsa -in pki/ca-key.pem -traditional -out pki/ca-key.pem",
    );
    made(dir, "device --ca pki --out pki dev");
    made(dir, "crl --ca pki --revoke pki/dev.pem --out list.pem");
    openssl_ok(
        dir,
        "verify -CAfile pki/ca.pem -purpose sslclient pki/dev.pem",
    );
    openssl_refuses(
        dir,
        "verify -crl_check -CAfile pki/ca.pem -CRLfile list.pem pki/dev.pem",
        "certificate revoked",
    );
}
