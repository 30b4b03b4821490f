//! As much of DER (X.690) as it takes to show what a certificate says. Whether it is to be trusted is checked elsewhere.

use lockgate_dtls::wire::Malformed;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The tag of a field `[number]` that holds further values.
pub(crate) const fn context_constructed(number: u8) -> u8 {
    0xA0 | number
}

/// The tag of a field `[number]` that holds bytes.
pub(crate) const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// One value.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    pub(crate) tag: u8,
    /// With tag and length.
    pub(crate) whole: &'a [u8],
    /// Without.
    pub(crate) contents: &'a [u8],
}

/// Values that follow one another.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The tag of the next value.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.first().copied()
    }

    /// The next value, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Value<'a>, Malformed> {
        let [tag, first, rest @ ..] = self.bytes else {
            return Err(Malformed);
        };
        // Tags of more than a byte do not occur in certificates.
        if tag & 0x1F == 0x1F {
            return Err(Malformed);
        }
        let (header, len) = match usize::from(*first) {
            len @ 0..=0x7F => (2, len),
            // At most four bytes of length; 0x80 would be the indefinite form, which is not DER.
            long @ 0x81..=0x84 => {
                let (digits, _) = rest.split_at_checked(long & 0x7F).ok_or(Malformed)?;
                let len = digits
                    .iter()
                    .fold(0_u64, |len, digit| len << 8 | u64::from(*digit));
                // The shortest form is the only one.
                if digits.first() == Some(&0) || len < 0x80 {
                    return Err(Malformed);
                }
                (
                    2 + digits.len(),
                    usize::try_from(len).map_err(|_| Malformed)?,
                )
            }
            _ => return Err(Malformed),
        };
        let end = header.checked_add(len).ok_or(Malformed)?;
        let (whole, after) = self.bytes.split_at_checked(end).ok_or(Malformed)?;
        let contents = whole.get(header..).ok_or(Malformed)?;
        self.bytes = after;
        Ok(Value {
            tag: *tag,
            whole,
            contents,
        })
    }

    /// The next value, which has to be a `tag`.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Value<'a>, Malformed> {
        if self.peek() == Some(tag) {
            self.any()
        } else {
            Err(Malformed)
        }
    }

    /// The next value if it is a `tag`.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Value<'a>>, Malformed> {
        if self.peek() == Some(tag) {
            self.any().map(Some)
        } else {
            Ok(None)
        }
    }

    /// What the next value holds, which has to be a `tag`.
    pub(crate) fn nested(&mut self, tag: u8) -> Result<Self, Malformed> {
        self.expect(tag).map(|value| Self::new(value.contents))
    }

    /// That nothing follows.
    pub(crate) const fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

/// The bytes of a `BIT STRING` of whole bytes.
pub(crate) fn whole_bytes(value: Value<'_>) -> Result<&[u8], Malformed> {
    match value.contents.split_first() {
        Some((0, bytes)) => Ok(bytes),
        _ => Err(Malformed),
    }
}
