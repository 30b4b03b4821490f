//! Reading and writing device registers.

/// A block of 32-bit registers at a fixed address.
#[derive(Clone, Copy)]
pub(crate) struct Registers(usize);

impl Registers {
    /// The block at `base`.
    ///
    /// # Safety
    /// `base` is the address of a device of this board, and reading or writing any of its registers that the caller
    /// names does nothing to memory that Rust code uses.
    pub(crate) const unsafe fn new(base: usize) -> Self {
        Self(base)
    }

    pub(crate) fn read(self, offset: usize) -> u32 {
        // SAFETY: by the contract of `new` this is a device register; it is aligned, as all offsets are multiples of 4.
        unsafe { ((self.0 + offset) as *const u32).read_volatile() }
    }

    pub(crate) fn write(self, offset: usize, value: u32) {
        // SAFETY: as in `read`.
        unsafe { ((self.0 + offset) as *mut u32).write_volatile(value) }
    }
}
