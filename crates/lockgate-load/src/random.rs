//! Numbers that look random and are the same for the same seed. Nothing secret comes from here.

/// `SplitMix64`.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not 0.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        ((self.next() as u128 * end as u128) >> 64) as u64
    }
}

/// Loses so many of all datagrams.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    random: Random,
    /// Of 2^64; 0 loses none.
    threshold: u64,
    /// How many were lost.
    pub(crate) count: u64,
}

impl Loss {
    /// `share` is 0 to 1.
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of 2^64 is near enough"
    )]
    pub(crate) fn new(share: f64, seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            threshold: (share.clamp(0.0, 1.0) * u64::MAX as f64) as u64,
            count: 0,
        }
    }

    /// Whether the next datagram is lost.
    pub(crate) fn takes(&mut self) -> bool {
        let lost = self.threshold != 0 && self.random.next() < self.threshold;
        self.count += u64::from(lost);
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_as_asked_and_the_same_for_the_same_seed() {
        let draw = |seed| {
            let mut loss = Loss::new(0.1, seed);
            let lost: Vec<_> = (0..10_000).map(|_| loss.takes()).collect();
            (lost, loss.count)
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7).0, draw(8).0);
        assert!((900..1100).contains(&draw(7).1));
        assert!(!(0..1000).any(|_| Loss::new(0.0, 1).takes()));
        let mut all = Loss::new(1.0, 1);
        assert!((0..1000).all(|_| all.takes()));
    }

    #[test]
    fn below_stays_below() {
        let mut random = Random::new(1);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[random.below(5) as usize] = true;
        }
        assert_eq!(seen, [true; 5]);
    }
}
