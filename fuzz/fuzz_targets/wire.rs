//! Every parser: none panics, and what is parsed, written and parsed again is the same.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use lockgate_dtls::wire::{
    Alert, BufferTooSmall, ClientHello, Extensions, HandshakeHeader, HelloVerifyRequest,
    MaxFragmentLength, PskClientKeyExchange, PskServerKeyExchange, Reader, RecordHeader,
    ServerHello, Writer,
};

fuzz_target!(|data: &[u8]| {
    let Some((&which, body)) = data.split_first() else {
        return;
    };
    let mut buf = vec![0; body.len() + 64];
    match which % 10 {
        0 => {
            if let Ok(hello) = ClientHello::parse(body) {
                let written = emit(&mut buf, |w| hello.emit(w));
                same(ClientHello::parse(written), hello);
                let _ = hello.suites().count() + usize::from(hello.offers_version(0xFEFD));
            }
        }
        1 => {
            if let Ok(mut hello) = ServerHello::parse(body) {
                let written = emit(&mut buf, |w| hello.emit(w));
                // What nobody asked for is reported, not repeated.
                hello.unsolicited = None;
                same(ServerHello::parse(written), hello);
            }
        }
        2 => {
            if let Ok(request) = HelloVerifyRequest::parse(body) {
                assert_eq!(emit(&mut buf, |w| request.emit(w)), body);
            }
        }
        3 => {
            if let Ok(exchange) = PskServerKeyExchange::parse(body) {
                assert_eq!(emit(&mut buf, |w| exchange.emit(w)), body);
            }
        }
        4 => {
            if let Ok(exchange) = PskClientKeyExchange::parse(body) {
                assert_eq!(emit(&mut buf, |w| exchange.emit(w)), body);
            }
        }
        5 => {
            let mut reader = Reader::new(body);
            if let Ok((header, fragment)) = HandshakeHeader::parse(&mut reader) {
                assert_eq!(fragment.len(), header.fragment_length as usize);
                assert!(header.fragment_offset + header.fragment_length <= header.length);
                let written = emit(&mut buf, |w| header.emit(w));
                assert_eq!(written, &body[..written.len()]);
            }
        }
        6 => {
            let cid_len = which / 10 % 21;
            if let Ok(header) = RecordHeader::parse(body, cid_len) {
                assert!(header.record_len() <= body.len());
                let at = RecordHeader::CID_OFFSET;
                let cid = &body[at..at + usize::from(header.cid_len)];
                let written = emit(&mut buf, |w| header.emit(cid, w));
                assert_eq!(written, &body[..header.header_len()]);
            }
        }
        7 => {
            if let Ok(alert) = Alert::parse(body) {
                same(Alert::parse(&alert.to_bytes()), alert);
            }
        }
        8 => {
            if let Ok(extensions) = Extensions::parse(&mut Reader::new(body)) {
                // Types that mean nothing here may stand twice; the first counts.
                let mut seen = Vec::new();
                for extension in extensions.iter() {
                    if !seen.contains(&extension.extension_type.0) {
                        seen.push(extension.extension_type.0);
                        let found = extensions.get(extension.extension_type);
                        assert_eq!(found, Some(extension.data));
                    }
                }
            }
        }
        _ => {
            if let Ok(length) = MaxFragmentLength::parse(body) {
                same(MaxFragmentLength::parse(&[length as u8]), length);
                assert!(length.bytes() >= 512);
            }
        }
    }
});

fn emit(
    buf: &mut [u8],
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), BufferTooSmall>,
) -> &[u8] {
    let mut out = Writer::new(buf);
    write(&mut out).expect("no longer than what it came from, but for the signal of renegotiation");
    let len = out.len();
    &buf[..len]
}

fn same<T: PartialEq + Debug, E: Debug>(again: Result<T, E>, first: T) {
    assert_eq!(again.expect("what we wrote parses"), first);
}
