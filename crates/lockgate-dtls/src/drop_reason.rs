//! Why a datagram, or a record in it, led nowhere.

use core::fmt;

/// Every reason for which a record is dropped. The list is closed: drivers keep one counter for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// Not a record, or cut short.
    Malformed,
    /// A content type that does not exist here.
    UnknownContentType,
    /// A record version that is not DTLS 1.2 (1.0 on a `ClientHello` is taken).
    UnsupportedVersion,
    /// A connection ID that is not ours, or whose session is gone.
    UnknownConnectionId,
    /// A protected record without the connection ID that was negotiated (RFC 9146 §3).
    MissingConnectionId,
    /// From an address that has neither session nor handshake here.
    UnknownAddress,
    /// Of an epoch that has no keys.
    UnknownEpoch,
    /// A record number that has been seen.
    Replayed,
    /// A record number before the anti-replay window.
    TooOld,
    /// The tag does not verify.
    Unauthenticated,
    /// Authenticated, but without an inner content type or longer than a record may be.
    InvalidInner,
    /// A handshake message under the session's keys that means nothing there.
    UnexpectedHandshake,
    /// Application data that came in clear text.
    ClearTextApplicationData,
    /// Application data that came before `Finished`.
    EarlyApplicationData,
    /// Protected handshake data ahead of its keys, with no room to keep it.
    EarlyRecord,
    /// A handshake message that has been processed.
    DuplicateMessage,
    /// A handshake message too far ahead.
    MessageTooFarAhead,
    /// An empty fragment of a message that is not, or one that lies outside of its message.
    InconsistentFragment,
    /// No room to reassemble.
    ReassemblyFull,
    /// A `ClientHello` in fragments before its cookie, where there is no room, or no wish, to put it together.
    FragmentedClientHello,
    /// A `ClientHello` where no server is.
    NotAServer,
    /// A `ClientHello` from an address that a handshake of our own is under way with.
    OwnHandshake,
    /// A `ClientHello` that is shorter than its answer would be.
    TooShortToAnswer,
    /// The cap on half-open handshakes.
    HalfOpenLimit,
    /// The cap on half-open handshakes of one address.
    HalfOpenLimitPerAddress,
    /// The table of connections is full.
    TableFull,
    /// For a connection that is closing.
    Closing,
    /// A `ChangeCipherSpec` where no handshake is under way.
    ChangeCipherSpec,
    /// An alert that is only a warning, or in clear text beside an established session.
    IgnoredAlert,
    /// An alert that is not two bytes long.
    MalformedAlert,
    /// A `ChangeCipherSpec` that says something else.
    MalformedChangeCipherSpec,
    /// A handshake record that does not hold whole fragments.
    MalformedHandshakeRecord,
    /// A fragment whose type or length contradicts an earlier one.
    FragmentMismatch,
    /// A handshake message in parts of different epochs, or one that the change of keys cuts off.
    MixedEpochs,
    /// With more content than a record may have.
    RecordOverflow,
    /// A `ClientHello` that cannot be decoded.
    MalformedClientHello,
    /// Nothing could be done because the provider failed.
    Internal,
}

impl DropReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 37] = [
        Self::Malformed,
        Self::UnknownContentType,
        Self::UnsupportedVersion,
        Self::UnknownConnectionId,
        Self::MissingConnectionId,
        Self::UnknownAddress,
        Self::UnknownEpoch,
        Self::Replayed,
        Self::TooOld,
        Self::Unauthenticated,
        Self::InvalidInner,
        Self::UnexpectedHandshake,
        Self::ClearTextApplicationData,
        Self::EarlyApplicationData,
        Self::EarlyRecord,
        Self::DuplicateMessage,
        Self::MessageTooFarAhead,
        Self::InconsistentFragment,
        Self::ReassemblyFull,
        Self::FragmentedClientHello,
        Self::NotAServer,
        Self::OwnHandshake,
        Self::TooShortToAnswer,
        Self::HalfOpenLimit,
        Self::HalfOpenLimitPerAddress,
        Self::TableFull,
        Self::Closing,
        Self::ChangeCipherSpec,
        Self::IgnoredAlert,
        Self::MalformedAlert,
        Self::MalformedChangeCipherSpec,
        Self::MalformedHandshakeRecord,
        Self::FragmentMismatch,
        Self::MixedEpochs,
        Self::RecordOverflow,
        Self::MalformedClientHello,
        Self::Internal,
    ];

    /// A name for metrics: lower case with underscores.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownContentType => "unknown_content_type",
            Self::UnsupportedVersion => "unsupported_version",
            Self::UnknownConnectionId => "unknown_connection_id",
            Self::MissingConnectionId => "missing_connection_id",
            Self::UnknownAddress => "unknown_address",
            Self::UnknownEpoch => "unknown_epoch",
            Self::Replayed => "replayed",
            Self::TooOld => "too_old",
            Self::Unauthenticated => "unauthenticated",
            Self::InvalidInner => "invalid_inner",
            Self::UnexpectedHandshake => "unexpected_handshake",
            Self::ClearTextApplicationData => "clear_text_application_data",
            Self::EarlyApplicationData => "early_application_data",
            Self::EarlyRecord => "early_record",
            Self::DuplicateMessage => "duplicate_message",
            Self::MessageTooFarAhead => "message_too_far_ahead",
            Self::InconsistentFragment => "inconsistent_fragment",
            Self::ReassemblyFull => "reassembly_full",
            Self::FragmentedClientHello => "fragmented_client_hello",
            Self::NotAServer => "not_a_server",
            Self::OwnHandshake => "own_handshake",
            Self::TooShortToAnswer => "too_short_to_answer",
            Self::HalfOpenLimit => "half_open_limit",
            Self::HalfOpenLimitPerAddress => "half_open_limit_per_address",
            Self::TableFull => "table_full",
            Self::Closing => "closing",
            Self::ChangeCipherSpec => "change_cipher_spec",
            Self::IgnoredAlert => "ignored_alert",
            Self::MalformedAlert => "malformed_alert",
            Self::MalformedChangeCipherSpec => "malformed_change_cipher_spec",
            Self::MalformedHandshakeRecord => "malformed_handshake_record",
            Self::FragmentMismatch => "fragment_mismatch",
            Self::MixedEpochs => "mixed_epochs",
            Self::RecordOverflow => "record_overflow",
            Self::MalformedClientHello => "malformed_client_hello",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
