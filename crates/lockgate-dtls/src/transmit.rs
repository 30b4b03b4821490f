//! A flight into datagrams: records and fragments as long as the path takes them.

use crate::association::{Association, change_cipher_spec};
use crate::config::Config;
use crate::crypto::Provider;
use crate::flight::{Outgoing, Piece, Protection};
use crate::record::{KeyPair, Layout};
use crate::wire::{
    ContentType, HANDSHAKE_HEADER_LEN, HandshakeHeader, RECORD_HEADER_LEN, RecordHeader, Writer,
};

/// What the records of a flight are made with.
pub(crate) struct Records<'a, P: Provider> {
    pub(crate) association: Option<&'a mut Association>,
    pub(crate) keys: Option<&'a KeyPair<P::AeadKey>>,
    /// The next record number of epoch 0.
    pub(crate) epoch_0_next: &'a mut u64,
    /// The version that clear-text records say.
    pub(crate) version: u16,
}

/// Writes as much of the flight as fits `room`, and returns its length.
pub(crate) fn emit_flight<P: Provider>(
    flight: &mut Outgoing,
    memory: &[u8],
    records: &mut Records<'_, P>,
    config: &Config,
    room: &mut [u8],
) -> usize {
    let mut len = 0;
    while flight.is_pending() {
        match emit_piece(flight, memory, records, config, &mut room[len..]) {
            Some(written) => len += written,
            None => break,
        }
    }
    len
}

/// Writes one record of the flight, if it fits: a fragment when there is no room for the whole.
fn emit_piece<P: Provider>(
    flight: &mut Outgoing,
    memory: &[u8],
    records: &mut Records<'_, P>,
    config: &Config,
    room: &mut [u8],
) -> Option<usize> {
    let (header, protection, rest, length) = match flight.peek(memory)? {
        Piece::ChangeCipherSpec => {
            let written = change_cipher_spec(*records.epoch_0_next, room)?;
            *records.epoch_0_next += 1;
            flight.advance(memory, 0);
            return Some(written);
        }
        Piece::Fragment {
            protection,
            msg_type,
            message_seq,
            length,
            offset,
            rest,
        } => {
            let header = HandshakeHeader {
                msg_type,
                length: u32::from(length),
                message_seq,
                fragment_offset: u32::from(offset),
                fragment_length: 0,
            };
            (header, protection, rest, rest.len())
        }
    };
    let (before, after) = match (protection, &records.association) {
        (Protection::ClearText, _) => (RECORD_HEADER_LEN, 0),
        (Protection::Protected, Some(association)) => {
            let layout = Layout::new(association.parameters().aead, association.peer_cid.len());
            (layout.before(), layout.after())
        }
        (Protection::Protected, None) => return None,
    };
    let available = room
        .len()
        .checked_sub(before + HANDSHAKE_HEADER_LEN + after)?;
    let take = length.min(available);
    if take == 0 && length > 0 {
        return None;
    }
    let header = HandshakeHeader {
        fragment_length: take as u32,
        ..header
    };
    let content = before..before + HANDSHAKE_HEADER_LEN + take;
    let target = room.get_mut(content.clone())?;
    target[..HANDSHAKE_HEADER_LEN].copy_from_slice(&header.to_bytes());
    target[HANDSHAKE_HEADER_LEN..].copy_from_slice(rest.get(..take)?);
    let written = match (protection, &mut records.association, records.keys) {
        (Protection::Protected, Some(association), Some(keys)) => {
            association
                .seal::<P>(keys, config, ContentType::HANDSHAKE, room, content)
                .ok()?
                .end
        }
        (Protection::Protected, _, _) => return None,
        (Protection::ClearText, _, _) => {
            let header = RecordHeader {
                content_type: ContentType::HANDSHAKE,
                version: records.version,
                epoch: 0,
                sequence: *records.epoch_0_next,
                cid_len: 0,
                length: content.len() as u16,
            };
            header.emit(&[], &mut Writer::new(room)).ok()?;
            *records.epoch_0_next += 1;
            content.end
        }
    };
    flight.advance(memory, take);
    Some(written)
}
