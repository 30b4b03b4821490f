//! Where random numbers come from.

use lockgate_dtls::crypto::CryptoError;

/// A source of cryptographically secure random bytes.
///
/// Why not `rand_core`: three incompatible releases of it (0.6, 0.9, 0.10) are in use by the
/// hardware crates of today, so any choice would lock two thirds of the boards out; its infallible
/// trait leaves a generator that failed its health test nothing but a panic. Over any of them this
/// trait is three lines.
pub trait RandomSource {
    /// Fills all of `out`.
    ///
    /// # Errors
    /// [`CryptoError::NoRandomness`] when the generator failed or is not seeded yet; what `out`
    /// holds then is not used.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError>;
}

/// So that a source can be lent to a provider.
impl<R: RandomSource + ?Sized> RandomSource for &mut R {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        (**self).fill(out)
    }
}

/// The operating system's random generator.
#[cfg(feature = "getrandom")]
#[cfg_attr(docsrs, doc(cfg(feature = "getrandom")))]
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

#[cfg(feature = "getrandom")]
impl RandomSource for OsRandom {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        getrandom::fill(out).map_err(|_| CryptoError::NoRandomness)
    }
}
