//! What happens to one record: protection, sequence numbers, the anti-replay window, connection ID framing.

mod protection;
mod replay;
#[cfg(test)]
mod tests;

pub(crate) use protection::{Direction, KeyPair, Layout, TrafficKeys, fixed_iv_len, open, seal};
pub(crate) use replay::{MAX_REPLAY_WINDOW, ReplayWindow, WINDOW_WORDS};

use crate::crypto::AeadAlgorithm;
use crate::suite::SuiteParameters;

/// Record sequence numbers have 48 bits and never wrap (RFC 6347 §4.1).
pub(crate) const SEQUENCE_END: u64 = 1 << 48;

/// How many records one key may seal (RFC 9147 §4.5.3: 2^24.5 for GCM, 2^23 for CCM).
pub(crate) fn seal_limit(suite: SuiteParameters, limits: crate::config::AeadLimits) -> u64 {
    use AeadAlgorithm as A;
    let by_standard = match suite.aead {
        A::Aes128Gcm | A::Aes256Gcm => 23_726_566,
        A::Aes128Ccm | A::Aes256Ccm | A::Aes128Ccm8 | A::Aes256Ccm8 => 1 << 23,
        A::ChaCha20Poly1305 => SEQUENCE_END,
    };
    by_standard.min(limits.seals)
}

/// How many records may fail to open under one key (RFC 9147 §4.5.3: 2^36 for GCM and `ChaCha20`, 2^23.5 for CCM).
pub(crate) const fn failed_open_limit(
    suite: SuiteParameters,
    limits: crate::config::AeadLimits,
) -> u64 {
    use AeadAlgorithm as A;
    match suite.aead {
        A::Aes128Gcm | A::Aes256Gcm | A::ChaCha20Poly1305 => 1 << 36,
        A::Aes128Ccm | A::Aes256Ccm => 11_863_283,
        A::Aes128Ccm8 | A::Aes256Ccm8 => limits.ccm_8_failed_opens,
    }
}
