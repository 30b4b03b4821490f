//! Many datagrams in one call of the kernel, in both directions.
//!
//! [`ReceiveBatch`] takes what waits at a socket, [`SendBatch`] collects what is to go, to any peers and from any addresses
//! of ours. Both are memory that is used again and again: no datagram causes an allocation.

mod kernel;
mod receive;
mod send;
#[cfg(test)]
mod tests;

pub use receive::{Arrived, ReceiveBatch};
pub use send::SendBatch;
pub(crate) use send::send_one;
