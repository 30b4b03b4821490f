//! Entry 8: what both share, and who proved what.

use std::time::Duration;

use lockgate_dtls::certificate::{CertificateError, CertificateType, CertificateTypes, ClientAuth};
use lockgate_dtls::crypto::KeyType;
use lockgate_dtls::wire::HandshakeType;
use lockgate_dtls::{CloseReason, Config, HandshakeError, PeerIncompatible, PeerMisbehaved};

use crate::common::{Pair, Paper, Side};
use crate::{change_message, failure, raw_keys, raw_pair};

#[test]
fn entry_8_what_both_do_not_share_has_a_name() {
    use lockgate_dtls::{CipherSuite, SuiteList};
    let config = Config {
        cipher_suites: SuiteList::new(&[CipherSuite::PSK_AES_256_CCM]),
        ..Config::default()
    };
    let other = Config {
        cipher_suites: SuiteList::new(&[CipherSuite::PSK_AES_128_CCM_8]),
        ..Config::default()
    };
    let mut pair = Pair::of(16, &config, &other);
    pair.connect();
    pair.run_for(Duration::from_secs(1));
    assert_eq!(
        pair.server.closed().expect("told").1,
        CloseReason::HandshakeFailed(HandshakeError::PeerIncompatible(
            PeerIncompatible::NoCommonCipherSuite
        ))
    );
    assert_eq!(
        pair.client.closed().expect("told").1.to_string(),
        "the peer gave up: handshake_failure"
    );
}

#[test]
fn entry_8_a_peer_without_extended_master_secret_is_refused_unless_allowed() {
    let strip = |datagram: &mut Vec<u8>, msg_type: u8| {
        // The extension is four bytes, 00 17 00 00; its type becomes one that nobody knows.
        if datagram[0] == 22
            && datagram[13] == msg_type
            && let Some(at) = datagram.windows(4).position(|w| w == [0, 23, 0, 0])
        {
            datagram[at..at + 2].copy_from_slice(&[0xfa, 0xfa]);
        }
    };
    let mut pair = Pair::new(17);
    pair.tamper = Some(Box::new(move |to, datagram| {
        if to == Side::Server {
            strip(datagram, 1);
        }
        true
    }));
    pair.connect();
    pair.run_for(Duration::from_secs(1));
    assert_eq!(
        pair.server.closed().expect("told").1,
        CloseReason::HandshakeFailed(HandshakeError::PeerIncompatible(
            PeerIncompatible::ExtendedMasterSecretRequired
        ))
    );
}

/// Options of a client that takes X.509 alone, and of a server with X.509.
fn x509() -> (Config, Config) {
    let types = CertificateTypes::new(&[CertificateType::X509]);
    let client = Config {
        psk: false,
        peer_certificate_types: types,
        ..Config::default()
    };
    let server = Config {
        own_certificate_types: types,
        ..client
    };
    (client, server)
}

#[test]
fn entry_8_a_raw_public_key_that_was_not_negotiated_is_not_looked_at() {
    // The server shows a bare key where a chain was agreed on.
    let (client, server) = x509();
    let mut pair = Pair::of(71, &client, &server);
    pair.server.papers.own = Some(Paper::x509("gate.example", 0));
    let raw = Paper::raw(KeyType::EcdsaP256, 5).chain[0].clone();
    pair.tamper = Some(Box::new(move |to, datagram| {
        if to == Side::Client {
            change_message(datagram, 11, |body| {
                let len = (raw.len() as u32).to_be_bytes();
                *body = [&len[1..], &raw[..]].concat();
            });
        }
        true
    }));
    pair.connect();
    pair.run_for(Duration::from_secs(2));
    assert_eq!(
        failure(&mut pair.client),
        HandshakeError::PeerMisbehaved(PeerMisbehaved::Malformed(HandshakeType::CERTIFICATE))
    );
    assert!(pair.client.papers.shown.is_empty(), "nobody was asked");
}

#[test]
fn entry_8_a_certificate_type_that_was_not_offered_is_refused() {
    let (client, server) = x509();
    for (extension, chosen) in [(20, 2), (20, 0), (19, 2), (19, 1)] {
        let mut pair = Pair::of(72, &client, &server);
        pair.server.papers.own = Some(Paper::x509("gate.example", 0));
        pair.tamper = Some(Box::new(move |to, datagram| {
            if to == Side::Client {
                change_message(datagram, 2, |body| {
                    body.extend([0, extension, 0, 1, chosen]);
                    // Version, random, session ID, suite, compression: then the length of all extensions.
                    let at = 35 + usize::from(body[34]) + 3;
                    let len = u16::from_be_bytes([body[at], body[at + 1]]) + 5;
                    body[at..at + 2].copy_from_slice(&len.to_be_bytes());
                });
            }
            true
        }));
        pair.connect();
        pair.run_for(Duration::from_secs(2));
        let extension = u16::from(extension);
        assert_eq!(
            failure(&mut pair.client),
            HandshakeError::PeerMisbehaved(PeerMisbehaved::UnsolicitedExtension(extension))
        );
    }
}

#[test]
fn entry_8_a_raw_public_key_is_nobody_until_the_caller_says_so() {
    // Both ends: refused, asked again, and never remembered as accepted.
    let config = Config {
        resumption: true,
        ..raw_keys()
    };
    for refusing in [Side::Client, Side::Server] {
        let mut pair = raw_pair(73, &config, ClientAuth::Required);
        for (round, refused) in [true, false, true, true].into_iter().enumerate() {
            let end = match refusing {
                Side::Client => &mut pair.client,
                Side::Server => &mut pair.server,
            };
            end.papers.refuse = refused.then_some(CertificateError::UnknownKey);
            pair.client.papers.session = None;
            pair.connect();
            pair.run_for(Duration::from_secs(2));
            let end = match refusing {
                Side::Client => &pair.client,
                Side::Server => &pair.server,
            };
            assert_eq!(end.papers.shown.len(), round + 1, "asked each time");
            let connected = [
                pair.client.connected().is_some(),
                pair.server.connected().is_some(),
            ];
            assert_eq!(connected, [!refused; 2], "round {round}");
            assert_eq!(pair.client.papers.session.is_some(), !refused);
            for end in [&mut pair.client, &mut pair.server] {
                for handle in end.endpoint.handles().collect::<Vec<_>>() {
                    end.endpoint.discard(handle);
                }
            }
        }
    }
}

#[test]
fn entry_8_a_raw_public_key_without_its_private_key_is_nobody() {
    let bad = HandshakeError::PeerMisbehaved(PeerMisbehaved::BadSignature);
    let mut by_client = raw_pair(74, &raw_keys(), ClientAuth::Optional);
    // Its own signature under somebody else's key.
    let other = Paper::raw(KeyType::EcdsaP256, 6).chain;
    if let Some(paper) = &mut by_client.client.papers.own {
        paper.chain = other.clone();
    }
    by_client.connect();
    by_client.run_for(Duration::from_secs(2));
    assert_eq!(failure(&mut by_client.server), bad);
    assert!(by_client.server.connected().is_none());
    let mut by_server = raw_pair(75, &raw_keys(), ClientAuth::None);
    if let Some(paper) = &mut by_server.server.papers.own {
        paper.chain = other;
    }
    by_server.connect();
    by_server.run_for(Duration::from_secs(2));
    assert_eq!(failure(&mut by_server.client), bad);
    assert!(by_server.client.connected().is_none());
}
