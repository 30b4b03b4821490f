//! Caps on handshakes that have not completed: in all, and for one address.

use hashbrown::HashMap;

use super::tables::KeyedHasher;
use crate::drop_reason::DropReason;

pub(crate) struct Admission {
    groups: HashMap<u64, u32, KeyedHasher>,
    total: u32,
    max_total: u32,
    max_per_group: u32,
}

impl Admission {
    pub(crate) fn new(max_total: u32, max_per_group: u32, hasher: KeyedHasher) -> Self {
        Self {
            groups: HashMap::with_hasher(hasher),
            total: 0,
            max_total,
            max_per_group,
        }
    }

    pub(crate) fn admit(&mut self, group: u64) -> Result<(), DropReason> {
        if self.total >= self.max_total {
            return Err(DropReason::HalfOpenLimit);
        }
        if self.groups.get(&group).copied().unwrap_or(0) >= self.max_per_group {
            return Err(DropReason::HalfOpenLimitPerAddress);
        }
        let of_group = self.groups.entry(group).or_insert(0);
        *of_group += 1;
        self.total += 1;
        Ok(())
    }

    pub(crate) fn release(&mut self, group: u64) {
        self.total = self.total.saturating_sub(1);
        if let Some(of_group) = self.groups.get_mut(&group) {
            *of_group -= 1;
            if *of_group == 0 {
                self.groups.remove(&group);
            }
        }
    }

    pub(crate) const fn total(&self) -> u32 {
        self.total
    }
}
