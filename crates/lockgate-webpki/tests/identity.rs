//! Who a peer is, as logs show it; and that no certificate makes this panic.

mod common;

use common::*;
use lockgate_webpki::{AlternativeName, Identity, KeyHash, Usage};
use proptest::prelude::*;
use rcgen::{DnType, DnValue, PublicKeyData, SerialNumber};

#[test]
fn names_of_a_device() {
    let root = Ca::root("root");
    let key = p256();
    let mut params = params(
        "device-1",
        &["device-1.example", "192.0.2.7", "2001:db8::7"],
    );
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Example, Inc.");
    params.distinguished_name.push(DnType::CountryName, "DE");
    params
        .distinguished_name
        .push(DnType::from_oid(&[1, 2, 3, 4096]), "x");
    params
        .subject_alt_names
        .push(uri("urn:dev:mac:0024befffe804ff1"));
    params.subject_alt_names.push(email("device@example.com"));
    params.serial_number = Some(SerialNumber::from(0x1234));
    let leaf = root.issue_to(&params, &key);
    let body = message(&[&leaf]);
    let identity = trusting(&root)
        .verify(&x509(&body), Usage::Client, AT)
        .unwrap();

    assert_eq!(
        identity.subject().unwrap().to_string(),
        "1.2.3.4096=x,C=DE,O=Example\\, Inc.,CN=device-1"
    );
    assert_eq!(identity.name().to_string(), "device-1");
    assert_eq!(identity.serial(), Some(&[0x12, 0x34][..]));
    assert_eq!(
        identity.key_hash(),
        KeyHash::of(&key.subject_public_key_info())
    );
    let validity = identity.validity().unwrap();
    assert_eq!(validity.not_before, NOW - 365 * DAY);
    assert_eq!(validity.not_after, NOW + 365 * DAY);
    assert_eq!(
        identity.alternative_names().collect::<Vec<_>>(),
        [
            AlternativeName::Dns("device-1.example"),
            AlternativeName::Ip("192.0.2.7".parse().unwrap()),
            AlternativeName::Ip("2001:db8::7".parse().unwrap()),
            AlternativeName::Uri("urn:dev:mac:0024befffe804ff1"),
            AlternativeName::Email("device@example.com"),
        ]
    );
    let owned = identity.to_owned();
    assert_eq!(owned.name, "device-1");
    assert_eq!(owned.common_name.as_deref(), Some("device-1"));
    assert_eq!(
        owned.alternative_names[..2],
        ["dns:device-1.example", "ip:192.0.2.7"]
    );
    assert_eq!(owned.key_hash, identity.key_hash());
}

#[test]
fn the_best_name_there_is() {
    let root = Ca::root("root");
    let leaf = root.issue(&params("", &["device-1.example", "device-2.example"]));
    let identity = Identity::of_certificate(&leaf).unwrap();
    assert_eq!(identity.subject().unwrap().to_string(), "");
    assert_eq!(identity.name().to_string(), "dns:device-1.example");

    let leaf = root.issue(&params("", &[]));
    let identity = Identity::of_certificate(&leaf).unwrap();
    let hash = identity.key_hash();
    assert_eq!(identity.name().to_string(), format!("spki:{hash}"));
    assert_eq!(KeyHash::parse(&hash.to_string()), Some(hash));
    assert_eq!(KeyHash::parse(&hash.to_string()[1..]), None);
    assert_eq!(KeyHash::parse(&format!("{hash}0")), None);
}

#[test]
fn names_that_would_garble_a_log() {
    let root = Ca::root("root");
    let shown = |value: DnValue| {
        let mut params = params("", &[]);
        params.distinguished_name.push(DnType::CommonName, value);
        let leaf = root.issue(&params);
        let identity = Identity::of_certificate(&leaf).unwrap();
        (
            identity.name().to_string(),
            identity.to_owned().common_name.unwrap(),
        )
    };
    for (name, expected) in [
        ("a\nlogged in as root", "a\\0alogged in as root"),
        ("a\u{202E}b\u{0}", "a\\e2\\80\\aeb\\00"),
        (
            " #a,b+c\"d\\e<f>g;h=i ",
            "\\ #a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h=i\\ ",
        ),
        ("#1", "\\#1"),
        ("Gerät", "Gerät"),
    ] {
        assert_eq!(
            shown(DnValue::Utf8String(name.into())),
            (expected.into(), name.into())
        );
    }
    // Other encodings of the same.
    let utf16: Vec<u8> = "Gerät 😀"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let utf32: Vec<u8> = "Gerät 😀"
        .chars()
        .flat_map(|c| u32::from(c).to_be_bytes())
        .collect();
    let utf32 = rcgen::string::UniversalString::from_utf32be(utf32).unwrap();
    assert_eq!(shown(DnValue::UniversalString(utf32)).0, "Gerät 😀");
    // Outside the basic plane is more than BMPString has.
    let bmp = rcgen::string::BmpString::from_utf16be(utf16[..10].to_vec()).unwrap();
    assert_eq!(shown(DnValue::BmpString(bmp)).0, "Gerät");
    let printable = "Geraet".try_into().unwrap();
    assert_eq!(shown(DnValue::PrintableString(printable)).0, "Geraet");
}

#[test]
fn a_name_without_end_is_shown_in_part() {
    let mut params = params("", &[]);
    for part in 0..40 {
        let id = DnType::from_oid(&[1, 2, 3, part]);
        params.distinguished_name.push(id, part.to_string());
    }
    let leaf = Ca::root("root").issue(&params);
    let identity = Identity::of_certificate(&leaf).unwrap();
    let shown = identity.subject().unwrap().to_string();
    let parts: Vec<_> = shown.split(',').collect();
    assert_eq!(parts.len(), 33);
    assert_eq!(parts[0], "1.2.3.39=39");
    assert_eq!(parts[31], "1.2.3.8=8");
    assert_eq!(parts[32], "...");
}

/// A chain with something of everything.
fn rich_chain() -> (lockgate_webpki::Verifier, Vec<u8>) {
    let root = Ca::root("root");
    let below = root.below_with("below", |params| {
        params.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("example".into())],
            excluded_subtrees: vec![],
        });
    });
    let mut params = server(&["device-1.example", "192.0.2.7"]);
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Example");
    params.subject_alt_names.push(uri("urn:x"));
    let leaf = below.issue(&params);
    let verifier = builder()
        .anchors(&root.source())
        .and_then(|builder| {
            builder.revocation_lists(&lockgate_webpki::Source::new(
                "revoked.der",
                below.revokes(&[7], NOW),
            ))
        })
        .unwrap()
        .build();
    (verifier, message(&[&leaf, &below.der]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Bytes changed, taken out and put in: whatever comes of it is a verdict, and what is signed cannot be changed.
    #[test]
    fn no_certificate_makes_us_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..8),
    ) {
        use std::sync::OnceLock;
        static CHAIN: OnceLock<(lockgate_webpki::Verifier, Vec<u8>)> = OnceLock::new();
        let (verifier, intact) = CHAIN.get_or_init(rich_chain);
        let mut body = intact.clone();
        for (place, byte, how) in changes {
            let place = place.index(body.len());
            match how {
                0 => { body.remove(place); }
                1 => body.insert(place, byte),
                _ => body[place] = byte,
            }
        }
        let usage = Usage::Server { name: lockgate_webpki::ServerName::parse("device-1.example") };
        prop_assert!(verifier.verify(&x509(intact), usage, AT).is_ok());
        for time in [AT, lockgate_webpki::Time::Unknown] {
            if let Ok(identity) = verifier.verify(&x509(&body), usage, time) {
                // ECDSA's signatures can be written in more than one way, and what follows a chain is left unread.
                let first = |body| x509(body).chain().next().map(|leaf: &[u8]| leaf[..200].to_vec());
                prop_assert_eq!(first(&body), first(intact));
                let _ = identity.to_owned();
            }
        }
        for certificate in x509(&body).chain() {
            if let Ok(identity) = Identity::of_certificate(certificate) {
                let _ = (identity.to_owned(), format!("{identity:?}"));
            }
        }
        let _ = verifier.verify(&raw(&body), usage, AT);
        let _ = Identity::of_public_key(&body).to_owned();
    }
}
