//! Certificates, raw public keys and ephemeral key exchange, both ends ours; `interop/` and `BoGo` judge the rest.

mod common;

use std::time::Duration;

use common::{Link, Pair, Paper, plain_psk};
use lockgate_dtls::certificate::{CertificateError, CertificateType, CertificateTypes, ClientAuth};
use lockgate_dtls::config::{GroupList, ProtocolList, SchemeList};
use lockgate_dtls::crypto::{KeyType, NamedGroup, SignatureScheme};
use lockgate_dtls::wire::AlertDescription;
use lockgate_dtls::{
    CipherSuite, CloseReason, Config, HandshakeError, KeyExchangeAlgorithm, PeerIncompatible,
    PeerMisbehaved, SuiteList,
};

const BOTH: [CertificateType; 2] = [CertificateType::X509, CertificateType::RawPublicKey];

/// Without pre-shared keys; both ends take both types of certificate.
fn config() -> Config {
    Config {
        psk: false,
        peer_certificate_types: CertificateTypes::new(&BOTH),
        ..Config::default()
    }
}

fn server(auth: ClientAuth) -> Config {
    Config {
        own_certificate_types: CertificateTypes::new(&BOTH),
        client_auth: auth,
        ..config()
    }
}

/// A client that can show this.
fn client_with(own: CertificateType) -> Config {
    Config {
        own_certificate_types: CertificateTypes::new(&[own]),
        ..config()
    }
}

/// Both ends show what they have; `mutual` says whether the client does.
fn pair(seed: u64, client: &Config, server: &Config) -> Pair {
    let mut pair = Pair::of(seed, client, server);
    pair.server.papers.own = Some(Paper::raw(KeyType::EcdsaP256, 1000 + seed));
    pair
}

fn server_failure(pair: &mut Pair) -> HandshakeError {
    match pair.server.closed() {
        Some((_, CloseReason::HandshakeFailed(error))) => error,
        other => panic!("{other:?}"),
    }
}

fn client_failure(pair: &mut Pair) -> HandshakeError {
    match pair.client.closed() {
        Some((_, CloseReason::HandshakeFailed(error))) => error,
        other => panic!("{other:?}"),
    }
}

fn run(pair: &mut Pair) {
    pair.connect();
    pair.run_for(Duration::from_secs(5));
}

#[test]
fn every_suite_and_group_with_a_key_of_its_own() {
    let suites = CipherSuite::ALL.into_iter().filter(|suite| {
        suite
            .parameters()
            .is_some_and(|p| p.key_exchange == KeyExchangeAlgorithm::EcdheEcdsa)
    });
    let groups = [
        NamedGroup::SECP256R1,
        NamedGroup::SECP384R1,
        NamedGroup::X25519,
    ];
    let keys = [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::Ed25519];
    for (i, suite) in suites.enumerate() {
        let client = Config {
            cipher_suites: SuiteList::new(&[suite]),
            groups: GroupList::new(&[groups[i % 3]]),
            ..client_with(CertificateType::RawPublicKey)
        };
        let mut pair = Pair::of(i as u64, &client, &server(ClientAuth::Required));
        pair.server.papers.own = Some(Paper::raw(keys[i % 3], 7));
        pair.client.papers.own = Some(Paper::raw(keys[(i + 1) % 3], 8));
        let (at_client, at_server) = pair.established();
        let info = pair.server.endpoint.info(at_server).expect("established");
        assert_eq!(info.cipher_suite, suite);
        assert!(info.peer_key_hash.is_some());
        pair.echo(at_client, at_server);
    }
}

#[test]
fn a_chain_travels_whole_and_a_raw_key_only_when_it_is_negotiated() {
    let mut chain = pair(1, &config(), &server(ClientAuth::None));
    let paper = Paper::x509("gate.example", 3);
    let own = paper.chain[0].clone();
    chain.server.papers.own = Some(paper);
    chain.established();
    assert_eq!(chain.client.papers.shown, vec![own]);

    // A client that takes X.509 alone never gets a raw key, and gives up by itself when all there is is one.
    let x509_only = Config {
        peer_certificate_types: CertificateTypes::new(&[CertificateType::X509]),
        ..config()
    };
    let mut raw = pair(2, &x509_only, &server(ClientAuth::None));
    run(&mut raw);
    assert_eq!(server_failure(&mut raw), HandshakeError::NoCredential);
    assert_eq!(
        client_failure(&mut raw),
        HandshakeError::PeerAlert(AlertDescription::HANDSHAKE_FAILURE)
    );
    assert!(raw.client.papers.shown.is_empty());
}

#[test]
fn client_authentication_none_optional_required() {
    for (auth, has_papers, shown, comes_in) in [
        (ClientAuth::None, true, false, true),
        (ClientAuth::Optional, true, true, true),
        (ClientAuth::Optional, false, false, true),
        (ClientAuth::Required, true, true, true),
        (ClientAuth::Required, false, false, false),
    ] {
        let mut pair = pair(3, &client_with(CertificateType::X509), &server(auth));
        if has_papers {
            pair.client.papers.own = Some(Paper::x509("device", 0));
        }
        run(&mut pair);
        assert_eq!(!pair.server.papers.shown.is_empty(), shown, "{auth:?}");
        if comes_in {
            let (_, at_server) = pair.finished();
            let info = pair.server.endpoint.info(at_server).expect("established");
            assert_eq!(info.peer_key_hash.is_some(), shown);
        } else {
            let missing = HandshakeError::Certificate(CertificateError::Missing);
            assert_eq!(server_failure(&mut pair), missing);
        }
    }
}

#[test]
fn a_refused_certificate_ends_the_handshake_with_its_own_alert() {
    for (error, alert) in [
        (
            CertificateError::Expired,
            AlertDescription::CERTIFICATE_EXPIRED,
        ),
        (
            CertificateError::Revoked,
            AlertDescription::CERTIFICATE_REVOKED,
        ),
        (
            CertificateError::UnknownIssuer,
            AlertDescription::UNKNOWN_CA,
        ),
    ] {
        let mut at_client = pair(4, &config(), &server(ClientAuth::None));
        at_client.client.papers.refuse = Some(error);
        run(&mut at_client);
        assert_eq!(
            client_failure(&mut at_client),
            HandshakeError::Certificate(error)
        );
        assert_eq!(
            server_failure(&mut at_client),
            HandshakeError::PeerAlert(alert)
        );

        let mut at_server = pair(
            5,
            &client_with(CertificateType::RawPublicKey),
            &server(ClientAuth::Required),
        );
        at_server.client.papers.own = Some(Paper::raw(KeyType::Ed25519, 1));
        at_server.server.papers.refuse = Some(error);
        run(&mut at_server);
        assert_eq!(
            server_failure(&mut at_server),
            HandshakeError::Certificate(error)
        );
        assert_eq!(
            client_failure(&mut at_server),
            HandshakeError::PeerAlert(alert)
        );
    }
}

#[test]
fn a_certificate_without_its_key_proves_nothing() {
    let bad = HandshakeError::PeerMisbehaved(PeerMisbehaved::BadSignature);
    let mut by_server = pair(6, &config(), &server(ClientAuth::None));
    if let Some(paper) = &mut by_server.server.papers.own {
        paper.forged = true;
    }
    run(&mut by_server);
    assert_eq!(client_failure(&mut by_server), bad);

    let mut by_client = pair(
        7,
        &client_with(CertificateType::X509),
        &server(ClientAuth::Optional),
    );
    by_client.client.papers.own = Some(Paper {
        forged: true,
        ..Paper::x509("device", 0)
    });
    run(&mut by_client);
    assert_eq!(server_failure(&mut by_client), bad);
    assert!(by_client.server.connected().is_none());
}

#[test]
fn what_is_not_shared_is_refused() {
    let none = server(ClientAuth::None);
    let mut groups = pair(
        8,
        &Config {
            groups: GroupList::new(&[NamedGroup::X25519]),
            ..config()
        },
        &Config {
            groups: GroupList::new(&[NamedGroup::SECP384R1]),
            ..none
        },
    );
    run(&mut groups);
    assert_eq!(
        server_failure(&mut groups),
        HandshakeError::PeerIncompatible(PeerIncompatible::NoCommonGroup)
    );
    let mut schemes = pair(
        9,
        &Config {
            signature_schemes: SchemeList::new(&[SignatureScheme::ED25519]),
            ..config()
        },
        &none,
    );
    run(&mut schemes);
    assert_eq!(server_failure(&mut schemes), HandshakeError::NoCredential);
    // With a pre-shared key beside, the two still meet.
    let mut fallback = pair(
        10,
        &Config {
            signature_schemes: SchemeList::new(&[SignatureScheme::ED25519]),
            psk: true,
            ..config()
        },
        &Config { psk: true, ..none },
    );
    let (_, at_server) = fallback.established();
    let info = fallback.server.endpoint.info(at_server).expect("there");
    let parameters = info.cipher_suite.parameters().expect("known");
    assert!(parameters.key_exchange.uses_psk() && info.peer_key_hash.is_none());
}

#[test]
fn application_protocols_are_agreed_or_refused() {
    let list = |names: &[&[u8]]| ProtocolList::new(names).expect("short");
    let offering = |names| Config {
        protocols: list(names),
        ..config()
    };
    let serving = |names| Config {
        protocols: list(names),
        ..server(ClientAuth::None)
    };
    let mut common = pair(
        11,
        &offering(&[b"h3", b"coap"]),
        &serving(&[b"coap", b"h3"]),
    );
    let (at_client, at_server) = common.established();
    // The server's order counts.
    assert_eq!(
        common.client.endpoint.protocol(at_client),
        Some(&b"coap"[..])
    );
    assert_eq!(
        common.server.endpoint.protocol(at_server),
        Some(&b"coap"[..])
    );

    let mut none = pair(12, &offering(&[b"h3"]), &serving(&[b"coap"]));
    run(&mut none);
    assert_eq!(
        client_failure(&mut none),
        HandshakeError::PeerAlert(AlertDescription::NO_APPLICATION_PROTOCOL)
    );

    let mut passed_over = pair(13, &offering(&[b"h3"]), &server(ClientAuth::None));
    let (at_client, _) = passed_over.established();
    assert_eq!(passed_over.client.endpoint.protocol(at_client), None);
}

#[test]
fn mutual_handshakes_with_long_chains_finish_over_a_hostile_link() {
    for seed in 0..60 {
        let mut pair = pair(
            seed,
            &client_with(CertificateType::X509),
            &server(ClientAuth::Required),
        );
        pair.server.papers.own = Some(Paper::x509("gate.example", 4));
        pair.client.papers.own = Some(Paper::x509("device", (seed % 4) as usize));
        pair.link = Link {
            loss: seed % 30,
            duplicate: 10,
            reorder: 20,
            jitter: 300,
            ..Link::PERFECT
        };
        pair.connect();
        let done = pair.run_until(Duration::from_mins(2), |pair| {
            pair.client.is_connected() && pair.server.is_connected()
        });
        assert!(done, "seed {seed}");
    }
}

#[test]
fn a_certificate_list_over_the_limit_is_refused_at_its_first_fragment() {
    let small = Config {
        max_certificate_list: 1000,
        ..config()
    };
    let mut pair = pair(14, &small, &server(ClientAuth::None));
    pair.server.papers.own = Some(Paper::x509("gate.example", 4));
    run(&mut pair);
    assert_eq!(
        client_failure(&mut pair),
        HandshakeError::Limit(lockgate_dtls::Limit::CertificateList)
    );
}

#[test]
fn a_server_with_certificates_serves_pre_shared_keys_beside() {
    let mut pair = pair(
        15,
        &plain_psk(),
        &Config {
            psk: true,
            ..server(ClientAuth::Required)
        },
    );
    let (_, at_server) = pair.established();
    let info = pair.server.endpoint.info(at_server).expect("there");
    assert_eq!(
        info.cipher_suite.parameters().map(|p| p.key_exchange),
        Some(KeyExchangeAlgorithm::Psk)
    );
}
