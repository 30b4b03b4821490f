extern crate std;

use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::certificate::CertificateType;
use crate::crypto::{NamedGroup, SignatureScheme};
use crate::suite::CipherSuite;

fn emitted(write: impl FnOnce(&mut Writer<'_>) -> Result<(), BufferTooSmall>) -> Vec<u8> {
    let mut bytes = vec![0; 2048];
    let mut writer = Writer::new(&mut bytes);
    write(&mut writer).expect("fits");
    let len = writer.len();
    bytes.truncate(len);
    bytes
}

/// A `ClientHello` as OpenSSL 3.0 sends it for PSK over DTLS 1.2, without its cookie.
fn plain_hello() -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0, 0]);
    body.extend_from_slice(&[0, 4, 0x00, 0xa8, 0x00, 0xff, 1, 0]);
    body.extend_from_slice(&[0, 12, 0, 22, 0, 0, 0, 23, 0, 0, 0, 35, 0, 0]);
    body
}

#[test]
fn a_foreign_hello_is_read() {
    let body = plain_hello();
    let hello = ClientHello::parse(&body).expect("well-formed");
    assert!(hello.extended_master_secret && hello.renegotiation_info);
    assert!(hello.offers_version(DTLS_1_2));
    assert!(
        hello
            .suites()
            .any(|s| s == CipherSuite::PSK_AES_128_GCM_SHA256)
    );
    assert_eq!(hello.connection_id, None);
}

#[test]
fn versions_count_down_and_supported_versions_decides() {
    let mut body = plain_hello();
    body[1] = 0xff;
    assert!(
        !ClientHello::parse(&body)
            .expect("well-formed")
            .offers_version(DTLS_1_2),
        "1.0 only"
    );
    let body = plain_hello();
    let mut hello = ClientHello::parse(&body).expect("well-formed");
    hello.supported_versions = Some(&[0xfe, 0xfc]);
    assert!(!hello.offers_version(DTLS_1_2), "1.3 only");
    hello.supported_versions = Some(&[0xfe, 0xfc, 0xfe, 0xfd]);
    assert!(hello.offers_version(DTLS_1_2));
}

#[test]
fn an_extension_that_stands_twice_is_malformed() {
    let mut body = plain_hello();
    let at = body.len() - 12;
    body[at + 1] = 23;
    assert!(ClientHello::parse(&body).is_err());
}

#[test]
fn renegotiation_info_must_be_empty() {
    let mut body = plain_hello();
    let at = body.len() - 14;
    body.truncate(at);
    body.extend_from_slice(&[0, 6, 0xff, 0x01, 0, 2, 1, 9]);
    assert!(ClientHello::parse(&body).is_err());
}

#[test]
fn records_end_where_they_say() {
    let record = [
        &[23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 5, 0, 2][..],
        &[1, 2, 9],
    ]
    .concat();
    let header = RecordHeader::parse(&record, 8).expect("whole");
    assert_eq!(
        (header.epoch, header.sequence, header.record_len()),
        (1, 5, 15)
    );
    assert_eq!(RecordHeader::parse(&record[..14], 8), Err(Malformed));
    let mut cid = vec![25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 5];
    cid.extend_from_slice(&[0xc; 8]);
    cid.extend_from_slice(&[0, 1, 0]);
    let header = RecordHeader::parse(&cid, 8).expect("whole");
    assert_eq!((header.header_len(), header.record_len()), (21, 22));
    assert_eq!(
        RecordHeader::parse(&cid, 0),
        Err(Malformed),
        "no IDs are given out here"
    );
}

#[test]
fn a_writer_never_writes_beyond_its_buffer() {
    let mut bytes = [0; 4];
    let mut writer = Writer::new(&mut bytes);
    writer.u24(0x0001_0203).expect("fits");
    assert_eq!(writer.u16(1), Err(BufferTooSmall));
    assert_eq!(writer.written(), [1, 2, 3]);
    let mut bytes = [0; 400];
    let mut writer = Writer::new(&mut bytes);
    assert_eq!(
        writer.vec8(|w| w.put(&[0; 256])),
        Err(BufferTooSmall),
        "longer than its length field says"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = ClientHello::parse(&bytes);
        let _ = ServerHello::parse(&bytes);
        let _ = HelloVerifyRequest::parse(&bytes);
        let _ = PskServerKeyExchange::parse(&bytes);
        let _ = PskClientKeyExchange::parse(&bytes);
        let _ = Alert::parse(&bytes);
        let _ = RecordHeader::parse(&bytes, 8);
        let _ = HandshakeHeader::parse(&mut Reader::new(&bytes));
        let _ = Extensions::parse(&mut Reader::new(&bytes)).map(|e| e.iter().count());
    }

    #[test]
    fn what_is_written_is_read_back(
        random in any::<[u8; 32]>(),
        session_id in proptest::collection::vec(any::<u8>(), 0..33),
        cookie in proptest::collection::vec(any::<u8>(), 0..256),
        suites in proptest::collection::vec(any::<u8>(), 1..40),
        cid in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..256)),
        limit in proptest::option::of(64u16..),
        name in proptest::option::of("[a-z]{1,60}"),
        flags in any::<[bool; 2]>(),
    ) {
        let suites: Vec<u8> = suites.iter().flat_map(|&s| [0xC0, s]).collect();
        let hello = ClientHello {
            session_id: &session_id,
            cookie: &cookie,
            cipher_suites: &suites,
            extended_master_secret: flags[0],
            renegotiation_info: flags[1],
            connection_id: cid.as_deref(),
            max_fragment_length: Some(MaxFragmentLength::Bytes2048),
            record_size_limit: limit,
            server_name: name.as_deref().map(str::as_bytes),
            supported_groups: flags[0].then_some(&[0, 23, 0, 29]),
            ec_point_formats: flags[0].then_some(&[0]),
            signature_algorithms: flags[1].then_some(&[4, 3]),
            protocols: flags[1].then_some(b"\x04coap"),
            client_certificate_types: flags[0].then_some(&[2, 0]),
            server_certificate_types: flags[1].then_some(&[2]),
            session_ticket: flags[0].then_some(&cookie),
            ..ClientHello::new(DTLS_1_2, &random)
        };
        let bytes = emitted(|w| hello.emit(w));
        prop_assert_eq!(ClientHello::parse(&bytes), Ok(hello));
        // And never from less.
        for len in 0..bytes.len() {
            prop_assert!(ClientHello::parse(&bytes[..len]) != Ok(hello));
        }
        let answer = ServerHello {
            session_id: &session_id,
            extended_master_secret: flags[0],
            renegotiation_info: flags[1].then_some(&[]),
            connection_id: cid.as_deref(),
            max_fragment_length: None,
            record_size_limit: limit,
            server_name: flags[1],
            ec_point_formats: flags[0],
            protocol: flags[1].then_some(b"coap"),
            client_certificate_type: flags[0].then_some(2),
            server_certificate_type: flags[1].then_some(2),
            session_ticket: flags[0],
            ..ServerHello::new(&random, CipherSuite(0xC0A8))
        };
        let bytes = emitted(|w| answer.emit(w));
        prop_assert_eq!(ServerHello::parse(&bytes), Ok(answer));
        let request = HelloVerifyRequest { version: DTLS_1_0, cookie: &cookie };
        let bytes = emitted(|w| request.emit(w));
        prop_assert_eq!(HelloVerifyRequest::parse(&bytes), Ok(request));
        let exchange = PskClientKeyExchange { identity: &cookie };
        let bytes = emitted(|w| exchange.emit(w));
        prop_assert_eq!(PskClientKeyExchange::parse(&bytes), Ok(exchange));
        let exchange = EcdheClientKeyExchange {
            identity: flags[0].then_some(&cookie),
            public_value: &random,
        };
        let bytes = emitted(|w| exchange.emit(w));
        prop_assert_eq!(EcdheClientKeyExchange::parse(&bytes, flags[0]), Ok(exchange));
        let params = EcdheParams { group: NamedGroup::X25519, public_value: &random };
        let signed = Signed { scheme: SignatureScheme::ED25519, signature: &cookie };
        let bytes = emitted(|w| { params.emit(w)?; signed.emit(w) });
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(EcdheParams::parse(&mut reader), Ok(params));
        prop_assert_eq!(Signed::parse(&mut reader), Ok(signed));
        let ticket = NewSessionTicket { lifetime_hint: 300, ticket: &suites };
        let bytes = emitted(|w| ticket.emit(w));
        prop_assert_eq!(NewSessionTicket::parse(&bytes), Ok(ticket));
        let chain: [&[u8]; 2] = [&random, &suites];
        let bytes = emitted(|w| CertificateMessage::emit(CertificateType::X509, &chain, w));
        let message = CertificateMessage::parse(&bytes, CertificateType::X509).expect("well-formed");
        prop_assert!(message.certificate.chain().eq(chain));
        let bytes = emitted(|w| CertificateMessage::emit(CertificateType::RawPublicKey, &chain, w));
        let message = CertificateMessage::parse(&bytes, CertificateType::RawPublicKey).expect("well-formed");
        prop_assert!(message.certificate.chain().eq([random.as_slice()]));
        let schemes = [SignatureScheme::ED25519, SignatureScheme::ECDSA_SECP256R1_SHA256];
        let bytes = emitted(|w| { CertificateRequest::emit(schemes.into_iter(), w)?; w.vec16(|_| Ok(())) });
        let request = CertificateRequest::parse(&bytes).expect("well-formed");
        prop_assert!(request.schemes().eq(schemes) && request.accepts(true));
    }
}
