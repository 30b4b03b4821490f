//! When each session is due: a timing wheel whose lists run through a table of links, so that nothing is allocated when a
//! session is put on it.

/// Ends a list.
const NONE: u32 = u32::MAX;
/// How many ticks one turn takes; who is due later stays where it is for another turn.
const SLOTS: usize = 4096;

/// Sessions by the tick at which they are due. Each stands on it once at most.
pub(crate) struct Wheel {
    heads: Box<[u32]>,
    /// For each session the next one in its list, and the tick at which it is due.
    links: Vec<(u32, u32)>,
    /// All ticks before this one have passed.
    tick: u32,
    count: usize,
}

impl Wheel {
    pub(crate) fn new(sessions: usize) -> Self {
        Self {
            heads: vec![NONE; SLOTS].into(),
            links: vec![(NONE, 0); sessions],
            tick: 0,
            count: 0,
        }
    }

    /// Puts session `n` on, due at `tick` or at the next one, whichever is later.
    pub(crate) fn insert(&mut self, n: u32, tick: u32) {
        let tick = tick.max(self.tick);
        let head = &mut self.heads[tick as usize % SLOTS];
        self.links[n as usize] = (*head, tick);
        *head = n;
        self.count += 1;
    }

    /// Takes a session off that is due at `tick` or before; `None` when there is none any more.
    pub(crate) fn pop(&mut self, tick: u32) -> Option<u32> {
        if self.count == 0 {
            self.tick = self.tick.max(tick);
            return None;
        }
        while self.tick <= tick {
            let slot = self.tick as usize % SLOTS;
            // Those of later turns are passed over.
            let (mut before, mut n) = (NONE, self.heads[slot]);
            while n != NONE {
                let (next, due) = self.links[n as usize];
                if due <= self.tick {
                    if before == NONE {
                        self.heads[slot] = next;
                    } else {
                        self.links[before as usize].0 = next;
                    }
                    self.count -= 1;
                    return Some(n);
                }
                (before, n) = (n, next);
            }
            if self.tick == tick {
                return None;
            }
            self.tick += 1;
        }
        None
    }

    /// The next tick after `tick`, which has passed, at which anybody may be due; `limit` ticks on at most.
    pub(crate) fn next(&self, tick: u32, limit: u32) -> u32 {
        let busy = |tick: &u32| self.heads[*tick as usize % SLOTS] != NONE;
        (tick + 1..tick + limit).find(busy).unwrap_or(tick + limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel, tick: u32) -> Vec<u32> {
        let mut due: Vec<_> = std::iter::from_fn(|| wheel.pop(tick)).collect();
        due.sort_unstable();
        due
    }

    #[test]
    fn each_comes_off_when_it_is_due_and_not_before() {
        let mut wheel = Wheel::new(8);
        let far = SLOTS as u32 * 3 + 5;
        for (n, tick) in [(0, 5), (1, 5), (2, 6), (3, far), (4, 5 + SLOTS as u32)] {
            wheel.insert(n, tick);
        }
        assert_eq!(wheel.next(0, 100), 5);
        assert_eq!(wheel.next(0, 3), 3);
        assert_eq!(wheel.next(6, 100), 106);
        assert_eq!(due(&mut wheel, 4), []);
        assert_eq!(due(&mut wheel, 5), [0, 1]);
        assert_eq!(due(&mut wheel, 7), [2]);
        // In the past: at once.
        wheel.insert(5, 1);
        assert_eq!(due(&mut wheel, 7), [5]);
        assert_eq!(due(&mut wheel, 4 + SLOTS as u32), []);
        assert_eq!(due(&mut wheel, 5 + SLOTS as u32), [4]);
        assert_eq!(due(&mut wheel, far - 1), []);
        assert_eq!(due(&mut wheel, far + 10_000), [3]);
        // An empty one jumps ahead.
        assert_eq!(due(&mut wheel, far + 10_000_000), []);
        wheel.insert(6, far + 10_000_001);
        assert_eq!(due(&mut wheel, far + 10_000_001), [6]);
    }

    #[test]
    fn a_session_may_be_put_on_again_at_once() {
        let mut wheel = Wheel::new(1);
        wheel.insert(0, 0);
        for tick in 0..10_000 {
            assert_eq!(wheel.pop(tick), Some(0), "{tick}");
            wheel.insert(0, tick + 1);
            assert_eq!(wheel.pop(tick), None);
        }
    }
}
