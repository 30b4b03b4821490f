//! Going on with an earlier session, and when that is over.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::{Proxy, keygen, pki, skipped};

const OWN: &str = "--cert server.pem --key server-key.pem";
const DEVICE: &str = "-CAfile ca.pem -verify_return_error -cert device.pem -key device-key.pem";
const PSK: &str = "-psk_identity device -psk 73656372657450534b -cipher PSK";
/// How a session is kept: by the client in a ticket, or by the proxy under its ID.
const BOTH: [&str; 2] = ["", "-no_ticket"];

#[test]
fn a_device_goes_on_by_ticket_and_by_id() {
    if skipped(&["openssl"]) {
        return;
    }
    let dir = pki();
    let dir = dir.path();
    keygen(dir, "device --ca . --out . device");
    fs::write(dir.join("keys.csv"), "device,73656372657450534b\n").unwrap();
    let proxy = Proxy::start(
        dir,
        &format!("{OWN} --ca ca.pem --client-auth optional --psk-csv keys.csv"),
    );
    let nobody = "-CAfile ca.pem -verify_return_error";
    for (who, identity) in [(DEVICE, "device spki="), (PSK, "device "), (nobody, "- ")] {
        for how in BOTH {
            let first = proxy.openssl(dir, &format!("{who} {how} -sess_out session"));
            assert!(!first.is_resumed());
            let said = proxy.started();
            assert!(!said.contains("resumed="), "{said}");
            let again = proxy.openssl(dir, &format!("{who} {how} -sess_in session"));
            assert!(again.is_resumed(), "{}", again.text);
            let said = proxy.started();
            assert!(said.contains(&format!("identity={identity}")), "{said}");
            assert!(said.contains("resumed=true"), "{said}");
        }
    }
    // Under another name it is another server.
    proxy.openssl(
        dir,
        &format!("{DEVICE} -servername a.example -sess_out session"),
    );
    let elsewhere = proxy.openssl(
        dir,
        &format!("{DEVICE} -servername b.example -sess_in session"),
    );
    assert!(!elsewhere.is_resumed());
    proxy.signal(Signal::USR1);
    let said = proxy.line_with("counters=");
    assert!(said.contains("handshakes_resumed=6"), "{said}");
}

/// A session each way, then what `change` does, and whether a device may go on with it and come in anew.
fn after(flags: &str, who: &str, change: impl Fn(&Path), goes_on: bool, comes_in: bool) {
    let dir = pki();
    let dir = dir.path();
    keygen(dir, "device --ca . --out . device other");
    keygen(dir, "crl --ca . --revoke other.pem --out crl.pem");
    let keys = "device,73656372657450534b\nother,00\n";
    fs::write(dir.join("keys.csv"), keys).unwrap();
    for how in BOTH {
        let proxy = Proxy::start(dir, &format!("{OWN} {flags} --handshake-timeout 1s"));
        let first = proxy.openssl(dir, &format!("{who} {how} -sess_out session"));
        assert!(!first.is_resumed());
        change(dir);
        proxy.signal(Signal::HUP);
        proxy.line_with("keys read again");
        if flags.contains("--ca") {
            proxy.line_with("raw public key read again");
        }
        let again = proxy.openssl(dir, &format!("{who} {how} -sess_in session"));
        assert_eq!(again.served, comes_in, "{}", again.text);
        if comes_in {
            assert_eq!(again.is_resumed(), goes_on, "{}", again.text);
        }
        keygen(dir, "crl --ca . --revoke other.pem --out crl.pem --force");
        fs::write(dir.join("keys.csv"), keys).unwrap();
    }
}

#[test]
fn a_removed_identity_does_not_go_on() {
    if skipped(&["openssl"]) {
        return;
    }
    let remove = |dir: &Path| fs::write(dir.join("keys.csv"), "other,00\n").unwrap();
    after("--psk-csv keys.csv", PSK, remove, false, false);
}

#[test]
fn a_changed_key_does_not_go_on() {
    if skipped(&["openssl"]) {
        return;
    }
    let change = |dir: &Path| fs::write(dir.join("keys.csv"), "device,00ff\n").unwrap();
    after("--psk-csv keys.csv", PSK, change, false, false);
}

#[test]
fn a_revoked_certificate_does_not_go_on() {
    if skipped(&["openssl"]) {
        return;
    }
    let revoke = |dir: &Path| {
        keygen(
            dir,
            "crl --ca . --revoke other.pem device.pem --out crl.pem --force",
        );
    };
    after("--ca ca.pem --crl crl.pem", DEVICE, revoke, false, false);
}

#[test]
fn another_list_of_revoked_certificates_asks_for_the_certificate_again() {
    if skipped(&["openssl"]) {
        return;
    }
    let renew = |dir: &Path| {
        keygen(dir, "crl --ca . --revoke other.pem --out crl.pem --force");
    };
    after("--ca ca.pem --crl crl.pem", DEVICE, renew, false, true);
    let touch = |dir: &Path| {
        let same = fs::read(dir.join("crl.pem")).unwrap();
        fs::write(dir.join("crl.pem"), same).unwrap();
    };
    after("--ca ca.pem --crl crl.pem", DEVICE, touch, true, true);
}

#[test]
fn resumption_can_be_switched_off_and_sessions_are_bounded() {
    if skipped(&["openssl"]) {
        return;
    }
    let dir = pki();
    let dir = dir.path();
    let nobody = "-CAfile ca.pem -verify_return_error";
    for (flags, how) in [
        ("--resumption off", ""),
        ("--resumption off", "-no_ticket"),
        ("--session-cache 0", "-no_ticket"),
        ("--session-lifetime 1s", "-no_ticket"),
        ("--session-lifetime 1s", ""),
    ] {
        let proxy = Proxy::start(dir, &format!("{OWN} {flags}"));
        let first = proxy.openssl(dir, &format!("{nobody} {how} -sess_out session"));
        assert!(!first.is_resumed());
        if flags.contains("1s") {
            std::thread::sleep(std::time::Duration::from_millis(1200));
        }
        if !dir.join("session").exists() {
            continue;
        }
        let again = proxy.openssl(dir, &format!("{nobody} {how} -sess_in session"));
        assert!(!again.is_resumed(), "{flags} {how}: {}", again.text);
    }
}
