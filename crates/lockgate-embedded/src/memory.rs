//! The memory that a device gives once, and how long each part has to be.

use lockgate_dtls::config::{MAX_HEADROOM, MAX_TAILROOM};

/// Scratch memory of a handshake in bytes; see [`lockgate_dtls::MIN_CLIENT_SCRATCH_LEN`] for when it takes more.
pub const SCRATCH_LEN: usize = lockgate_dtls::MIN_CLIENT_SCRATCH_LEN;

/// Scratch memory that a handshake with raw public keys or certificates needs, in bytes, for the third part of
/// [`Memory`].
///
/// `server` is how long the server's certificates are altogether, `own` how long ours are when we show any; a raw public
/// key counts as 100 bytes.
#[cfg(feature = "certificates")]
pub const fn scratch_len(server: usize, own: usize) -> usize {
    // Their lengths and headers; the server's key exchange may wait beside them.
    let incoming = server + 256;
    // A hello with a long cookie; or key exchange, signature, Finished, and what a server asks for.
    let outgoing = own + 512;
    if own == 0 {
        // A quarter goes out, the rest comes in.
        return EARLY_LEN + max(4 * outgoing, 2 * incoming);
    }
    // Half is the transcript of both sides.
    let transcript = server + own + 896;
    EARLY_LEN + max(2 * transcript, 4 * max(incoming, outgoing))
}

/// What resumption takes of it for a record that came early.
#[cfg(feature = "certificates")]
const EARLY_LEN: usize = 160;

#[cfg(feature = "certificates")]
const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// Shortest transmit buffer in bytes: a server with the longest identity (128 bytes) is answered in fragments of this
/// size.
pub const MIN_TRANSMIT_LEN: usize = lockgate_dtls::config::MIN_MTU;

/// Shortest receive buffer in bytes: `ServerHello` with the longest connection ID (32 bytes), identity hint and
/// `ServerHelloDone` in one datagram, as most servers send them. What is longer is dropped and counted.
pub const MIN_RECEIVE_LEN: usize = 320;

/// How many bytes a datagram is longer than its payload at most: record header, the longest connection ID, explicit
/// nonce, inner content type and the longest tag. With a server of ours and CCM\_8 it is 13 + 8 + 8 + 1 + 8 = 38.
pub const MAX_OVERHEAD: usize = MAX_HEADROOM + MAX_TAILROOM;

/// How long a buffer for an exported session has to be, in bytes. What is written to it is about half of that.
pub const EXPORT_LEN: usize = lockgate_dtls::export::MAX_EXPORT_LEN;

/// The buffers for datagrams, and what is still to be done with them. Sessions on the same link can share them.
#[derive(Debug)]
pub struct Buffers<'m> {
    pub(crate) receive: &'m mut [u8],
    pub(crate) transmit: &'m mut [u8],
    /// What of the received datagram has not been taken in.
    pub(crate) rest: (usize, usize),
    /// How long the datagram is that the link had no room for.
    pub(crate) unsent: usize,
}

impl<'m> Buffers<'m> {
    /// One buffer each way: at least [`MIN_RECEIVE_LEN`] and [`MIN_TRANSMIT_LEN`] bytes, and [`MAX_OVERHEAD`] more than
    /// the longest payload.
    pub const fn new(receive: &'m mut [u8], transmit: &'m mut [u8]) -> Self {
        Self {
            receive,
            transmit,
            rest: (0, 0),
            unsent: 0,
        }
    }
}

/// All the bytes that one [`Device`](crate::Device) needs beside itself, for a `static` or a local of `main`.
#[derive(Debug)]
pub struct Memory<const RECEIVE: usize, const TRANSMIT: usize, const SCRATCH: usize = SCRATCH_LEN> {
    pub(crate) scratch: [u8; SCRATCH],
    pub(crate) receive: [u8; RECEIVE],
    pub(crate) transmit: [u8; TRANSMIT],
}

impl<const RECEIVE: usize, const TRANSMIT: usize, const SCRATCH: usize>
    Memory<RECEIVE, TRANSMIT, SCRATCH>
{
    /// Memory that nothing is in.
    pub const fn new() -> Self {
        Self {
            scratch: [0; SCRATCH],
            receive: [0; RECEIVE],
            transmit: [0; TRANSMIT],
        }
    }

    /// The scratch memory for a [`Session`](crate::Session), and the buffers.
    pub const fn split(&mut self) -> (&mut [u8], Buffers<'_>) {
        (
            &mut self.scratch,
            Buffers::new(&mut self.receive, &mut self.transmit),
        )
    }
}

impl<const RECEIVE: usize, const TRANSMIT: usize, const SCRATCH: usize> Default
    for Memory<RECEIVE, TRANSMIT, SCRATCH>
{
    fn default() -> Self {
        Self::new()
    }
}
