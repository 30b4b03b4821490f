//! What the emulator is told for the program.

use lockgate_firmware_board as board;

/// `-semihosting-config arg=NAME,arg=PORT,arg=SEED`: the host's UDP port, and bytes that no two runs share.
pub struct Arguments {
    /// The port on the host.
    pub port: u16,
    seed: [u8; 40],
    seed_len: usize,
}

impl Arguments {
    /// Reads them.
    pub fn read() -> Self {
        let mut buffer = [0; 80];
        let mut words = board::arguments(&mut buffer)
            .split(|byte| *byte == b' ')
            .skip(1);
        let port = words.next().unwrap_or_default();
        let seed = words.next().unwrap_or_default();
        let mut this = Self {
            port: port.iter().fold(0, |port: u16, digit| {
                port.wrapping_mul(10)
                    .wrapping_add(u16::from(digit.wrapping_sub(b'0')))
            }),
            seed: [0; 40],
            seed_len: seed.len().min(40),
        };
        for (to, from) in this.seed.iter_mut().zip(seed) {
            *to = *from;
        }
        this
    }

    /// The seed.
    pub fn seed(&self) -> &[u8] {
        self.seed.get(..self.seed_len).unwrap_or_default()
    }
}
