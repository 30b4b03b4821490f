//! Lists of what is revoked.

mod common;

use common::*;
use lockgate_dtls::certificate::CertificateError;
use lockgate_webpki::{Policy, Revocation, RevocationDepth, Source, Time, UnknownStatus, Verifier};
use rcgen::SerialNumber;

fn revoking(root: &Ca, lists: &[Vec<u8>], revocation: Revocation) -> Verifier {
    let mut builder = builder().anchors(&root.source()).unwrap();
    for list in lists {
        builder = builder
            .revocation_lists(&Source::new("revoked.der", list.clone()))
            .unwrap();
    }
    builder
        .policy(Policy {
            revocation,
            ..Policy::DEFAULT
        })
        .build()
}

#[test]
fn revocation() {
    let root = Ca::root("root");
    let other = Ca::root("other");
    let below = root.below_with("below", |params| {
        params.serial_number = Some(SerialNumber::from(50));
    });
    let with_serial = |ca: &Ca, serial: u64| {
        let mut params = client();
        params.serial_number = Some(SerialNumber::from(serial));
        ca.issue(&params)
    };
    let (good, bad) = (with_serial(&root, 1), with_serial(&root, 2));
    let lowest = with_serial(&below, 2);
    let chain: [&[u8]; 2] = [&lowest, &below.der];
    let (revoked, unknown) = (
        Err(CertificateError::Revoked),
        Err(CertificateError::RevocationUnknown),
    );
    let list = root.revokes(&[2, 50], NOW);

    let usual = revoking(&root, std::slice::from_ref(&list), Revocation::DEFAULT);
    assert_eq!(verdict(&usual, &[&good], CLIENT, AT), Ok(()));
    assert_eq!(verdict(&usual, &[&bad], CLIENT, AT), revoked);
    assert_eq!(verdict(&usual, &chain, CLIENT, AT), unknown);

    let lenient = Revocation {
        unknown: UnknownStatus::Allow,
        ..Revocation::DEFAULT
    };
    let lenient = revoking(&root, std::slice::from_ref(&list), lenient);
    assert_eq!(verdict(&lenient, &chain, CLIENT, AT), Ok(()));
    let deep = Revocation {
        depth: RevocationDepth::Chain,
        unknown: UnknownStatus::Allow,
        ..Revocation::DEFAULT
    };
    let deep = revoking(&root, std::slice::from_ref(&list), deep);
    assert_eq!(verdict(&deep, &chain, CLIENT, AT), revoked);

    // The newest list counts, in whichever order they come.
    let newer = root.revokes(&[], NOW + DAY);
    for lists in [[list.clone(), newer.clone()], [newer, list.clone()]] {
        let verifier = revoking(&root, &lists, Revocation::DEFAULT);
        assert_eq!(verdict(&verifier, &[&bad], CLIENT, AT), Ok(()));
    }

    // Lists of others, and lists by others in its name, are as good as none.
    let foreign = revoking(&root, &[other.revokes(&[2], NOW)], Revocation::DEFAULT);
    assert_eq!(verdict(&foreign, &[&good], CLIENT, AT), unknown);
    let forged = Ca::root("root").revokes(&[], NOW);
    let forged = revoking(&root, &[forged], Revocation::DEFAULT);
    assert_eq!(verdict(&forged, &[&bad], CLIENT, AT), unknown);

    // A list that is out of date.
    let late = Time::Unix(NOW + 8 * DAY);
    assert_eq!(verdict(&usual, &[&good], CLIENT, late), Ok(()));
    let punctual = Revocation {
        refuse_outdated_lists: true,
        ..Revocation::DEFAULT
    };
    let punctual = revoking(&root, &[list], punctual);
    assert_eq!(verdict(&punctual, &[&good], CLIENT, AT), Ok(()));
    assert_eq!(verdict(&punctual, &[&good], CLIENT, late), unknown);
    assert_eq!(verdict(&punctual, &[&good], CLIENT, Time::Unknown), Ok(()));
}
