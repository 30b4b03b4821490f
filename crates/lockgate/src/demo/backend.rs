//! The demo's backend: a plain UDP server that knows nothing of DTLS.
//!
//! It answers CoAP GET requests (RFC 7252) with a greeting, so that a CoAP client has something to show, and sends
//! everything else back as it came.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;

/// What a GET is answered with, whatever it asks for.
pub(super) const GREETING: &[u8] = b"Hello from a plain UDP backend, by way of DTLS.\n";

const VERSION_1: u8 = 1 << 6;
const CONFIRMABLE: u8 = 0;
const NON_CONFIRMABLE: u8 = 1;
const ACKNOWLEDGEMENT: u8 = 2;
const GET: u8 = 0x01;
const CONTENT: u8 = 0x45; // 2.05
/// Option 12, Content-Format, empty: 0, text/plain.
const TEXT_PLAIN: u8 = 12 << 4;
const PAYLOAD_MARKER: u8 = 0xFF;

/// Binds a free port and answers for ever. Must be called within a tokio runtime.
pub(super) async fn start() -> io::Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        let mut buf = vec![0; 65_535];
        loop {
            // Errors are ICMP messages of clients that are gone.
            if let Ok((len, from)) = socket.recv_from(&mut buf).await {
                let datagram = &buf[..len];
                let answer = answer_to_get(datagram);
                let _ = socket
                    .send_to(answer.as_deref().unwrap_or(datagram), from)
                    .await;
            }
        }
    });
    Ok(address)
}

/// The CoAP response, when the datagram is a CoAP GET.
fn answer_to_get(datagram: &[u8]) -> Option<Vec<u8>> {
    let &[first, GET, id_high, id_low, ref rest @ ..] = datagram else {
        return None;
    };
    let (version, kind, token_len) = (first & 0xC0, first >> 4 & 3, first & 0x0F);
    if version != VERSION_1 || token_len > 8 {
        return None;
    }
    let token = rest.get(..usize::from(token_len))?;
    let answer_kind = match kind {
        CONFIRMABLE => ACKNOWLEDGEMENT,
        NON_CONFIRMABLE => NON_CONFIRMABLE,
        _ => return None,
    };
    let mut answer = vec![
        VERSION_1 | answer_kind << 4 | token_len,
        CONTENT,
        id_high,
        id_low,
    ];
    answer.extend_from_slice(token);
    answer.extend_from_slice(&[TEXT_PLAIN, PAYLOAD_MARKER]);
    answer.extend_from_slice(GREETING);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmable_get_is_acknowledged_with_content() {
        // CON GET, id 0x1234, token 0xAB, Uri-Path "x".
        let answer = answer_to_get(&[0x41, 0x01, 0x12, 0x34, 0xAB, 0xB1, b'x']).unwrap();
        assert_eq!(answer[..7], [0x61, 0x45, 0x12, 0x34, 0xAB, 0xC0, 0xFF]);
        assert_eq!(&answer[7..], GREETING);
        let non = answer_to_get(&[0x50, 0x01, 0, 1]).unwrap();
        assert_eq!(non[..2], [0x50, 0x45]);
    }

    #[test]
    fn everything_else_is_not_coap() {
        for other in [
            &b""[..],
            b"21.5 C",
            b"A\x01",                         // too short
            b"A\x03\0\0\0",                   // PUT
            b"A\x01\0\0",                     // without its token
            b"I\x01\0\0\0\0\0\0\0\0\0\0\0\0", // a token of 9 bytes
            b"a\x01\0\0\0",                   // an acknowledgement
            b"\x81\x01\0\0\0",                // version 2
        ] {
            assert_eq!(answer_to_get(other), None, "{other:?}");
        }
    }
}
