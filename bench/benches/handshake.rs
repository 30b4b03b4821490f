//! A PSK handshake of both ends in memory, beside the crate `dimpl`.

use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use lockgate_bench::timing::Work;
use lockgate_bench::work;
use lockgate_dtls::CipherSuite;

const CCM_8: CipherSuite = CipherSuite::PSK_AES_128_CCM_8;
const GCM: CipherSuite = CipherSuite::PSK_AES_128_GCM_SHA256;

fn handshake(c: &mut Criterion) {
    for (name, cookies) in [("cookie", true), ("no-cookie", false)] {
        let mut group = c.benchmark_group(format!("handshake-{name}"));
        let mut add = |name, mut work: Work<'static>| {
            group.bench_function(name, |b| {
                b.iter_custom(|runs| {
                    let start = Instant::now();
                    work(u32::try_from(runs).unwrap_or(u32::MAX));
                    start.elapsed()
                });
            });
        };
        add("dimpl-ccm_8", work::peer_handshake(cookies));
        add("ccm_8", work::handshake(CCM_8, false, cookies));
        add("ccm_8-cid", work::handshake(CCM_8, true, cookies));
        add("gcm-cid", work::handshake(GCM, true, cookies));
    }
}

criterion_group!(benches, handshake);
criterion_main!(benches);
