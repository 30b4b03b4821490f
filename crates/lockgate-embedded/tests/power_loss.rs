//! Power is cut after every single byte that a store writes or erases: the old state is whole or the new one is.

use lockgate_dtls::lease::{LeaseError, LeaseId, LeaseStore};
use lockgate_embedded::{Flash, Slot, StoreError, TwoSlotStore, TwoSlots, lease_bytes};

/// Two slots whose power fails after so many bytes.
#[derive(Clone)]
struct Simulated {
    slots: [Vec<u8>; 2],
    left: usize,
}

impl Simulated {
    fn new(slot_len: usize) -> Self {
        Self {
            slots: [vec![0x5A; slot_len], vec![0; slot_len]],
            left: usize::MAX,
        }
    }

    fn spend(&mut self) -> Result<(), &'static str> {
        self.left = self.left.checked_sub(1).ok_or("power failed")?;
        Ok(())
    }
}

impl Flash for Simulated {
    type Error = &'static str;

    fn slot_len(&self) -> usize {
        self.slots[0].len()
    }

    fn read(&mut self, slot: Slot, offset: usize, out: &mut [u8]) -> Result<(), &'static str> {
        out.copy_from_slice(&self.slots[slot as usize][offset..offset + out.len()]);
        Ok(())
    }

    fn erase(&mut self, slot: Slot) -> Result<(), &'static str> {
        for at in 0..self.slot_len() {
            self.spend()?;
            self.slots[slot as usize][at] = 0xFF;
        }
        Ok(())
    }

    fn write(&mut self, slot: Slot, offset: usize, data: &[u8]) -> Result<(), &'static str> {
        assert!(offset.is_multiple_of(8) && data.len().is_multiple_of(8));
        for (at, byte) in data.iter().enumerate() {
            self.spend()?;
            let cell = &mut self.slots[slot as usize][offset + at];
            assert_eq!(*cell, 0xFF, "flash is written only where it is erased");
            *cell = *byte;
        }
        Ok(())
    }
}

#[test]
fn what_is_stored_is_the_old_or_the_new_at_every_cut() {
    let record = TwoSlots::<Simulated, 20>::RECORD_LEN;
    // One record to a slot, and three with a remainder.
    for slot_len in [record, 3 * record + 5] {
        let mut store = TwoSlots::<_, 20>::new(Simulated::new(slot_len));
        let mut old: Option<Vec<u8>> = None;
        for step in 0u8..9 {
            let new = vec![step ^ 0xFF; usize::from(step) * 2 + 3];
            let whole = store.into_flash();
            let mut cuts = 0;
            loop {
                let mut flash = whole.clone();
                flash.left = cuts;
                let mut cut = TwoSlots::<_, 20>::new(flash);
                let outcome = cut.write(&new);
                let mut flash = cut.into_flash();
                flash.left = usize::MAX;
                let mut after = TwoSlots::<_, 20>::new(flash);
                let mut out = [0; 20];
                let found = after.read(&mut out).unwrap().map(<[u8]>::to_vec);
                assert!(
                    found == old || found.as_ref() == Some(&new),
                    "step {step}, cut {cuts}"
                );
                // And the store goes on from there, cut or not.
                after.write(b"next").unwrap();
                assert_eq!(after.read(&mut out), Ok(Some(&b"next"[..])));
                if outcome.is_ok() {
                    assert_eq!(found.as_ref(), Some(&new));
                    break;
                }
                cuts += 1;
            }
            assert!(cuts >= record);
            store = TwoSlots::new(whole);
            store.write(&new).unwrap();
            old = Some(new);
        }
    }
}

#[test]
fn a_lease_is_burnt_once_whenever_power_fails() {
    let id = LeaseId(*b"lease-01");
    let mut store: TwoSlotStore<_> = TwoSlotStore::new(Simulated::new(100));
    store.advance(id, 0, 40).unwrap();
    let whole = store.into_flash();
    for cut in 0.. {
        let mut flash = whole.clone();
        flash.left = cut;
        let mut store: TwoSlotStore<_> = TwoSlotStore::new(flash);
        let outcome = store.take_over(id, 0, 64);
        let mut flash = store.into_flash();
        flash.left = usize::MAX;
        let mut store: TwoSlotStore<_> = TwoSlotStore::new(flash);
        let again = store.take_over(id, 0, 64);
        match outcome {
            Ok(end) => {
                assert_eq!(end, 40);
                assert_eq!(again, Err(LeaseError::Superseded));
                return;
            }
            // Power failed before the lease was burnt, or after: no number was sent under it in either case.
            Err(LeaseError::Store(StoreError::Flash(_))) => {
                assert!(matches!(again, Ok(40) | Err(LeaseError::Superseded)));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_unknown_lease_is_refused_and_the_oldest_gives_way() {
    let mut store: TwoSlotStore<_, { lease_bytes(2) }> = TwoSlotStore::new(Simulated::new(200));
    let ids: Vec<_> = (0..3).map(|i| LeaseId([i; 8])).collect();
    assert_eq!(store.take_over(ids[0], 0, 1), Err(LeaseError::Unknown));
    assert_eq!(store.advance(ids[0], 1, 5), Err(LeaseError::Unknown));
    for id in &ids {
        store.advance(*id, 0, 7).unwrap();
    }
    assert_eq!(
        store.advance(ids[1], 0, 6),
        Err(LeaseError::Superseded),
        "an end never goes back"
    );
    assert_eq!(store.take_over(ids[0], 0, 1), Err(LeaseError::Unknown));
    assert_eq!(store.take_over(ids[1], 0, 10), Ok(7));
    assert_eq!(store.take_over(ids[1], 1, 10), Ok(17));
    assert_eq!(store.take_over(ids[2], 0, 10), Ok(7));
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let mut store = TwoSlots::<_, 20>::new(Simulated::new(31));
    assert_eq!(
        store.write(b"x"),
        Err(StoreError::SlotTooSmall { needed: 32 })
    );
    let mut store = TwoSlots::<_, 20>::new(Simulated::new(32));
    assert_eq!(
        store.write(&[0; 21]),
        Err(StoreError::TooLong { limit: 20 })
    );
}
