//! The emulated board: what QEMU's `mps2-an385` and `mps2-an386` machines have that the application needs.
//!
//! A real board's crate has the same four things: an Ethernet (or radio) driver, a clock, memory that survives a
//! reset, and a random source. The last one QEMU does not have: [`arguments`] brings a seed from outside.
#![no_std]

mod clock;
mod console;
mod ethernet;
mod registers;
mod retention;
mod stack;

pub use self::clock::Clock;
pub use self::console::{arguments, exit, print};
pub use self::ethernet::Ethernet;
pub use self::retention::Retention;
pub use self::stack::high_water_mark;

pub use cortex_m_rt::entry;

/// Starts again from the reset vector; [`Retention`] keeps its bytes.
pub fn reset() -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    print(b"panic\n");
    exit(false)
}
