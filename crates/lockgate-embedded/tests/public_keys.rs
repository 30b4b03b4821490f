//! A device with raw public keys and certificates against a server of ours.
#![cfg(feature = "webpki")]

mod common;

use common::{Own, Wire, provider};
use lockgate_dtls::certificate::{CertificateError, CertificateType, CertificateTypes, ClientAuth};
use lockgate_dtls::config::{GroupList, SchemeList};
use lockgate_dtls::crypto::{KeyType, NamedGroup, SignatureScheme, SigningKey};
use lockgate_dtls::{
    CipherSuite, CloseReason, Config, HandshakeError, Instant, SendError, SuiteList,
};
use lockgate_embedded::{
    Credentials, Device, Error, Event, Link, MAX_RESUMPTION_LEN, Memory, OwnKey, PublicKeys,
    Servers, Status, X509, scratch_len,
};
use lockgate_rustcrypto::PrivateKey;
use lockgate_webpki::{CertificateDer, KeyHash, ServerName, Time, Trust, algorithms, trust_anchor};

const NOW: Instant = Instant::from_micros(0);

fn key(byte: u8) -> PrivateKey {
    PrivateKey::from_secret(KeyType::EcdsaP256, &[byte; 32]).unwrap()
}

/// ECDHE on P-256 with `CCM_8`; both ends show these types.
fn config(types: &[CertificateType]) -> Config {
    Config {
        cipher_suites: SuiteList::new(&[CipherSuite::ECDHE_ECDSA_AES_128_CCM_8]),
        psk: false,
        groups: GroupList::new(&[NamedGroup::SECP256R1]),
        signature_schemes: SchemeList::new(&[SignatureScheme::ECDSA_SECP256R1_SHA256]),
        own_certificate_types: CertificateTypes::new(types),
        peer_certificate_types: CertificateTypes::new(types),
        resumption: true,
        ..Config::default()
    }
}

fn server_config() -> Config {
    Config {
        client_auth: ClientAuth::Required,
        ..config(&[CertificateType::RawPublicKey, CertificateType::X509])
    }
}

fn raw_server(byte: u8) -> Wire {
    Wire::with(
        &server_config(),
        Some(Own {
            key: key(byte),
            chain: Vec::new(),
        }),
    )
}

macro_rules! device {
    ($device:ident, $wire:expr, $config:expr, $keys:expr, $scratch:expr) => {
        let config = $config;
        let mut memory = Memory::<1200, 576, { $scratch }>::new();
        let mut $device = Device::new(
            provider(1),
            &config,
            Credentials::NONE,
            &mut memory,
            $wire.clone(),
        )
        .with_public_keys($keys);
    };
}

fn end(device: &mut Device<'_, impl lockgate_dtls::crypto::Provider, Wire>) -> HandshakeError {
    device.open(NOW).unwrap();
    match device.poll(NOW) {
        Ok(Some(Event::Closed(CloseReason::HandshakeFailed(error)))) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn raw_public_keys_both_ways_in_the_memory_that_is_said() {
    let wire = raw_server(7);
    let own = key(9);
    let server = key(7);
    let info = [server.public_key_info()];
    let hashes = [KeyHash::of(info[0]).0];
    for servers in [Servers::Keys(&info), Servers::KeyHashes(&hashes)] {
        let keys = PublicKeys {
            server_name: "",
            servers,
            own: Some(OwnKey::raw(&own)),
        };
        device!(
            device,
            wire,
            config(&[CertificateType::RawPublicKey]),
            keys,
            scratch_len(100, 100)
        );
        device.open(NOW).unwrap();
        assert_eq!(device.poll(NOW), Ok(Some(Event::Opened)));
        device.send(b"report").unwrap();
        assert_eq!(device.poll(NOW), Ok(Some(Event::Data(b"report"))));
        let shown = wire.0.borrow().shown.last().cloned();
        assert_eq!(shown.as_deref(), Some(own.public_key_info()));
    }
}

#[test]
fn a_server_with_another_key_is_refused_and_says_why() {
    let wire = raw_server(8);
    let own = key(9);
    let server = key(7);
    let info = [server.public_key_info()];
    let hashes = [KeyHash::of(info[0]).0];
    for servers in [Servers::Keys(&info), Servers::KeyHashes(&hashes)] {
        let keys = PublicKeys {
            server_name: "",
            servers,
            own: Some(OwnKey::raw(&own)),
        };
        device!(
            device,
            wire,
            config(&[CertificateType::RawPublicKey]),
            keys,
            scratch_len(100, 100)
        );
        let error = end(&mut device);
        assert_eq!(
            error,
            HandshakeError::Certificate(CertificateError::UnknownKey)
        );
        assert_eq!(device.status(), Status::Closed);
    }
    assert_eq!(wire.0.borrow().opened, 0);
    // Our key was never shown to a stranger.
    assert!(wire.0.borrow().shown.is_empty());
}

#[test]
fn a_device_without_a_key_of_its_own_is_refused_by_a_server_that_wants_one() {
    let wire = raw_server(7);
    let server = key(7);
    let info = [server.public_key_info()];
    let keys = PublicKeys {
        server_name: "",
        servers: Servers::Keys(&info),
        own: None,
    };
    let config = Config {
        own_certificate_types: CertificateTypes::EMPTY,
        ..config(&[CertificateType::RawPublicKey])
    };
    device!(device, wire, config, keys, scratch_len(100, 0));
    let error = end(&mut device);
    assert!(matches!(error, HandshakeError::PeerAlert(_)), "{error:?}");
    assert_eq!(wire.0.borrow().opened, 0);
}

/// An authority, and what it issued for `gate.example`: its DER, and the server's key and chain.
fn authority(called: &str) -> (Vec<u8>, Own) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.distinguished_name
        .push(rcgen::DnType::CommonName, called);
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["gate.example".into()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&pair, &issuer).unwrap();
    (
        ca_certificate.der().to_vec(),
        Own {
            key: PrivateKey::from_pkcs8_der(pair.serialized_der()).unwrap(),
            chain: vec![certificate.der().to_vec()],
        },
    )
}

#[test]
fn a_chain_is_checked_by_authority_name_and_time() {
    let (ca, own) = authority("ours");
    let (other_ca, _) = authority("another");
    let certificates = [CertificateDer::from_slice(&ca)];
    let others = [CertificateDer::from_slice(&other_ca)];
    let anchors = [trust_anchor(&certificates[0]).unwrap()];
    let other_anchors = [trust_anchor(&others[0]).unwrap()];
    let wire = Wire::with(
        &Config {
            client_auth: ClientAuth::None,
            ..server_config()
        },
        Some(own),
    );
    // rcgen's certificates hold from 1975 to 4096.
    for (anchors, name, time, outcome) in [
        (&anchors, "gate.example", Time::Unknown, None),
        (&anchors, "gate.example", Time::Unix(1_800_000_000), None),
        (
            &anchors,
            "gate.example",
            Time::Unix(60),
            Some(CertificateError::NotYetValid),
        ),
        (
            &anchors,
            "other.example",
            Time::Unknown,
            Some(CertificateError::WrongName),
        ),
        (
            &other_anchors,
            "gate.example",
            Time::Unknown,
            Some(CertificateError::UnknownIssuer),
        ),
    ] {
        let trust = Trust {
            anchors,
            ..Trust::new(algorithms::RUSTCRYPTO)
        };
        let check = X509::new(trust, ServerName::parse(name));
        check.set_time(time);
        let keys = PublicKeys {
            server_name: name,
            servers: Servers::Checked(&check),
            own: None,
        };
        let config = Config {
            own_certificate_types: CertificateTypes::EMPTY,
            ..config(&[CertificateType::X509])
        };
        device!(device, wire, config, keys, scratch_len(1000, 0));
        match outcome {
            None => {
                device.open(NOW).unwrap();
                assert_eq!(device.poll(NOW), Ok(Some(Event::Opened)));
            }
            Some(error) => assert_eq!(end(&mut device), HandshakeError::Certificate(error)),
        }
    }
}

#[test]
fn our_own_chain_is_shown() {
    let wire = raw_server(7);
    let server = key(7);
    let info = [server.public_key_info()];
    let (_, own) = authority("ours");
    let chain: Vec<&[u8]> = own.chain.iter().map(Vec::as_slice).collect();
    let keys = PublicKeys {
        server_name: "",
        servers: Servers::Keys(&info),
        own: Some(OwnKey::x509(&own.key, &chain)),
    };
    let config = Config {
        own_certificate_types: CertificateTypes::new(&[CertificateType::X509]),
        ..config(&[CertificateType::RawPublicKey])
    };
    device!(device, wire, config, keys, scratch_len(100, 700));
    device.open(NOW).unwrap();
    assert_eq!(device.poll(NOW), Ok(Some(Event::Opened)));
    assert_eq!(wire.0.borrow().shown[0], own.chain[0]);
}

#[test]
fn a_session_goes_on_after_a_reset_without_a_signature() {
    let wire = raw_server(7);
    let own = key(9);
    let server = key(7);
    let info = [server.public_key_info()];
    let hashes = [KeyHash::of(info[0]).0];
    let keys = PublicKeys {
        server_name: "gate.example",
        servers: Servers::KeyHashes(&hashes),
        own: Some(OwnKey::raw(&own)),
    };
    // Retention memory, at first with anything in it.
    let mut retention = [0xA5; MAX_RESUMPTION_LEN];
    for round in 0..3 {
        device!(
            device,
            wire,
            config(&[CertificateType::RawPublicKey]),
            keys,
            scratch_len(100, 100)
        );
        device = device.with_resumption(&mut retention);
        device.open(NOW).unwrap();
        assert_eq!(device.poll(NOW), Ok(Some(Event::Opened)));
        device.send(b"report").unwrap();
        assert_eq!(device.poll(NOW), Ok(Some(Event::Data(b"report"))));
        assert_eq!(wire.0.borrow().resumed, round);
        assert_eq!(wire.0.borrow().shown.len(), 1, "one full handshake");
    }
    // A key that is known no more does not go on, and the next handshake is a full one.
    let none = [[0; 32]];
    let keys = PublicKeys {
        servers: Servers::KeyHashes(&none),
        ..keys
    };
    device!(
        device,
        wire,
        config(&[CertificateType::RawPublicKey]),
        keys,
        scratch_len(100, 100)
    );
    device = device.with_resumption(&mut retention);
    let error = end(&mut device);
    assert!(matches!(error, HandshakeError::Aborted(_)), "{error:?}");
    assert_eq!(
        end(&mut device),
        HandshakeError::Certificate(CertificateError::UnknownKey)
    );
}

#[test]
fn the_longest_payload_is_what_server_buffer_and_link_take() {
    struct Narrow(Wire);
    impl Link for Narrow {
        type Error = ();
        fn max_datagram(&self) -> usize {
            300
        }
        fn send(&mut self, datagram: &[u8]) -> Result<(), lockgate_embedded::LinkError<()>> {
            assert!(datagram.len() <= 300);
            self.0.send(datagram)
        }
        fn recv(
            &mut self,
            buffer: &mut [u8],
        ) -> Result<Option<usize>, lockgate_embedded::LinkError<()>> {
            self.0.recv(buffer)
        }
    }
    let who = Credentials {
        identity: b"sensor-17",
        key: b"secret",
    };
    let config = common::config();
    let mut memory = Memory::<1200, 576>::new();
    let wire = Wire::new();
    let mut device = Device::new(provider(1), &config, who, &mut memory, Narrow(wire));
    assert_eq!(device.max_payload(), None);
    device.open(NOW).unwrap();
    assert_eq!(device.poll(NOW), Ok(Some(Event::Opened)));
    let overhead = device.association().unwrap().record_overhead();
    assert_eq!(device.max_payload(), Some(300 - overhead));
    let limit = 300 - overhead;
    assert_eq!(
        device.send(&[7; 300][..=limit]),
        Err(Error::Send(SendError::TooLarge { limit }))
    );
    device.send(&[7; 300][..limit]).unwrap();
}
