//! Time from CMSDK timer 0: 25 MHz, counting down.

use crate::registers::Registers;

const CONTROL: usize = 0x0;
const VALUE: usize = 0x4;
const RELOAD: usize = 0x8;
const TICKS_PER_MICROSECOND: u64 = 25;

/// The board's clock. It must be read at least every 171 seconds, when the counter wraps.
pub struct Clock {
    timer: Registers,
    last: u32,
    ticks: u64,
}

impl Clock {
    /// Starts the timer.
    pub fn start() -> Self {
        // SAFETY: 0x4000_0000 is CMSDK timer 0 on the mps2 machines; it has no access to memory.
        let timer = unsafe { Registers::new(0x4000_0000) };
        timer.write(RELOAD, u32::MAX);
        timer.write(VALUE, u32::MAX);
        timer.write(CONTROL, 1);
        Self {
            timer,
            last: u32::MAX,
            ticks: 0,
        }
    }

    /// Timer ticks since the start; under QEMU's `-icount shift=0` one tick is 40 instructions.
    pub fn ticks(&mut self) -> u64 {
        let value = self.timer.read(VALUE);
        self.ticks += u64::from(self.last.wrapping_sub(value));
        self.last = value;
        self.ticks
    }

    /// Microseconds since the start.
    pub fn micros(&mut self) -> u64 {
        self.ticks() / TICKS_PER_MICROSECOND
    }
}
