extern crate std;

use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::drop_reason::DropReason;
use crate::wire::{HandshakeHeader, HandshakeType};

fn header(seq: u16, length: usize, offset: usize, len: usize) -> HandshakeHeader {
    HandshakeHeader {
        msg_type: HandshakeType::CLIENT_KEY_EXCHANGE,
        length: length as u32,
        message_seq: seq,
        fragment_offset: offset as u32,
        fragment_length: len as u32,
    }
}

fn body(seq: u16, len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i as u8).wrapping_mul(31).wrapping_add(seq as u8))
        .collect()
}

proptest! {
    /// Messages cut anywhere, in any order, some twice: they come out whole and in order.
    #[test]
    fn any_order_of_fragments_gives_the_messages_in_order(
        lengths in proptest::collection::vec(0usize..120, 1..5),
        cut in 1usize..50,
        order in any::<u64>(),
    ) {
        let mut pieces = Vec::new();
        for (seq, &len) in lengths.iter().enumerate() {
            let bytes = body(seq as u16, len);
            if len == 0 {
                pieces.push((header(seq as u16, 0, 0, 0), bytes.clone()));
            }
            for at in (0..len).step_by(cut) {
                let end = (at + cut).min(len);
                pieces.push((header(seq as u16, len, at, end - at), bytes[at..end].to_vec()));
            }
        }
        let mut state = order | 1;
        for i in (1..pieces.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            pieces.swap(i, (state >> 33) as usize % (i + 1));
        }
        pieces.extend(pieces.clone());
        let mut scratch = vec![0; 800];
        let mut reassembly = Reassembly::new(0);
        let mut out = Vec::new();
        for (header, fragment) in &pieces {
            let _ = reassembly.insert(&mut scratch, header, false, fragment);
            while let Some(ready) = reassembly.ready() {
                out.push(scratch[ready.body].to_vec());
                reassembly.consume(&mut scratch);
            }
        }
        let expected: Vec<_> = lengths.iter().enumerate().map(|(s, &len)| body(s as u16, len)).collect();
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn no_fragment_makes_reassembly_panic_or_outgrow_its_memory(
        steps in proptest::collection::vec((any::<u16>(), 0u32..2000, 0u32..2000, 0usize..200, any::<bool>()), 1..60),
    ) {
        let mut scratch = vec![0; 300];
        let mut reassembly = Reassembly::new(3);
        for (seq, length, offset, len, protected) in steps {
            if offset + len as u32 > length {
                continue;
            }
            let header = header(seq % 12, length as usize, offset as usize, len);
            let _ = reassembly.insert(&mut scratch, &header, protected, &vec![1; len]);
            if reassembly.ready().is_some() {
                reassembly.consume(&mut scratch);
            }
        }
    }
}

#[test]
fn a_sooner_message_takes_the_place_of_later_ones() {
    let mut scratch = vec![0; 120];
    let mut reassembly = Reassembly::new(0);
    assert_eq!(
        reassembly.insert(&mut scratch, &header(3, 90, 0, 10), false, &[0; 10]),
        Ok(())
    );
    let later = reassembly.insert(&mut scratch, &header(4, 50, 0, 10), false, &[0; 10]);
    assert_eq!(later, Err(DropReason::ReassemblyFull));
    let bytes = body(0, 100);
    assert_eq!(
        reassembly.insert(&mut scratch, &header(0, 100, 0, 60), false, &bytes[..60]),
        Ok(())
    );
    assert_eq!(
        reassembly.insert(&mut scratch, &header(0, 100, 60, 40), false, &bytes[60..]),
        Ok(())
    );
    let ready = reassembly.ready().expect("whole");
    assert_eq!(&scratch[ready.body], &bytes);
}

#[test]
fn what_is_authenticated_takes_the_place_of_what_is_not() {
    let mut scratch = vec![0; 120];
    let mut reassembly = Reassembly::new(0);
    assert_eq!(
        reassembly.insert(&mut scratch, &header(0, 12, 0, 6), false, &[0xbb; 6]),
        Ok(())
    );
    assert_eq!(
        reassembly.insert(&mut scratch, &header(0, 12, 0, 12), true, &[0xaa; 12]),
        Ok(())
    );
    let ready = reassembly.ready().expect("whole");
    assert!(ready.protected);
    assert_eq!(&scratch[ready.body], &[0xaa; 12]);
    // And not the other way round.
    let again = reassembly.insert(&mut scratch, &header(0, 12, 0, 12), false, &[0xcc; 12]);
    assert_eq!(again, Err(DropReason::MixedEpochs));
}

#[test]
fn a_flight_is_sent_in_pieces_and_again_from_its_start() {
    let mut scratch = vec![0; 200];
    let mut outgoing = Outgoing::default();
    let put = |bytes: &'static [u8]| move |w: &mut crate::wire::Writer<'_>| w.put(bytes);
    outgoing
        .message(
            &mut scratch,
            Protection::ClearText,
            HandshakeType::CLIENT_KEY_EXCHANGE,
            2,
            put(&[1, 2, 3, 4, 5]),
        )
        .expect("fits");
    outgoing.change_cipher_spec(&mut scratch).expect("fits");
    outgoing
        .message(
            &mut scratch,
            Protection::Protected,
            HandshakeType::FINISHED,
            3,
            put(&[9]),
        )
        .expect("fits");
    for _ in 0..2 {
        let mut seen = Vec::new();
        while let Some(piece) = outgoing.peek(&scratch) {
            let len = match piece {
                Piece::ChangeCipherSpec => {
                    seen.push((0, vec![]));
                    0
                }
                Piece::Fragment {
                    message_seq, rest, ..
                } => {
                    let len = rest.len().min(2);
                    seen.push((message_seq, rest[..len].to_vec()));
                    len
                }
            };
            outgoing.advance(&scratch, len);
        }
        assert_eq!(
            seen,
            [
                (2, vec![1, 2]),
                (2, vec![3, 4]),
                (2, vec![5]),
                (0, vec![]),
                (3, vec![9])
            ]
        );
        assert!(!outgoing.is_pending());
        outgoing.rewind();
    }
    let full = outgoing.message(
        &mut scratch,
        Protection::ClearText,
        HandshakeType::FINISHED,
        4,
        |w| w.put(&[0; 200]),
    );
    assert!(full.is_err());
}

#[test]
fn the_timer_doubles_up_to_its_bound_and_gives_up() {
    use crate::config::Config;
    use crate::time::{Duration, Instant};
    let config = Config {
        max_retransmits: 5,
        max_timeout: Duration::from_secs(4),
        handshake_timeout: Duration::from_mins(10),
        ..Config::default()
    };
    let mut now = Instant::default();
    let mut timer = RetransmitTimer::new(now, &config);
    let mut waits = Vec::new();
    loop {
        timer.sent(now);
        let deadline = timer.deadline();
        waits.push(deadline.saturating_since(now).as_secs());
        now = deadline;
        match timer.expire(now, &config) {
            Expired::Retransmit => {}
            Expired::GiveUp => break,
            Expired::NotYet => panic!("the deadline has passed"),
        }
    }
    assert_eq!(waits, [1, 2, 4, 4, 4, 4]);
    assert!(
        timer.mtu(&config, false) < config.mtu,
        "what is long may have been swallowed"
    );
}
