//! The parts that are timed, as [`Work`]: one definition for criterion and for the quick table.

use std::hint::black_box;

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::crypto::{AeadAlgorithm, AeadKey as _, Provider as _};
use lockgate_dtls::{CipherSuite, EndpointConfig};

use crate::loopback::{Loopback, endpoint_config};
use crate::peer::Peer;
use crate::timing::Work;

/// One record to carry.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Under which suite.
    pub suite: CipherSuite,
    /// With a connection ID of 8 bytes.
    pub cid: bool,
    /// Bytes of payload.
    pub len: usize,
}

/// Where payloads stand in their buffer: behind the longest header.
const AT: usize = 64;

impl Record {
    fn aead(self) -> AeadAlgorithm {
        self.suite.parameters().expect("a known suite").aead
    }

    fn buffer(self) -> Vec<u8> {
        vec![0x5A; AT + self.len + 64]
    }

    /// The reference: the provider's AEAD alone, sealing under one expanded key and opening under another of the same
    /// value, with the nonce, additional data and plaintext lengths that the record has.
    ///
    /// # Panics
    /// When the provider fails.
    pub fn bare(self) -> Work<'static> {
        let aead = self.aead();
        let bare = vec![7; aead.key_len()];
        let write = AwsLc.aead_key(aead, &bare).expect("a key of its length");
        let read = AwsLc.aead_key(aead, &bare).expect("a key of its length");
        // RFC 5246 §6.2.3.3, and RFC 9146 §5 with 8 bytes of connection ID and the inner content type.
        let (aad, inner) = if self.cid { (31, 1) } else { (13, 0) };
        let aad = vec![3; aad];
        let mut buf = vec![0x5A; self.len + inner + aead.tag_len()];
        let mut number = 0u64;
        Box::new(move |runs| {
            for _ in 0..runs {
                number += 1;
                let mut nonce = [9; 12];
                nonce[4..].copy_from_slice(&number.to_be_bytes());
                write
                    .seal_in_place(&nonce, &aad, black_box(&mut buf))
                    .expect("sealed");
                read.open_in_place(&nonce, &aad, black_box(&mut buf))
                    .expect("opened");
            }
        })
    }

    /// Through two endpoints: `send_in_place` at one, `handle` at the other.
    pub fn session(self) -> Work<'static> {
        let mut pair = Loopback::of(self.suite, self.cid);
        let ends = pair.connect(0);
        let mut buf = self.buffer();
        Box::new(move |runs| {
            for _ in 0..runs {
                pair.carry(ends, black_box(&mut buf), AT..AT + self.len);
            }
        })
    }

    /// As [`Record::session`], in turn to 1,000 sessions whose keys are all expanded.
    pub fn many_sessions(self) -> Work<'static> {
        let mut pair = Loopback::of(self.suite, self.cid);
        let all: Vec<_> = (0..1000).map(|n| pair.connect(n)).collect();
        let mut buf = self.buffer();
        let mut next = 0;
        Box::new(move |runs| {
            for _ in 0..runs {
                // A step that meets every session, in an order that no prefetcher sees through.
                next = (next + 387) % all.len();
                pair.carry(all[next], black_box(&mut buf), AT..AT + self.len);
            }
        })
    }

    /// As [`Record::session`], in turn to two sessions of a server that keeps one session's keys expanded: every
    /// record finds the cache without its key pair.
    pub fn session_with_cache_miss(self) -> Work<'static> {
        let server = EndpointConfig {
            key_cache: 1,
            ..endpoint_config(true, self.suite, self.cid)
        };
        let mut pair = Loopback::new(endpoint_config(false, self.suite, self.cid), server);
        let both = [pair.connect(0), pair.connect(1)];
        let mut buf = self.buffer();
        let mut turn = 0;
        Box::new(move |runs| {
            for _ in 0..runs {
                turn ^= 1;
                pair.carry(both[turn], black_box(&mut buf), AT..AT + self.len);
            }
        })
    }

    /// The peer's way of carrying it.
    pub fn peer(self) -> Work<'static> {
        let mut peer = Peer::psk(false);
        let mut connection = peer.connect();
        let payload = vec![0x5A; self.len];
        Box::new(move |runs| {
            for _ in 0..runs {
                peer.carry(&mut connection, black_box(&payload));
            }
        })
    }
}

/// Handshakes of both ends between two endpoints that live on.
pub fn handshake(suite: CipherSuite, cid: bool, cookies: bool) -> Work<'static> {
    let server = EndpointConfig {
        cookies,
        ..endpoint_config(true, suite, cid)
    };
    let mut pair = Loopback::new(endpoint_config(false, suite, cid), server);
    Box::new(move |runs| {
        for _ in 0..runs {
            let ends = pair.connect(0);
            pair.discard(black_box(ends));
        }
    })
}

/// Handshakes of both ends, each between two new endpoints: what a program with one connection pays.
pub fn handshake_between_new_endpoints(suite: CipherSuite) -> Work<'static> {
    Box::new(move |runs| {
        for _ in 0..runs {
            let mut pair = Loopback::of(suite, true);
            black_box(pair.connect(0));
        }
    })
}

/// The peer's handshakes of both ends.
pub fn peer_handshake(cookies: bool) -> Work<'static> {
    let mut peer = Peer::psk(cookies);
    Box::new(move |runs| {
        for _ in 0..runs {
            black_box(peer.connect());
        }
    })
}

/// The peer's handshakes with certificates, which it does not check, with cookies.
pub fn peer_certificates(group: dimpl::NamedGroup, mutual: bool) -> Work<'static> {
    let mut peer = Peer::certificates(group, mutual);
    Box::new(move |runs| {
        for _ in 0..runs {
            black_box(peer.connect());
        }
    })
}
