//! AES-CCM (RFC 3610) on the AES instructions of x86-64: the MAC and the counter stream in one loop.
//!
//! CBC-MAC is a chain: each AES round waits for the one before, some four cycles, while the processor could begin
//! two others every cycle. The counter blocks wait for nobody, so they cost next to nothing when their rounds lie between those
//! of the chain. What is left is the latency of the chain; to keep all else out of it, a block of the MAC's input is
//! added to the last round key instead of the state.
//!
//! This is the one module with `unsafe` in it: unaligned loads and stores, and the calls of functions that are
//! compiled for instructions which not every x86-64 has.
#![allow(unsafe_code, reason = "CPU instructions; see each SAFETY comment")]

use std::arch::x86_64::{
    __m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_cvtsi32_si128, _mm_cvtsi128_si64,
    _mm_loadu_si128, _mm_set_epi64x, _mm_set1_epi32, _mm_setzero_si128, _mm_shuffle_epi8,
    _mm_slli_si128, _mm_storeu_si128, _mm_unpackhi_epi64, _mm_xor_si128,
};

use lockgate_dtls::crypto::CryptoError;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

const BLOCK_LEN: usize = 16;

/// Round keys of AES-128, the bare key included.
pub(super) const AES_128: usize = 11;
/// Round keys of AES-256, the bare key included.
pub(super) const AES_256: usize = 15;

/// An expanded key: `ROUND_KEYS` is [`AES_128`] or [`AES_256`].
///
/// A value of this type proves that the processor has the instructions: [`Key::new`] asks, and nothing else makes one.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Key<const ROUND_KEYS: usize>([__m128i; ROUND_KEYS]);

/// Whether this module can be used here. The answer is looked up once per process.
fn available() -> bool {
    is_x86_feature_detected!("aes") && is_x86_feature_detected!("ssse3")
}

impl Key<AES_128> {
    /// Expands `key`; `None` when the processor lacks the instructions.
    pub(super) fn new(key: &[u8; 16]) -> Option<Box<Self>> {
        // SAFETY: the features of `expand_128` are there, `available` has just said so.
        available().then(|| unsafe { expand_128(key) })
    }
}

impl Key<AES_256> {
    /// Expands `key`; `None` when the processor lacks the instructions.
    pub(super) fn new(key: &[u8; 32]) -> Option<Box<Self>> {
        // SAFETY: the features of `expand_256` are there, `available` has just said so.
        available().then(|| unsafe { expand_256(key) })
    }
}

impl<const ROUND_KEYS: usize> Key<ROUND_KEYS> {
    /// Encrypts all of `in_out` but the last `tag_len` bytes, which the tag takes.
    ///
    /// The caller sees to it that there is room for the tag and that 15 - `NONCE_LEN` bytes hold the text's length. TLS
    /// has one length of nonces and two of tags; all that the mode has can be used, so that more vectors apply.
    pub(super) fn seal<const NONCE_LEN: usize>(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
        tag_len: u8,
    ) {
        let (text, room) = in_out.split_at_mut(in_out.len() - usize::from(tag_len));
        // SAFETY: `self` exists, so the features of `run` are there.
        let tag = unsafe { run::<false, _, _>(&self.0, nonce, aad, text, room.len()) };
        room.copy_from_slice(&tag[..room.len()]);
    }

    /// Decrypts all of `in_out` but the last `tag_len` bytes, which are the tag.
    ///
    /// The caller sees to the same lengths as for [`Key::seal`].
    ///
    /// # Errors
    /// [`CryptoError::Unauthenticated`], and zeros instead of the text.
    pub(super) fn open<const NONCE_LEN: usize>(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
        tag_len: u8,
    ) -> Result<(), CryptoError> {
        let (text, tag) = in_out.split_at_mut(in_out.len() - usize::from(tag_len));
        // SAFETY: `self` exists, so the features of `run` are there.
        let right = unsafe { run::<true, _, _>(&self.0, nonce, aad, text, tag.len()) };
        if same_tag(&right, tag) {
            Ok(())
        } else {
            // CCM decrypts before it can verify.
            text.fill(0);
            Err(CryptoError::Unauthenticated)
        }
    }
}

/// Whether `right` begins with `tag`: in constant time, by words as far as they go.
pub(super) fn same_tag(right: &[u8; BLOCK_LEN], tag: &[u8]) -> bool {
    let (words, rest) = tag.as_chunks::<8>();
    let mut same = rest.ct_eq(&right[8 * words.len()..tag.len()]);
    for (right, tag) in right.as_chunks::<8>().0.iter().zip(words) {
        same &= u64::from_ne_bytes(*right).ct_eq(&u64::from_ne_bytes(*tag));
    }
    same.into()
}

#[target_feature(enable = "aes,ssse3")]
#[inline]
fn load(block: &[u8; BLOCK_LEN]) -> __m128i {
    // SAFETY: reads the 16 bytes that `block` refers to; this load needs no alignment.
    unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
}

#[target_feature(enable = "aes,ssse3")]
#[inline]
fn store(block: &mut [u8; BLOCK_LEN], value: __m128i) {
    // SAFETY: writes the 16 bytes that `block` refers to; this store needs no alignment.
    unsafe { _mm_storeu_si128(block.as_mut_ptr().cast(), value) }
}

/// Through registers: a load of 16 bytes that were just stored in two halves has to wait for both.
#[target_feature(enable = "aes,ssse3")]
#[inline]
fn from_int(value: u128) -> __m128i {
    _mm_set_epi64x((value >> 64) as i64, value as i64)
}

#[target_feature(enable = "aes,ssse3")]
#[inline]
fn to_int(value: __m128i) -> u128 {
    let low = _mm_cvtsi128_si64(value).cast_unsigned();
    let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(value, value)).cast_unsigned();
    u128::from(high) << 64 | u128::from(low)
}

#[target_feature(enable = "aes,ssse3")]
#[inline]
fn xor(a: __m128i, b: __m128i) -> __m128i {
    _mm_xor_si128(a, b)
}

// --- keys (FIPS 197 §5.2) -------------------------------------------------------------------------------------------

/// The last word of `key` in all four places, its bytes rotated by one.
const ROTATED: i32 = 0x0c0f_0e0d;
/// The last word of `key` in all four places.
const AS_IT_IS: i32 = 0x0f0e_0d0c;

/// The round key after `before`; `word` is what its first word is changed by, in all four places.
#[target_feature(enable = "aes,ssse3")]
#[inline]
fn next_key(before: __m128i, word: __m128i) -> __m128i {
    let key = xor(before, _mm_slli_si128::<4>(before));
    xor(xor(key, _mm_slli_si128::<8>(key)), word)
}

/// `SubWord` of the last word of `key`, plus the round constant.
///
/// The last round of AES is `SubBytes`, `ShiftRows` and the addition of a key; `ShiftRows` changes nothing when all
/// columns are the same. Three times as fast as the instruction that is there for it.
#[target_feature(enable = "aes,ssse3")]
#[inline]
fn substituted(key: __m128i, which: i32, round_constant: i32) -> __m128i {
    let words = _mm_shuffle_epi8(key, _mm_set1_epi32(which));
    _mm_aesenclast_si128(words, _mm_set1_epi32(round_constant))
}

const ROUND_CONSTANTS: [i32; 10] = [1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36];

#[target_feature(enable = "aes,ssse3")]
fn expand_128(bare: &[u8; 16]) -> Box<Key<AES_128>> {
    // In its final place from the start: moving a key would leave a copy behind.
    let mut expanded = Box::new(Key([_mm_setzero_si128(); AES_128]));
    let keys = &mut expanded.0;
    keys[0] = load(bare);
    for i in 1..AES_128 {
        let word = substituted(keys[i - 1], ROTATED, ROUND_CONSTANTS[i - 1]);
        keys[i] = next_key(keys[i - 1], word);
    }
    expanded
}

#[target_feature(enable = "aes,ssse3")]
fn expand_256(bare: &[u8; 32]) -> Box<Key<AES_256>> {
    let mut expanded = Box::new(Key([_mm_setzero_si128(); AES_256]));
    let keys = &mut expanded.0;
    let (halves, _) = bare.as_chunks();
    keys[0] = load(&halves[0]);
    keys[1] = load(&halves[1]);
    for i in 2..AES_256 {
        let word = if i % 2 == 0 {
            substituted(keys[i - 1], ROTATED, ROUND_CONSTANTS[i / 2 - 1])
        } else {
            substituted(keys[i - 1], AS_IT_IS, 0)
        };
        keys[i] = next_key(keys[i - 2], word);
    }
    expanded
}

// --- the mode (RFC 3610 §2) -----------------------------------------------------------------------------------------

/// All rounds but the last, of two blocks that do not depend on each other.
#[target_feature(enable = "aes,ssse3")]
#[inline]
fn rounds_of_two<const ROUND_KEYS: usize>(
    keys: &[__m128i; ROUND_KEYS],
    mut a: __m128i,
    mut b: __m128i,
) -> (__m128i, __m128i) {
    for &key in &keys[1..ROUND_KEYS - 1] {
        a = _mm_aesenc_si128(a, key);
        b = _mm_aesenc_si128(b, key);
    }
    (a, b)
}

/// All rounds but the last.
#[target_feature(enable = "aes,ssse3")]
#[inline]
fn rounds<const ROUND_KEYS: usize>(keys: &[__m128i; ROUND_KEYS], mut block: __m128i) -> __m128i {
    for &key in &keys[1..ROUND_KEYS - 1] {
        block = _mm_aesenc_si128(block, key);
    }
    block
}

/// Encrypts or, if `OPEN`, decrypts `text`, and returns the encrypted MAC of all.
///
/// Every block below is either before its first round, the first key added, or before its last.
#[target_feature(enable = "aes,ssse3")]
fn run<const OPEN: bool, const ROUND_KEYS: usize, const NONCE_LEN: usize>(
    keys: &[__m128i; ROUND_KEYS],
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    text: &mut [u8],
    tag_len: usize,
) -> [u8; BLOCK_LEN] {
    let (first, last) = (keys[0], keys[ROUND_KEYS - 1]);
    // Ends one block of the MAC and adds the first key of the next.
    let between = xor(first, last);

    let nonce = partial(nonce) << 8;
    // L': what the nonce leaves holds the length of the text, and the counter. Of both, 32 bits are written below.
    let length_len = const { 14 - NONCE_LEN as u128 };
    let counters = xor(from_int(nonce | length_len), first);
    let counter = |number: usize| {
        let number = (number as u32).to_be().cast_signed();
        xor(counters, _mm_slli_si128::<12>(_mm_cvtsi32_si128(number)))
    };

    let tag_flag = (tag_len as u128 - 2) / 2;
    let flags = u128::from(!aad.is_empty()) << 6 | tag_flag << 3 | length_len;
    let length = u128::from((text.len() as u32).to_be()) << 96;
    let begin = xor(from_int(flags | nonce | length), first);
    let (mut mac, for_tag) = rounds_of_two(keys, begin, counters);
    // Always one counter block ahead: what the MAC takes in when opening.
    let mut stream = rounds(keys, counter(1));

    if !aad.is_empty() {
        let (header, header_len) = aad_header(aad.len());
        let (beside, aad) = aad.split_at(aad.len().min(BLOCK_LEN - header_len));
        let block = from_int(header | partial(beside) << (8 * header_len));
        mac = rounds(keys, _mm_aesenclast_si128(mac, xor(between, block)));
        let (blocks, rest) = aad.as_chunks();
        for block in blocks {
            mac = rounds(keys, _mm_aesenclast_si128(mac, xor(between, load(block))));
        }
        if !rest.is_empty() {
            let block = from_int(partial(rest));
            mac = rounds(keys, _mm_aesenclast_si128(mac, xor(between, block)));
        }
    }

    let (blocks, rest) = text.as_chunks_mut();
    let mut number = 1;
    for block in blocks {
        let before = load(block);
        let after = _mm_aesenclast_si128(stream, xor(last, before));
        store(block, after);
        let plain = if OPEN { after } else { before };
        mac = _mm_aesenclast_si128(mac, xor(between, plain));
        number += 1;
        (mac, stream) = rounds_of_two(keys, mac, counter(number));
    }
    if !rest.is_empty() {
        let before = partial(rest);
        let after = to_int(_mm_aesenclast_si128(stream, xor(last, from_int(before))));
        // The MAC pads with zeros, not with what is left of the stream.
        let padded = u128::MAX >> (8 * (BLOCK_LEN - rest.len()));
        let plain = from_int(if OPEN { after & padded } else { before });
        mac = rounds(keys, _mm_aesenclast_si128(mac, xor(between, plain)));
        rest.copy_from_slice(&after.to_le_bytes()[..rest.len()]);
    }

    let mut tag = [0; BLOCK_LEN];
    let for_tag = _mm_aesenclast_si128(for_tag, last);
    store(&mut tag, _mm_aesenclast_si128(mac, xor(last, for_tag)));
    tag
}

/// How the length of the additional data is written before it, in how many bytes (RFC 3610 §2.2).
pub(super) fn aad_header(len: usize) -> (u128, usize) {
    if len < 0xff00 {
        (u128::from((len as u16).to_be()), 2)
    } else if let Ok(len) = u32::try_from(len) {
        (0xfeff | u128::from(len.to_be()) << 16, 6)
    } else {
        (0xffff | u128::from((len as u64).to_be()) << 16, 10)
    }
}

/// Fewer than 16 bytes, the first one lowest, with zeros behind.
///
/// In two reads that may overlap: copying an unknown number of bytes is a call, and reading them back waits for it.
fn partial(bytes: &[u8]) -> u128 {
    let len = bytes.len();
    debug_assert!(len < BLOCK_LEN);
    if let (Some(head), Some(tail)) = (bytes.first_chunk::<8>(), bytes.last_chunk()) {
        let (head, tail) = (u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
        u128::from(head) | u128::from(tail) << (8 * (len - 8))
    } else if let (Some(head), Some(tail)) = (bytes.first_chunk::<4>(), bytes.last_chunk()) {
        let (head, tail) = (u32::from_le_bytes(*head), u32::from_le_bytes(*tail));
        u128::from(u64::from(head) | u64::from(tail) << (8 * (len - 4)))
    } else {
        // The middle one of three, or a neighbour again.
        let at = |i: usize| u32::from(bytes[i]) << (8 * i);
        match len {
            0 => 0,
            _ => u128::from(at(0) | at(len / 2) | at(len - 1)),
        }
    }
}
