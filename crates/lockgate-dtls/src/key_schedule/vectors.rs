//! The PRF of TLS 1.2 against published vectors.

extern crate std;

use std::vec;
use std::vec::Vec;

use hmac::Mac;
use sha2::{Sha256, Sha384};

use super::v12::prf;
use crate::crypto::{HashOutput, Hmac};

impl Hmac for hmac::Hmac<Sha256> {
    fn sign(&self, parts: &[&[u8]]) -> HashOutput {
        sign(self.clone(), parts)
    }
}

impl Hmac for hmac::Hmac<Sha384> {
    fn sign(&self, parts: &[&[u8]]) -> HashOutput {
        sign(self.clone(), parts)
    }
}

fn sign(mut mac: impl Mac, parts: &[&[u8]]) -> HashOutput {
    for part in parts {
        mac.update(part);
    }
    HashOutput::new(&mac.finalize().into_bytes())
}

/// One output. All but the label in hexadecimal.
struct Vector {
    source: &'static str,
    secret: &'static str,
    label: &'static str,
    seeds: [&'static str; 2],
    output: &'static str,
}

/// The first one of <https://www.ietf.org/mail-archive/web/tls/current/msg03416.html>, then NIST's (CAVP, SP 800-135):
/// `tls.rsp`, TLS 1.2, count 0.
const SHA256: [Vector; 3] = [
    Vector {
        source: "mailing list",
        secret: "9bbe436ba940f017b17652849a71db35",
        label: "test label",
        seeds: ["a0ba9f936cda311827a6f796ffd5198c", ""],
        output: "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af\
            0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701\
            87347b66",
    },
    Vector {
        source: "NIST, master secret",
        secret: "f8938ecc9edebc5030c0c6a441e213cd24e6f770a50dda07876f8d55da062bcadb386b411fd4fe4313a604fce6c17fbc",
        label: "master secret",
        seeds: [
            "36c129d01a3200894b9179faac589d9835d58775f9b5ea3587cb8fd0364cae8c",
            "f6c9575ed7ddd73e1f7d16eca115415812a43c2b747daaaae043abfb50053fce",
        ],
        output: "202c88c00f84a17a20027079604787461176455539e705be730890602c289a5001e34eeb3a043e5d52a65e66125188bf",
    },
    Vector {
        source: "NIST, key block",
        secret: "202c88c00f84a17a20027079604787461176455539e705be730890602c289a5001e34eeb3a043e5d52a65e66125188bf",
        label: "key expansion",
        seeds: [
            "ae6c806f8ad4d80784549dff28a4b58fd837681a51d928c3e30ee5ff14f39868",
            "62e1fd91f23f558a605f28478c58cf72637b89784d959df7e946d3f07bd1b616",
        ],
        output: "d06139889fffac1e3a71865f504aa5d0d2a2e89506c6f2279b670c3e1b74f531016a2530c51a3a0f7e1d6590d0f0566b\
            2f387f8d11fd4f731cdd572d2eae927f6f2f81410b25e6960be68985add6c38445ad9f8c64bf8068bf9a6679485d966f\
            1ad6f68b43495b10a683755ea2b858d70ccac7ec8b053c6bd41ca299d4e51928",
    },
];

/// From the same places.
const SHA384: [Vector; 3] = [
    Vector {
        source: "mailing list",
        secret: "b80b733d6ceefcdc71566ea48e5567df",
        label: "test label",
        seeds: ["cd665cf6a8447dd6ff8b27555edb7465", ""],
        output: "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0\
            e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425\
            9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e099070\
            3d73e56f",
    },
    Vector {
        source: "NIST, master secret",
        secret: "a5e2642633f5b8c81ad3fe0c2fe3a8e5ef806b06121dd10df4bb0fe857bfdcf522558e05d2682c9a80c741a3aab1716f",
        label: "master secret",
        seeds: [
            "abe4bf5527429ac8eb13574d2709e8012bd1a113c6d3b1d3aa2c3840518778ac",
            "cb6e0b3eb02976b6466dfa9651c2919414f1648fd3a7838d02153e5bd39535b6",
        ],
        output: "b4d49bfa87747fe815457bc3da15073d6ac73389e703079a3503c09e14bd559a5b3c7c601c7365f6ea8c68d3d9596827",
    },
    Vector {
        source: "NIST, key block",
        secret: "b4d49bfa87747fe815457bc3da15073d6ac73389e703079a3503c09e14bd559a5b3c7c601c7365f6ea8c68d3d9596827",
        label: "key expansion",
        seeds: [
            "1b1c8568344a65c30828e7483c0e353e2c68641c9551efae6927d9cd627a107c",
            "954b5fe1849c2ede177438261f099a2fcd884d001b9fe1de754364b1f6a6dd8e",
        ],
        output: "10fd89ef689c7ef033387b8a8f3e5e8e7c11f680f6bdd71fbac3246a73e98d45d03185dde686e6b2369e4503e9dc5a6d\
            2cee3e2bf2fa3f41d3de57dff3e197c8a9d5f74cc2d277119d894f8584b07a0a5822f0bd68b3433ec6adaf5c9406c5f3\
            ddbb71bbe17ce98f3d4d5893d3179ef369f57aad908e2bf710639100c3ce7e0c",
    },
];

#[test]
fn sha256() {
    check(&SHA256, |key| {
        hmac::Hmac::<Sha256>::new_from_slice(key).unwrap()
    });
}

#[test]
fn sha384() {
    check(&SHA384, |key| {
        hmac::Hmac::<Sha384>::new_from_slice(key).unwrap()
    });
}

fn check<H: Hmac>(vectors: &[Vector], key: impl Fn(&[u8]) -> H) {
    for vector in vectors {
        let key = key(&hex(vector.secret));
        let seeds = vector.seeds.map(hex);
        let right = hex(vector.output);
        // Whatever is asked for is a prefix of it all.
        for len in 0..=right.len() {
            let mut out = vec![0x55; len];
            prf(
                &key,
                vector.label.as_bytes(),
                [&seeds[0], &seeds[1]],
                &mut out,
            );
            assert_eq!(out, right[..len], "{}", vector.source);
        }
    }
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
        .collect()
}
