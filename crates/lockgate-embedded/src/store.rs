//! Leases, and sessions asleep, in two slots of flash or retention RAM, whole at any moment that power fails.

use core::fmt;

use lockgate_dtls::lease::{LeaseError, LeaseId, LeaseStore};

/// Two slots that can be erased one by one: two flash pages, or two pieces of RAM that outlive a reset.
///
/// Only this is asked of it: [`Flash::erase`] of one slot never touches the other, and a byte of a slot reads 0xFF
/// after it. A write that power cuts off may leave anything in the bytes that it was to write. RAM implements
/// [`Flash::erase`] by filling; no write ever needs a byte to be 0xFF that is not, but `write` to erased bytes only is
/// what the store does, 8 bytes or a multiple of them at a time, at a multiple of 8.
pub trait Flash {
    /// Why the memory itself failed.
    type Error;

    /// How long each slot is, in bytes: at least [`TwoSlots::record_len`], and better some times as much, since a
    /// slot is erased only when it is full.
    fn slot_len(&self) -> usize;

    /// Reads from one slot.
    fn read(&mut self, slot: Slot, offset: usize, out: &mut [u8]) -> Result<(), Self::Error>;

    /// Sets every byte of one slot to 0xFF.
    fn erase(&mut self, slot: Slot) -> Result<(), Self::Error>;

    /// Writes to erased bytes of one slot; durable when it returns.
    fn write(&mut self, slot: Slot, offset: usize, data: &[u8]) -> Result<(), Self::Error>;
}

/// So that flash can be lent to a store.
impl<F: Flash + ?Sized> Flash for &mut F {
    type Error = F::Error;

    fn slot_len(&self) -> usize {
        (**self).slot_len()
    }

    fn read(&mut self, slot: Slot, offset: usize, out: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read(slot, offset, out)
    }

    fn erase(&mut self, slot: Slot) -> Result<(), Self::Error> {
        (**self).erase(slot)
    }

    fn write(&mut self, slot: Slot, offset: usize, data: &[u8]) -> Result<(), Self::Error> {
        (**self).write(slot, offset, data)
    }
}

/// One of the two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Why something could not be stored or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError<E> {
    /// A slot is too short for one record.
    SlotTooSmall {
        /// The bytes it needs.
        needed: usize,
    },
    /// The data is longer than the store was made for.
    TooLong {
        /// The longest that fits, in bytes.
        limit: usize,
    },
    /// The memory failed.
    Flash(E),
}

impl<E: fmt::Display> fmt::Display for StoreError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SlotTooSmall { needed } => write!(f, "a slot needs {needed} bytes"),
            Self::TooLong { limit } => write!(f, "more than the {limit} bytes that fit"),
            Self::Flash(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for StoreError<E> {}

/// Bytes before the data of a record: counter and length.
const HEADER_LEN: usize = 6;
const CHECKSUM_LEN: usize = 4;

/// Up to `N` bytes, replaced as a whole: after a power failure at any moment the store holds what it held before or
/// what it was to hold, never a mixture.
///
/// Each record has a counter that only grows, and a checksum (CRC-32) over everything. Records are appended to one slot
/// until it is full; then the other, which holds only older ones, is erased. What holds is the valid record with the
/// highest counter.
#[derive(Debug)]
pub struct TwoSlots<F, const N: usize> {
    flash: F,
}

/// Where the newest record stands.
#[derive(Clone, Copy)]
struct Newest {
    slot: Slot,
    index: usize,
    counter: u32,
}

impl<F: Flash, const N: usize> TwoSlots<F, N> {
    /// How long one record is, in bytes.
    pub const RECORD_LEN: usize = (HEADER_LEN + N + CHECKSUM_LEN).next_multiple_of(8);

    /// A store in `flash`, which may be empty, hold records, or hold anything.
    pub const fn new(flash: F) -> Self {
        Self { flash }
    }

    /// How long one record is, in bytes: what a slot has to hold at least.
    pub const fn record_len(&self) -> usize {
        Self::RECORD_LEN
    }

    /// Reads what is stored into `out`; `None` when there is nothing.
    pub fn read<'o>(
        &mut self,
        out: &'o mut [u8; N],
    ) -> Result<Option<&'o [u8]>, StoreError<F::Error>> {
        let Some(newest) = self.newest()? else {
            return Ok(None);
        };
        let len = self
            .check(newest.slot, newest.index, Some(out))?
            .map_or(0, |(_, len)| len);
        Ok(out.get(..len))
    }

    /// Stores `data` in place of what was stored before.
    pub fn write(&mut self, data: &[u8]) -> Result<(), StoreError<F::Error>> {
        if data.len() > N {
            return Err(StoreError::TooLong { limit: N });
        }
        let places = self.places()?;
        let newest = self.newest()?;
        let counter = newest.map_or(0, |newest| newest.counter.wrapping_add(1));
        let (slot, index) = match newest {
            Some(newest) => match self.blank_after(newest, places)? {
                Some(index) => (newest.slot, index),
                None => (newest.slot.other(), 0),
            },
            None => (Slot::A, 0),
        };
        if index == 0 {
            self.flash.erase(slot).map_err(StoreError::Flash)?;
        }
        let mut crc = Crc::new();
        let mut out = Aligned::new(&mut self.flash, slot, index * Self::RECORD_LEN);
        let header = header(counter, data.len());
        for part in [&header[..], data] {
            crc.update(part);
            out.put(part)?;
        }
        // The checksum stands at the end, so that it is the last to be written.
        for _ in 0..N - data.len() {
            crc.update(&[0]);
            out.put(&[0])?;
        }
        out.put(&crc.finish().to_le_bytes())?;
        out.finish()
    }

    /// The memory, given back.
    pub fn into_flash(self) -> F {
        self.flash
    }

    fn places(&self) -> Result<usize, StoreError<F::Error>> {
        match self.flash.slot_len() / Self::RECORD_LEN {
            0 => Err(StoreError::SlotTooSmall {
                needed: Self::RECORD_LEN,
            }),
            places => Ok(places),
        }
    }

    fn newest(&mut self) -> Result<Option<Newest>, StoreError<F::Error>> {
        let places = self.places()?;
        let mut newest: Option<Newest> = None;
        for slot in [Slot::A, Slot::B] {
            for index in 0..places {
                if let Some((counter, _)) = self.check(slot, index, None)?
                    && newest.is_none_or(|newest| counter >= newest.counter)
                {
                    newest = Some(Newest {
                        slot,
                        index,
                        counter,
                    });
                }
            }
        }
        Ok(newest)
    }

    /// The next place behind the newest record that nothing has been written to. A write that was cut off leaves its
    /// place unusable until the slot is erased.
    fn blank_after(
        &mut self,
        newest: Newest,
        places: usize,
    ) -> Result<Option<usize>, StoreError<F::Error>> {
        for index in newest.index + 1..places {
            let mut blank = true;
            for at in (0..Self::RECORD_LEN).step_by(8) {
                let mut piece = [0; 8];
                self.flash
                    .read(newest.slot, index * Self::RECORD_LEN + at, &mut piece)
                    .map_err(StoreError::Flash)?;
                blank &= piece == [0xFF; 8];
            }
            if blank {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// The counter and length of the record at a place, if it is whole; its data goes to `out`.
    fn check(
        &mut self,
        slot: Slot,
        index: usize,
        out: Option<&mut [u8; N]>,
    ) -> Result<Option<(u32, usize)>, StoreError<F::Error>> {
        let at = index * Self::RECORD_LEN;
        let mut header = [0; HEADER_LEN];
        self.flash
            .read(slot, at, &mut header)
            .map_err(StoreError::Flash)?;
        let [c0, c1, c2, c3, l0, l1] = header;
        let counter = u32::from_le_bytes([c0, c1, c2, c3]);
        let len = usize::from(u16::from_le_bytes([l0, l1]));
        if len > N {
            return Ok(None);
        }
        let mut crc = Crc::new();
        crc.update(&header);
        let mut out = out.map(|out| &mut out[..]);
        let mut piece = [0; 8];
        for from in (0..N).step_by(piece.len()) {
            let piece = &mut piece[..(N - from).min(8)];
            self.flash
                .read(slot, at + HEADER_LEN + from, piece)
                .map_err(StoreError::Flash)?;
            crc.update(piece);
            if let Some(out) = out.as_mut().and_then(|out| out.get_mut(from..)) {
                out[..piece.len()].copy_from_slice(piece);
            }
        }
        let mut checksum = [0; CHECKSUM_LEN];
        self.flash
            .read(slot, at + HEADER_LEN + N, &mut checksum)
            .map_err(StoreError::Flash)?;
        Ok((crc.finish() == u32::from_le_bytes(checksum)).then_some((counter, len)))
    }
}

fn header(counter: u32, len: usize) -> [u8; HEADER_LEN] {
    let [c0, c1, c2, c3] = counter.to_le_bytes();
    let [l0, l1] = (len as u16).to_le_bytes();
    [c0, c1, c2, c3, l0, l1]
}

/// Writes a record in pieces of 8 bytes, as flash wants it.
struct Aligned<'f, F> {
    flash: &'f mut F,
    slot: Slot,
    offset: usize,
    piece: [u8; 8],
    len: usize,
}

impl<'f, F: Flash> Aligned<'f, F> {
    fn new(flash: &'f mut F, slot: Slot, offset: usize) -> Self {
        Self {
            flash,
            slot,
            offset,
            piece: [0; 8],
            len: 0,
        }
    }

    fn put(&mut self, data: &[u8]) -> Result<(), StoreError<F::Error>> {
        for &byte in data {
            self.piece[self.len] = byte;
            self.len += 1;
            if self.len == self.piece.len() {
                self.write()?;
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), StoreError<F::Error>> {
        self.flash
            .write(self.slot, self.offset, &self.piece)
            .map_err(StoreError::Flash)?;
        self.offset += self.piece.len();
        self.piece = [0; 8];
        self.len = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<(), StoreError<F::Error>> {
        if self.len > 0 { self.write() } else { Ok(()) }
    }
}

/// CRC-32 (IEEE 802.3), bit by bit: no table in flash.
struct Crc(u32);

impl Crc {
    const fn new() -> Self {
        Self(u32::MAX)
    }

    fn update(&mut self, data: &[u8]) {
        for byte in data {
            self.0 ^= u32::from(*byte);
            for _ in 0..8 {
                let low = self.0 & 1;
                self.0 = self.0 >> 1 ^ if low == 1 { 0xEDB8_8320 } else { 0 };
            }
        }
    }

    const fn finish(&self) -> u32 {
        !self.0
    }
}

/// How many bytes one lease takes: id, generation, end.
const LEASE_LEN: usize = 8 + 4 + 8;

/// The leases of the last `LEASES` sessions, in two slots; `BYTES` is [`lease_bytes`] of `LEASES`.
///
/// A device with one session needs one lease. A new session's lease takes the place of the oldest: a copy of that
/// session is refused from then on.
#[derive(Debug)]
pub struct TwoSlotStore<F, const BYTES: usize = { lease_bytes(1) }> {
    slots: TwoSlots<F, BYTES>,
}

/// How many bytes of data `leases` leases take.
pub const fn lease_bytes(leases: usize) -> usize {
    leases * LEASE_LEN
}

impl<F: Flash, const BYTES: usize> TwoSlotStore<F, BYTES> {
    /// How long one record is, in bytes: what a slot has to hold at least.
    pub const RECORD_LEN: usize = TwoSlots::<F, BYTES>::RECORD_LEN;

    /// A store in `flash`, which may be empty, hold leases, or hold anything.
    pub const fn new(flash: F) -> Self {
        Self {
            slots: TwoSlots::new(flash),
        }
    }

    /// The memory, given back.
    pub fn into_flash(self) -> F {
        self.slots.into_flash()
    }

    /// Reads the table, and lets `change` look at the lease of `id` and give its new generation and end.
    fn update<T>(
        &mut self,
        id: LeaseId,
        change: impl FnOnce(
            Option<(u32, u64)>,
        ) -> Result<(u32, u64, T), LeaseError<StoreError<F::Error>>>,
    ) -> Result<T, LeaseError<StoreError<F::Error>>> {
        let mut table = [0; BYTES];
        let held = self
            .slots
            .read(&mut table)
            .map_err(LeaseError::Store)?
            .map_or(0, <[u8]>::len);
        let at = table[..held]
            .chunks_exact(LEASE_LEN)
            .position(|entry| entry[..8] == id.0);
        let old = at.and_then(|at| {
            let entry = table.get(at * LEASE_LEN..(at + 1) * LEASE_LEN)?;
            let generation = u32::from_le_bytes(*entry[8..].first_chunk()?);
            let end = u64::from_le_bytes(*entry[12..].first_chunk()?);
            Some((generation, end))
        });
        let (generation, end, result) = change(old)?;
        let mut len = held;
        let at = match at {
            Some(at) => at * LEASE_LEN,
            None if held + LEASE_LEN <= BYTES => {
                len += LEASE_LEN;
                held
            }
            None => {
                // Oldest first.
                table.copy_within(LEASE_LEN.., 0);
                BYTES - LEASE_LEN
            }
        };
        let entry = &mut table[at..at + LEASE_LEN];
        entry[..8].copy_from_slice(&id.0);
        entry[8..12].copy_from_slice(&generation.to_le_bytes());
        entry[12..].copy_from_slice(&end.to_le_bytes());
        self.slots.write(&table[..len]).map_err(LeaseError::Store)?;
        Ok(result)
    }
}

impl<F: Flash, const BYTES: usize> LeaseStore for TwoSlotStore<F, BYTES> {
    type Error = StoreError<F::Error>;

    fn advance(
        &mut self,
        id: LeaseId,
        generation: u32,
        end: u64,
    ) -> Result<(), LeaseError<Self::Error>> {
        self.update(id, |old| match old {
            Some((held, claimed)) if held == generation && claimed <= end => {
                Ok((generation, end, ()))
            }
            Some(_) => Err(LeaseError::Superseded),
            None if generation == 0 => Ok((0, end, ())),
            None => Err(LeaseError::Unknown),
        })
    }

    fn take_over(
        &mut self,
        id: LeaseId,
        generation: u32,
        count: u64,
    ) -> Result<u64, LeaseError<Self::Error>> {
        self.update(id, |old| match old {
            None => Err(LeaseError::Unknown),
            Some((held, _)) if held != generation => Err(LeaseError::Superseded),
            Some((_, end)) => Ok((generation + 1, end.saturating_add(count), end)),
        })
    }
}
