//! Connection IDs as arithmetic: where a session lives is written in its ID, under a keyed permutation so that it looks
//! random and cannot be made up.
//!
//! 64 bits: node 8, worker 6, slot 24, generation 12, free 14. The free bits are drawn until the first byte of the ID,
//! modulo the number of workers, is the worker: that much a classic BPF program can compute.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::bytes::OwnCid;
use crate::config::{ConfigError, MIN_OWN_CID_LEN};
use crate::crypto::{CryptoError, Mask, Provider};

/// How many slots an ID can name.
pub(crate) const MAX_SLOTS: u32 = 1 << 24;
/// How many generations of a slot an ID tells apart.
pub(crate) const GENERATIONS: u32 = 1 << 12;
/// How many workers an ID can name.
pub(crate) const MAX_WORKERS: u8 = 64;
const FREE_BITS: u32 = 14;

/// Two Feistel rounds make a permutation, three resist chosen inputs, four resist chosen inputs and outputs (Luby and
/// Rackoff); an attacker sees outputs and can try some.
const ROUNDS: u8 = 4;

/// The key that connection IDs are permuted with. Who has it can tell where sessions live and make IDs that look true.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct CidKey([u8; 16]);

impl CidKey {
    /// The key with these bytes, which should be random.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn random<P: Provider>(provider: &mut P) -> Result<Self, CryptoError> {
        let mut key = Self([0; 16]);
        provider.random(&mut key.0)?;
        Ok(key)
    }

    pub(crate) const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for CidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CidKey").finish_non_exhaustive()
    }
}

/// Which of the machines and threads that share a key this endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// This machine among those of a cluster.
    pub node: u8,
    /// This endpoint among those of the machine, below `workers`.
    pub worker: u8,
    /// How many endpoints share the machine's address, 1 to 64.
    pub workers: u8,
}

impl Default for Placement {
    fn default() -> Self {
        Self {
            node: 0,
            worker: 0,
            workers: 1,
        }
    }
}

/// Where a connection ID says its session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CidRoute {
    /// The machine.
    pub node: u8,
    /// The endpoint on it.
    pub worker: u8,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// Makes and reads connection IDs.
pub(crate) struct CidCodec<M> {
    mask: M,
    placement: Placement,
    len: u8,
}

impl<M: Mask> CidCodec<M> {
    pub(crate) fn new(mask: M, placement: Placement, len: u8) -> Result<Self, ConfigError> {
        let workers = placement.workers;
        if workers == 0 || workers > MAX_WORKERS || placement.worker >= workers {
            return Err(ConfigError::Placement);
        }
        Ok(Self {
            mask,
            placement,
            len,
        })
    }

    pub(crate) const fn len(&self) -> u8 {
        self.len
    }

    pub(crate) const fn placement(&self) -> Placement {
        self.placement
    }

    /// A fresh ID for this generation of a slot; empty when none are given out.
    pub(crate) fn encode<P: Provider>(
        &self,
        provider: &mut P,
        slot: u32,
        generation: u32,
    ) -> Result<OwnCid, CryptoError> {
        let len = usize::from(self.len);
        if len < MIN_OWN_CID_LEN {
            return Ok(OwnCid::EMPTY);
        }
        let mut bytes = [0; crate::config::MAX_OWN_CID_LEN];
        provider.random(&mut bytes[..len])?;
        let start = u32::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        let Placement {
            node,
            worker,
            workers,
        } = self.placement;
        let fixed = u64::from(node) << 56
            | u64::from(worker) << 50
            | u64::from(slot % MAX_SLOTS) << 26
            | u64::from(generation % GENERATIONS) << 14;
        // Each try hits with probability 1/workers; 2^14 tries miss all with a chance below 2^-370 for 64 workers.
        for i in 0..1 << FREE_BITS {
            let free = u64::from((start + i) % (1 << FREE_BITS));
            let permuted = self.permute(fixed | free).to_be_bytes();
            if permuted[0] % workers == worker {
                bytes[..8].copy_from_slice(&permuted);
                break;
            }
        }
        Ok(OwnCid::new(&bytes[..len]).unwrap_or_default())
    }

    /// Where the session with this ID lives, if the ID is one that this key made.
    pub(crate) fn decode(&self, cid: &[u8]) -> Option<CidRoute> {
        let permuted = u64::from_be_bytes(*cid.first_chunk()?);
        let plain = self.invert(permuted);
        Some(CidRoute {
            node: (plain >> 56) as u8,
            worker: (plain >> 50) as u8 & 0x3f,
            slot: (plain >> 26) as u32 % MAX_SLOTS,
            generation: (plain >> 14) as u32 % GENERATIONS,
        })
    }

    fn round(&self, round: u8, half: u32) -> u32 {
        let mut sample = [0; 16];
        sample[0] = round;
        sample[12..].copy_from_slice(&half.to_be_bytes());
        let [a, b, c, d, _] = self.mask.mask(&sample);
        u32::from_be_bytes([a, b, c, d])
    }

    fn permute(&self, value: u64) -> u64 {
        let (mut left, mut right) = ((value >> 32) as u32, value as u32);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.round(round, right));
        }
        u64::from(left) << 32 | u64::from(right)
    }

    fn invert(&self, value: u64) -> u64 {
        let (mut left, mut right) = ((value >> 32) as u32, value as u32);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.round(round, left), left);
        }
        u64::from(left) << 32 | u64::from(right)
    }
}

/// Which slots the connection IDs seen last led to: a hint that the caller checks against the ID in the slot, and that
/// spares the busy sessions four rounds of AES for each record.
#[derive(Default)]
pub(crate) struct RecentRoutes {
    /// Empty until the first ID.
    slots: Vec<u32>,
}

impl RecentRoutes {
    const LEN: usize = 1 << 12;

    fn place(cid: &[u8]) -> usize {
        // IDs look random in every byte, so any two will do.
        cid.get(2..4).map_or(0, |b| {
            usize::from(u16::from_le_bytes([b[0], b[1]])) % Self::LEN
        })
    }

    pub(crate) fn get(&self, cid: &[u8]) -> Option<u32> {
        self.slots.get(Self::place(cid)).copied()
    }

    pub(crate) fn put(&mut self, cid: &[u8], slot: u32) {
        if self.slots.is_empty() {
            self.slots = vec![0; Self::LEN];
        }
        self.slots[Self::place(cid)] = slot;
    }
}
