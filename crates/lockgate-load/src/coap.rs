//! Requests of CoAP (RFC 7252), as far as a load needs them: a confirmable GET, told apart by its token.

/// Version 1, confirmable, a token of 8 bytes.
const CONFIRMABLE: u8 = 0x48;
/// Version 1, acknowledgement, no token.
const ACKNOWLEDGEMENT: u8 = 0x60;
const GET: u8 = 0x01;
/// Number of the option Uri-Path.
const URI_PATH: u8 = 11;
/// From here on, the length of an option stands in a byte of its own.
const LONG: u8 = 0x0d;
/// Header and token.
const FIXED: usize = 4 + 8;

/// A GET of one resource. The token says when it was sent, and is what the answer is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoapGet {
    options: Vec<u8>,
}

impl CoapGet {
    /// A GET of `path`, such as `/.well-known/core`; `None` when a part of it is longer than 255 bytes.
    pub fn new(path: &str) -> Option<Self> {
        let mut options = Vec::new();
        let mut delta = URI_PATH;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            match u8::try_from(part.len()).ok()? {
                len @ ..LONG => options.push(delta << 4 | len),
                len => options.extend([delta << 4 | LONG, len - LONG]),
            }
            options.extend(part.bytes());
            delta = 0;
        }
        Some(Self { options })
    }

    /// Length of the request in bytes.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub const fn len(&self) -> usize {
        FIXED + self.options.len()
    }

    pub(crate) fn fill(&self, out: &mut [u8], message_id: u16, token: u64) {
        let [high, low] = message_id.to_be_bytes();
        out[..4].copy_from_slice(&[CONFIRMABLE, GET, high, low]);
        out[4..FIXED].copy_from_slice(&token.to_be_bytes());
        out[FIXED..].copy_from_slice(&self.options);
    }
}

/// What came from a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A response, and the message ID to acknowledge, if it wants that.
    Response {
        token: u64,
        acknowledge: Option<u16>,
    },
    /// The response comes later.
    Acknowledged,
    /// Not a response, or one with an error code.
    Other,
}

pub(crate) fn parse(message: &[u8]) -> Answer {
    let Some((&[first, code, high, low], rest)) = message.split_first_chunk() else {
        return Answer::Other;
    };
    let kind = (first >> 4) & 3;
    if first >> 6 != 1 {
        return Answer::Other;
    }
    if code == 0 && kind == 2 {
        return Answer::Acknowledged;
    }
    // 2.xx, with our token.
    match rest.first_chunk() {
        Some(token) if code >> 5 == 2 && first & 15 == 8 => Answer::Response {
            token: u64::from_be_bytes(*token),
            acknowledge: (kind == 0).then_some(u16::from_be_bytes([high, low])),
        },
        _ => Answer::Other,
    }
}

/// Length of an acknowledgement in bytes.
pub(crate) const ACKNOWLEDGEMENT_LEN: usize = 4;

pub(crate) fn acknowledge(out: &mut [u8], message_id: u16) {
    let [high, low] = message_id.to_be_bytes();
    out.copy_from_slice(&[ACKNOWLEDGEMENT, 0, high, low]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_rfc_7252_has_it() {
        let get = CoapGet::new("/.well-known/core").unwrap();
        let mut out = vec![0xff; get.len()];
        get.fill(&mut out, 0x1234, 0x0102_0304_0506_0708);
        let mut expected = vec![0x48, 0x01, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8, 0xbb];
        expected.extend(b".well-known");
        expected.push(0x04);
        expected.extend(b"core");
        assert_eq!(out, expected);
        // A long part has its length behind.
        let get = CoapGet::new("a-long-part-of-a-path").unwrap();
        assert_eq!(get.options[..2], [0xbd, 21 - 13]);
        assert_eq!(CoapGet::new("").unwrap().len(), 12);
        assert_eq!(CoapGet::new(&"x".repeat(256)), None);
    }

    #[test]
    fn answers_are_told_apart() {
        let token = 0x0102_0304_0506_0708_u64.to_be_bytes();
        let message = |header: [u8; 4]| [&header[..], &token, &[0xff, b'x']].concat();
        let response = |acknowledge| Answer::Response {
            token: 0x0102_0304_0506_0708,
            acknowledge,
        };
        assert_eq!(parse(&message([0x68, 0x45, 0, 9])), response(None));
        assert_eq!(parse(&message([0x58, 0x45, 0, 9])), response(None));
        assert_eq!(parse(&message([0x48, 0x45, 1, 9])), response(Some(0x109)));
        assert_eq!(parse(&[0x60, 0, 0, 9]), Answer::Acknowledged);
        // A reset, an error, a request, another version, nothing.
        assert_eq!(parse(&[0x70, 0, 0, 9]), Answer::Other);
        assert_eq!(parse(&message([0x68, 0x84, 0, 9])), Answer::Other);
        assert_eq!(parse(&message([0x48, 0x01, 0, 9])), Answer::Other);
        assert_eq!(parse(&message([0x28, 0x45, 0, 9])), Answer::Other);
        assert_eq!(parse(&[]), Answer::Other);
        let mut out = [0; ACKNOWLEDGEMENT_LEN];
        acknowledge(&mut out, 0x109);
        assert_eq!(out, [0x60, 0, 1, 9]);
    }
}
