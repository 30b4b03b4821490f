//! Byte strings of bounded length that need no heap.

use core::fmt;

use zeroize::Zeroize;

/// Up to `N` bytes in place; `N` is at most 255.
#[derive(Clone, Copy)]
pub struct ShortBytes<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

impl<const N: usize> ShortBytes<N> {
    /// No bytes.
    pub const EMPTY: Self = Self {
        len: 0,
        bytes: [0; N],
    };

    /// Copies `bytes`, or gives `None` when they are more than `N`.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut this = Self::EMPTY;
        this.len = u8::try_from(bytes.len()).ok()?;
        this.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(this)
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl<const N: usize> Default for ShortBytes<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> AsRef<[u8]> for ShortBytes<N> {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl<const N: usize> PartialEq for ShortBytes<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<const N: usize> Eq for ShortBytes<N> {}

impl<const N: usize> Zeroize for ShortBytes<N> {
    fn zeroize(&mut self) {
        self.bytes.zeroize();
        self.len = 0;
    }
}

impl<const N: usize> fmt::Debug for ShortBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.as_slice() {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Up to `N` values in order, in place; `N` is at most 255.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortList<T, const N: usize> {
    values: [Option<T>; N],
}

impl<T: Copy + PartialEq, const N: usize> ShortList<T, N> {
    /// No values.
    pub const EMPTY: Self = Self { values: [None; N] };

    /// The list of `values`; what is over `N` is left out.
    pub fn new(values: &[T]) -> Self {
        let mut list = Self::EMPTY;
        for (place, value) in list.values.iter_mut().zip(values) {
            *place = Some(*value);
        }
        list
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.values.iter().copied().flatten()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Whether `value` is in the list.
    pub fn contains(&self, value: T) -> bool {
        self.iter().any(|v| v == value)
    }
}

impl<T: Copy + PartialEq + fmt::Debug, const N: usize> fmt::Debug for ShortList<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A connection ID that we give out.
pub type OwnCid = ShortBytes<{ crate::config::MAX_OWN_CID_LEN }>;
/// A connection ID that the peer gave out.
pub type PeerCid = ShortBytes<{ crate::config::MAX_PEER_CID_LEN }>;
