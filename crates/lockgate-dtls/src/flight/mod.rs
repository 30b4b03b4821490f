//! What happens to one handshake flight: cut into fragments, put together again, sent again after silence.

mod outgoing;
mod reassembly;
#[cfg(test)]
mod tests;
mod timer;

#[cfg(feature = "resumption")]
pub(crate) use outgoing::ENTRY_HEADER_LEN;
pub(crate) use outgoing::{Outgoing, Piece, Protection};
#[cfg(feature = "resumption")]
pub(crate) use reassembly::MAX_EARLY_RECORD_LEN;
pub(crate) use reassembly::Reassembly;
pub(crate) use timer::{Expired, RetransmitTimer};
