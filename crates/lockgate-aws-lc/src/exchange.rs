//! Ephemeral Diffie-Hellman.

use std::fmt;

use aws_lc_rs::agreement::{
    self, Algorithm, ECDH_P256, ECDH_P384, PrivateKey, UnparsedPublicKey, X25519,
};
use lockgate_dtls::crypto::{
    self, CryptoError, MAX_PUBLIC_VALUE_LEN, MAX_SHARED_SECRET_LEN, NamedGroup,
};

/// An ephemeral private key of P-256, P-384 or X25519.
///
/// AWS-LC keeps it on the C heap and wipes it when it is freed; the shared secret is wiped there too.
pub struct KeyExchange {
    private: PrivateKey,
    public: [u8; MAX_PUBLIC_VALUE_LEN],
    public_len: u8,
}

pub(crate) const fn supports(group: NamedGroup) -> bool {
    algorithm(group).is_some()
}

const fn algorithm(group: NamedGroup) -> Option<&'static Algorithm> {
    Some(match group {
        NamedGroup::SECP256R1 => &ECDH_P256,
        NamedGroup::SECP384R1 => &ECDH_P384,
        NamedGroup::X25519 => &X25519,
        _ => return None,
    })
}

impl KeyExchange {
    pub(crate) fn generate(group: NamedGroup) -> Result<Self, CryptoError> {
        let algorithm = algorithm(group).ok_or(CryptoError::Unsupported)?;
        // Making a key fails when there is no randomness, or no memory.
        let private = PrivateKey::generate(algorithm).map_err(|_| CryptoError::NoRandomness)?;
        Self::new(private)
    }

    fn new(private: PrivateKey) -> Result<Self, CryptoError> {
        let computed = private
            .compute_public_key()
            .map_err(|_| CryptoError::BadLength)?;
        let computed = computed.as_ref();
        let mut public = [0; MAX_PUBLIC_VALUE_LEN];
        public
            .get_mut(..computed.len())
            .ok_or(CryptoError::BadLength)?
            .copy_from_slice(computed);
        Ok(Self {
            private,
            public,
            public_len: computed.len() as u8,
        })
    }
}

impl crypto::KeyExchange for KeyExchange {
    fn public_value(&self) -> &[u8] {
        &self.public[..usize::from(self.public_len)]
    }

    fn agree(
        self,
        peer: &[u8],
        out: &mut [u8; MAX_SHARED_SECRET_LEN],
    ) -> Result<usize, CryptoError> {
        let algorithm = self.private.algorithm();
        // AWS-LC also takes compressed and hybrid points and whole `SubjectPublicKeyInfo`s; TLS does not (RFC 8422
        // §5.4.1). An uncompressed point is as long as our own.
        let uncompressed = *algorithm == X25519 || peer.first() == Some(&0x04);
        if peer.len() != self.public_value().len() || !uncompressed {
            return Err(CryptoError::BadPublicValue);
        }
        let peer = UnparsedPublicKey::new(algorithm, peer);
        agreement::agree(&self.private, peer, CryptoError::BadPublicValue, |secret| {
            out.get_mut(..secret.len())
                .ok_or(CryptoError::BadLength)?
                .copy_from_slice(secret);
            Ok(secret.len())
        })
    }
}

impl fmt::Debug for KeyExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyExchange").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_dtls::crypto::KeyExchange as _;

    fn hex(digits: &str) -> Vec<u8> {
        let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn agrees(algorithm: &'static Algorithm, ours: &str, public: &str, peer: &str, secret: &str) {
        let private = PrivateKey::from_private_key(algorithm, &hex(ours)).unwrap();
        let key = KeyExchange::new(private).unwrap();
        assert_eq!(key.public_value(), hex(public));
        let mut out = [0; MAX_SHARED_SECRET_LEN];
        let len = key.agree(&hex(peer), &mut out).unwrap();
        assert_eq!(out[..len], hex(secret));
    }

    #[test]
    fn x25519_as_in_rfc_7748() {
        let alice = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
        let bob = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
        let secret = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
        agrees(
            &X25519,
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            alice,
            bob,
            secret,
        );
        agrees(
            &X25519,
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
            bob,
            alice,
            secret,
        );
    }

    /// RFC 5903 §8.1.
    #[test]
    fn p256_as_in_rfc_5903() {
        agrees(
            &ECDH_P256,
            "C88F01F5 10D9AC3F 70A292DA A2316DE5 44E9AAB8 AFE84049 C62A9C57 862D1433",
            "04 DAD0B653 94221CF9 B051E1FE CA5787D0 98DFE637 FC90B9EF 945D0C37 72581180 \
             5271A046 1CDB8252 D61F1C45 6FA3E59A B1F45B33 ACCF5F58 389E0577 B8990BB3",
            "04 D12DFB52 89C8D4F8 1208B702 70398C34 2296970A 0BCCB74C 736FC755 4494BF63 \
             56FBF3CA 366CC23E 8157854C 13C58D6A AC23F046 ADA30F83 53E74F33 039872AB",
            "D6840F6B 42F6EDAF D13116E0 E1256520 2FEF8E9E CE7DCE03 812464D0 4B9442DE",
        );
    }

    /// RFC 5903 §8.2.
    #[test]
    fn p384_as_in_rfc_5903() {
        agrees(
            &ECDH_P384,
            "099F3C70 34D4A2C6 99884D73 A375A67F 7624EF7C 6B3C0F16 0647B674 14DCE655 E35B5380 41E649EE \
             3FAEF896 783AB194",
            "04 667842D7 D180AC2C DE6F74F3 7551F557 55C7645C 20EF73E3 1634FE72 B4C55EE6 DE3AC808 ACB4BDB4 \
             C88732AE E95F41AA 9482ED1F C0EEB9CA FC498462 5CCFC23F 65032149 E0E144AD A0241815 35A0F38E \
             EB9FCFF3 C2C947DA E69B4C63 4573A81C",
            "04 E558DBEF 53EECDE3 D3FCCFC1 AEA08A89 A987475D 12FD950D 83CFA417 32BC509D 0D1AC43A 0336DEF9 \
             6FDA41D0 774A3571 DCFBEC7A ACF31964 72169E83 8430367F 66EEBE3C 6E70C416 DD5F0C68 759DD1FF \
             F83FA401 42209DFF 5EAAD96D B9E6386C",
            "11187331 C279962D 93D60424 3FD592CB 9D0A926F 422E4718 7521287E 7156C5C4 D6031355 69B9E9D0 \
             9CF5D4A2 70F59746",
        );
    }
}
