//! Checked reading and writing of TLS presentation language.

use core::fmt;

/// The bytes are not what the structure asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed structure")
    }
}

impl core::error::Error for Malformed {}

/// The buffer has no room for what was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferTooSmall;

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the buffer is too small")
    }
}

impl core::error::Error for BufferTooSmall {}

/// Reads from the front of a slice; every read is checked.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether everything has been read.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(Malformed)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(Malformed)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// A `uint8`.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|b| b[0])
    }

    /// A `uint16`.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(|b| u16::from_be_bytes(*b))
    }

    /// A `uint24`.
    pub fn u24(&mut self) -> Result<u32, Malformed> {
        self.array::<3>()
            .map(|b| u32::from_be_bytes([0, b[0], b[1], b[2]]))
    }

    /// A `uint48`.
    pub fn u48(&mut self) -> Result<u64, Malformed> {
        let b = self.array::<6>()?;
        Ok(u64::from_be_bytes([
            0, 0, b[0], b[1], b[2], b[3], b[4], b[5],
        ]))
    }

    /// A vector with a length of one byte.
    pub fn vec8(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u8()?;
        self.take(usize::from(len))
    }

    /// A vector with a length of two bytes.
    pub fn vec16(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// Checks that everything has been read.
    pub const fn end(self) -> Result<(), Malformed> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

/// Writes to the front of a slice.
#[derive(Debug)]
pub struct Writer<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// Writes to `bytes` from its start.
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    /// How many bytes have been written.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What has been written.
    pub fn written(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Appends `bytes`.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), BufferTooSmall> {
        let end = self.len.checked_add(bytes.len()).ok_or(BufferTooSmall)?;
        self.bytes
            .get_mut(self.len..end)
            .ok_or(BufferTooSmall)?
            .copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    /// Appends a `uint8`.
    pub fn u8(&mut self, value: u8) -> Result<(), BufferTooSmall> {
        self.put(&[value])
    }

    /// Appends a `uint16`.
    pub fn u16(&mut self, value: u16) -> Result<(), BufferTooSmall> {
        self.put(&value.to_be_bytes())
    }

    /// Appends a `uint24`; the upper byte of `value` is ignored.
    pub fn u24(&mut self, value: u32) -> Result<(), BufferTooSmall> {
        self.put(&value.to_be_bytes()[1..])
    }

    /// Appends a `uint48`; the upper bytes of `value` are ignored.
    pub fn u48(&mut self, value: u64) -> Result<(), BufferTooSmall> {
        self.put(&value.to_be_bytes()[2..])
    }

    /// Appends a vector with a length of one byte, written by `content`.
    ///
    /// # Errors
    /// [`BufferTooSmall`] also when the content is longer than its length field can say.
    pub fn vec8(
        &mut self,
        content: impl FnOnce(&mut Self) -> Result<(), BufferTooSmall>,
    ) -> Result<(), BufferTooSmall> {
        let at = self.len;
        self.u8(0)?;
        content(self)?;
        self.bytes[at] = u8::try_from(self.len - at - 1).map_err(|_| BufferTooSmall)?;
        Ok(())
    }

    /// Appends a vector with a length of two bytes, written by `content`.
    ///
    /// # Errors
    /// [`BufferTooSmall`] also when the content is longer than its length field can say.
    pub fn vec16(
        &mut self,
        content: impl FnOnce(&mut Self) -> Result<(), BufferTooSmall>,
    ) -> Result<(), BufferTooSmall> {
        let at = self.len;
        self.u16(0)?;
        content(self)?;
        let len = u16::try_from(self.len - at - 2).map_err(|_| BufferTooSmall)?;
        self.bytes[at..at + 2].copy_from_slice(&len.to_be_bytes());
        Ok(())
    }

    /// Appends a vector with a length of three bytes, written by `content`.
    ///
    /// # Errors
    /// [`BufferTooSmall`] also when the content is longer than its length field can say.
    pub fn vec24(
        &mut self,
        content: impl FnOnce(&mut Self) -> Result<(), BufferTooSmall>,
    ) -> Result<(), BufferTooSmall> {
        let at = self.len;
        self.u24(0)?;
        content(self)?;
        let len = (self.len - at - 3) as u32;
        if len >= 1 << 24 {
            return Err(BufferTooSmall);
        }
        self.bytes[at..at + 3].copy_from_slice(&len.to_be_bytes()[1..]);
        Ok(())
    }
}
