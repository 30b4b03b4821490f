//! AEAD record protection of DTLS 1.2: RFC 6347 §4.1.2, RFC 5288, RFC 6655, RFC 7905, and RFC 9146 with a connection ID.

use core::fmt;
use core::ops::Range;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::config::MAX_PEER_CID_LEN;
use crate::crypto::{AeadAlgorithm, AeadKey, CryptoError, MAX_KEY_LEN, NONCE_LEN, Provider};
use crate::drop_reason::DropReason;
use crate::wire::{
    ContentType, DTLS_1_2, MAX_PLAINTEXT_LEN, RECORD_HEADER_LEN, RecordHeader, Writer,
};

/// The keys of both directions, bare.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct TrafficKeys {
    pub(crate) write_key: [u8; MAX_KEY_LEN],
    pub(crate) read_key: [u8; MAX_KEY_LEN],
    pub(crate) write_iv: [u8; NONCE_LEN],
    pub(crate) read_iv: [u8; NONCE_LEN],
}

impl TrafficKeys {
    pub(crate) const EMPTY: Self = Self {
        write_key: [0; MAX_KEY_LEN],
        read_key: [0; MAX_KEY_LEN],
        write_iv: [0; NONCE_LEN],
        read_iv: [0; NONCE_LEN],
    };

    pub(crate) fn expand<P: Provider>(
        &self,
        provider: &P,
        aead: AeadAlgorithm,
    ) -> Result<KeyPair<P::AeadKey>, CryptoError> {
        let len = aead.key_len();
        Ok(KeyPair {
            write: provider.aead_key(aead, &self.write_key[..len])?,
            read: provider.aead_key(aead, &self.read_key[..len])?,
        })
    }
}

impl fmt::Debug for TrafficKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrafficKeys").finish_non_exhaustive()
    }
}

/// Expanded keys of both directions.
pub(crate) struct KeyPair<K> {
    pub(crate) write: K,
    pub(crate) read: K,
}

impl<K> fmt::Debug for KeyPair<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").finish_non_exhaustive()
    }
}

/// One direction of one epoch.
pub(crate) struct Direction<'a, K> {
    pub(crate) key: &'a K,
    pub(crate) iv: &'a [u8; NONCE_LEN],
    pub(crate) aead: AeadAlgorithm,
    /// The connection ID that records of this direction carry, or empty.
    pub(crate) cid: &'a [u8],
}

/// Where the parts of a protected record stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Record header with connection ID.
    pub(crate) header: usize,
    /// Explicit part of the nonce.
    pub(crate) explicit_nonce: usize,
    /// Inner content type, with a connection ID.
    pub(crate) inner_type: usize,
    pub(crate) tag: usize,
}

impl Layout {
    pub(crate) const fn new(aead: AeadAlgorithm, cid_len: usize) -> Self {
        Self {
            header: RECORD_HEADER_LEN + cid_len,
            explicit_nonce: explicit_nonce_len(aead),
            inner_type: (cid_len > 0) as usize,
            tag: aead.tag_len(),
        }
    }

    /// Bytes before the content.
    pub(crate) const fn before(self) -> usize {
        self.header + self.explicit_nonce
    }

    /// Bytes behind the content, without padding.
    pub(crate) const fn after(self) -> usize {
        self.inner_type + self.tag
    }
}

const EXPLICIT_NONCE_LEN: usize = 8;

const fn explicit_nonce_len(aead: AeadAlgorithm) -> usize {
    match aead {
        AeadAlgorithm::ChaCha20Poly1305 => 0,
        _ => EXPLICIT_NONCE_LEN,
    }
}

/// How many bytes of the key block are one direction's IV.
pub(crate) const fn fixed_iv_len(aead: AeadAlgorithm) -> usize {
    NONCE_LEN - explicit_nonce_len(aead)
}

fn epoch_and_sequence(epoch: u16, sequence: u64) -> [u8; 8] {
    (u64::from(epoch) << 48 | sequence).to_be_bytes()
}

/// The nonce: the IV and the explicit bytes, or for `ChaCha20` the IV XOR epoch and sequence.
fn nonce(aead: AeadAlgorithm, iv: &[u8; NONCE_LEN], explicit: [u8; 8]) -> [u8; NONCE_LEN] {
    let mut nonce = *iv;
    if aead == AeadAlgorithm::ChaCha20Poly1305 {
        for (n, e) in nonce[4..].iter_mut().zip(explicit) {
            *n ^= e;
        }
    } else {
        nonce[4..].copy_from_slice(&explicit);
    }
    nonce
}

/// Length of the additional data without a connection ID, in bytes.
const AAD_LEN: usize = 8 + 1 + 2 + 2;
/// Length of the additional data with a connection ID, without the ID itself, in bytes.
const CID_AAD_LEN: usize = 8 + 1 + 1 + 1 + 2 + 8 + 2;

/// Room for additional data with the longest connection ID.
type AdditionalData = [u8; CID_AAD_LEN + MAX_PEER_CID_LEN];
const NO_ADDITIONAL_DATA: AdditionalData = [0; CID_AAD_LEN + MAX_PEER_CID_LEN];

/// Writes additional data into `bytes` and returns what was written. `length` is that of the content, or of the inner
/// plaintext with a connection ID.
///
/// It is written where it is used: moving what was just written in pieces stalls the processor for longer than
/// writing it took.
fn additional_data<'a>(
    bytes: &'a mut AdditionalData,
    content_type: ContentType,
    number: [u8; 8],
    cid: &[u8],
    length: u16,
) -> Result<&'a [u8], CryptoError> {
    let [version_high, version_low] = DTLS_1_2.to_be_bytes();
    if cid.is_empty() {
        bytes[..8].copy_from_slice(&number);
        bytes[8] = content_type.0;
        bytes[9] = version_high;
        bytes[10] = version_low;
        bytes[11..AAD_LEN].copy_from_slice(&length.to_be_bytes());
        return Ok(&bytes[..AAD_LEN]);
    }
    let tls12_cid = ContentType::TLS12_CID.0;
    bytes[..8].fill(0xff);
    bytes[8] = tls12_cid;
    bytes[9] = cid.len() as u8;
    bytes[10] = tls12_cid;
    bytes[11] = version_high;
    bytes[12] = version_low;
    bytes[13..21].copy_from_slice(&number);
    let (id, rest) = bytes[21..]
        .split_at_mut_checked(cid.len())
        .ok_or(CryptoError::BadLength)?;
    id.copy_from_slice(cid);
    let to = rest.first_chunk_mut().ok_or(CryptoError::BadLength)?;
    *to = length.to_be_bytes();
    Ok(&bytes[..CID_AAD_LEN + cid.len()])
}

/// Protects the content that stands at `content` in `buf`, with room before and behind it as [`Layout`] says plus
/// `padding` zeros. Returns where the record stands.
///
/// The caller has checked the room and the sequence number.
pub(crate) fn seal<K: AeadKey>(
    direction: &Direction<'_, K>,
    content_type: ContentType,
    epoch: u16,
    sequence: u64,
    padding: usize,
    buf: &mut [u8],
    content: Range<usize>,
) -> Result<Range<usize>, CryptoError> {
    let layout = Layout::new(direction.aead, direction.cid.len());
    let start = content
        .start
        .checked_sub(layout.before())
        .ok_or(CryptoError::BadLength)?;
    let padding = if layout.inner_type == 0 { 0 } else { padding };
    let end = content.end + layout.after() + padding;
    let record = buf.get_mut(start..end).ok_or(CryptoError::BadLength)?;
    let (clear, protected) = record.split_at_mut(layout.before());
    let (header, explicit) = clear.split_at_mut(layout.header);

    let inner_len = content.len() + layout.inner_type + padding;
    if inner_len > MAX_PLAINTEXT_LEN {
        return Err(CryptoError::BadLength);
    }
    let outer_type = if layout.inner_type == 0 {
        content_type
    } else {
        protected[content.len()] = content_type.0;
        protected[content.len() + 1..inner_len].fill(0);
        ContentType::TLS12_CID
    };
    let length = (layout.explicit_nonce + inner_len + layout.tag) as u16;
    let fields = RecordHeader {
        content_type: outer_type,
        version: DTLS_1_2,
        epoch,
        sequence,
        cid_len: direction.cid.len() as u8,
        length,
    };
    fields
        .emit(direction.cid, &mut Writer::new(header))
        .map_err(|_| CryptoError::BadLength)?;
    let number = epoch_and_sequence(epoch, sequence);
    explicit.copy_from_slice(&number[..layout.explicit_nonce]);
    let nonce = nonce(direction.aead, direction.iv, number);
    let mut aad = NO_ADDITIONAL_DATA;
    let aad = additional_data(
        &mut aad,
        outer_type,
        number,
        direction.cid,
        inner_len as u16,
    )?;
    direction.key.seal_in_place(&nonce, aad, protected)?;
    Ok(start..end)
}

/// Opens `record`, which is as long as `header` says, in place. Returns the true content type and where in `record`
/// the content stands.
pub(crate) fn open<K: AeadKey>(
    direction: &Direction<'_, K>,
    header: &RecordHeader,
    record: &mut [u8],
) -> Result<(ContentType, Range<usize>), DropReason> {
    let layout = Layout::new(direction.aead, direction.cid.len());
    let protected = record
        .get_mut(layout.header..)
        .ok_or(DropReason::Malformed)?;
    let body = protected
        .len()
        .checked_sub(layout.explicit_nonce + layout.tag)
        .ok_or(DropReason::Malformed)?;
    let (explicit, sealed) = protected.split_at_mut(layout.explicit_nonce);
    // The peer may put anything into the explicit part; the additional data binds the true number.
    let number = match explicit.first_chunk() {
        Some(explicit) => *explicit,
        None => epoch_and_sequence(header.epoch, header.sequence),
    };
    let nonce = nonce(direction.aead, direction.iv, number);
    let length = u16::try_from(body).map_err(|_| DropReason::Malformed)?;
    let mut aad = NO_ADDITIONAL_DATA;
    let aad = additional_data(
        &mut aad,
        header.content_type,
        epoch_and_sequence(header.epoch, header.sequence),
        direction.cid,
        length,
    )
    .map_err(|_| DropReason::Internal)?;
    direction
        .key
        .open_in_place(&nonce, aad, sealed)
        .map_err(|_| DropReason::Unauthenticated)?;

    let start = layout.before();
    if direction.cid.is_empty() {
        if body > MAX_PLAINTEXT_LEN {
            return Err(DropReason::RecordOverflow);
        }
        return Ok((header.content_type, start..start + body));
    }
    let inner = &sealed[..body];
    let at = inner
        .iter()
        .rposition(|&b| b != 0)
        .ok_or(DropReason::InvalidInner)?;
    if at > MAX_PLAINTEXT_LEN {
        return Err(DropReason::RecordOverflow);
    }
    Ok((ContentType(inner[at]), start..start + at))
}
