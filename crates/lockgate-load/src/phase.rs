//! What a phase of traffic is.

use std::time::Duration;

use crate::coap::CoapGet;
use crate::random::Random;

/// Who speaks when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// All devices together send so many datagrams in a second, one device after the other, whether answers come or not.
    Paced {
        /// Datagrams in a second.
        per_second: f64,
    },
    /// Each device sends, waits for the answer, thinks and sends again.
    Closed {
        /// How long it thinks.
        think: Duration,
        /// By which share of that, 0 to 1, the time is shorter or longer, at random.
        jitter: f64,
    },
}

/// What comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// What was sent.
    #[default]
    Echo,
    /// Some datagram. How long it took is known only where no other was on its way.
    Answer,
    /// Nothing.
    Nothing,
}

/// How long payloads are, in bytes; each time one of them, at random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes(Vec<(u16, u16)>);

impl Sizes {
    /// All of the same length.
    pub fn one(len: u16) -> Self {
        Self(vec![(len, len)])
    }

    /// From ranges, both ends included; `None` without any, or when one begins beyond its end.
    pub fn ranges(ranges: &[(u16, u16)]) -> Option<Self> {
        let fine = !ranges.is_empty() && ranges.iter().all(|(from, to)| from <= to);
        fine.then(|| Self(ranges.into()))
    }

    /// The shortest.
    pub fn min(&self) -> u16 {
        self.0.iter().map(|&(from, _)| from).min().unwrap_or(0)
    }

    /// The longest.
    pub fn max(&self) -> u16 {
        self.0.iter().map(|&(_, to)| to).max().unwrap_or(0)
    }

    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let (from, to) = match self.0[..] {
            [one] => one,
            _ => self.0[random.below(self.0.len() as u64) as usize],
        };
        let more = if from == to {
            0
        } else {
            random.below(u64::from(to - from) + 1)
        };
        usize::from(from) + more as usize
    }
}

/// What the sessions do for a while.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Who speaks when. Default: each as fast as it is answered.
    pub pattern: Pattern,
    /// How long. Default 10 s.
    pub duration: Duration,
    /// Payload lengths. Default 64 bytes. Echoes of less than 8 bytes are not checked, those of less than 12 not for
    /// whose they are.
    pub sizes: Sizes,
    /// A request instead of such payloads; the response is what is expected then. Default none.
    pub coap: Option<CoapGet>,
    /// What comes back. Default the same.
    pub expect: Expect,
    /// After so long without an answer a datagram counts as lost. Default 1 s.
    pub lost_after: Duration,
    /// How many sessions in a second move to another source port before they speak again. Default 0.
    pub rebinds_per_second: f64,
}

impl Default for Phase {
    fn default() -> Self {
        Self {
            pattern: Pattern::Closed {
                think: Duration::ZERO,
                jitter: 0.0,
            },
            duration: Duration::from_secs(10),
            sizes: Sizes::one(64),
            coap: None,
            expect: Expect::Echo,
            lost_after: Duration::from_secs(1),
            rebinds_per_second: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_drawn_from_their_ranges() {
        let mut random = Random::new(3);
        assert_eq!(Sizes::one(5).draw(&mut random), 5);
        let sizes = Sizes::ranges(&[(10, 12), (100, 100)]).unwrap();
        let drawn: Vec<_> = (0..100).map(|_| sizes.draw(&mut random)).collect();
        for expected in [10, 11, 12, 100] {
            assert!(drawn.contains(&expected), "{expected}");
        }
        assert!(drawn.iter().all(|len| [10, 11, 12, 100].contains(len)));
        assert_eq!((sizes.min(), sizes.max()), (10, 100));
        assert_eq!(Sizes::ranges(&[]), None);
        assert_eq!(Sizes::ranges(&[(2, 1)]), None);
    }
}
