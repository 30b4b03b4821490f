//! One record of an established session beside the bare AEAD.

use std::time::Instant;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lockgate_bench::counting::allocations_of;
use lockgate_bench::timing::Work;
use lockgate_bench::work::Record;
use lockgate_dtls::CipherSuite;

fn record(c: &mut Criterion) {
    let suites = [
        ("gcm", CipherSuite::PSK_AES_128_GCM_SHA256),
        ("ccm_8", CipherSuite::PSK_AES_128_CCM_8),
        ("chacha", CipherSuite::PSK_CHACHA20_POLY1305_SHA256),
    ];
    for (suite_name, suite) in suites {
        for (cid_name, cid) in [("", false), ("-cid", true)] {
            for len in [64, 1200] {
                let mut group = c.benchmark_group(format!("record-{suite_name}{cid_name}"));
                let record = Record { suite, cid, len };
                let mut add = |name, mut work: Work<'static>| {
                    group.bench_function(BenchmarkId::new(name, len), |b| {
                        b.iter_custom(|runs| {
                            let start = Instant::now();
                            work(u32::try_from(runs).unwrap_or(u32::MAX));
                            start.elapsed()
                        });
                    });
                };
                add("bare-aead", record.bare());
                add("session", record.session());
                if len == 64 {
                    add("session-1000-in-turn", record.many_sessions());
                    add("session-cache-miss", record.session_with_cache_miss());
                }
                let mut work = record.session();
                assert_eq!(
                    allocations_of(|| work(10_000)),
                    0,
                    "an established session allocates nothing"
                );
            }
        }
    }
}

criterion_group!(benches, record);
criterion_main!(benches);
