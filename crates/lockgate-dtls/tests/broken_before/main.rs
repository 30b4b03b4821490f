//! Ways in which other implementations were broken. Each test names the entry of PROTOCOL-NOTES that it stands for.

#[path = "../common/mod.rs"]
mod common;

mod bounds;
mod exports;
mod keys;
mod proofs;
mod reassembly;
mod resumption;
mod secrets;
mod states;

use std::time::Duration;

use common::{End, Pair, Paper, Side};
use lockgate_dtls::certificate::{CertificateType, CertificateTypes, ClientAuth};
use lockgate_dtls::crypto::KeyType;
use lockgate_dtls::{CloseReason, Config, HandshakeError};

/// A clear-text handshake record with one fragment.
fn fragment(msg_type: u8, length: u32, seq: u16, offset: u32, body: &[u8]) -> Vec<u8> {
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0x10, seq as u8];
    record.extend_from_slice(&((12 + body.len()) as u16).to_be_bytes());
    record.push(msg_type);
    record.extend_from_slice(&length.to_be_bytes()[1..]);
    record.extend_from_slice(&seq.to_be_bytes());
    record.extend_from_slice(&offset.to_be_bytes()[1..]);
    record.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    record.extend_from_slice(body);
    record
}

/// A pair whose client has sent its second hello; the server's flight is held back.
fn waiting_server(seed: u64) -> Pair {
    let mut pair = Pair::new(seed);
    pair.tamper = Some(Box::new(|to, datagram| {
        !(to == Side::Client && datagram[13] == 2)
    }));
    pair.connect();
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.server.endpoint.half_open(), 1);
    pair.tamper = None;
    pair
}

/// After the noise the client's retransmission brings the handshake home.
fn finishes(mut pair: Pair) {
    pair.run_for(Duration::from_secs(20));
    assert!(
        pair.server.connected().is_some(),
        "{:?}",
        pair.server.closed()
    );
    assert!(pair.client.connected().is_some());
}

/// Options for raw public keys alone, on both sides.
fn raw_keys() -> Config {
    let types = CertificateTypes::new(&[CertificateType::RawPublicKey]);
    Config {
        psk: false,
        own_certificate_types: types,
        peer_certificate_types: types,
        ..Config::default()
    }
}

/// Both ends with raw public keys; the client is asked for its own as `auth` says.
fn raw_pair(seed: u64, client: &Config, auth: ClientAuth) -> Pair {
    let server = Config {
        client_auth: auth,
        ..*client
    };
    let mut pair = Pair::of(seed, client, &server);
    pair.server.papers.own = Some(Paper::raw(KeyType::EcdsaP256, seed));
    pair.client.papers.own = Some(Paper::raw(KeyType::EcdsaP256, seed + 1000));
    pair
}

/// The clear-text records of a datagram, and what is left of it.
fn records(datagram: &[u8]) -> (Vec<Vec<u8>>, &[u8]) {
    let mut clear = Vec::new();
    let mut rest = datagram;
    while let [20..=22, _, _, 0, 0, _, _, _, _, _, _, high, low, ..] = rest {
        let len = 13 + usize::from(u16::from_be_bytes([*high, *low]));
        clear.push(rest[..len].to_vec());
        rest = &rest[len..];
    }
    (clear, rest)
}

/// Changes the records of a datagram that hold a handshake message of this type: the body, with all lengths after it.
fn change_message(datagram: &mut Vec<u8>, msg_type: u8, change: impl Fn(&mut Vec<u8>)) {
    let (clear, rest) = records(datagram);
    let mut out = Vec::new();
    for record in clear {
        if record[0] != 22 || record[13] != msg_type {
            out.extend(record);
            continue;
        }
        let mut body = record[25..].to_vec();
        change(&mut body);
        let seq = u16::from_be_bytes([record[17], record[18]]);
        let mut changed = fragment(msg_type, body.len() as u32, seq, 0, &body);
        changed[..11].copy_from_slice(&record[..11]);
        out.extend(changed);
    }
    out.extend(rest);
    *datagram = out;
}

/// Why an end's first handshake failed.
fn failure(end: &mut End) -> HandshakeError {
    match end.closed() {
        Some((_, CloseReason::HandshakeFailed(error))) => error,
        other => panic!("{other:?}"),
    }
}
