//! A datagram on its way in.

use crate::drop_reason::DropReason;
use crate::wire::{MAX_PLAINTEXT_LEN, RecordHeader};

/// A record in a datagram: its header, where it starts, and its bytes.
type Record<'a> = (RecordHeader, usize, &'a mut [u8]);

/// A datagram that is opened in place, record by record.
#[derive(Debug)]
pub struct Datagram<'a> {
    bytes: &'a mut [u8],
    next: usize,
}

impl<'a> Datagram<'a> {
    /// A datagram that nothing has been read of.
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, next: 0 }
    }

    /// The bytes, in which what was received is named by ranges.
    pub const fn bytes(&mut self) -> &mut [u8] {
        self.bytes
    }

    /// How many bytes at the front have been taken in, so that the rest can be a datagram of its own later.
    pub const fn consumed(&self) -> usize {
        self.next
    }

    /// The next record: its header, where it starts, and its bytes. `None` when there are no more, an error when what is
    /// left is not a record, which ends the datagram.
    pub(crate) fn next_record(
        &mut self,
        own_cid_len: u8,
    ) -> Option<Result<Record<'_>, DropReason>> {
        let start = self.next;
        let rest = self.bytes.get_mut(start..)?;
        if rest.is_empty() {
            return None;
        }
        let Ok(header) = RecordHeader::parse(rest, own_cid_len) else {
            // Where another record might begin is unknown.
            self.next = start + rest.len();
            return Some(Err(DropReason::Malformed));
        };
        if header.epoch == 0 && usize::from(header.length) > MAX_PLAINTEXT_LEN {
            self.next = start + rest.len();
            return Some(Err(DropReason::Malformed));
        }
        let len = header.record_len();
        self.next = start + len;
        Some(
            rest.get_mut(..len)
                .map(|record| (header, start, record))
                .ok_or(DropReason::Malformed),
        )
    }
}
