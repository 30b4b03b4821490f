//! Memory that survives a reset: the start-up code neither clears nor loads it.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};

const LEN: usize = 2048;

#[repr(align(8))]
struct Uncleared(UnsafeCell<MaybeUninit<[u8; LEN]>>);

// SAFETY: `Retention::take` hands the bytes out once, by an atomic flag.
unsafe impl Sync for Uncleared {}

#[unsafe(link_section = ".uninit.retention")]
static BYTES: Uncleared = Uncleared(UnsafeCell::new(MaybeUninit::uninit()));
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The board's retention memory.
pub struct Retention;

impl Retention {
    /// All of it, once: what it holds is what the program wrote before the last reset, or anything.
    pub fn take() -> Option<&'static mut [u8; LEN]> {
        if TAKEN.swap(true, Ordering::Relaxed) {
            return None;
        }
        let bytes = BYTES.0.get();
        // SAFETY: the flag lets only one caller through, so the reference is unique. The memory is RAM, which holds
        // some bytes at any time; reading and writing each one back through volatile accesses makes them known to
        // the compiler as initialized bytes.
        unsafe {
            let first = bytes.cast::<u8>();
            for i in 0..LEN {
                let byte = first.add(i).read_volatile();
                first.add(i).write_volatile(byte);
            }
            Some(&mut *bytes.cast::<[u8; LEN]>())
        }
    }
}
