extern crate std;

use proptest::prelude::*;
use std::collections::BTreeSet;
use std::vec::Vec;

use super::*;
use crate::drop_reason::DropReason;

proptest! {
    /// Against a set of all numbers ever seen.
    #[test]
    fn the_window_agrees_with_a_perfect_memory(
        numbers in proptest::collection::vec(0u64..400, 1..300),
        width in 64u16..=256,
    ) {
        let mut window = ReplayWindow::default();
        let mut seen = BTreeSet::new();
        for number in numbers {
            let highest = seen.last().copied();
            let expected = if seen.contains(&number) && highest.is_some_and(|h| h - number < u64::from(width)) {
                Err(DropReason::Replayed)
            } else if highest.is_some_and(|h| h > number && h - number >= u64::from(width)) {
                Err(DropReason::TooOld)
            } else {
                Ok(())
            };
            prop_assert_eq!(window.check(number, width), expected, "{} after {:?}", number, highest);
            if expected.is_ok() {
                prop_assert_eq!(window.mark(number), highest.is_none_or(|h| number > h));
                seen.insert(number);
            }
        }
    }
}

#[test]
fn a_jump_forgets_what_is_far_behind_and_nothing_else() {
    for jump in [1, 63, 64, 65, 127, 128, 129, 1 << 40] {
        let mut window = ReplayWindow::default();
        window.mark(0);
        window.mark(jump);
        let expected = if jump >= 128 {
            DropReason::TooOld
        } else {
            DropReason::Replayed
        };
        assert_eq!(window.check(0, 128), Err(expected), "{jump}");
        let restored = ReplayWindow::restore(window.next(), window.bits());
        assert_eq!(restored, window);
    }
}

#[test]
fn limits_are_those_of_the_rfc() {
    let limits = crate::config::AeadLimits::default();
    let all: Vec<_> = crate::suite::CipherSuite::ALL
        .iter()
        .filter_map(|s| s.parameters())
        .map(|p| {
            (
                p.aead.tag_len(),
                seal_limit(p, limits),
                failed_open_limit(p, limits),
            )
        })
        .collect();
    for (tag, seals, opens) in all {
        // 2^24.5 and 2^23.5, rounded down; CCM_8 by option.
        assert!([23_726_566, 1 << 23, 1 << 48].contains(&seals));
        assert!([1 << 36, 11_863_283, 1 << 20].contains(&opens));
        assert_eq!(tag == 8, opens == 1 << 20);
    }
}
