//! Published test vectors, in hexadecimal.

use lockgate_dtls::crypto::AeadAlgorithm;

/// One sealed text.
pub(crate) struct Aead {
    /// Where it was published.
    pub(crate) source: &'static str,
    pub(crate) algorithm: AeadAlgorithm,
    pub(crate) key: &'static str,
    pub(crate) nonce: &'static str,
    pub(crate) aad: &'static str,
    pub(crate) plaintext: &'static str,
    /// Ciphertext and tag.
    pub(crate) sealed: &'static str,
}

/// The GCM cases are those of the mode's submission to NIST, which SP 800-38D refers to.
pub(crate) const AEAD: &[Aead] = &[
    Aead {
        source: "GCM test case 1",
        algorithm: AeadAlgorithm::Aes128Gcm,
        key: "00000000000000000000000000000000",
        nonce: "000000000000000000000000",
        aad: "",
        plaintext: "",
        sealed: "58e2fccefa7e3061367f1d57a4e7455a",
    },
    Aead {
        source: "GCM test case 2",
        algorithm: AeadAlgorithm::Aes128Gcm,
        key: "00000000000000000000000000000000",
        nonce: "000000000000000000000000",
        aad: "",
        plaintext: "00000000000000000000000000000000",
        sealed: "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf",
    },
    Aead {
        source: "GCM test case 3",
        algorithm: AeadAlgorithm::Aes128Gcm,
        key: "feffe9928665731c6d6a8f9467308308",
        nonce: "cafebabefacedbaddecaf888",
        aad: "",
        plaintext: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95\
            956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
        sealed: "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b2\
            5466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f59854d5c2af327cd64a6\
            2cf35abd2ba6fab4",
    },
    Aead {
        source: "GCM test case 4",
        algorithm: AeadAlgorithm::Aes128Gcm,
        key: "feffe9928665731c6d6a8f9467308308",
        nonce: "cafebabefacedbaddecaf888",
        aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        plaintext: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95\
            956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        sealed: "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b2\
            5466931c7d8f6a5aac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95a\
            e7121a47",
    },
    Aead {
        source: "GCM test case 13",
        algorithm: AeadAlgorithm::Aes256Gcm,
        key: "0000000000000000000000000000000000000000000000000000000000000000",
        nonce: "000000000000000000000000",
        aad: "",
        plaintext: "",
        sealed: "530f8afbc74536b9a963b4f1c4cb738b",
    },
    Aead {
        source: "GCM test case 14",
        algorithm: AeadAlgorithm::Aes256Gcm,
        key: "0000000000000000000000000000000000000000000000000000000000000000",
        nonce: "000000000000000000000000",
        aad: "",
        plaintext: "00000000000000000000000000000000",
        sealed: "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
    },
    Aead {
        source: "GCM test case 15",
        algorithm: AeadAlgorithm::Aes256Gcm,
        key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        nonce: "cafebabefacedbaddecaf888",
        aad: "",
        plaintext: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95\
            956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
        sealed: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48\
            590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015adb094dac5d93471bd\
            ec1a502270e3cc6c",
    },
    Aead {
        source: "GCM test case 16",
        algorithm: AeadAlgorithm::Aes256Gcm,
        key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        nonce: "cafebabefacedbaddecaf888",
        aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        plaintext: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95\
            956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        sealed: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48\
            590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853\
            bb2d551b",
    },
    Aead {
        source: "SP 800-38C example 3",
        algorithm: AeadAlgorithm::Aes128Ccm8,
        key: "404142434445464748494a4b4c4d4e4f",
        nonce: "101112131415161718191a1b",
        aad: "000102030405060708090a0b0c0d0e0f10111213",
        plaintext: "202122232425262728292a2b2c2d2e2f3031323334353637",
        sealed: "e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5484392fbc1b09951",
    },
    Aead {
        source: "CAVP VNT128, 12-byte nonce, first",
        algorithm: AeadAlgorithm::Aes128Ccm,
        key: "005e8f4d8e0cbf4e1ceeb5d87a275848",
        nonce: "0ec3ac452b547b9062aac8fa",
        aad: "2f1821aa57e5278ffd33c17d46615b77363149dbc98470413f6543a6b749f2ca",
        plaintext: "b6f345204526439daf84998f380dcfb4b4167c959c04ff65",
        sealed: "9575e16f35da3c88a19c26a7b762044f4d7bbbafeff05d754829e2a7752fa3a148909728\
            84b511d8",
    },
    Aead {
        source: "CAVP VNT128, 12-byte nonce, second",
        algorithm: AeadAlgorithm::Aes128Ccm,
        key: "005e8f4d8e0cbf4e1ceeb5d87a275848",
        nonce: "472711261a9262bef077c0b7",
        aad: "17c87889a2652636bcf712d111c86b9d68d64d18d531928030a5ec97c59931a4",
        plaintext: "9d63df773b3799e361c5328d44bbb12f4154747ecf7cc667",
        sealed: "53323b82d7a754d82cebf0d4bc930ef06d11e162c5c027c4715a641834bbb75bb6572ca5\
            a45c3183",
    },
    Aead {
        source: "CAVP VNT256, 12-byte nonce, first",
        algorithm: AeadAlgorithm::Aes256Ccm,
        key: "d6ff67379a2ead2ca87aa4f29536258f9fb9fc2e91b0ed18e7b9f5df332dd1dc",
        nonce: "2f1d0717a822e20c7cd28f0a",
        aad: "d50741d34c8564d92f396b97be782923ff3c855ea9757bde419f632c83997630",
        plaintext: "98626ffc6c44f13c964e7fcb7d16e988990d6d063d012d33",
        sealed: "50e22db70ac2bab6d6af7059c90d00fbf0fb52eee5eb650e08aca7dec636170f481dcb9f\
            efb85c05",
    },
    Aead {
        source: "CAVP VNT256, 12-byte nonce, second",
        algorithm: AeadAlgorithm::Aes256Ccm,
        key: "d6ff67379a2ead2ca87aa4f29536258f9fb9fc2e91b0ed18e7b9f5df332dd1dc",
        nonce: "819ecbe71f851743871163cc",
        aad: "48e06c3b2940819e58eb24122a2988c997697347a6e34c21267d76049febdcf8",
        plaintext: "8d164f598ea141082b1069776fccd87baf6a2563cbdbc9d1",
        sealed: "70fd9d3c7d9e8af610edb3d329f371cf3052d820e79775a932d42f9954f9d35d989a09e4\
            292949fc",
    },
    Aead {
        source: "computed with OpenSSL 3",
        algorithm: AeadAlgorithm::Aes256Ccm8,
        key: "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f",
        nonce: "101112131415161718191a1b",
        aad: "000102030405060708090a0b0c0d0e0f10111213",
        plaintext: "202122232425262728292a2b2c2d2e2f3031323334353637",
        sealed: "04f883aeb3bd0730eaf50bb6de4fa2212034e4e41b0e75e52b48c8766f7e7649",
    },
    Aead {
        source: "RFC 8439 §2.8.2",
        algorithm: AeadAlgorithm::ChaCha20Poly1305,
        key: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        nonce: "070000004041424344454647",
        aad: "50515253c0c1c2c3c4c5c6c7",
        plaintext: "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66\
            202739393a204966204920636f756c64206f6666657220796f75206f6e6c79206f6e6520\
            74697020666f7220746865206675747572652c2073756e73637265656e20776f756c6420\
            62652069742e",
        sealed: "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e\
            8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c\
            9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d265\
            86cec64b61161ae10b594f09e26a7e902ecbd0600691",
    },
];

/// One MAC under both hashes.
pub(crate) struct Hmac {
    /// Where it was published.
    pub(crate) source: &'static str,
    pub(crate) key: &'static str,
    pub(crate) data: &'static str,
    pub(crate) sha256: &'static str,
    pub(crate) sha384: &'static str,
}

/// RFC 4231 §4; its test case 5 truncates the output, which TLS never does.
pub(crate) const HMAC: &[Hmac] = &[
    Hmac {
        source: "RFC 4231 test case 1",
        key: "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
        data: "4869205468657265",
        sha256: "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        sha384: "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9\
            076ede7f4af152e8b2fa9cb6",
    },
    Hmac {
        source: "RFC 4231 test case 2",
        key: "4a656665",
        data: "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
        sha256: "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        sha384: "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca\
            5e69e2c78b3239ecfab21649",
    },
    Hmac {
        source: "RFC 4231 test case 3",
        key: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        data: "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\
            dddddddddddddddddddddddddddd",
        sha256: "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        sha384: "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39d\
            c13814b94e3ab6e101a34f27",
    },
    Hmac {
        source: "RFC 4231 test case 4",
        key: "0102030405060708090a0b0c0d0e0f10111213141516171819",
        data: "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\
            cdcdcdcdcdcdcdcdcdcdcdcdcdcd",
        sha256: "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        sha384: "3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e6801dd23\
            c4a7d679ccf8a386c674cffb",
    },
    Hmac {
        source: "RFC 4231 test case 6",
        key: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
            aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
            aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
            aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        data: "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b65\
            79202d2048617368204b6579204669727374",
        sha256: "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        sha384: "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab\
            4030fe8296248df163f44952",
    },
    Hmac {
        source: "RFC 4231 test case 7",
        key: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
            aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
            aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
            aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        data: "5468697320697320612074657374207573696e672061206c6172676572207468616e2062\
            6c6f636b2d73697a65206b657920616e642061206c6172676572207468616e20626c6f63\
            6b2d73697a6520646174612e20546865206b6579206e6565647320746f20626520686173\
            686564206265666f7265206265696e6720757365642062792074686520484d414320616c\
            676f726974686d2e",
        sha256: "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        sha384: "6617178e941f020d351e2f254e8fd32c602420feb0b8fb9adccebb82461e99c5a678cc31\
            e799176d3860e6110c46523e",
    },
];

/// One message and its digests.
pub(crate) struct Hash {
    pub(crate) message: &'static str,
    pub(crate) sha256: &'static str,
    pub(crate) sha384: &'static str,
}

/// The messages are text, not hexadecimal: FIPS 180-2 appendix B.1 and D.1, and the empty one.
pub(crate) const HASH: &[Hash] = &[
    Hash {
        message: "abc",
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        sha384: "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072b\
            a1e7cc2358baeca134c825a7",
    },
    Hash {
        message: "",
        sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        sha384: "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebf\
            e76f65fbd51ad2f14898b95b",
    },
    Hash {
        message: "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        sha256: "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        sha384: "3391fdddfc8dc7393707a65b1b4709397cf8b1d162af05abfe8f450de5f36bc6b0455a85\
            20bc4e6f5fe95b1fe3c8452b",
    },
];

/// One block and the beginning of its encryption.
pub(crate) struct Mask {
    /// Where it was published.
    pub(crate) source: &'static str,
    pub(crate) key: &'static str,
    pub(crate) sample: &'static str,
    pub(crate) begins: &'static str,
}

pub(crate) const MASK: &[Mask] = &[
    Mask {
        source: "FIPS 197 appendix B",
        key: "2b7e151628aed2a6abf7158809cf4f3c",
        sample: "3243f6a8885a308d313198a2e0370734",
        begins: "3925841d02",
    },
    Mask {
        source: "FIPS 197 appendix C.1",
        key: "000102030405060708090a0b0c0d0e0f",
        sample: "00112233445566778899aabbccddeeff",
        begins: "69c4e0d86a",
    },
    Mask {
        source: "RFC 9001 appendix A.2",
        key: "9f50449e04a0e810283a1e9933adedd2",
        sample: "d1b1c98dd7689fb8ec11d242b123dc9b",
        begins: "437b9aec36",
    },
];
