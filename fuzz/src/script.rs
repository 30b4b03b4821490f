//! The fuzzer's bytes, read as instructions.

/// Bytes that run out.
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    /// All of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*first))
    }

    /// A run of bytes with its length in front; what there is, when there are fewer.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.u8()?).min(self.0.len());
        let (first, rest) = self.0.split_at(len);
        self.0 = rest;
        Some(first)
    }

    /// All that is left.
    pub const fn rest(self) -> &'a [u8] {
        self.0
    }
}
