//! Semihosting: the emulator prints, passes arguments in, and takes an exit code.

use cortex_m_semihosting::{debug, hio, nr};

/// Prints `text` where the emulator was started.
pub fn print(text: &[u8]) {
    if let Ok(mut out) = hio::hstdout() {
        // There is nobody left to tell when the console fails.
        let _ = out.write_all(text);
    }
}

/// Ends the emulator, successfully or not.
pub fn exit(success: bool) -> ! {
    debug::exit(if success {
        debug::EXIT_SUCCESS
    } else {
        debug::EXIT_FAILURE
    });
    loop {
        cortex_m::asm::nop();
    }
}

/// The emulator's `-semihosting-config arg=…` values, separated by spaces, copied into `buffer`.
pub fn arguments(buffer: &mut [u8]) -> &[u8] {
    let mut block = [buffer.as_mut_ptr() as usize, buffer.len()];
    // SAFETY: SYS_GET_CMDLINE takes the address of two words, a buffer and its length, writes at most that many
    // bytes into the buffer, and replaces the second word by the length it wrote.
    let status =
        unsafe { cortex_m_semihosting::syscall1(nr::GET_CMDLINE, block.as_mut_ptr() as usize) };
    let len = if status == 0 { block[1] } else { 0 };
    buffer.get(..len).unwrap_or_default()
}
