//! How deep the stack gets.

/// How much of the stack below is watched, in words.
const WORDS: usize = 4096;
const PAINT: u32 = 0xA5C3_5A3C;

/// Runs `work` and returns with its result how many bytes of stack it used, at most 16 KB.
#[inline(never)]
pub fn high_water_mark<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let top = stack_pointer();
    // Our own frame and what the painting itself may push stay untouched.
    let end = top - MARGIN;
    let start = end - WORDS * 4;
    for address in (start..end).step_by(4) {
        // SAFETY: the words lie below the stack pointer, in the stack's RAM, where nothing of ours lives, and no
        // interrupt handler runs on this board that could.
        unsafe { (address as *mut u32).write_volatile(PAINT) };
    }
    let result = call(work);
    let mut address = start;
    // SAFETY: as above.
    while address < end && unsafe { (address as *const u32).read_volatile() } == PAINT {
        address += 4;
    }
    (result, top - address)
}

const MARGIN: usize = 16;

/// Keeps the frame of `work` below the stack pointer that was read: inlined, it would lie above.
#[inline(never)]
fn call<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(always)]
fn stack_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads the stack pointer and changes nothing.
    unsafe {
        core::arch::asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags))
    };
    pointer & !3
}
