//! Files that change while the proxy serves.

use std::fs;

use rustix::process::Signal;

use crate::{Proxy, keygen, pki, skipped};

const OWN: &str = "--cert server.pem --key server-key.pem";

#[test]
fn a_signal_or_a_change_brings_new_certificates() {
    if skipped(&["openssl"]) {
        return;
    }
    let dir = pki();
    let dir = dir.path();
    let proxy = Proxy::start(dir, OWN);
    let trusting = |name: &str| {
        let flags = format!("-CAfile ca.pem -verify_return_error -verify_hostname {name}");
        proxy.openssl(dir, &flags).served
    };
    assert!(trusting("localhost") && !trusting("new.example"));
    // Certificate and key are two files, and for a moment they do not belong together.
    keygen(dir, "server --ca . --out . --force new.example");
    proxy.line_with("read again name=new.example");
    assert!(trusting("new.example") && !trusting("localhost"));
    proxy.signal(Signal::HUP);
    proxy.line_with("read again name=new.example");

    // Half of a change changes nothing.
    let key = fs::read(dir.join("server-key.pem")).unwrap();
    fs::write(dir.join("server-key.pem"), "nonsense").unwrap();
    let said = proxy.line_with("is refused, the old certificates and lists stay");
    assert!(
        said.contains("WARN") && said.contains("server-key.pem: "),
        "{said}"
    );
    proxy.signal(Signal::HUP);
    let said = proxy.line_with("certificates cannot be read again; the old ones stay");
    assert!(
        said.contains("ERROR") && said.contains("server-key.pem: "),
        "{said}"
    );
    assert!(trusting("new.example"));
    keygen(dir, "server --ca . --out newer newer.example");
    fs::copy(dir.join("newer/server.pem"), dir.join("server.pem")).unwrap();
    proxy.line_with("is refused, the old certificates and lists stay");
    assert!(trusting("new.example"));
    fs::write(dir.join("server-key.pem"), &key).unwrap();
    let said = proxy.line_with("is refused, the old certificates and lists stay");
    assert!(
        said.contains("does not belong to the certificate in server.pem"),
        "{said}"
    );
    fs::copy(dir.join("newer/server-key.pem"), dir.join("server-key.pem")).unwrap();
    proxy.line_with("read again name=newer.example");
    assert!(trusting("newer.example"));
}

#[test]
fn whom_to_trust_changes_too() {
    if skipped(&["openssl", "gnutls-cli"]) {
        return;
    }
    let dir = pki();
    let dir = dir.path();
    keygen(dir, "device --ca . --out . device");
    keygen(dir, "ca --out next");
    keygen(dir, "device --ca next --out next device");
    keygen(dir, "raw --out . sensor");
    fs::write(
        dir.join("trusted.pem"),
        fs::read(dir.join("ca.pem")).unwrap(),
    )
    .unwrap();
    fs::write(dir.join("allow.txt"), keygen(dir, "raw --out . first")).unwrap();
    let proxy = Proxy::start(
        dir,
        &format!("{OWN} --ca trusted.pem --rpk-allow allow.txt"),
    );
    let meet = |from: &str| {
        let flags = format!("-CAfile ca.pem -cert {from}/device.pem -key {from}/device-key.pem");
        proxy.openssl(dir, &flags).served
    };
    assert!(meet(".") && !meet("next"));
    fs::copy(dir.join("next/ca.pem"), dir.join("trusted.pem")).unwrap();
    proxy.line_with("read again");
    assert!(meet("next") && !meet("."));

    let sensor = || {
        let flags = "--rawpkfile sensor-pub.pem --rawpkkeyfile sensor-key.pem";
        let met = proxy.gnutls(dir, ":-CTYPE-ALL:+CTYPE-SRV-X509:+CTYPE-CLI-RAWPK", flags);
        met.served
    };
    assert!(!sensor());
    // A public key does as well as its hash; renamed over, as careful people do.
    fs::copy(dir.join("sensor-pub.pem"), dir.join("allow.new")).unwrap();
    fs::rename(dir.join("allow.new"), dir.join("allow.txt")).unwrap();
    proxy.line_with("read again");
    assert!(sensor());
}
