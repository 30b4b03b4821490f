//! Each way in which a certificate can be wrong, told apart from all others.

mod common;

use common::*;
use lockgate_dtls::certificate::{CertificateError, CertificateType, PeerCertificate};
use lockgate_webpki::{
    MAX_CERTIFICATES, MAX_SAME_SUBJECT, Policy, ServerName, Source, Time, Usage,
};
use rcgen::{
    ExtendedKeyUsagePurpose, GeneralSubtree, KeyUsagePurpose, NameConstraints, SerialNumber,
};

#[test]
fn chains_of_one_to_three_certificates() {
    let root = Ca::root("root");
    let below = root.below("below");
    let lowest = below.below("lowest");
    let verifier = trusting(&root);

    let leaf = root.issue(&client());
    assert_eq!(verdict(&verifier, &[&leaf], CLIENT, AT), Ok(()));
    // The anchor itself may be in the chain, for nothing.
    assert_eq!(verdict(&verifier, &[&leaf, &root.der], CLIENT, AT), Ok(()));

    let leaf = below.issue(&client());
    assert_eq!(verdict(&verifier, &[&leaf, &below.der], CLIENT, AT), Ok(()));
    assert_eq!(
        verdict(&verifier, &[&leaf], CLIENT, AT),
        Err(CertificateError::UnknownIssuer)
    );

    let leaf = lowest.issue(&client());
    let chain: [&[u8]; 3] = [&leaf, &lowest.der, &below.der];
    assert_eq!(verdict(&verifier, &chain, CLIENT, AT), Ok(()));
    let disorder: [&[u8]; 3] = [&leaf, &below.der, &lowest.der];
    assert_eq!(verdict(&verifier, &disorder, CLIENT, AT), Ok(()));

    // What the peer forgets to send, we may know.
    let knowing = builder()
        .anchors(&root.source())
        .and_then(|builder| builder.intermediates(&below.source()))
        .and_then(|builder| builder.intermediates(&lowest.source()))
        .unwrap()
        .build();
    assert_eq!(verdict(&knowing, &[&leaf], CLIENT, AT), Ok(()));
}

#[test]
fn nothing_and_rubbish() {
    let verifier = trusting(&Ca::root("root"));
    assert_eq!(
        verdict(&verifier, &[], CLIENT, AT),
        Err(CertificateError::Missing)
    );
    assert_eq!(
        verdict(&verifier, &[b"rubbish"], CLIENT, AT),
        Err(CertificateError::Malformed)
    );
    assert_eq!(
        verdict(&verifier, &[b""], CLIENT, AT),
        Err(CertificateError::Malformed)
    );
    assert_eq!(
        verifier
            .verify(&raw(b""), CLIENT, AT)
            .map(|_| ())
            .unwrap_err(),
        CertificateError::Missing
    );
    assert_eq!(
        verifier
            .verify(&raw(b"rubbish"), CLIENT, AT)
            .map(|_| ())
            .unwrap_err(),
        CertificateError::Malformed
    );
}

#[test]
fn an_authority_that_nobody_trusts() {
    let (ours, theirs) = (Ca::root("ours"), Ca::root("theirs"));
    let leaf = theirs.issue(&client());
    let verifier = trusting(&ours);
    for chain in [&[&leaf[..]][..], &[&leaf, &theirs.der]] {
        assert_eq!(
            verdict(&verifier, chain, CLIENT, AT),
            Err(CertificateError::UnknownIssuer)
        );
    }
    // Who trusts nobody finds no issuer either.
    assert_eq!(
        verdict(&builder().build(), &[&leaf], CLIENT, AT),
        Err(CertificateError::UnknownIssuer)
    );
}

#[test]
fn a_signature_by_another_key_of_the_same_name() {
    let (ours, theirs) = (Ca::root("root"), Ca::root("root"));
    let leaf = theirs.issue(&client());
    assert_eq!(
        verdict(&trusting(&ours), &[&leaf], CLIENT, AT),
        Err(CertificateError::BadSignature)
    );
    // With both keys known the right one is found.
    let both = builder()
        .anchors(&ours.source())
        .and_then(|builder| builder.anchors(&theirs.source()))
        .unwrap()
        .build();
    assert_eq!(verdict(&both, &[&leaf], CLIENT, AT), Ok(()));
}

#[test]
fn before_its_time_and_after_it() {
    let root = Ca::root("root");
    let verifier = trusting(&root);
    let mut params = client();
    params.not_before = date(NOW - DAY);
    params.not_after = date(NOW + DAY);
    let leaf = root.issue(&params);
    for (time, expected) in [
        (NOW - DAY - 1, Err(CertificateError::NotYetValid)),
        (NOW - DAY, Ok(())),
        (NOW + DAY, Ok(())),
        (NOW + DAY + 1, Err(CertificateError::Expired)),
    ] {
        assert_eq!(
            verdict(&verifier, &[&leaf], CLIENT, Time::Unix(time)),
            expected,
            "{time}"
        );
    }
    // The same for the authority between.
    let below = root.below_with("below", |params| {
        params.not_before = date(NOW - DAY);
        params.not_after = date(NOW + DAY);
    });
    let leaf = below.issue(&client());
    for (time, expected) in [
        (NOW - DAY - 1, Err(CertificateError::NotYetValid)),
        (NOW, Ok(())),
        (NOW + DAY + 1, Err(CertificateError::Expired)),
    ] {
        assert_eq!(
            verdict(&verifier, &[&leaf, &below.der], CLIENT, Time::Unix(time)),
            expected,
            "{time}"
        );
    }
}

#[test]
fn without_a_clock_the_latest_beginning_is_the_time() {
    let root = Ca::root("root");
    let verifier = trusting(&root);
    let valid = |from: u64, until: u64| {
        let mut params = client();
        params.not_before = date(NOW + from);
        params.not_after = date(NOW + until);
        params
    };
    let below = |from: u64, until: u64| {
        root.below_with("below", |params| {
            params.not_before = date(NOW + from);
            params.not_after = date(NOW + until);
        })
    };
    // Long expired, and nobody can know.
    let leaf = root.issue(&valid(0, 1));
    assert_eq!(verdict(&verifier, &[&leaf], CLIENT, Time::Unknown), Ok(()));

    // The authority begins later than what it has issued.
    let later = below(100, 200);
    let leaf = later.issue(&valid(0, 150));
    let chain: [&[u8]; 2] = [&leaf, &later.der];
    assert_eq!(verdict(&verifier, &chain, CLIENT, Time::Unknown), Ok(()));

    // One was over before the other began: there is no time at which both are valid.
    let leaf = later.issue(&valid(0, 99));
    let chain: [&[u8]; 2] = [&leaf, &later.der];
    assert_eq!(
        verdict(&verifier, &chain, CLIENT, Time::Unknown),
        Err(CertificateError::Expired)
    );
    let leaf = later.issue(&valid(201, 300));
    let chain: [&[u8]; 2] = [&leaf, &later.der];
    assert_eq!(
        verdict(&verifier, &chain, CLIENT, Time::Unknown),
        Err(CertificateError::Expired)
    );

    // What does not belong to the chain does not turn the clock.
    let leaf = root.issue(&valid(0, 10));
    let stranger = below(1000, 2000);
    let chain: [&[u8]; 2] = [&leaf, &stranger.der];
    assert_eq!(verdict(&verifier, &chain, CLIENT, Time::Unknown), Ok(()));
}

#[test]
fn names_of_servers() {
    let root = Ca::root("root");
    let verifier = trusting(&root);
    let leaf = root.issue(&server(&[
        "gateway.example",
        "*.devices.example",
        "192.0.2.1",
        "2001:db8::1",
    ]));
    for (name, fits) in [
        ("gateway.example", true),
        ("GATEWAY.example", true),
        ("gateway.example.", true),
        ("example", false),
        ("other.example", false),
        ("device-1.devices.example", true),
        ("devices.example", false),
        ("a.b.devices.example", false),
        ("192.0.2.1", true),
        ("192.0.2.2", false),
        ("2001:db8::1", true),
        ("2001:0db8:0000::0001", true),
        ("2001:db8::2", false),
        // The common name counts for nothing.
        ("server", false),
    ] {
        let expected = if fits {
            Ok(())
        } else {
            Err(CertificateError::WrongName)
        };
        assert_eq!(
            verdict(&verifier, &[&leaf], named(name), AT),
            expected,
            "{name}"
        );
    }
    assert_eq!(verdict(&verifier, &[&leaf], ANY_SERVER, AT), Ok(()));
    // The chain is checked first.
    assert_eq!(
        verdict(
            &verifier,
            &[&leaf],
            named("other.example"),
            Time::Unix(NOW + 400 * DAY)
        ),
        Err(CertificateError::Expired)
    );
    // An address is no DNS name, whatever a certificate says.
    for text in ["", "-", "a b", "[2001:db8::1]", "192.0.2.256", "*.example"] {
        assert_eq!(ServerName::parse(text), None, "{text}");
    }
    let address: std::net::IpAddr = "192.0.2.1".parse().unwrap();
    let usage = Usage::Server {
        name: Some(address.into()),
    };
    assert_eq!(verdict(&verifier, &[&leaf], usage, AT), Ok(()));
}

#[test]
fn purposes() {
    let root = Ca::root("root");
    let lenient = trusting(&root);
    let strict = builder()
        .anchors(&root.source())
        .unwrap()
        .policy(Policy {
            require_purpose: true,
            ..Policy::DEFAULT
        })
        .build();
    let with = |purposes: &[ExtendedKeyUsagePurpose]| {
        let mut params = params("peer", &[]);
        params.extended_key_usages = purposes.to_vec();
        root.issue(&params)
    };
    let wrong = Err(CertificateError::WrongUsage);
    let (for_clients, for_servers) = (
        with(&[ExtendedKeyUsagePurpose::ClientAuth]),
        with(&[ExtendedKeyUsagePurpose::ServerAuth]),
    );
    let for_both = with(&[
        ExtendedKeyUsagePurpose::EmailProtection,
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ]);
    let for_neither = with(&[ExtendedKeyUsagePurpose::CodeSigning]);
    let silent = with(&[]);
    for verifier in [&lenient, &strict] {
        assert_eq!(verdict(verifier, &[&for_clients], CLIENT, AT), Ok(()));
        assert_eq!(verdict(verifier, &[&for_clients], ANY_SERVER, AT), wrong);
        assert_eq!(verdict(verifier, &[&for_servers], ANY_SERVER, AT), Ok(()));
        assert_eq!(verdict(verifier, &[&for_servers], CLIENT, AT), wrong);
        assert_eq!(verdict(verifier, &[&for_both], CLIENT, AT), Ok(()));
        assert_eq!(verdict(verifier, &[&for_both], ANY_SERVER, AT), Ok(()));
        assert_eq!(verdict(verifier, &[&for_neither], CLIENT, AT), wrong);
    }
    assert_eq!(verdict(&lenient, &[&silent], CLIENT, AT), Ok(()));
    assert_eq!(verdict(&strict, &[&silent], CLIENT, AT), wrong);
}

#[test]
fn a_key_that_may_not_sign() {
    let root = Ca::root("root");
    let verifier = trusting(&root);
    for (usages, expected) in [
        (vec![], Ok(())),
        (vec![KeyUsagePurpose::DigitalSignature], Ok(())),
        (
            vec![
                KeyUsagePurpose::DigitalSignature,
                KeyUsagePurpose::DecipherOnly,
            ],
            Ok(()),
        ),
        (
            vec![KeyUsagePurpose::KeyEncipherment],
            Err(CertificateError::WrongUsage),
        ),
        (
            vec![KeyUsagePurpose::KeyAgreement, KeyUsagePurpose::DecipherOnly],
            Err(CertificateError::WrongUsage),
        ),
    ] {
        let mut params = client();
        params.key_usages = usages;
        let leaf = root.issue(&params);
        assert_eq!(verdict(&verifier, &[&leaf], CLIENT, AT), expected);
        // Pinned or not.
        let leaf = params.self_signed(&p256()).unwrap().der().to_vec();
        let verifier = builder()
            .anchors(&Source::new("device.der", leaf.clone()))
            .unwrap()
            .build();
        assert_eq!(verdict(&verifier, &[&leaf], CLIENT, AT), expected);
    }
}

#[test]
fn constraints_of_authorities() {
    let root = Ca::root("root");
    let verifier = trusting(&root);
    let constraint = Err(CertificateError::Constraint);

    let constrained = root.below_with("constrained", |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("inside.example".into())],
            excluded_subtrees: vec![],
        });
    });
    let inside = constrained.issue(&server(&["a.inside.example"]));
    let outside = constrained.issue(&server(&["a.outside.example"]));
    let usage = named("a.inside.example");
    assert_eq!(
        verdict(&verifier, &[&inside, &constrained.der], usage, AT),
        Ok(())
    );
    assert_eq!(
        verdict(&verifier, &[&outside, &constrained.der], ANY_SERVER, AT),
        constraint
    );

    // An authority that may not have others below itself.
    let last = root.below_with("last", |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    });
    let beyond = last.below("beyond");
    let leaf = beyond.issue(&client());
    let chain: [&[u8]; 3] = [&leaf, &beyond.der, &last.der];
    assert_eq!(verdict(&verifier, &chain, CLIENT, AT), constraint);

    // What is no authority has issued a certificate.
    let impostor = root.below_with("impostor", |params| {
        params.is_ca = rcgen::IsCa::ExplicitNoCa;
    });
    let leaf = impostor.issue(&client());
    assert_eq!(
        verdict(&verifier, &[&leaf, &impostor.der], CLIENT, AT),
        constraint
    );
    // An authority is no peer.
    let below = root.below("below");
    assert_eq!(verdict(&verifier, &[&below.der], CLIENT, AT), constraint);
}

#[test]
fn chains_are_bounded() {
    let root = Ca::root("root");
    let below = root.below("below");
    let lowest = below.below("lowest");
    let leaf = lowest.issue(&client());
    let chain: [&[u8]; 3] = [&leaf, &lowest.der, &below.der];
    let bytes = chain.iter().map(|certificate| certificate.len()).sum();
    let with = |policy: Policy| {
        let verifier = builder()
            .anchors(&root.source())
            .unwrap()
            .policy(policy)
            .build();
        verdict(&verifier, &chain, CLIENT, AT)
    };
    let constraint = Err(CertificateError::Constraint);
    for (max_chain_bytes, expected) in [(bytes, Ok(())), (bytes - 1, constraint)] {
        assert_eq!(
            with(Policy {
                max_chain_bytes,
                ..Policy::DEFAULT
            }),
            expected
        );
    }
    for (max_intermediates, expected) in [(2, Ok(())), (1, constraint)] {
        assert_eq!(
            with(Policy {
                max_intermediates,
                ..Policy::DEFAULT
            }),
            expected
        );
    }
    for (max_certificates, expected) in [(3, Ok(())), (2, constraint)] {
        assert_eq!(
            with(Policy {
                max_certificates,
                ..Policy::DEFAULT
            }),
            expected
        );
    }
    let many = vec![&leaf[..]; MAX_CERTIFICATES + 1];
    let verifier = builder()
        .anchors(&root.source())
        .unwrap()
        .policy(Policy {
            max_certificates: 1000,
            ..Policy::DEFAULT
        })
        .build();
    assert_eq!(verdict(&verifier, &many, CLIENT, AT), constraint);
}

#[test]
fn a_certificate_that_signed_itself_is_accepted_when_it_is_pinned() {
    for authority in [false, true] {
        let key = p256();
        let mut params = server(&["device.example"]);
        if authority {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        let leaf = params.self_signed(&key).unwrap().der().to_vec();
        let verifier = builder()
            .anchors(&Source::new("device.der", leaf.clone()))
            .unwrap()
            .build();
        let usage = named("device.example");
        assert_eq!(verdict(&verifier, &[&leaf], usage, AT), Ok(()));
        assert_eq!(verdict(&verifier, &[&leaf], usage, Time::Unknown), Ok(()));
        // All but the chain is checked.
        for (usage, time, expected) in [
            (named("other.example"), NOW, CertificateError::WrongName),
            (usage, NOW + 366 * DAY, CertificateError::Expired),
            (usage, NOW - 366 * DAY, CertificateError::NotYetValid),
            (CLIENT, NOW, CertificateError::WrongUsage),
        ] {
            assert_eq!(
                verdict(&verifier, &[&leaf], usage, Time::Unix(time)),
                Err(expected)
            );
        }
        // Another certificate for the same key is another certificate.
        let mut again = params.clone();
        again.serial_number = Some(SerialNumber::from(77));
        let again = again.self_signed(&key).unwrap().der().to_vec();
        let stranger = trusting(&Ca::root("root"));
        assert_eq!(
            verdict(&stranger, &[&again], usage, AT),
            Err(CertificateError::UnknownIssuer),
            "authority: {authority}"
        );
        if authority {
            assert_eq!(
                verdict(&verifier, &[&again], usage, AT),
                Err(CertificateError::UnknownIssuer)
            );
        }
    }
}

#[test]
fn a_leaf_among_the_anchors_that_others_issued_needs_its_issuer() {
    let root = Ca::root("root");
    let leaf = root.issue(&client());
    let verifier = builder()
        .anchors(&Source::new("device.der", leaf.clone()))
        .unwrap()
        .build();
    assert_eq!(
        verdict(&verifier, &[&leaf], CLIENT, AT),
        Err(CertificateError::UnknownIssuer)
    );
}

#[test]
fn a_chain_that_is_framed_badly_ends_early() {
    let root = Ca::root("root");
    let below = root.below("below");
    let leaf = below.issue(&client());
    let body = message(&[&leaf, &below.der]);
    let cut = PeerCertificate::new(CertificateType::X509, &body[..body.len() - 1]);
    assert_eq!(
        trusting(&root).verify(&cut, CLIENT, AT).map(|_| ()),
        Err(CertificateError::UnknownIssuer)
    );
}

/// Certificates that could all have issued one another lead webpki through every order of them: with nine of one name that
/// took it most of a second, and it costs the sender nothing to make them.
#[test]
fn authorities_of_one_name_are_not_a_maze() {
    let root = Ca::root("root");
    let verifier = trusting(&root);
    let below = root.below("below");
    let leaf = below.issue(&client());
    let lookalikes: Vec<_> = (0..9).map(|_| Ca::root("below").der).collect();
    for count in 0..9 {
        // The right one is the last that is tried.
        let mut chain = vec![&leaf[..]];
        chain.extend(lookalikes.iter().take(count).map(|der| &der[..]));
        chain.push(&below.der);
        let expected = if count < MAX_SAME_SUBJECT {
            Ok(())
        } else {
            Err(CertificateError::Constraint)
        };
        assert_eq!(verdict(&verifier, &chain, CLIENT, AT), expected, "{count}");
    }
}
