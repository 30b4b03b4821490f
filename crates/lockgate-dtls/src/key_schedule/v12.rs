//! TLS 1.2: RFC 5246 §5, §6.3, §8.1; RFC 4279 §2; RFC 7627; RFC 5705.
//!
//! `Premaster` -> `MasterSecret` -> traffic keys and `verify_data`. Each step consumes or borrows the one before.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::config::MAX_PSK_LEN;
use crate::crypto::{CryptoError, Hmac, MAX_KEY_LEN, NONCE_LEN, Provider};
use crate::error::ApiError;
use crate::record::{TrafficKeys, fixed_iv_len};
use crate::suite::SuiteParameters;
use crate::wire::{RANDOM_LEN, VERIFY_DATA_LEN};

/// Length of the master secret in bytes.
pub(crate) const MASTER_SECRET_LEN: usize = 48;

/// `P_hash` of RFC 5246 §5, with the label and seed in pieces.
pub(super) fn prf<H: Hmac>(key: &H, label: &[u8], seeds: [&[u8]; 2], out: &mut [u8]) {
    let mut a = key.sign(&[label, seeds[0], seeds[1]]);
    let mut rest = out;
    while !rest.is_empty() {
        let mut block = key.sign(&[a.as_ref(), label, seeds[0], seeds[1]]);
        let len = block.as_ref().len().min(rest.len());
        if len == 0 {
            return;
        }
        let (now, later) = rest.split_at_mut(len);
        now.copy_from_slice(&block.as_ref()[..len]);
        rest = later;
        block.zeroize();
        if !rest.is_empty() {
            a = key.sign(&[a.as_ref()]);
        }
    }
    a.zeroize();
}

/// What the master secret is bound to.
#[derive(Clone, Copy)]
pub(crate) enum Seed<'a> {
    /// The hash of the handshake up to `ClientKeyExchange` (RFC 7627 §4).
    SessionHash(&'a [u8]),
    /// Both randoms, without extended master secret.
    Randoms {
        client: &'a [u8; RANDOM_LEN],
        server: &'a [u8; RANDOM_LEN],
    },
}

/// What a premaster secret is made of, so that only the one function that hashes it holds it.
#[derive(Clone, Copy)]
pub(crate) struct PremasterParts<'a> {
    /// A pre-shared key of 1 to [`MAX_PSK_LEN`] bytes.
    pub(crate) psk: Option<&'a [u8]>,
    /// The secret of an ephemeral key exchange.
    #[cfg(feature = "certificates")]
    pub(crate) shared: Option<&'a [u8]>,
}

impl PremasterParts<'_> {
    /// Whether a pre-shared key has a length that can be.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        match self.psk {
            Some(psk) if psk.is_empty() || psk.len() > MAX_PSK_LEN => Err(ApiError::BadLength),
            _ => Ok(()),
        }
    }
}

/// The premaster secret: of PSK suites length, other secret, length, key, where the other secret is zeros in plain PSK
/// (RFC 4279 §2) and the shared secret in `ECDHE_PSK` (RFC 5489 §2); of others the shared secret alone.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Premaster {
    bytes: [u8; 4 + 2 * MAX_PSK_LEN],
    len: usize,
}

impl Premaster {
    /// Puts the parts together.
    pub(crate) fn new(parts: PremasterParts<'_>) -> Result<Self, ApiError> {
        #[cfg(feature = "certificates")]
        if let Some(shared) = parts.shared {
            return Self::ecdhe(shared, parts.psk);
        }
        Self::psk(parts.psk.ok_or(ApiError::BadLength)?)
    }

    /// Takes a key of 1 to [`MAX_PSK_LEN`] bytes.
    pub(crate) fn psk(psk: &[u8]) -> Result<Self, ApiError> {
        if psk.is_empty() || psk.len() > MAX_PSK_LEN {
            return Err(ApiError::BadLength);
        }
        let n = psk.len();
        let length = (n as u16).to_be_bytes();
        let mut bytes = [0; 4 + 2 * MAX_PSK_LEN];
        bytes[..2].copy_from_slice(&length);
        bytes[2 + n..4 + n].copy_from_slice(&length);
        bytes[4 + n..4 + 2 * n].copy_from_slice(psk);
        Ok(Self {
            bytes,
            len: 4 + 2 * n,
        })
    }

    /// Takes a shared secret, and in `ECDHE_PSK` a key of 1 to [`MAX_PSK_LEN`] bytes.
    #[cfg(feature = "certificates")]
    pub(crate) fn ecdhe(shared: &[u8], psk: Option<&[u8]>) -> Result<Self, ApiError> {
        let mut this = Self {
            bytes: [0; 4 + 2 * MAX_PSK_LEN],
            len: 0,
        };
        let Some(psk) = psk else {
            this.append(shared)?;
            return Ok(this);
        };
        if psk.is_empty() || psk.len() > MAX_PSK_LEN {
            return Err(ApiError::BadLength);
        }
        for part in [shared, psk] {
            this.append(&(part.len() as u16).to_be_bytes())?;
            this.append(part)?;
        }
        Ok(this)
    }

    #[cfg(feature = "certificates")]
    fn append(&mut self, part: &[u8]) -> Result<(), ApiError> {
        let end = self.len + part.len();
        self.bytes
            .get_mut(self.len..end)
            .ok_or(ApiError::BadLength)?
            .copy_from_slice(part);
        self.len = end;
        Ok(())
    }

    /// Derives the master secret.
    pub(crate) fn master_secret<P: Provider>(
        self,
        provider: &P,
        suite: SuiteParameters,
        seed: Seed<'_>,
        out: &mut [u8; MASTER_SECRET_LEN],
    ) -> Result<(), CryptoError> {
        let key = provider.hmac(suite.hash, &self.bytes[..self.len])?;
        match seed {
            Seed::SessionHash(hash) => prf(&key, b"extended master secret", [hash, &[]], out),
            Seed::Randoms { client, server } => prf(&key, b"master secret", [client, server], out),
        }
        Ok(())
    }
}

/// The master secret, with its HMAC key expanded.
pub(crate) struct MasterSecret<H> {
    hmac: H,
    #[cfg(any(feature = "exporter", feature = "key-log"))]
    secret: Zeroizing<[u8; MASTER_SECRET_LEN]>,
}

impl<H> fmt::Debug for MasterSecret<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterSecret").finish_non_exhaustive()
    }
}

impl<H: Hmac> MasterSecret<H> {
    /// Expands the HMAC key of `secret`.
    pub(crate) fn new<P: Provider<Hmac = H>>(
        provider: &P,
        suite: SuiteParameters,
        secret: &[u8; MASTER_SECRET_LEN],
    ) -> Result<Self, CryptoError> {
        Ok(Self {
            hmac: provider.hmac(suite.hash, secret)?,
            #[cfg(any(feature = "exporter", feature = "key-log"))]
            secret: Zeroizing::new(*secret),
        })
    }

    /// The bare secret, for exporters and the key log.
    #[cfg(any(feature = "exporter", feature = "key-log"))]
    pub(crate) fn bytes(&self) -> &[u8; MASTER_SECRET_LEN] {
        &self.secret
    }

    /// The traffic keys of both directions.
    #[inline(never)]
    pub(crate) fn traffic_keys(
        &self,
        suite: SuiteParameters,
        client_random: &[u8; RANDOM_LEN],
        server_random: &[u8; RANDOM_LEN],
        we_are_client: bool,
    ) -> TrafficKeys {
        let mut block = Zeroizing::new([0; 2 * (MAX_KEY_LEN + NONCE_LEN)]);
        let key_len = suite.aead.key_len();
        let iv_len = fixed_iv_len(suite.aead);
        let block = &mut block[..2 * (key_len + iv_len)];
        prf(
            &self.hmac,
            b"key expansion",
            [server_random, client_random],
            block,
        );
        // client_write_key, server_write_key, client_write_IV, server_write_IV; AEAD suites have no MAC keys.
        let (keys, ivs) = block.split_at(2 * key_len);
        let (client_key, server_key) = keys.split_at(key_len);
        let (client_iv, server_iv) = ivs.split_at(iv_len);
        let mut traffic = TrafficKeys::EMPTY;
        let (write, read) = if we_are_client {
            ((client_key, client_iv), (server_key, server_iv))
        } else {
            ((server_key, server_iv), (client_key, client_iv))
        };
        traffic.write_key[..key_len].copy_from_slice(write.0);
        traffic.write_iv[..iv_len].copy_from_slice(write.1);
        traffic.read_key[..key_len].copy_from_slice(read.0);
        traffic.read_iv[..iv_len].copy_from_slice(read.1);
        traffic
    }

    /// The contents of a `Finished`.
    pub(crate) fn verify_data(&self, of_client: bool, transcript: &[u8]) -> [u8; VERIFY_DATA_LEN] {
        let label: &[u8] = if of_client {
            b"client finished"
        } else {
            b"server finished"
        };
        let mut out = [0; VERIFY_DATA_LEN];
        prf(&self.hmac, label, [transcript, &[]], &mut out);
        out
    }
}

#[cfg(feature = "exporter")]
/// Keying material for others (RFC 5705 §4). An absent context differs from an empty one.
pub(crate) fn exporter<P: Provider>(
    provider: &P,
    suite: SuiteParameters,
    master_secret: &[u8; MASTER_SECRET_LEN],
    randoms: &[u8; 2 * RANDOM_LEN],
    label: &[u8],
    context: Option<&[u8]>,
    out: &mut [u8],
) -> Result<(), ApiError> {
    let key = provider.hmac(suite.hash, master_secret)?;
    let Some(context) = context else {
        prf(&key, label, [randoms, &[]], out);
        return Ok(());
    };
    let length = u16::try_from(context.len()).map_err(|_| ApiError::BadLength)?;
    let mut seed = [0; 2 * RANDOM_LEN + 2];
    seed[..2 * RANDOM_LEN].copy_from_slice(randoms);
    seed[2 * RANDOM_LEN..].copy_from_slice(&length.to_be_bytes());
    prf(&key, label, [&seed, context], out);
    Ok(())
}
