//! What key exchange and signatures of every provider must do. Both provider crates include this file.

use lockgate_dtls::crypto::{
    CryptoError, KeyExchange as _, KeyType, MAX_SHARED_SECRET_LEN, MAX_SIGNATURE_LEN, NamedGroup,
    Provider, PublicKey, SignatureScheme, SigningKey,
};

pub(crate) const GROUPS: [NamedGroup; 3] = [
    NamedGroup::SECP256R1,
    NamedGroup::SECP384R1,
    NamedGroup::X25519,
];

/// A signature as its RFC prints it.
pub(crate) struct Vector {
    pub(crate) source: &'static str,
    pub(crate) scheme: SignatureScheme,
    pub(crate) key_type: KeyType,
    pub(crate) secret: &'static str,
    pub(crate) public: &'static str,
    pub(crate) message: &'static [u8],
    /// `r` and `s` of ECDSA, or the two halves of an Ed25519 signature.
    pub(crate) signature: [&'static str; 2],
}

const P256: (&str, &str) = (
    "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721",
    "0460FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB67903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F51\
     77A3C294D4462299",
);
const P384: (&str, &str) = (
    "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5",
    "04EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC138015D9B72D7D57244EA8\
     EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720",
);

/// RFC 6979 §A.2.5 and §A.2.6, RFC 8032 §7.1.
pub(crate) const VECTORS: [Vector; 6] = [
    Vector {
        source: "RFC 6979, P-256, SHA-256",
        scheme: SignatureScheme::ECDSA_SECP256R1_SHA256,
        key_type: KeyType::EcdsaP256,
        secret: P256.0,
        public: P256.1,
        message: b"sample",
        signature: [
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
            "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
        ],
    },
    Vector {
        source: "RFC 6979, P-256, SHA-384",
        scheme: SignatureScheme::ECDSA_SECP384R1_SHA384,
        key_type: KeyType::EcdsaP256,
        secret: P256.0,
        public: P256.1,
        message: b"sample",
        signature: [
            "0EAFEA039B20E9B42309FB1D89E213057CBF973DC0CFC8F129EDDDC800EF7719",
            "4861F0491E6998B9455193E34E7B0D284DDD7149A74B95B9261F13ABDE940954",
        ],
    },
    Vector {
        source: "RFC 6979, P-384, SHA-256",
        scheme: SignatureScheme::ECDSA_SECP256R1_SHA256,
        key_type: KeyType::EcdsaP384,
        secret: P384.0,
        public: P384.1,
        message: b"sample",
        signature: [
            "21B13D1E013C7FA1392D03C5F99AF8B30C570C6F98D4EA8E354B63A21D3DAA33BDE1E888E63355D92FA2B3C36D8FB2CD",
            "F3AA443FB107745BF4BD77CB3891674632068A10CA67E3D45DB2266FA7D1FEEBEFDC63ECCD1AC42EC0CB8668A4FA0AB0",
        ],
    },
    Vector {
        source: "RFC 6979, P-384, SHA-384",
        scheme: SignatureScheme::ECDSA_SECP384R1_SHA384,
        key_type: KeyType::EcdsaP384,
        secret: P384.0,
        public: P384.1,
        message: b"sample",
        signature: [
            "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46",
            "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8",
        ],
    },
    Vector {
        source: "RFC 8032, test 1",
        scheme: SignatureScheme::ED25519,
        key_type: KeyType::Ed25519,
        secret: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        public: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        message: b"",
        signature: [
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155",
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ],
    },
    Vector {
        source: "RFC 8032, test 2",
        scheme: SignatureScheme::ED25519,
        key_type: KeyType::Ed25519,
        secret: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        public: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        message: &[0x72],
        signature: [
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ],
    },
];

impl Vector {
    /// As it stands in a handshake message.
    pub(crate) fn signature(&self) -> Vec<u8> {
        let [first, second] = self.signature.map(hex);
        if self.key_type == KeyType::Ed25519 {
            return [first, second].concat();
        }
        let integers = [first, second].map(|number| {
            let zeros = number.iter().take_while(|&&byte| byte == 0).count();
            let sign: &[u8] = if number[zeros] & 0x80 == 0 { &[] } else { &[0] };
            let number = [sign, &number[zeros..]].concat();
            [&[2, number.len() as u8], &number[..]].concat()
        });
        let integers = integers.concat();
        [&[0x30, integers.len() as u8], &integers[..]].concat()
    }

    /// The key as PKCS#8 without its public half.
    pub(crate) fn pkcs8(&self) -> Vec<u8> {
        let head = match self.key_type {
            KeyType::EcdsaP256 => {
                "3041020100301306072A8648CE3D020106082A8648CE3D030107042730250201010420"
            }
            KeyType::EcdsaP384 => {
                "304E020100301006072A8648CE3D020106052B81040022043730350201010430"
            }
            KeyType::Ed25519 => "302E020100300506032B657004220420",
            KeyType::Rsa => unreachable!(),
        };
        [hex(head), hex(self.secret)].concat()
    }
}

/// Runs every check on `provider`, for all that it supports. `key` makes a private key of a vector, where that is
/// supported.
pub(crate) fn check<K: SigningKey>(
    provider: &mut impl Provider,
    key: impl Fn(&Vector) -> Option<K>,
) {
    for group in GROUPS {
        if provider.supports_group(group) {
            a_group_agrees_and_refuses(provider, group);
        } else {
            let refused = provider.key_exchange(group).err();
            assert_eq!(refused, Some(CryptoError::Unsupported), "{group}");
        }
    }
    for vector in &VECTORS {
        let key = key(vector);
        if provider.supports_scheme(vector.scheme)
            && let Some(key) = key
        {
            a_vector_verifies(provider, vector);
            a_key_in_other_clothes_is_refused(provider, vector);
            what_the_key_signs_verifies(provider, vector, &key);
        } else {
            let refused = verify(provider, vector, &hex(vector.public), &vector.signature());
            assert_eq!(refused, Err(CryptoError::Unsupported), "{}", vector.source);
        }
    }
    // secp521r1, x448, X25519MLKEM768
    for group in [25, 30, 0x11EC].map(NamedGroup) {
        assert!(!provider.supports_group(group));
        let refused = provider.key_exchange(group).err();
        assert_eq!(refused, Some(CryptoError::Unsupported));
    }
    // ecdsa_sha1, ecdsa_secp521r1_sha512, ed448
    for scheme in [0x0203, 0x0603, 0x0808].map(SignatureScheme) {
        assert!(!provider.supports_scheme(scheme));
        let key = PublicKey {
            key_type: KeyType::Ed25519,
            bytes: &[0; 32],
        };
        let refused = provider.verify(scheme, key, b"", &[0; 64]);
        assert_eq!(refused, Err(CryptoError::Unsupported));
    }
}

fn a_group_agrees_and_refuses(provider: &mut impl Provider, group: NamedGroup) {
    let ours = provider.key_exchange(group).unwrap();
    let theirs = provider.key_exchange(group).unwrap();
    let good = theirs.public_value().to_vec();
    assert_ne!(ours.public_value(), good);
    let secret_len = match group {
        NamedGroup::SECP384R1 => 48,
        _ => 32,
    };
    let (mut a, mut b) = ([0; MAX_SHARED_SECRET_LEN], [0; MAX_SHARED_SECRET_LEN]);
    let our_value = ours.public_value().to_vec();
    assert_eq!(ours.agree(&good, &mut a), Ok(secret_len), "{group}");
    assert_eq!(theirs.agree(&our_value, &mut b), Ok(secret_len), "{group}");
    assert_eq!(a, b, "{group}");
    assert_ne!(a[..secret_len], vec![0; secret_len]);

    let mut bad = vec![
        vec![],
        vec![0],
        good[1..].to_vec(),
        good[..good.len() - 1].to_vec(),
        [&good[..], &[0]].concat(),
        vec![0; good.len()],
    ];
    if group == NamedGroup::X25519 {
        // Points of low order: 1, those next to the prime, with and without the bit that is masked away, and the
        // two of order eight.
        bad.push([&[1][..], &[0; 31]].concat());
        for low in [0xec_u8, 0xed, 0xee] {
            bad.push([&[low][..], &[0xff; 30], &[0x7f]].concat());
            bad.push([&[low][..], &[0xff; 31]].concat());
        }
        bad.push(hex(
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        ));
        bad.push(hex(
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        ));
    } else {
        let half = good.len() / 2;
        let parity = good[good.len() - 1] & 1;
        bad.push([&[2 + parity], &good[1..=half]].concat());
        bad.push([&[6 + parity], &good[1..]].concat());
        let mut off_curve = good.clone();
        *off_curve.last_mut().unwrap() ^= 1;
        bad.push(off_curve);
        // Coordinates beyond the field, and none.
        bad.push([&[4][..], &vec![0xff; good.len() - 1]].concat());
        bad.push([&[4][..], &vec![0; good.len() - 1]].concat());
    }
    for peer in bad {
        let key = provider.key_exchange(group).unwrap();
        let refused = key.agree(&peer, &mut a);
        let expected = Err(CryptoError::BadPublicValue);
        assert_eq!(refused, expected, "{group}: {peer:02x?}");
    }
}

fn verify(
    provider: &impl Provider,
    vector: &Vector,
    public: &[u8],
    signature: &[u8],
) -> Result<(), CryptoError> {
    let key = PublicKey {
        key_type: vector.key_type,
        bytes: public,
    };
    provider.verify(vector.scheme, key, vector.message, signature)
}

fn a_vector_verifies(provider: &impl Provider, vector: &Vector) {
    let (public, signature) = (hex(vector.public), vector.signature());
    let source = vector.source;
    let refused = Err(CryptoError::BadSignature);
    assert_eq!(
        verify(provider, vector, &public, &signature),
        Ok(()),
        "{source}"
    );
    // Coprime to a byte, so that each place in one has its turn.
    for bit in (0..signature.len() * 8).step_by(13) {
        let mut flipped = signature.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let result = verify(provider, vector, &public, &flipped);
        assert_eq!(result, refused, "{source}, bit {bit}");
    }
    for end in 0..signature.len() {
        let result = verify(provider, vector, &public, &signature[..end]);
        assert_eq!(result, refused, "{source}, {end} bytes");
    }
    let long = [&signature[..], &[0]].concat();
    assert_eq!(verify(provider, vector, &public, &long), refused);
    // Zeros for both numbers.
    let zeros: &[u8] = &[0x30, 0x06, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00];
    assert_eq!(verify(provider, vector, &public, zeros), refused);

    // Another message, another scheme, another type of key.
    let key_type = vector.key_type;
    let bytes = &public[..];
    let key = PublicKey { key_type, bytes };
    let result = provider.verify(vector.scheme, key, b"other", &signature);
    assert_eq!(result, refused, "{source}");
    for scheme in SignatureScheme::ALL {
        if scheme != vector.scheme && provider.supports_scheme(scheme) {
            let result = provider.verify(scheme, key, vector.message, &signature);
            assert_eq!(result, refused, "{source}, {scheme}");
        }
    }
    for key_type in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::Ed25519] {
        if key_type != vector.key_type {
            let key = PublicKey { key_type, bytes };
            let result = provider.verify(vector.scheme, key, vector.message, &signature);
            assert!(result.is_err(), "{source}, {key_type:?}");
        }
    }
}

/// What the engine hands over is a bare key in its one form.
fn a_key_in_other_clothes_is_refused(provider: &impl Provider, vector: &Vector) {
    let (public, signature) = (hex(vector.public), vector.signature());
    let mut others = vec![
        vec![],
        public[1..].to_vec(),
        [&public[..], &[0]].concat(),
        vec![0; public.len()],
        vec![0xff; public.len()],
    ];
    if vector.key_type != KeyType::Ed25519 {
        let parity = public[public.len() - 1] & 1;
        others.push([&[2 + parity], &public[1..=public.len() / 2]].concat());
        others.push([&[6 + parity], &public[1..]].concat());
        let mut off_curve = public.clone();
        *off_curve.last_mut().unwrap() ^= 1;
        others.push(off_curve);
    }
    for other in others {
        let result = verify(provider, vector, &other, &signature);
        let refused = Err(CryptoError::BadSignature);
        assert_eq!(result, refused, "{}: {other:02x?}", vector.source);
    }
}

fn what_the_key_signs_verifies(provider: &impl Provider, vector: &Vector, key: &impl SigningKey) {
    assert_eq!(key.key_type(), vector.key_type);
    assert!(key.public_key_info().ends_with(&hex(vector.public)));
    let mut out = [0; MAX_SIGNATURE_LEN];
    for scheme in SignatureScheme::ALL {
        if !scheme.fits(vector.key_type) || !provider.supports_scheme(scheme) {
            assert!(!key.supports(scheme));
            let refused = key.sign(scheme, b"text", &mut out);
            assert_eq!(refused, Err(CryptoError::Unsupported), "{scheme}");
        }
    }
    let len = key.sign(vector.scheme, vector.message, &mut out).unwrap();
    let verified = verify(provider, vector, &hex(vector.public), &out[..len]);
    assert_eq!(verified, Ok(()), "{}", vector.source);
    let short = key.sign(vector.scheme, vector.message, &mut out[..32]);
    assert_eq!(short, Err(CryptoError::BadLength));
}

/// Digits between which spaces may stand.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<_> = digits.chars().filter(char::is_ascii_hexdigit).collect();
    assert!(digits.len().is_multiple_of(2));
    let nibble = |digit: char| digit.to_digit(16).unwrap() as u8;
    digits
        .chunks(2)
        .map(|pair| nibble(pair[0]) << 4 | nibble(pair[1]))
        .collect()
}
