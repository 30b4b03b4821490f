//! LAN9118 Ethernet, polled: a driver for smoltcp.

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use crate::registers::Registers;

const RX_DATA_FIFO: usize = 0x00;
const TX_DATA_FIFO: usize = 0x20;
const RX_STATUS_FIFO: usize = 0x40;
const TX_CFG: usize = 0x70;
const RX_FIFO_INF: usize = 0x7C;
const TX_FIFO_INF: usize = 0x80;
const MAC_CSR_CMD: usize = 0xA4;
const MAC_CSR_DATA: usize = 0xA8;

const TX_ON: u32 = 1 << 1;
const CSR_BUSY: u32 = 1 << 31;
const MAC_CR: u32 = 1;
const MAC_CR_RX_ON: u32 = 1 << 2;
const MAC_CR_TX_ON: u32 = 1 << 3;
const MAC_CR_PROMISCUOUS: u32 = 1 << 18;
const RX_STATUS_ERROR: u32 = 1 << 15;
const TX_FIRST_AND_LAST_SEGMENT: u32 = 1 << 13 | 1 << 12;
const CRC_LEN: usize = 4;

/// Longest frame without its checksum, in bytes.
const MAX_FRAME_LEN: usize = 1514;

/// The board's Ethernet controller with one frame buffer each way.
pub struct Ethernet {
    registers: Registers,
    received: [u8; MAX_FRAME_LEN],
    to_send: [u8; MAX_FRAME_LEN],
}

impl Ethernet {
    /// A controller that has not been started.
    pub const fn new() -> Self {
        Self {
            // SAFETY: 0x4020_0000 is the LAN9118 on the mps2 machines; all of its data goes through FIFO registers.
            registers: unsafe { Registers::new(0x4020_0000) },
            received: [0; MAX_FRAME_LEN],
            to_send: [0; MAX_FRAME_LEN],
        }
    }

    /// Switches receiver and transmitter on.
    pub fn start(&mut self) {
        self.registers.write(TX_CFG, TX_ON);
        self.registers.write(
            MAC_CSR_DATA,
            MAC_CR_RX_ON | MAC_CR_TX_ON | MAC_CR_PROMISCUOUS,
        );
        self.registers.write(MAC_CSR_CMD, CSR_BUSY | MAC_CR);
        while self.registers.read(MAC_CSR_CMD) & CSR_BUSY != 0 {}
    }

    /// Takes the next frame from the controller into `received`, and returns its length.
    fn take_frame(&mut self) -> Option<usize> {
        let waiting = self.registers.read(RX_FIFO_INF) >> 16 & 0xFF;
        if waiting == 0 {
            return None;
        }
        let status = self.registers.read(RX_STATUS_FIFO);
        let with_crc = (status >> 16 & 0x3FFF) as usize;
        for at in 0..with_crc.div_ceil(4) {
            let word = self.registers.read(RX_DATA_FIFO).to_le_bytes();
            let room = self.received.get_mut(at * 4..).unwrap_or_default();
            for (to, from) in room.iter_mut().zip(word) {
                *to = from;
            }
        }
        let len = with_crc.checked_sub(CRC_LEN)?;
        (status & RX_STATUS_ERROR == 0 && len <= MAX_FRAME_LEN).then_some(len)
    }
}

impl Default for Ethernet {
    fn default() -> Self {
        Self::new()
    }
}

impl Device for Ethernet {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, ToSend<'_>)> {
        let len = self.take_frame()?;
        Some((
            Received(self.received.get(..len)?),
            ToSend {
                registers: self.registers,
                frame: &mut self.to_send,
            },
        ))
    }

    fn transmit(&mut self, _: Instant) -> Option<ToSend<'_>> {
        let free = self.registers.read(TX_FIFO_INF) as usize & 0xFFFF;
        (free >= MAX_FRAME_LEN + 16).then_some(ToSend {
            registers: self.registers,
            frame: &mut self.to_send,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MAX_FRAME_LEN;
        capabilities.max_burst_size = Some(1);
        capabilities
    }
}

/// A received frame.
pub struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for a frame to send.
pub struct ToSend<'a> {
    registers: Registers,
    frame: &'a mut [u8; MAX_FRAME_LEN],
}

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let len = len.min(MAX_FRAME_LEN);
        let frame = &mut self.frame[..len];
        let result = f(frame);
        self.registers
            .write(TX_DATA_FIFO, TX_FIRST_AND_LAST_SEGMENT | len as u32);
        self.registers.write(TX_DATA_FIFO, len as u32);
        for chunk in frame.chunks(4) {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            self.registers.write(TX_DATA_FIFO, u32::from_le_bytes(word));
        }
        result
    }
}
