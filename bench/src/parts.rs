//! Records and handshakes in memory, in a few seconds.

use lockgate_dtls::CipherSuite;

use crate::counting::allocations_of;
use crate::report::{Row, Section};
use crate::timing::{Effort, side_by_side};
use crate::work::{self, Record};

const GCM: CipherSuite = CipherSuite::PSK_AES_128_GCM_SHA256;
const CCM_8: CipherSuite = CipherSuite::PSK_AES_128_CCM_8;
const CHACHA: CipherSuite = CipherSuite::PSK_CHACHA20_POLY1305_SHA256;

fn name(suite: CipherSuite) -> &'static str {
    match suite {
        GCM => "AES_128_GCM",
        CCM_8 => "AES_128_CCM_8",
        _ => "CHACHA20_POLY1305",
    }
}

/// Seal and open beside the bare AEAD.
pub fn records(effort: Effort) -> Section {
    let mut rows = Vec::new();
    let cases = [
        (GCM, false, 64),
        (GCM, true, 64),
        (GCM, false, 1200),
        (GCM, true, 1200),
        (CCM_8, false, 64),
        (CCM_8, true, 64),
        (CCM_8, true, 1200),
        (CHACHA, false, 64),
        (CHACHA, true, 64),
        (CHACHA, true, 1200),
    ];
    for (suite, cid, len) in cases {
        let record = Record { suite, cid, len };
        let [bare, ours] = timed(effort, [record.bare(), record.session()]);
        let row = Row::new(
            format!("seal + open, {}{}, {len} bytes", name(suite), with_cid(cid)),
            ours.nanos,
            "ns",
        )
        .beside("bare AEAD", bare.nanos, ours.ratio);
        // The bar is on the sort of record that the gateway lives on, with and without a connection ID.
        rows.push(if suite == GCM && len == 64 {
            row.at_most_times(1.5)
        } else {
            row
        });
    }
    for suite in [GCM, CCM_8] {
        let record = Record {
            suite,
            cid: true,
            len: 64,
        };
        let [hit, many, miss] = timed(
            effort,
            [
                record.session(),
                record.many_sessions(),
                record.session_with_cache_miss(),
            ],
        );
        let what = |how| format!("{}, CID, 64 bytes, {how}", name(suite));
        rows.push(
            Row::new(what("1,000 sessions in turn"), many.nanos, "ns").beside(
                "one session",
                hit.nanos,
                many.ratio,
            ),
        );
        rows.push(
            Row::new(what("key cache missed at one end"), miss.nanos, "ns")
                .beside("hit", hit.nanos, miss.ratio),
        );
    }
    let record = Record {
        suite: CCM_8,
        cid: false,
        len: 64,
    };
    let [peer, ours] = timed(effort, [record.peer(), record.session()]);
    rows.push(
        Row::new("seal + open, AES_128_CCM_8, 64 bytes", ours.nanos, "ns")
            .beside("dimpl", peer.nanos, ours.ratio),
    );
    for (suite, cid) in [(GCM, false), (GCM, true), (CCM_8, true), (CHACHA, true)] {
        let mut work = Record {
            suite,
            cid,
            len: 64,
        }
        .session();
        let count = allocations_of(|| work(10_000));
        let what = format!(
            "allocations in 10,000 seal + open, {}{}",
            name(suite),
            with_cid(cid)
        );
        rows.push(Row::new(what, count as f64, "").at_most(0.0));
    }
    Section {
        title: "One record of an established session",
        rows,
        notes: vec![
            "Both ends together: `Endpoint::send_in_place` at one, `Endpoint::handle` at the other, in place. The bare \
             AEAD is the same provider's, one seal and one open, with the record's lengths of nonce, additional data \
             and text."
                .to_owned(),
        ],
    }
}

/// Handshakes beside those of `dimpl`.
pub fn handshakes(effort: Effort) -> Section {
    let mut rows = Vec::new();
    for cookies in [true, false] {
        let with = if cookies { "with cookie" } else { "no cookie" };
        let [peer, ours, plain, new, gcm] = timed(
            effort,
            [
                work::peer_handshake(cookies),
                work::handshake(CCM_8, true, cookies),
                work::handshake(CCM_8, false, cookies),
                work::handshake_between_new_endpoints(CCM_8),
                work::handshake(GCM, true, cookies),
            ],
        );
        let mut push = |what: String, t: &crate::timing::Timing| {
            rows.push(Row::new(what, t.nanos / 1e3, "µs").beside(
                "dimpl CCM_8",
                peer.nanos / 1e3,
                t.ratio,
            ));
        };
        push(format!("PSK CCM_8, CID, {with}"), &ours);
        push(format!("PSK CCM_8, no CID, {with}"), &plain);
        if cookies {
            push(
                "PSK CCM_8, CID, with cookie, two new endpoints".to_owned(),
                &new,
            );
        }
        push(format!("PSK GCM, CID, {with}"), &gcm);
    }
    for row in &mut rows {
        if row.what.starts_with("PSK CCM_8") && !row.what.contains("new endpoints") {
            row.bar = Some(crate::report::Bar::Ratio(1.0));
        }
    }
    let mut ours = work::handshake(CCM_8, true, true);
    let mut peer = work::peer_handshake(true);
    ours(100);
    let (ours, peer) = (
        allocations_of(|| ours(100)) as f64 / 100.0,
        allocations_of(|| peer(100)) as f64 / 100.0,
    );
    rows.push(
        Row::new("allocations of a handshake, both ends", ours, "").beside(
            "dimpl",
            peer,
            ours / peer,
        ),
    );
    Section {
        title: "A PSK handshake, both ends, in memory",
        rows,
        notes: vec![
            "dimpl has one PSK suite, `TLS_PSK_WITH_AES_128_CCM_8`, and no connection IDs; it runs on AWS-LC too, but with \
             the CCM of RustCrypto, where Lockgate has its own on the processor's AES instructions. It makes both its \
             ends anew for each handshake because that is what its connections are; Lockgate's endpoints live on, and \
             the row that makes them anew says what that is worth."
                .to_owned(),
        ],
    }
}

fn timed<const N: usize>(
    effort: Effort,
    mut works: [crate::timing::Work<'static>; N],
) -> [crate::timing::Timing; N] {
    let timings = side_by_side(effort, &mut works);
    timings.try_into().expect("one for each")
}

const fn with_cid(cid: bool) -> &'static str {
    if cid { ", CID" } else { "" }
}
