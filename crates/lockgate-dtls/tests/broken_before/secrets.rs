//! Entry 10: what is printed.

use std::fmt::Write as _;

use lockgate_dtls::Config;
use lockgate_dtls::certificate::ClientAuth;
use lockgate_dtls::crypto::KeyType;
use lockgate_rustcrypto::PrivateKey;

use crate::common::Pair;
use crate::{raw_keys, raw_pair};

#[test]
fn entry_10_nothing_prints_a_secret() {
    use lockgate_dtls::crypto::AeadAlgorithm;
    use lockgate_dtls::export::ExportKey;

    // Each secret is a byte that no other part of what is printed has, in decimal or in hexadecimal.
    let key = ExportKey::new(AeadAlgorithm::Aes128Gcm, &[0xd7; 16]).expect("16 bytes");
    let config = Config {
        key_log: true,
        ..Config::default()
    };
    let server = lockgate_dtls::EndpointConfig {
        config,
        cid_key: Some(lockgate_dtls::CidKey::new([0xd7; 16])),
        ..lockgate_dtls::EndpointConfig::default()
    };
    let shown = format!("{key:?} {server:?}");
    assert!(!shown.contains("215") && !shown.contains("d7"), "{shown}");
    let mut pair = Pair::of(18, &config, &config);
    pair.established();
    let logged = pair
        .server
        .events
        .iter()
        .find_map(|(_, event)| match event {
            lockgate_dtls::Event::KeyLog(entry) => Some(entry.clone()),
            _ => None,
        });
    let secret = *logged.expect("asked for").secret();
    let shown = format!("{:?}", pair.server.events);
    for form in [
        format!("{:?}", &secret[..4]),
        format!("{:02x?}", &secret[..4]),
    ] {
        assert!(!shown.contains(form.trim_matches(['[', ']'])), "{shown}");
    }
}

/// No four bytes of `secret` in a row, in any usual form.
fn hides(shown: &str, secret: &[u8]) {
    for four in secret.windows(4) {
        let forms = [
            format!("{four:?}"),
            format!("{four:x?}"),
            format!("{four:02x?}"),
            format!(
                "{:08x}",
                u32::from_be_bytes([four[0], four[1], four[2], four[3]])
            ),
            four.escape_ascii().to_string(),
        ];
        for form in forms {
            let form = form.trim_matches(['[', ']']);
            assert!(!shown.contains(form), "{form} in {shown}");
        }
    }
}

#[test]
fn entry_10_no_event_session_or_key_prints_a_secret() {
    let config = Config {
        resumption: true,
        key_log: true,
        ..raw_keys()
    };
    for tickets in [true, false] {
        let config = Config { tickets, ..config };
        let mut pair = raw_pair(41, &config, ClientAuth::Required);
        pair.established();
        let session = pair.client.papers.session.clone().expect("a session");
        // Version, suite, extended master secret: then the master secret.
        let secret = session.as_bytes()[4..52].to_vec();
        let ticket = session.as_bytes()[session.as_bytes().len() - 64..].to_vec();
        let mut shown = format!("{:?} {:?}", pair.client.events, pair.server.events);
        assert!(shown.contains("NewSession") && shown.contains("KeyLog"));
        write!(
            shown,
            "{session:?} {:?} {:?}",
            session.peer(),
            pair.client.papers.store
        )
        .expect("memory");
        hides(&shown, &secret);
        if tickets {
            hides(&shown, &ticket);
        }
    }
}

#[test]
fn entry_10_no_private_key_is_printed() {
    for key_type in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::Ed25519] {
        let len = if key_type == KeyType::EcdsaP384 {
            48
        } else {
            32
        };
        let secret: Vec<u8> = (0..len).map(|i| 0x71 ^ i).collect();
        let key = PrivateKey::from_secret(key_type, &secret).expect("in range");
        hides(&format!("{key:?}"), &secret);
    }
}
