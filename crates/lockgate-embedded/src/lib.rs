//! DTLS for devices: sessions over UDP, radio frames or a serial line, without a heap, an operating system or an
//! executor.
//!
//! A complete device: it opens a session, reports a temperature every minute, obeys commands, and sleeps in between
//! with its session in flash, so that it goes on after it without a handshake, from whatever address it has then.
//!
//! ```no_run
//! use lockgate_dtls::crypto::{AeadAlgorithm, CryptoError};
//! use lockgate_dtls::export::ExportKey;
//! use lockgate_dtls::{CipherSuite, Config, Instant, SuiteList};
//! use lockgate_embedded::{Credentials, Device, EXPORT_LEN, Event, Flash, Link, LinkError, Memory, Slot, Status};
//! use lockgate_embedded::{TwoSlotStore, TwoSlots};
//! use lockgate_rustcrypto::{RandomSource, RustCrypto};
//!
//! // What the board brings: a packet link, a clock, a random generator, some flash, a sensor.
//! # mod board {
//! #     use super::*;
//! #     pub struct Radio;
//! #     impl Link for Radio {
//! #         type Error = ();
//! #         fn send(&mut self, _: &[u8]) -> Result<(), LinkError<()>> { Ok(()) }
//! #         fn recv(&mut self, _: &mut [u8]) -> Result<Option<usize>, LinkError<()>> { Ok(None) }
//! #     }
//! #     pub struct Trng;
//! #     impl RandomSource for Trng {
//! #         fn fill(&mut self, _: &mut [u8]) -> Result<(), CryptoError> { Err(CryptoError::NoRandomness) }
//! #     }
//! #     pub struct Pages(pub u32);
//! #     impl Flash for Pages {
//! #         type Error = ();
//! #         fn slot_len(&self) -> usize { 4096 }
//! #         fn read(&mut self, _: Slot, _: usize, _: &mut [u8]) -> Result<(), ()> { Ok(()) }
//! #         fn erase(&mut self, _: Slot) -> Result<(), ()> { Ok(()) }
//! #         fn write(&mut self, _: Slot, _: usize, _: &[u8]) -> Result<(), ()> { Ok(()) }
//! #     }
//! #     pub fn now() -> Instant { Instant::default() }
//! #     pub fn temperature() -> [u8; 2] { [0; 2] }
//! #     pub fn obey(_: &[u8]) {}
//! #     pub fn power_down_for_a_minute() -> ! { loop {} }
//! #     pub fn wait_for_a_packet_until(_: Option<Instant>) {}
//! #     pub const SECRET: [u8; 16] = [0; 16];
//! # }
//! fn main() -> ! {
//!     // Memory is given once; as a static it needs no stack.
//!     let mut memory = Memory::<576, 576>::new();
//!     let config = Config {
//!         cipher_suites: SuiteList::new(&[CipherSuite::PSK_AES_128_CCM_8]),
//!         ..Config::default()
//!     };
//!     let who = Credentials { identity: b"sensor-17", key: b"a secret of this device" };
//!     let mut device = Device::new(RustCrypto::new(board::Trng), &config, who, &mut memory, board::Radio);
//!
//!     // Two pages for the lease, two for the session while it sleeps, and a key that never leaves the chip.
//!     let mut leases: TwoSlotStore<_> = TwoSlotStore::new(board::Pages(0));
//!     let mut bed = TwoSlots::<_, EXPORT_LEN>::new(board::Pages(2));
//!     let key = ExportKey::new(AeadAlgorithm::Aes128Ccm, &board::SECRET).expect("16 bytes");
//!     let mut blob = [0; EXPORT_LEN];
//!
//!     // Go on with the session that was put to sleep; if there is none, or it is an old copy, open a new one.
//!     let awake = matches!(bed.read(&mut blob), Ok(Some(bytes)) if device.wake(&mut leases, &key, bytes, 64).is_ok());
//!     if !awake {
//!         device.open(board::now()).expect("the buffers are large enough");
//!     }
//!     let mut reported = false;
//!     loop {
//!         match device.poll(board::now()) {
//!             Ok(Some(Event::Data(command))) => {
//!                 board::obey(command);
//!                 // The peer is there, and the work is done.
//!                 if let Ok(len) = device.sleep(&mut leases, &key, &mut blob) {
//!                     let _ = bed.write(&blob[..len]);
//!                 }
//!                 board::power_down_for_a_minute();
//!             }
//!             // The handshake failed, or the peer ended the session: a new one.
//!             Ok(Some(Event::Closed(_))) => device.open(board::now()).expect("they still are"),
//!             Ok(Some(Event::Opened)) => {}
//!             Ok(None) | Err(_) => {
//!                 if device.status() == Status::Open && !reported {
//!                     reported = device.send(&board::temperature()).is_ok();
//!                 }
//!                 board::wait_for_a_packet_until(device.deadline());
//!             }
//!         }
//!     }
//! }
//! ```
//!
//! # Memory
//!
//! Nothing is allocated. A [`Device`] is a value of fixed size, and borrows a [`Memory`]; both can be locals of `main`
//! or live in a `static` cell, as their constructors are `const`. How long each part has to be say [`SCRATCH_LEN`],
//! [`MIN_RECEIVE_LEN`], [`MIN_TRANSMIT_LEN`] and [`MAX_OVERHEAD`]. A buffer that is too small is
//! [`Error::BufferTooSmall`] with the size it needs, before anything is sent. `docs/embedded.md` in the repository has
//! the measured figures.
//!
//! A fixed number of sessions is an array of [`Session`]s: they have no buffers of their own, and can share a link's.
//!
//! # Certificates and raw public keys
//!
//! With feature `certificates` a session knows its server by its key, and shows a raw public key or certificate of its
//! own: `Session::with_public_keys`. Feature `webpki` checks X.509 chains. Handshakes then take more scratch memory
//! (`scratch_len`), and a receive buffer as long as the server's datagrams: 576 bytes do for raw public keys, 1,200 for
//! chains. With feature `resumption`, `Session::with_resumption` makes the next handshake a short one, without
//! signatures.
//!
//! # When the peer has lost the session
//!
//! A gateway that was restarted without its sessions may say so with a fatal alert or `close_notify` under the old
//! keys, which ends the session with [`Event::Closed`], but as a rule it cannot: it has no keys to say anything with,
//! and a device must not believe what is not authenticated. So silence is the sign. Whenever the application asked,
//! repeated its question as it sees fit, and still has no answer, it calls [`Session::note_silence`]; after three of
//! them in a row ([`Session::set_patience`]) without any authentic record between, the session counts as lost, and the
//! device opens a new one. An application that never expects answers cannot notice; it should ask for one every so
//! often.
//!
//! # Sleep
//!
//! [`Session::sleep`] writes the session, encrypted and authenticated, to a few hundred bytes of the caller's; where
//! they are kept does not matter. [`Session::wake`] goes on with them after it has burnt the lease that they name, in a
//! [`LeaseStore`](lockgate_dtls::lease::LeaseStore): so no record number is ever used twice, even if the bytes were
//! copied, the battery was pulled, or the device fell back to an old image. [`TwoSlotStore`] is such a store for two
//! pages of flash or two pieces of retention RAM, and [`TwoSlots`] keeps the bytes themselves in the same way.
#![no_std]
#![forbid(unsafe_code)]

mod device;
mod error;
mod link;
mod memory;
#[cfg(feature = "nal")]
pub mod nal;
#[cfg(feature = "certificates")]
mod public_keys;
#[cfg(feature = "resumption")]
mod resumption;
mod session;
mod store;
#[cfg(feature = "webpki")]
mod x509;

pub use device::Device;
pub use error::{Buffer, Error};
pub use link::{Link, LinkError};
#[cfg(feature = "certificates")]
pub use memory::scratch_len;
pub use memory::{
    Buffers, EXPORT_LEN, MAX_OVERHEAD, MIN_RECEIVE_LEN, MIN_TRANSMIT_LEN, Memory, SCRATCH_LEN,
};
#[cfg(feature = "certificates")]
pub use public_keys::{CheckServer, OwnKey, PublicKeys, Servers};
#[cfg(feature = "resumption")]
pub use resumption::MAX_RESUMPTION_LEN;
pub use session::{Counters, Credentials, Event, Session, Status};
pub use store::{Flash, Slot, StoreError, TwoSlotStore, TwoSlots, lease_bytes};
#[cfg(feature = "webpki")]
pub use x509::X509;
