//! How the scratch memory of a handshake is shared out.

#[cfg(feature = "certificates")]
use crate::association::Role;
#[cfg(feature = "certificates")]
use crate::config::Config;
use crate::v12::Scratch;

/// How the scratch memory is shared out, in bytes: what is left of it is for messages on their way in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// For an early record, at its end.
    #[cfg(feature = "resumption")]
    pub(super) early: u16,
    /// For the transcript, before that.
    #[cfg(feature = "certificates")]
    pub(super) transcript: u16,
    /// For our flight, at its start.
    pub(super) outgoing: u16,
}

/// The parts of the scratch memory.
pub(super) struct Parts<'a> {
    pub(super) scratch: Scratch<'a>,
    pub(super) incoming: &'a mut [u8],
    #[cfg(feature = "resumption")]
    pub(super) early: &'a mut [u8],
}

impl Layout {
    /// With half for each direction.
    pub(super) const fn halves(len: usize, early: usize) -> Self {
        Self {
            #[cfg(feature = "resumption")]
            early: early as u16,
            #[cfg(feature = "certificates")]
            transcript: 0,
            outgoing: (len.saturating_sub(early) / 2) as u16,
        }
    }

    /// With certificates: half for a transcript that is kept, the rest for both directions; without it a client, who is
    /// shown a chain and shows none, takes in more than it sends.
    #[cfg(feature = "certificates")]
    pub(super) fn new(config: &Config, role: Role, len: usize, early: usize) -> Self {
        let room = len.saturating_sub(early);
        let mut this = Self::halves(len, early);
        if config.keeps_transcript(role) {
            this.transcript = (room / 2) as u16;
            this.outgoing = (room / 4) as u16;
        } else if role == Role::Client && !config.peer_certificate_types.is_empty() {
            this.outgoing = (room / 4) as u16;
        }
        this
    }

    #[cfg(not(feature = "certificates"))]
    pub(super) fn split(self, buffer: &mut [u8]) -> Parts<'_> {
        #[cfg(feature = "resumption")]
        let (buffer, early) =
            buffer.split_at_mut(buffer.len().saturating_sub(usize::from(self.early)));
        let (outgoing, incoming) =
            buffer.split_at_mut(usize::from(self.outgoing).min(buffer.len()));
        Parts {
            scratch: Scratch { outgoing },
            incoming,
            #[cfg(feature = "resumption")]
            early,
        }
    }

    #[cfg(feature = "certificates")]
    pub(super) fn split(self, buffer: &mut [u8]) -> Parts<'_> {
        let (rest, early) =
            buffer.split_at_mut(buffer.len().saturating_sub(usize::from(self.early)));
        let (rest, transcript) =
            rest.split_at_mut(rest.len().saturating_sub(usize::from(self.transcript)));
        let (outgoing, incoming) = rest.split_at_mut(usize::from(self.outgoing).min(rest.len()));
        Parts {
            scratch: Scratch {
                outgoing,
                transcript,
            },
            incoming,
            early,
        }
    }

    /// Where our flight stands.
    pub(super) fn outgoing(self, buffer: &[u8]) -> &[u8] {
        buffer.get(..usize::from(self.outgoing)).unwrap_or_default()
    }
}
