//! What P-256 and P-384 have in common.

use lockgate_dtls::crypto::{CryptoError, MAX_SHARED_SECRET_LEN};
#[cfg(feature = "p256")]
use p256::elliptic_curve;
#[cfg(all(feature = "p384", not(feature = "p256")))]
use p384::elliptic_curve;
use zeroize::Zeroizing;

pub(crate) use elliptic_curve::SecretKey;
use elliptic_curve::sec1::{FromEncodedPoint, ModulusSize, ToEncodedPoint};
use elliptic_curve::{
    AffinePoint, Curve, CurveArithmetic, FieldBytes, FieldBytesSize, NonZeroScalar, PublicKey,
};

use crate::random::RandomSource;

/// A key by rejection (FIPS 186-5 §A.2.2): one draw in four billion is not below the order of P-256, so a second one that
/// is not is the sign of a broken source.
pub(crate) fn random_secret<C: Curve>(
    random: &mut impl RandomSource,
) -> Result<SecretKey<C>, CryptoError> {
    let mut bytes = Zeroizing::new(FieldBytes::<C>::default());
    for _ in 0..2 {
        random.fill(&mut bytes)?;
        if let Ok(secret) = SecretKey::from_bytes(&bytes) {
            return Ok(secret);
        }
    }
    Err(CryptoError::NoRandomness)
}

/// Writes the uncompressed point of `secret` to the front of `out` and returns its length.
pub(crate) fn write_public<C>(secret: &SecretKey<C>, out: &mut [u8]) -> usize
where
    C: CurveArithmetic,
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let point = secret.public_key().to_encoded_point(false);
    let point = point.as_bytes();
    out[..point.len()].copy_from_slice(point);
    point.len()
}

/// Whether `point` looks like an uncompressed point, the only form in TLS (RFC 8422 §5.4.1).
pub(crate) fn is_uncompressed(point: &[u8], field_len: usize) -> bool {
    point.len() == 1 + 2 * field_len && point[0] == 0x04
}

pub(crate) fn agree<C>(
    secret: &SecretKey<C>,
    peer: &[u8],
    out: &mut [u8; MAX_SHARED_SECRET_LEN],
) -> Result<usize, CryptoError>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let scalar: &NonZeroScalar<C> = &Zeroizing::new(secret.to_nonzero_scalar());
    if !is_uncompressed(peer, FieldBytes::<C>::default().len()) {
        return Err(CryptoError::BadPublicValue);
    }
    // Checks that the point is on the curve; a curve of prime order has no small subgroups.
    let peer = PublicKey::<C>::from_sec1_bytes(peer).map_err(|_| CryptoError::BadPublicValue)?;
    let shared = elliptic_curve::ecdh::diffie_hellman(scalar, peer.as_affine());
    let shared = shared.raw_secret_bytes();
    out[..shared.len()].copy_from_slice(shared);
    Ok(shared.len())
}
