//! AES-CCM beside that of `RustCrypto` and beside AES-GCM, a record at a time.
//!
//! `cargo bench -p lockgate-aws-lc --bench ccm`

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lockgate_aws_lc::AwsLc;
use lockgate_dtls::crypto::{AeadAlgorithm, AeadKey, Provider};
use lockgate_rustcrypto::{OsRandom, RustCrypto};
use std::hint::black_box;

const NONCE: [u8; 12] = *b"twelve bytes";
/// Of a DTLS 1.2 record without and with a connection ID of 8 bytes (RFC 9146 §5.3).
const AAD_LENS: [usize; 2] = [13, 31];

const BARE_KEY: [u8; 32] = *b"a key of thirty-two bytes, by us";

fn name(algorithm: AeadAlgorithm, ours: bool) -> String {
    let whose = match algorithm {
        AeadAlgorithm::Aes128Gcm | AeadAlgorithm::Aes256Gcm => "aws-lc",
        _ if ours => "fused",
        _ => "rustcrypto",
    };
    format!("{algorithm:?}-{whose}")
}

fn records(c: &mut Criterion, bare: &impl Provider, ours: bool, algorithm: AeadAlgorithm) {
    let key = bare
        .aead_key(algorithm, &BARE_KEY[..algorithm.key_len()])
        .expect("this provider has it");
    let name = name(algorithm, ours);
    for len in [64, 256, 1200] {
        let mut record = vec![7; len + algorithm.tag_len()];
        for aad_len in AAD_LENS {
            let aad = &[9; 64][..aad_len];
            let mut group = c.benchmark_group(format!("seal-aad{aad_len}"));
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new(&name, len), |b| {
                b.iter(|| key.seal_in_place(black_box(&NONCE), black_box(aad), &mut record));
            });
        }
        let aad = &[9; 13];
        let mut group = c.benchmark_group("seal+open-aad13");
        group.bench_function(BenchmarkId::new(&name, len), |b| {
            b.iter(|| {
                key.seal_in_place(black_box(&NONCE), black_box(aad), &mut record)?;
                key.open_in_place(black_box(&NONCE), black_box(aad), &mut record)
            });
        });
    }
    let mut group = c.benchmark_group("expand-and-drop");
    group.bench_function(&name, |b| {
        b.iter(|| bare.aead_key(algorithm, black_box(&BARE_KEY[..algorithm.key_len()])));
    });
}

fn ccm(c: &mut Criterion) {
    let rustcrypto = RustCrypto::new(OsRandom);
    for algorithm in [AeadAlgorithm::Aes128Ccm8, AeadAlgorithm::Aes256Ccm] {
        records(c, &AwsLc, true, algorithm);
        records(c, &rustcrypto, false, algorithm);
    }
    records(c, &AwsLc, true, AeadAlgorithm::Aes128Gcm);
}

criterion_group!(benches, ccm);
criterion_main!(benches);
