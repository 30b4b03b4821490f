//! Our last flight, which the peer may ask for again when we had the last word of the handshake.

use zeroize::Zeroize;

use super::{Association, Opened};
use crate::config::Config;
use crate::crypto::Provider;
use crate::drop_reason::DropReason;
use crate::flight::{ENTRY_HEADER_LEN, Outgoing, Protection};
use crate::record::KeyPair;
use crate::time::Instant;
use crate::transmit::{Records, emit_flight};
use crate::wire::{DTLS_1_2, HandshakeType, VERIFY_DATA_LEN};

/// A last flight without a ticket: `ChangeCipherSpec` and `Finished`, each behind a header of the flight's.
const LAST_FLIGHT_LEN: usize = 2 * ENTRY_HEADER_LEN + VERIFY_DATA_LEN;

/// What a repeat of our last flight needs, and until when: for twice the maximum segment lifetime (RFC 6347 §4.2.4).
pub(crate) struct LastFlight {
    /// Until when the peer may ask for it.
    pub(crate) until: Instant,
    /// The next record number of epoch 0.
    epoch_0_next: u64,
    /// The peer repeated its flight so often that ours went out again.
    flight: Outgoing,
    memory: FlightMemory,
}

enum FlightMemory {
    Short([u8; LAST_FLIGHT_LEN]),
    #[cfg(feature = "endpoint")]
    Long(alloc::boxed::Box<[u8]>),
}

impl FlightMemory {
    fn get(&mut self) -> &mut [u8] {
        match self {
            Self::Short(bytes) => bytes,
            #[cfg(feature = "endpoint")]
            Self::Long(bytes) => bytes,
        }
    }
}

impl LastFlight {
    /// An empty one with room for `Finished`, and for a ticket message of so many bytes.
    #[cfg_attr(
        not(feature = "endpoint"),
        expect(unused_variables, reason = "only a server gives tickets")
    )]
    pub(crate) fn new(until: Instant, epoch_0_next: u64, ticket_len: usize) -> Self {
        #[cfg(feature = "endpoint")]
        let memory = if ticket_len == 0 {
            FlightMemory::Short([0; LAST_FLIGHT_LEN])
        } else {
            let len = LAST_FLIGHT_LEN + ENTRY_HEADER_LEN + ticket_len;
            FlightMemory::Long(alloc::vec![0; len].into_boxed_slice())
        };
        #[cfg(not(feature = "endpoint"))]
        let memory = FlightMemory::Short([0; LAST_FLIGHT_LEN]);
        Self {
            until,
            epoch_0_next,
            flight: Outgoing::default(),
            memory,
        }
    }

    /// When memory of its own can be given back, if it has any.
    #[cfg(feature = "endpoint")]
    pub(crate) fn settles(&self) -> Option<Instant> {
        matches!(self.memory, FlightMemory::Long(_)).then_some(self.until)
    }

    /// Adds a message; the room has been counted.
    pub(crate) fn message(
        &mut self,
        protection: Protection,
        msg_type: HandshakeType,
        message_seq: u16,
        body: &[u8],
    ) {
        let added =
            self.flight
                .message(self.memory.get(), protection, msg_type, message_seq, |w| {
                    w.put(body)
                });
        debug_assert!(added.is_ok());
    }

    /// Adds the end of the flight.
    pub(crate) fn finish(&mut self, message_seq: u16, verify_data: &[u8; VERIFY_DATA_LEN]) {
        let added = self.flight.change_cipher_spec(self.memory.get());
        debug_assert!(added.is_ok());
        self.message(
            Protection::Protected,
            HandshakeType::FINISHED,
            message_seq,
            verify_data,
        );
    }
}

impl Drop for LastFlight {
    fn drop(&mut self) {
        self.memory.get().zeroize();
    }
}

impl Association {
    pub(super) fn last_flight_is_pending(&self) -> bool {
        self.last_flight
            .as_ref()
            .is_some_and(|last| last.flight.is_pending())
    }

    /// Our last flight, in as many datagrams as the path needs, all under new record numbers.
    pub(super) fn emit_last_flight<P: Provider>(
        &mut self,
        keys: &KeyPair<P::AeadKey>,
        config: &Config,
        buf: &mut [u8],
    ) -> Option<usize> {
        let mut last = self.last_flight.take_if(|last| last.flight.is_pending())?;
        #[cfg(feature = "endpoint")]
        let mtu = match self.path_mtu {
            0 => config.mtu,
            mtu => usize::from(mtu),
        };
        #[cfg(not(feature = "endpoint"))]
        let mtu = config.mtu;
        let len = mtu.min(buf.len());
        let mut records = Records::<P> {
            association: Some(self),
            keys: Some(keys),
            epoch_0_next: &mut last.epoch_0_next,
            version: DTLS_1_2,
        };
        let written = emit_flight(
            &mut last.flight,
            last.memory.get(),
            &mut records,
            config,
            &mut buf[..len],
        );
        if written == 0 {
            // Nothing fits this buffer: do not offer it for ever.
            last.flight.hold();
        }
        self.last_flight = Some(last);
        (written > 0).then_some(written)
    }

    /// An authenticated repeat of the peer's `Finished`: our last flight was lost.
    pub(super) fn on_repeated_finished(&mut self, now: Instant) -> Opened {
        match self
            .last_flight
            .as_mut()
            .filter(|flight| now <= flight.until)
        {
            Some(last) => {
                last.flight.rewind();
                Opened::LastFlightAgain
            }
            None => Opened::Ignored(DropReason::DuplicateMessage),
        }
    }
}
