//! The long life of a connection: everything that an established session needs, small and of fixed size.

#[cfg(feature = "resumption")]
mod last_flight;

use core::fmt;
use core::ops::Range;

#[cfg(feature = "exporter")]
use zeroize::Zeroize;

use crate::bytes::{OwnCid, PeerCid};
use crate::config::{AeadLimits, Config, Padding};
#[cfg(feature = "endpoint")]
use crate::crypto::NamedGroup;
use crate::crypto::{CryptoError, Provider};
use crate::drop_reason::DropReason;
#[cfg(feature = "endpoint")]
use crate::error::PeerMisbehaved;
use crate::error::{Limit, SendError};
use crate::lease::Lease;
use crate::record::{
    self, Direction, KeyPair, Layout, ReplayWindow, SEQUENCE_END, TrafficKeys, failed_open_limit,
    seal_limit,
};
use crate::suite::{CipherSuite, SuiteParameters};
use crate::time::Instant;
use crate::wire::{
    Alert, AlertDescription, AlertLevel, ContentType, DTLS_1_2, HandshakeHeader, HandshakeType,
    MAX_PLAINTEXT_LEN, RECORD_HEADER_LEN, Reader, RecordHeader, Writer,
};

/// Longest protected record in bytes: 2^14 and what protection may add (RFC 5246 §6.2.3).
const MAX_CIPHERTEXT_LEN: usize = MAX_PLAINTEXT_LEN + 2048;

#[cfg(feature = "resumption")]
pub(crate) use last_flight::LastFlight;

/// The epoch of every protected record: there is no renegotiation.
const EPOCH: u16 = 1;

/// Which end of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We sent `ClientHello`.
    Client,
    /// We answered it.
    Server,
}

/// An established session: bare keys, sequence numbers, connection IDs. Nothing in it points to the handshake that
/// made it.
pub struct Association {
    pub(crate) keys: TrafficKeys,
    pub(crate) window: ReplayWindow,
    pub(crate) write_next: u64,
    pub(crate) failed_opens: u64,
    pub(crate) lease: Option<Lease>,
    #[cfg(feature = "resumption")]
    pub(crate) last_flight: Option<LastFlight>,
    /// The number of the peer's `Finished`: what counts on from there is not a repeat. Not known of a session that
    /// was brought back.
    #[cfg(feature = "endpoint")]
    pub(crate) peer_message_seq: Option<u16>,
    /// What the path is known to take in bytes of UDP payload, or 0.
    #[cfg(feature = "endpoint")]
    pub(crate) path_mtu: u16,
    /// The handshake went on with an earlier session.
    #[cfg(feature = "endpoint")]
    pub(crate) resumed: bool,
    /// SHA-256 of the `SubjectPublicKeyInfo` that the peer proved itself with.
    #[cfg(feature = "certificates")]
    pub(crate) peer_key_hash: Option<[u8; 32]>,
    /// The agreed application protocol by its place in our list, counted from 1.
    #[cfg(feature = "certificates")]
    pub(crate) protocol: u8,
    /// The group of the key exchange, or 0; an association that was brought back does not know it.
    #[cfg(feature = "endpoint")]
    pub(crate) group: NamedGroup,
    #[cfg(feature = "exporter")]
    pub(crate) exporter: ExporterSecret,
    pub(crate) suite: CipherSuite,
    /// Of the suite; looked up once, because every record needs them.
    parameters: SuiteParameters,
    /// The longest content, with inner type and padding, that the peer takes.
    pub(crate) peer_limit: u16,
    pub(crate) role: Role,
    pub(crate) own_cid: OwnCid,
    pub(crate) peer_cid: PeerCid,
    pending_alert: Option<Alert>,
    closed: bool,
}

/// What RFC 5705 exporters are derived from.
#[cfg(feature = "exporter")]
#[derive(Clone)]
pub(crate) struct ExporterSecret {
    pub(crate) master_secret: [u8; crate::key_schedule::MASTER_SECRET_LEN],
    /// Client random, then server random.
    pub(crate) randoms: [u8; 2 * crate::wire::RANDOM_LEN],
}

/// What an opened record turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// Application data, at this place in the record.
    Application(Range2),
    /// The peer asked for our last flight again; it is pending now.
    #[cfg(feature = "resumption")]
    LastFlightAgain,
    /// The peer closed, and `close_notify` is pending as an answer.
    CloseNotify,
    /// The peer ended the connection.
    FatalAlert(AlertDescription),
    /// Renegotiation was refused; the alert is pending.
    RenegotiationRefused,
    /// The peer broke the protocol under the session's own keys; the alert is pending.
    #[cfg(feature = "endpoint")]
    Misbehaved(PeerMisbehaved),
    /// Authenticated, and without consequence.
    Ignored(DropReason),
}

/// A `Copy` range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range2 {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Why a record did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Drop(DropReason),
    /// Dropped, and it was one too many: the session is to close.
    LimitReached(Limit),
}

impl From<DropReason> for Refused {
    fn from(reason: DropReason) -> Self {
        Self::Drop(reason)
    }
}

/// What the handshake settled.
pub(crate) struct Agreed {
    pub(crate) role: Role,
    pub(crate) suite: CipherSuite,
    pub(crate) parameters: SuiteParameters,
    pub(crate) keys: TrafficKeys,
    pub(crate) own_cid: OwnCid,
    pub(crate) peer_cid: PeerCid,
    pub(crate) peer_limit: u16,
    #[cfg(feature = "exporter")]
    pub(crate) exporter: ExporterSecret,
}

impl Association {
    pub(crate) fn new(agreed: Agreed) -> Self {
        Self {
            keys: agreed.keys,
            window: ReplayWindow::default(),
            write_next: 0,
            failed_opens: 0,
            lease: None,
            #[cfg(feature = "resumption")]
            last_flight: None,
            #[cfg(feature = "endpoint")]
            peer_message_seq: None,
            #[cfg(feature = "endpoint")]
            path_mtu: 0,
            #[cfg(feature = "endpoint")]
            resumed: false,
            #[cfg(feature = "certificates")]
            peer_key_hash: None,
            #[cfg(feature = "certificates")]
            protocol: 0,
            #[cfg(feature = "endpoint")]
            group: NamedGroup(0),
            #[cfg(feature = "exporter")]
            exporter: agreed.exporter,
            suite: agreed.suite,
            parameters: agreed.parameters,
            peer_limit: agreed.peer_limit,
            role: agreed.role,
            own_cid: agreed.own_cid,
            peer_cid: agreed.peer_cid,
            pending_alert: None,
            closed: false,
        }
    }

    /// The agreed cipher suite.
    pub const fn cipher_suite(&self) -> CipherSuite {
        self.suite
    }

    /// SHA-256 of the `SubjectPublicKeyInfo` that the peer proved itself with, if it did with one.
    #[cfg(feature = "certificates")]
    pub const fn peer_key_hash(&self) -> Option<&[u8; 32]> {
        self.peer_key_hash.as_ref()
    }

    /// Which end we are.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The connection ID that the peer's records carry, or empty.
    pub fn own_cid(&self) -> &[u8] {
        self.own_cid.as_slice()
    }

    /// The connection ID that our records carry, or empty.
    pub fn peer_cid(&self) -> &[u8] {
        self.peer_cid.as_slice()
    }

    /// Longest application payload in bytes that one record may carry to the peer.
    pub fn max_payload(&self) -> usize {
        let inner_type = usize::from(!self.peer_cid.is_empty());
        usize::from(self.peer_limit).min(MAX_PLAINTEXT_LEN) - inner_type
    }

    /// As [`Association::max_payload`], where the path takes no more.
    #[cfg(feature = "endpoint")]
    pub(crate) fn max_datagram_payload(&self) -> usize {
        let by_path = match self.path_mtu {
            0 => usize::MAX,
            mtu => usize::from(mtu).saturating_sub(self.record_overhead()),
        };
        self.max_payload().min(by_path)
    }

    /// How many bytes a record needs before its payload.
    #[cfg(feature = "endpoint")]
    pub(crate) fn headroom(&self) -> usize {
        Layout::new(self.parameters().aead, self.peer_cid.len()).before()
    }

    /// How many bytes a record adds around a payload, without padding.
    pub fn record_overhead(&self) -> usize {
        let layout = Layout::new(self.parameters().aead, self.peer_cid.len());
        layout.before() + layout.after()
    }

    pub(crate) const fn parameters(&self) -> SuiteParameters {
        self.parameters
    }

    pub(crate) fn expand<P: Provider>(
        &self,
        provider: &P,
    ) -> Result<KeyPair<P::AeadKey>, CryptoError> {
        self.keys.expand(provider, self.parameters().aead)
    }

    /// Protects the content at `content` in `buf` in place, and returns where the record stands.
    pub(crate) fn seal<P: Provider>(
        &mut self,
        keys: &KeyPair<P::AeadKey>,
        config: &Config,
        content_type: ContentType,
        buf: &mut [u8],
        content: Range<usize>,
    ) -> Result<Range<usize>, SendError> {
        let suite = self.parameters();
        let layout = Layout::new(suite.aead, self.peer_cid.len());
        let limit = self.max_payload();
        if content.len() > limit {
            return Err(SendError::TooLarge { limit });
        }
        let padding = match config.padding {
            // Only what the application says is worth hiding; flights are cut to the MTU without padding.
            Padding::Multiple(of)
                if layout.inner_type != 0 && content_type == ContentType::APPLICATION_DATA =>
            {
                let len = content.len() + 1;
                (len.next_multiple_of(usize::from(of.get())) - len).min(limit - content.len())
            }
            _ => 0,
        };
        let room_behind = buf.len().saturating_sub(content.end);
        if content.start < layout.before()
            || content.end < content.start
            || room_behind < layout.after() + padding
        {
            return Err(SendError::BufferTooSmall {
                needed: layout.before() + content.len() + layout.after() + padding,
            });
        }
        let sequence = self.write_next;
        // The last number is kept for the word of the end.
        let reserved = u64::from(content_type == ContentType::APPLICATION_DATA);
        if sequence.saturating_add(reserved) >= seal_limit(suite, config.aead_limits) {
            return Err(SendError::KeyExhausted);
        }
        if self
            .lease
            .as_ref()
            .is_some_and(|lease| sequence >= lease.end)
        {
            return Err(SendError::LeaseExhausted);
        }
        // The number is spent even if the provider fails: it must never serve twice.
        self.write_next += 1;
        let direction = Direction {
            key: &keys.write,
            iv: &self.keys.write_iv,
            aead: suite.aead,
            cid: self.peer_cid.as_slice(),
        };
        record::seal(
            &direction,
            content_type,
            EPOCH,
            sequence,
            padding,
            buf,
            content,
        )
        .map_err(SendError::Crypto)
    }

    /// Protects `content` into `out`, whose start the record takes.
    pub(crate) fn seal_into<P: Provider>(
        &mut self,
        keys: &KeyPair<P::AeadKey>,
        config: &Config,
        content_type: ContentType,
        content: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        let layout = Layout::new(self.parameters().aead, self.peer_cid.len());
        let at = layout.before()..layout.before() + content.len();
        let needed = at.end + layout.after();
        out.get_mut(at.clone())
            .ok_or(SendError::BufferTooSmall { needed })?
            .copy_from_slice(content);
        self.seal::<P>(keys, config, content_type, out, at)
            .map(|record| record.end)
    }

    /// Everything about a protected record that can be judged without its key.
    pub(crate) fn precheck(
        &self,
        config: &Config,
        header: &RecordHeader,
    ) -> Result<(), DropReason> {
        if self.closed {
            return Err(DropReason::Closing);
        }
        if header.version != DTLS_1_2 {
            return Err(DropReason::UnsupportedVersion);
        }
        if header.epoch != EPOCH {
            return Err(DropReason::UnknownEpoch);
        }
        if usize::from(header.length) > MAX_CIPHERTEXT_LEN {
            return Err(DropReason::RecordOverflow);
        }
        if usize::from(header.cid_len) != self.own_cid.len() {
            return Err(DropReason::MissingConnectionId);
        }
        self.window.check(header.sequence, config.replay_window)
    }

    /// Opens a protected record in place: its true type, where its content stands in `record`, and whether it is
    /// newer than all before it. [`Association::precheck`] has passed it. Nothing but the counter of failures changes unless the tag verifies.
    pub(crate) fn open<P: Provider>(
        &mut self,
        keys: &KeyPair<P::AeadKey>,
        config: &Config,
        header: &RecordHeader,
        record: &mut [u8],
    ) -> Result<(ContentType, Range<usize>, bool), Refused> {
        let suite = self.parameters();
        let direction = Direction {
            key: &keys.read,
            iv: &self.keys.read_iv,
            aead: suite.aead,
            cid: self.own_cid.as_slice(),
        };
        match record::open(&direction, header, record) {
            Ok((content_type, range)) => {
                let newest = self.window.mark(header.sequence);
                Ok((content_type, range, newest))
            }
            Err(DropReason::Unauthenticated) => {
                self.failed_opens += 1;
                if self.failed_opens >= failed_open_limit(suite, config.aead_limits) {
                    return Err(Refused::LimitReached(Limit::FailedOpens));
                }
                Err(DropReason::Unauthenticated.into())
            }
            Err(reason) => Err(reason.into()),
        }
    }

    /// Takes a protected record in that has passed [`Association::precheck`]: opens it and acts on what is in it.
    pub(crate) fn handle_record<P: Provider>(
        &mut self,
        keys: &KeyPair<P::AeadKey>,
        config: &Config,
        now: Instant,
        header: &RecordHeader,
        record: &mut [u8],
    ) -> Result<(Opened, bool), Refused> {
        let opened = self.open::<P>(keys, config, header, record);
        #[cfg(feature = "endpoint")]
        if opened == Err(Refused::Drop(DropReason::RecordOverflow)) {
            return Ok((self.misbehaved(PeerMisbehaved::RecordOverflow), false));
        }
        let (content_type, range, newest) = opened?;
        let content = record.get(range.clone()).unwrap_or_default();
        let opened = match content_type {
            ContentType::APPLICATION_DATA => Opened::Application(Range2 {
                start: range.start,
                end: range.end,
            }),
            ContentType::ALERT => self.handle_alert(content),
            ContentType::HANDSHAKE => self.handle_handshake(now, content),
            _ => Opened::Ignored(DropReason::UnknownContentType),
        };
        Ok((opened, newest))
    }

    fn handle_alert(&mut self, content: &[u8]) -> Opened {
        let Ok(alert) = Alert::parse(content) else {
            #[cfg(feature = "endpoint")]
            return self.misbehaved(PeerMisbehaved::MalformedAlert);
            #[cfg(not(feature = "endpoint"))]
            return Opened::Ignored(DropReason::MalformedAlert);
        };
        #[cfg(feature = "endpoint")]
        if !matches!(content.first(), Some(1 | 2)) {
            return self.misbehaved(PeerMisbehaved::UnknownAlertLevel);
        }
        if alert.description == AlertDescription::CLOSE_NOTIFY {
            self.close();
            Opened::CloseNotify
        } else if alert.level == AlertLevel::Fatal {
            self.closed = true;
            Opened::FatalAlert(alert.description)
        } else {
            Opened::Ignored(DropReason::IgnoredAlert)
        }
    }

    #[cfg_attr(
        not(feature = "resumption"),
        expect(unused_variables, reason = "there is no last flight")
    )]
    fn handle_handshake(&mut self, now: Instant, content: &[u8]) -> Opened {
        let Ok((header, _)) = HandshakeHeader::parse(&mut Reader::new(content)) else {
            return Opened::Ignored(DropReason::Malformed);
        };
        match (header.msg_type, self.role) {
            #[cfg(feature = "endpoint")]
            (HandshakeType::FINISHED, _)
                if self.peer_message_seq.is_some_and(|last| {
                    header.message_seq.wrapping_sub(last).wrapping_sub(1) < 0x7fff
                }) =>
            {
                self.misbehaved(PeerMisbehaved::MessageAfterFinished)
            }
            // Once for a message in fragments: with the one that ends it.
            #[cfg(feature = "resumption")]
            (HandshakeType::FINISHED, _)
                if header.fragment_offset + header.fragment_length == header.length =>
            {
                self.on_repeated_finished(now)
            }
            (HandshakeType::CLIENT_HELLO, Role::Server)
            | (HandshakeType::HELLO_REQUEST, Role::Client) => {
                self.pending_alert = Some(Alert {
                    level: AlertLevel::Warning,
                    description: AlertDescription::NO_RENEGOTIATION,
                });
                Opened::RenegotiationRefused
            }
            _ => Opened::Ignored(DropReason::UnexpectedHandshake),
        }
    }

    /// Ends the session over what the peer said under its keys.
    #[cfg(feature = "endpoint")]
    fn misbehaved(&mut self, what: PeerMisbehaved) -> Opened {
        self.closed = true;
        self.pending_alert = Some(Alert::fatal(what.alert()));
        Opened::Misbehaved(what)
    }

    /// Ends the session with an alert of the caller's.
    #[cfg(feature = "endpoint")]
    pub(crate) fn abort(&mut self, alert: AlertDescription) {
        self.closed = true;
        self.pending_alert = Some(Alert::fatal(alert));
    }

    /// Makes `close_notify` pending and takes nothing in any more.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.pending_alert = Some(Alert::CLOSE_NOTIFY);
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether [`Association::poll_transmit`] has something to write.
    pub(crate) fn is_pending(&self) -> bool {
        #[cfg(feature = "resumption")]
        if self.last_flight_is_pending() {
            return true;
        }
        self.pending_alert.is_some()
    }

    /// Writes the next datagram of the association's own, and returns its length.
    pub(crate) fn poll_transmit<P: Provider>(
        &mut self,
        keys: &KeyPair<P::AeadKey>,
        config: &Config,
        buf: &mut [u8],
    ) -> Option<usize> {
        #[cfg(feature = "resumption")]
        if let Some(len) = self.emit_last_flight::<P>(keys, config, buf) {
            return Some(len);
        }
        let alert = self.pending_alert.take()?;
        self.seal_into::<P>(keys, config, ContentType::ALERT, &alert.to_bytes(), buf)
            .ok()
    }

    /// Keying material for the application (RFC 5705).
    #[cfg(feature = "exporter")]
    pub fn export_keying_material<P: Provider>(
        &self,
        provider: &P,
        label: &[u8],
        context: Option<&[u8]>,
        out: &mut [u8],
    ) -> Result<(), crate::ApiError> {
        let secret = &self.exporter;
        crate::key_schedule::exporter(
            provider,
            self.parameters(),
            &secret.master_secret,
            &secret.randoms,
            label,
            context,
            out,
        )
    }

    /// The next record number that will be sent, and its bound.
    pub(crate) fn sequence_room(&self) -> u64 {
        let end = self.lease.as_ref().map_or(SEQUENCE_END, |lease| lease.end);
        end.min(seal_limit(self.parameters(), AeadLimits::default()))
            .saturating_sub(self.write_next)
    }
}

/// Writes a `ChangeCipherSpec` record and returns its length.
pub(crate) fn change_cipher_spec(sequence: u64, buf: &mut [u8]) -> Option<usize> {
    let header = RecordHeader {
        content_type: ContentType::CHANGE_CIPHER_SPEC,
        version: DTLS_1_2,
        epoch: 0,
        sequence,
        cid_len: 0,
        length: 1,
    };
    let mut out = Writer::new(buf);
    header.emit(&[], &mut out).ok()?;
    out.u8(1).ok()?;
    Some(RECORD_HEADER_LEN + 1)
}

impl Drop for Association {
    fn drop(&mut self) {
        // The traffic keys wipe themselves.
        #[cfg(feature = "exporter")]
        self.exporter.master_secret.zeroize();
    }
}

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Association")
            .field("role", &self.role)
            .field("suite", &self.suite)
            .field("own_cid", &self.own_cid)
            .field("peer_cid", &self.peer_cid)
            .finish_non_exhaustive()
    }
}
