//! Short lines without `core::fmt`, which would cost more flash than the rest of the application.

/// Up to 48 bytes of text; what is over is left out.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    bytes: [u8; 48],
    len: usize,
}

impl Text {
    /// No text.
    pub const fn new() -> Self {
        Self {
            bytes: [0; 48],
            len: 0,
        }
    }

    /// The text of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut this = Self::new();
        this.push(bytes);
        this
    }

    /// Appends `bytes`.
    pub fn push(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = *byte;
                self.len += 1;
            }
        }
        self
    }

    /// Appends `number` in decimal.
    pub fn number(&mut self, number: u32) -> &mut Self {
        if number >= 10 {
            self.number(number / 10);
        }
        self.push(&[b'0' + (number % 10) as u8])
    }

    /// The text.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::new()
    }
}
