//! The secret itself: bytes that are wiped when dropped and that no log can show.

use std::fmt;

use zeroize::Zeroizing;

/// The longest pre-shared key, in bytes.
///
/// RFC 4279 §5.3 asks for at least 64. Longer keys add nothing (HMAC hashes them down first), and a
/// bound lets every source refuse a wrong file or answer early.
pub const MAX_PSK_LEN: usize = 64;

/// A pre-shared key: 1 to [`MAX_PSK_LEN`] bytes.
///
/// It is never empty, because an empty key would let anybody in who knows an identity. The bytes
/// live in one heap allocation, so that moving a `Psk` copies a pointer and dropping it wipes the
/// only copy. `Debug` shows neither the bytes nor their number.
#[derive(Clone)]
pub struct Psk(Zeroizing<Box<[u8]>>);

/// Why some bytes or some text are not a key. Never contains any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PskError {
    /// No bytes at all.
    #[error("the key is empty")]
    Empty,
    /// More than [`MAX_PSK_LEN`] bytes; holds their number.
    #[error("the key has {0} bytes, at most {MAX_PSK_LEN} are allowed")]
    TooLong(usize),
    /// An odd number of hexadecimal digits; holds their number.
    #[error("the key has an odd number of hexadecimal digits ({0})")]
    OddHex(usize),
    /// A character that is no hexadecimal digit; holds its place, counted from 1.
    #[error("the key has something else than a hexadecimal digit at place {0}")]
    NotHex(usize),
}

impl Psk {
    /// Takes a copy of `bytes`. Wiping the caller's own copy is the caller's business.
    pub fn new(bytes: &[u8]) -> Result<Self, PskError> {
        match bytes.len() {
            0 => Err(PskError::Empty),
            1..=MAX_PSK_LEN => Ok(Self(Zeroizing::new(bytes.into()))),
            n => Err(PskError::TooLong(n)),
        }
    }

    /// Reads hexadecimal digits of either case, without prefix or separators. ASCII white space
    /// around them is ignored.
    pub fn from_hex(text: &[u8]) -> Result<Self, PskError> {
        let text = text.trim_ascii();
        // Complain about a wrong character before complaining about their number: "0x…" or "ab:cd"
        // is then named for what it is.
        if let Some(at) = text.iter().position(|b| !b.is_ascii_hexdigit()) {
            return Err(PskError::NotHex(at + 1));
        }
        if !text.len().is_multiple_of(2) {
            return Err(PskError::OddHex(text.len()));
        }
        let len = text.len() / 2;
        if len > MAX_PSK_LEN {
            return Err(PskError::TooLong(len));
        }
        let mut bytes = Zeroizing::new([0u8; MAX_PSK_LEN]);
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
        }
        Self::new(&bytes[..len])
    }

    /// The secret bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The value of one hexadecimal digit that was checked before.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(hidden)")
    }
}
