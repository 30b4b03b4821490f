//! Who is let in, and what the log calls them.

use std::fs;
use std::process::{Command, Stdio};

use crate::{Proxy, keygen, pki, skipped};

const OWN: &str = "--cert server.pem --key server-key.pem";
const TRUST: &str = "-CAfile ca.pem -verify_return_error";

#[test]
fn a_server_proves_itself_and_asks_nobody() {
    if skipped(&["openssl"]) {
        return;
    }
    let dir = pki();
    let dir = dir.path();
    let proxy = Proxy::start(dir, OWN);
    let met = proxy.openssl(dir, &format!("{TRUST} -verify_hostname localhost"));
    assert!(met.is_served().contains("Verify return code: 0 (ok)"));
    let said = proxy.started();
    assert!(said.contains("identity=- suite=TLS_ECDHE_ECDSA_"), "{said}");
    let met = proxy.openssl(dir, &format!("{TRUST} -verify_ip 127.0.0.1"));
    met.is_served();
    let met = proxy.openssl(dir, &format!("{TRUST} -verify_hostname elsewhere.example"));
    met.is_refused("hostname mismatch");
    proxy.line_with("handshake failed");
    keygen(dir, "ca --out stranger");
    let met = proxy.openssl(dir, "-CAfile stranger/ca.pem -verify_return_error");
    met.is_refused("unable to get local issuer certificate");
    let said = proxy.line_with("handshake failed");
    assert!(said.contains("why=the peer gave up"), "{said}");
    // Without a key source nobody comes in with a key.
    let met = proxy.openssl(dir, "-psk_identity a -psk 00 -cipher PSK");
    met.is_refused("alert handshake failure");
}

#[test]
fn both_prove_themselves() {
    if skipped(&["openssl"]) {
        return;
    }
    let dir = pki();
    let dir = dir.path();
    keygen(dir, "device --ca . --out . meter-1 meter-2 stolen");
    keygen(
        dir,
        "device --ca . --out old --not-before 2020-01-01 --days 9 meter-3",
    );
    keygen(dir, "ca --out stranger");
    keygen(dir, "device --ca stranger --out stranger meter-1");
    keygen(dir, "crl --ca . --revoke stolen.pem --out crl.pem");
    let proxy = Proxy::start(dir, &format!("{OWN} --ca ca.pem --crl crl.pem"));
    let meet =
        |who: &str| proxy.openssl(dir, &format!("{TRUST} -cert {who}.pem -key {who}-key.pem"));

    assert!(
        meet("meter-1")
            .is_served()
            .contains("Acceptable client certificate CA names")
    );
    let said = proxy.started();
    assert!(said.contains("identity=meter-1 spki="), "{said}");
    assert!(
        said.contains("subject=\"CN=meter-1\" san=\"dns:meter-1\""),
        "{said}"
    );
    let said = proxy.line_with("session ended");
    assert!(said.contains("identity=meter-1 spki="), "{said}");

    let failure = |says: &[&str]| {
        let said = proxy.line_with("handshake failed");
        for text in says {
            assert!(said.contains(text), "{text}: {said}");
        }
    };
    meet("stolen").is_refused("alert certificate revoked");
    failure(&["subject=\"CN=stolen\"", "why=the certificate is revoked"]);
    meet("old/meter-3").is_refused("alert certificate expired");
    failure(&["subject=\"CN=meter-3\"", "why=the certificate has expired"]);
    meet("stranger/meter-1").is_refused("alert unknown ca");
    failure(&[
        "subject=\"CN=meter-1\"",
        "why=the certificate's issuer is not known",
    ]);
    // A server's certificate is for servers.
    meet("server").is_refused("alert unsupported certificate");
    failure(&[
        "subject=\"CN=localhost\"",
        "why=the certificate is for another usage",
    ]);
    proxy
        .openssl(dir, TRUST)
        .is_refused("alert handshake failure");
    failure(&["why=the peer has no certificate, and one is required"]);
    let key_of_another = format!("{TRUST} -cert meter-1.pem -key meter-2-key.pem");
    assert!(
        !proxy.openssl(dir, &key_of_another).served,
        "OpenSSL itself refuses"
    );

    meet("meter-2").is_served();
    proxy.signal(rustix::process::Signal::USR1);
    let said = proxy.line_with("counters=");
    assert!(said.contains("failed.certificate_refused=5"), "{said}");
}

#[test]
fn the_host_name_chooses_the_certificate() {
    if skipped(&["openssl"]) {
        return;
    }
    let dir = pki();
    let dir = dir.path();
    for name in ["one.example", "*.two.example"] {
        let out = name.trim_start_matches("*.");
        keygen(dir, &format!("server --ca . --out {out} {name}"));
    }
    let named =
        |name: &str, out: &str| format!("--sni-cert {name}={out}/server.pem,{out}/server-key.pem");
    let proxy = Proxy::start(
        dir,
        &format!(
            "{OWN} {} {}",
            named("one.example", "one.example"),
            named("*.two.example", "two.example")
        ),
    );
    for (asked, is_for) in [
        ("-servername one.example", "one.example"),
        ("-servername ONE.example", "one.example"),
        ("-servername a.two.example", "a.two.example"),
        ("-servername three.example", "localhost"),
        ("-noservername", "localhost"),
    ] {
        let flags = format!("{TRUST} {asked} -verify_hostname {is_for}");
        proxy.openssl(dir, &flags).is_served();
    }
}

#[test]
fn every_kind_of_key_serves() {
    if skipped(&["openssl"]) {
        return;
    }
    let dir = pki();
    let dir = dir.path();
    let kinds = ["p256", "p384", "ed25519", "rsa2048"];
    for kind in kinds {
        keygen(
            dir,
            &format!("server --ca . --out {kind} --algorithm {kind} localhost"),
        );
        keygen(
            dir,
            &format!("device --ca . --out {kind} --algorithm {kind} device"),
        );
    }
    // One proxy of each, and one that has a key of either kind of suite.
    for kind in kinds {
        let proxy = Proxy::start(
            dir,
            &format!("--cert {kind}/server.pem --key {kind}/server-key.pem --ca ca.pem"),
        );
        let met = proxy.openssl(
            dir,
            &format!("{TRUST} -cert {kind}/device.pem -key {kind}/device-key.pem"),
        );
        met.is_served();
        let said = proxy.started();
        let suite = if kind == "rsa2048" {
            "ECDHE_RSA"
        } else {
            "ECDHE_ECDSA"
        };
        assert!(said.contains(&format!("suite=TLS_{suite}_WITH_")), "{said}");
    }
    let proxy = Proxy::start(
        dir,
        "--cert p256/server.pem --key p256/server-key.pem --cert rsa2048/server.pem \
         --key rsa2048/server-key.pem",
    );
    for (cipher, prints) in [("aECDSA", "ECDHE-ECDSA-"), ("aRSA", "ECDHE-RSA-")] {
        let met = proxy.openssl(dir, &format!("{TRUST} -cipher {cipher}"));
        assert!(
            met.is_served().contains(&format!("Cipher is {prints}")),
            "{}",
            met.text
        );
    }
}

#[test]
fn der_does_as_well_as_pem() {
    if skipped(&["openssl"]) {
        return;
    }
    let dir = pki();
    let dir = dir.path();
    keygen(dir, "server --ca . --out der --der localhost");
    keygen(dir, "device --ca . --out . device lost");
    keygen(dir, "crl --ca . --revoke lost.pem --der --out crl.der");
    let converted = Command::new("openssl")
        .args(["x509", "-in", "ca.pem", "-outform", "DER", "-out", "ca.der"])
        .current_dir(dir)
        .status();
    assert!(converted.unwrap().success());
    let proxy = Proxy::start(
        dir,
        "--cert der/server.der --key der/server-key.der --ca ca.der --crl crl.der",
    );
    let meet =
        |who: &str| proxy.openssl(dir, &format!("{TRUST} -cert {who}.pem -key {who}-key.pem"));
    meet("device").is_served();
    meet("lost").is_refused("alert certificate revoked");
}

#[test]
fn devices_with_keys_and_with_certificates_meet_at_one_door() {
    if skipped(&["openssl"]) {
        return;
    }
    let dir = pki();
    let dir = dir.path();
    keygen(dir, "device --ca . --out . dev-1");
    fs::write(dir.join("keys.csv"), "dev-1,73656372657450534b\n").unwrap();
    let proxy = Proxy::start(dir, &format!("{OWN} --ca ca.pem --psk-csv keys.csv"));
    let psk = "-psk_identity dev-1 -psk 73656372657450534b";
    // It offers all that it has, and has nothing to check a certificate by.
    let met = proxy.openssl(dir, &format!("{psk} -verify_return_error"));
    assert!(
        met.is_served().contains("Cipher is ECDHE-PSK-"),
        "{}",
        met.text
    );
    let said = proxy.started();
    assert!(
        said.contains("identity=dev-1 suite=TLS_ECDHE_PSK_"),
        "{said}"
    );
    proxy
        .openssl(dir, &format!("{psk} -cipher PSK-AES128-CCM8"))
        .is_served();
    proxy.started();
    let met = proxy.openssl(dir, &format!("{TRUST} -cert dev-1.pem -key dev-1-key.pem"));
    met.is_served();
    let said = proxy.started();
    assert!(said.contains("identity=dev-1 spki="), "{said}");
}

#[test]
fn a_certificate_is_shown_by_those_who_have_one() {
    if skipped(&["openssl"]) {
        return;
    }
    let dir = pki();
    let dir = dir.path();
    keygen(dir, "device --ca . --out . device");
    let proxy = Proxy::start(dir, &format!("{OWN} --ca ca.pem --client-auth optional"));
    proxy.openssl(dir, TRUST).is_served();
    assert!(proxy.started().contains("identity=- "));
    let flags = format!("{TRUST} -cert device.pem -key device-key.pem");
    proxy.openssl(dir, &flags).is_served();
    assert!(proxy.started().contains("identity=device "));
}

#[test]
fn nobody_in_particular_replaces_nobody() {
    if skipped(&["openssl"]) {
        return;
    }
    let dir = pki();
    let dir = dir.path();
    let proxy = Proxy::start(dir, OWN);
    let address = proxy.address.to_string();
    let mut first = Command::new("timeout")
        .args([
            "20", "openssl", "s_client", "-dtls1_2", "-connect", &address,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    proxy.started();
    proxy.openssl(dir, TRUST).is_served();
    // The end of its input is the end of the first.
    drop(first.stdin.take());
    first.wait().unwrap();
    for _ in 0..2 {
        let said = proxy.line_with("session ended");
        assert!(said.contains("reason=closed by the device"), "{said}");
    }
}

#[test]
fn raw_public_keys_of_either_side() {
    if skipped(&["gnutls-cli"]) {
        return;
    }
    let dir = pki();
    let dir = dir.path();
    keygen(dir, "raw --out . gateway");
    let allowed = keygen(dir, "raw --out . sensor");
    keygen(dir, "raw --out . stranger");
    fs::write(dir.join("allow.txt"), allowed).unwrap();
    let proxy = Proxy::start(
        dir,
        &format!("{OWN} --rpk gateway-key.pem --rpk-allow allow.txt"),
    );
    let key = |who: &str| format!("--rawpkfile {who}-pub.pem --rawpkkeyfile {who}-key.pem");
    let both = ":-CTYPE-ALL:+CTYPE-SRV-RAWPK:+CTYPE-CLI-RAWPK";
    let met = proxy.gnutls(dir, both, &key("sensor"));
    assert!(
        met.is_served().contains("(DTLS1.2-Raw Public Key)-(ECDHE-"),
        "{}",
        met.text
    );
    let said = proxy.started();
    assert!(said.contains("identity=sensor spki="), "{said}");
    // A certificate of ours against a raw public key of theirs.
    let mixed = ":-CTYPE-ALL:+CTYPE-SRV-X509:+CTYPE-CLI-RAWPK";
    let met = proxy.gnutls(dir, mixed, &key("sensor"));
    assert!(
        met.is_served().contains("(DTLS1.2-Raw Public Key-X.509)-"),
        "{}",
        met.text
    );
    proxy.started();
    proxy
        .gnutls(dir, both, &key("stranger"))
        .is_refused("CA is unknown");
    let said = proxy.line_with("handshake failed");
    assert!(
        said.contains("spki=") && said.contains("why=the raw public key is not known"),
        "{said}"
    );
}

#[test]
fn a_raw_public_key_alone_serves_those_who_take_it() {
    if skipped(&["openssl", "gnutls-cli"]) {
        return;
    }
    let dir = pki();
    let dir = dir.path();
    keygen(dir, "raw --out . gateway");
    let proxy = Proxy::start(dir, "--rpk gateway-key.pem");
    let met = proxy.gnutls(dir, ":-CTYPE-ALL:+CTYPE-SRV-RAWPK:+CTYPE-CLI-X509", "");
    assert!(met.is_served().contains("Raw Public Key"), "{}", met.text);
    // OpenSSL 3.0 knows X.509 alone.
    proxy.openssl(dir, "").is_refused("alert");
    let said = proxy.line_with("handshake failed");
    assert!(
        said.contains("why=no credential is of a type that the peer takes"),
        "{said}"
    );
    proxy.signal(rustix::process::Signal::USR1);
    let said = proxy.line_with("counters=");
    assert!(said.contains("failed.no_credential=1"), "{said}");
}
