//! Every parser: none panics, and what is parsed, written and parsed again is the same.

use std::fmt::Debug;

use lockgate_dtls::Session;
use lockgate_dtls::certificate::{
    CertificateType, PeerCertificate, parse_public_key, public_key_info,
};
use lockgate_dtls::wire::{
    Alert, BufferTooSmall, CertificateMessage, CertificateRequest, ClientHello,
    EcdheClientKeyExchange, EcdheParams, Extensions, HandshakeHeader, HelloVerifyRequest,
    MaxFragmentLength, NewSessionTicket, PskClientKeyExchange, PskServerKeyExchange, Reader,
    RecordHeader, ServerHello, Signed, Writer,
};

/// The parsers, each by its name; an input's first byte says which of them reads the rest.
pub const PARSERS: [(&str, fn(&[u8])); 20] = [
    ("client-hello", client_hello),
    ("server-hello", server_hello),
    ("hello-verify-request", hello_verify_request),
    ("server-key-exchange", server_key_exchange),
    ("client-key-exchange", client_key_exchange),
    ("handshake-header", handshake_header),
    ("record", record),
    ("alert", alert),
    ("extensions", extensions),
    ("max-fragment-length", max_fragment_length),
    ("certificate-x509", |body| {
        certificate(CertificateType::X509, body);
    }),
    ("certificate-raw", |body| {
        certificate(CertificateType::RawPublicKey, body);
    }),
    ("certificate-request", certificate_request),
    ("ecdhe-params", ecdhe_params),
    ("signed", signed),
    ("ecdhe-client-key-exchange", |body| {
        ecdhe_client_key_exchange(body, false);
    }),
    ("ecdhe-psk-client-key-exchange", |body| {
        ecdhe_client_key_exchange(body, true);
    }),
    ("new-session-ticket", new_session_ticket),
    ("public-key", public_key),
    ("session", session),
];

/// Plays one input.
///
/// # Panics
/// When a promise is broken.
pub fn wire(data: &[u8]) {
    if let Some((&which, body)) = data.split_first() {
        PARSERS[usize::from(which) % PARSERS.len()].1(body);
    }
}

fn client_hello(body: &[u8]) {
    let Ok(mut hello) = ClientHello::parse(body) else {
        return;
    };
    let _ = hello.suites().count() + usize::from(hello.offers_version(0xFEFD));
    // What no client of ours says.
    hello.certificate_authorities = None;
    let mut buf = room(body);
    let written = emit(&mut buf, |w| hello.emit(w));
    same(ClientHello::parse(written), hello);
}

fn server_hello(body: &[u8]) {
    let Ok(mut hello) = ServerHello::parse(body) else {
        return;
    };
    let mut buf = room(body);
    let written = emit(&mut buf, |w| hello.emit(w));
    // What nobody asked for is reported, not repeated.
    hello.unsolicited = None;
    same(ServerHello::parse(written), hello);
}

fn hello_verify_request(body: &[u8]) {
    if let Ok(request) = HelloVerifyRequest::parse(body) {
        assert_eq!(emit(&mut room(body), |w| request.emit(w)), body);
    }
}

fn server_key_exchange(body: &[u8]) {
    if let Ok(exchange) = PskServerKeyExchange::parse(body) {
        assert_eq!(emit(&mut room(body), |w| exchange.emit(w)), body);
    }
}

fn client_key_exchange(body: &[u8]) {
    if let Ok(exchange) = PskClientKeyExchange::parse(body) {
        assert_eq!(emit(&mut room(body), |w| exchange.emit(w)), body);
    }
}

fn handshake_header(body: &[u8]) {
    let mut reader = Reader::new(body);
    if let Ok((header, fragment)) = HandshakeHeader::parse(&mut reader) {
        assert_eq!(fragment.len(), header.fragment_length as usize);
        assert!(header.fragment_offset + header.fragment_length <= header.length);
        let mut buf = room(body);
        let written = emit(&mut buf, |w| header.emit(w));
        assert_eq!(written, &body[..written.len()]);
    }
}

/// The first byte is the length of our connection IDs.
fn record(body: &[u8]) {
    let Some((&cid_len, body)) = body.split_first() else {
        return;
    };
    if let Ok(header) = RecordHeader::parse(body, cid_len % 21) {
        assert!(header.record_len() <= body.len());
        let at = RecordHeader::CID_OFFSET;
        let cid = &body[at..at + usize::from(header.cid_len)];
        let mut buf = room(body);
        let written = emit(&mut buf, |w| header.emit(cid, w));
        assert_eq!(written, &body[..header.header_len()]);
    }
}

fn alert(body: &[u8]) {
    if let Ok(alert) = Alert::parse(body) {
        same(Alert::parse(&alert.to_bytes()), alert);
    }
}

fn extensions(body: &[u8]) {
    if let Ok(extensions) = Extensions::parse(&mut Reader::new(body)) {
        let mut seen = Vec::new();
        for extension in extensions.iter() {
            let kind = extension.extension_type;
            assert!(!seen.contains(&kind.0), "{kind:?} stands twice");
            seen.push(kind.0);
            assert_eq!(extensions.get(kind), Some(extension.data));
        }
    }
}

fn max_fragment_length(body: &[u8]) {
    if let Ok(length) = MaxFragmentLength::parse(body) {
        same(MaxFragmentLength::parse(&[length as u8]), length);
        assert!(length.bytes() >= 512);
    }
}

fn certificate(kind: CertificateType, body: &[u8]) {
    // A list that nobody has checked.
    let unchecked = PeerCertificate::new(kind, body);
    let len: usize = unchecked.chain().map(<[u8]>::len).sum();
    assert!(len <= body.len());
    let _ = unchecked.public_key_info().map(parse_public_key);
    let Ok(message) = CertificateMessage::parse(body, kind) else {
        return;
    };
    let shown = message.certificate;
    assert_eq!(shown.certificate_type(), kind);
    let chain: Vec<&[u8]> = shown.chain().collect();
    assert_eq!(message.is_empty, chain.is_empty());
    let again = emit_into(body, |w| CertificateMessage::emit(kind, &chain, w));
    assert_eq!(again, body);
    if kind == CertificateType::RawPublicKey {
        assert_eq!(shown.public_key_info().ok(), chain.first().copied());
    }
}

fn certificate_request(body: &[u8]) {
    let Ok(request) = CertificateRequest::parse(body) else {
        return;
    };
    assert_eq!(
        request.schemes().count() * 2,
        request.signature_algorithms.len()
    );
    let _ = request.accepts(true) || request.accepts(false);
    let again = emit_into(body, |w| {
        CertificateRequest::emit(request.schemes(), w)?;
        w.vec16(|w| w.put(request.authorities))
    });
    let again = CertificateRequest::parse(&again).expect("what we wrote parses");
    assert!(again.accepts(true) && again.accepts(false));
    assert_eq!(again.signature_algorithms, request.signature_algorithms);
    assert_eq!(again.authorities, request.authorities);
}

fn ecdhe_params(body: &[u8]) {
    let mut reader = Reader::new(body);
    if let Ok(params) = EcdheParams::parse(&mut reader) {
        let used = body.len() - reader.rest().len();
        let again = emit_into(body, |w| params.emit(w));
        assert_eq!(again, body[..used]);
    }
}

fn signed(body: &[u8]) {
    if let Ok(signed) = Signed::parse(&mut Reader::new(body)) {
        assert_eq!(emit_into(body, |w| signed.emit(w)), body);
    }
}

fn ecdhe_client_key_exchange(body: &[u8], with_psk: bool) {
    if let Ok(exchange) = EcdheClientKeyExchange::parse(body, with_psk) {
        assert_eq!(exchange.identity.is_some(), with_psk);
        assert_eq!(emit_into(body, |w| exchange.emit(w)), body);
    }
}

fn new_session_ticket(body: &[u8]) {
    if let Ok(ticket) = NewSessionTicket::parse(body) {
        assert_eq!(emit_into(body, |w| ticket.emit(w)), body);
    }
}

fn public_key(body: &[u8]) {
    if let Ok(Some(key)) = parse_public_key(body) {
        assert!(key.bytes.len() < body.len());
    }
    if let Ok(info) = public_key_info(body) {
        assert!(info.len() < body.len());
        let list = [&[0][..], &(body.len() as u16).to_be_bytes(), body].concat();
        let shown = PeerCertificate::new(CertificateType::X509, &list);
        assert_eq!(shown.public_key_info().ok(), Some(info));
        let _ = parse_public_key(info);
    }
}

fn session(body: &[u8]) {
    let Some(session) = Session::from_bytes(body) else {
        return;
    };
    assert_eq!(session.as_bytes(), body);
    assert!(session.id().len() <= 32);
    let said = session.server_name().len() + session.lifetime_hint() as usize;
    let shown = format!("{session:?}{said}{}", session.has_ticket());
    assert!(shown.len() < 1024, "{shown}");
}

fn room(body: &[u8]) -> Vec<u8> {
    vec![0; body.len() + 64]
}

fn emit(
    buf: &mut [u8],
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), BufferTooSmall>,
) -> &[u8] {
    let mut out = Writer::new(buf);
    write(&mut out).expect("no longer than what it came from, but for the signal of renegotiation");
    let len = out.len();
    &buf[..len]
}

fn emit_into(
    body: &[u8],
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), BufferTooSmall>,
) -> Vec<u8> {
    emit(&mut room(body), write).to_vec()
}

fn same<T: PartialEq + Debug, E: Debug>(again: Result<T, E>, first: T) {
    assert_eq!(again.expect("what we wrote parses"), first);
}
