//! What happens to one handshake flight: cut into fragments, put together again, sent again after silence.

mod outgoing;
mod reassembly;
#[cfg(test)]
mod tests;
mod timer;

pub(crate) use outgoing::{Outgoing, Piece, Protection};
#[cfg(feature = "endpoint")]
pub(crate) use reassembly::MAX_EARLY_RECORD_LEN;
pub(crate) use reassembly::Reassembly;
pub(crate) use timer::{Expired, RetransmitTimer};
