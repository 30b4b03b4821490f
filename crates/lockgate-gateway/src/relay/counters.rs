//! What the proxy counts.

use std::fmt;

use lockgate_tokio::IoCounters;

use super::reason::{EndReason, FailureReason};

/// Datagrams of application data, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many.
    pub datagrams: u64,
    /// Their bytes, without anything that DTLS adds.
    pub bytes: u64,
}

impl Traffic {
    pub(super) const fn add(&mut self, len: usize) {
        self.datagrams += 1;
        self.bytes += len as u64;
    }

    pub(super) const fn add_all(&mut self, others: Self) {
        self.datagrams += others.datagrams;
        self.bytes += others.bytes;
    }
}

/// The numbers of one proxy since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions that live now.
    pub sessions: u64,
    /// Handshakes that completed.
    pub handshakes_completed: u64,
    /// Those of them that went on with an earlier session.
    pub handshakes_resumed: u64,
    /// Earlier sessions that could not go on: not known, or whose device may not come in any more.
    pub resumptions_refused: u64,
    /// Handshakes that failed, by [`FailureReason`].
    pub handshakes_failed: [u64; FailureReason::ALL.len()],
    /// Sessions that ended, by [`EndReason`].
    pub sessions_ended: [u64; EndReason::ALL.len()],
    /// How often a session followed its device to another address.
    pub address_changes: u64,
    /// Look-ups of keys that did not answer at once.
    pub slow_key_lookups: u64,
    /// From devices, handed to the backend's sockets.
    pub to_backend: Traffic,
    /// From the backend, sealed and handed to the devices' sockets.
    pub to_devices: Traffic,
    /// Datagrams for the backend that were lost: it was not there, or a buffer was full.
    pub lost_to_backend: u64,
    /// Datagrams from the backend that are longer than the device takes, dropped.
    pub too_large_for_device: u64,
    /// Datagrams from the backend that could not be sealed for another reason, or handed over, dropped.
    pub lost_to_devices: u64,
    /// ICMP errors that say that nobody listens at the backend's port.
    pub backend_refused: u64,
    /// Other errors of sockets to the backend.
    pub backend_errors: u64,
    /// Datagrams to the pool's socket from somebody else than the backend, dropped. The kernel drops them before and
    /// counts none here, unless it takes no filter.
    pub pool_strangers: u64,
    /// Datagrams from the backend to an address of the pool that has no session now, dropped.
    pub pool_no_session: u64,
    /// Datagrams that the backend sent to the pool and that came to another worker than the session's, which handed them
    /// over.
    pub pool_handed_over: u64,
    /// Log lines on failed handshakes that were left out, so that a flood of them does no harm.
    pub unlogged_failures: u64,
    /// The sockets that devices talk to, with dropped records by reason.
    pub io: IoCounters,
}

impl Counters {
    /// Adds what another worker has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        // All of them, or this does not compile.
        let Self {
            sessions,
            handshakes_completed,
            handshakes_resumed,
            resumptions_refused,
            handshakes_failed,
            sessions_ended,
            address_changes,
            slow_key_lookups,
            to_backend,
            to_devices,
            lost_to_backend,
            too_large_for_device,
            lost_to_devices,
            backend_refused,
            backend_errors,
            unlogged_failures,
            pool_strangers,
            pool_no_session,
            pool_handed_over,
            io,
        } = self;
        let sums = [
            (sessions, other.sessions),
            (handshakes_completed, other.handshakes_completed),
            (handshakes_resumed, other.handshakes_resumed),
            (resumptions_refused, other.resumptions_refused),
            (address_changes, other.address_changes),
            (slow_key_lookups, other.slow_key_lookups),
            (&mut to_backend.datagrams, other.to_backend.datagrams),
            (&mut to_backend.bytes, other.to_backend.bytes),
            (&mut to_devices.datagrams, other.to_devices.datagrams),
            (&mut to_devices.bytes, other.to_devices.bytes),
            (lost_to_backend, other.lost_to_backend),
            (too_large_for_device, other.too_large_for_device),
            (lost_to_devices, other.lost_to_devices),
            (backend_refused, other.backend_refused),
            (backend_errors, other.backend_errors),
            (unlogged_failures, other.unlogged_failures),
            (pool_strangers, other.pool_strangers),
            (pool_no_session, other.pool_no_session),
            (pool_handed_over, other.pool_handed_over),
        ];
        let failed = handshakes_failed.iter_mut().zip(other.handshakes_failed);
        let ended = sessions_ended.iter_mut().zip(other.sessions_ended);
        for (sum, more) in sums.into_iter().chain(failed).chain(ended) {
            *sum += more;
        }
        io.add(&other.io);
    }

    /// How many handshakes failed for `reason`.
    pub const fn failed(&self, reason: FailureReason) -> u64 {
        self.handshakes_failed[reason as usize]
    }

    /// How many sessions ended for `reason`.
    pub const fn ended(&self, reason: EndReason) -> u64 {
        self.sessions_ended[reason as usize]
    }
}

impl fmt::Display for Counters {
    /// All of them on one line; reasons that did not occur are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sessions={} handshakes_completed={}",
            self.sessions, self.handshakes_completed
        )?;
        for reason in FailureReason::ALL {
            if self.failed(reason) > 0 {
                write!(f, " failed.{}={}", reason.name(), self.failed(reason))?;
            }
        }
        for reason in EndReason::ALL {
            if self.ended(reason) > 0 {
                write!(f, " ended.{}={}", reason.name(), self.ended(reason))?;
            }
        }
        let named = [
            ("handshakes_resumed", self.handshakes_resumed),
            ("resumptions_refused", self.resumptions_refused),
            ("address_changes", self.address_changes),
            ("slow_key_lookups", self.slow_key_lookups),
            ("to_backend", self.to_backend.datagrams),
            ("to_backend_bytes", self.to_backend.bytes),
            ("to_devices", self.to_devices.datagrams),
            ("to_devices_bytes", self.to_devices.bytes),
            ("lost_to_backend", self.lost_to_backend),
            ("lost_to_devices", self.lost_to_devices),
            ("too_large_for_device", self.too_large_for_device),
            ("backend_refused", self.backend_refused),
            ("backend_errors", self.backend_errors),
            ("pool_strangers", self.pool_strangers),
            ("pool_no_session", self.pool_no_session),
            ("pool_handed_over", self.pool_handed_over),
            ("unlogged_failures", self.unlogged_failures),
            ("received", self.io.received),
            ("received_bytes", self.io.received_bytes),
            ("sent", self.io.sent),
            ("sent_bytes", self.io.sent_bytes),
            ("receive_errors", self.io.receive_errors),
            ("send_errors", self.io.send_errors),
            ("send_blocked", self.io.send_blocked),
            ("stateless_replies", self.io.stateless_replies),
            ("handed_over", self.io.handed_over),
            ("taken_over", self.io.taken_over),
            ("hand_over_dropped", self.io.hand_over_dropped),
        ];
        for (name, value) in named {
            write!(f, " {name}={value}")?;
        }
        for (reason, count) in self.io.dropped.iter() {
            write!(f, " dropped.{reason}={count}")?;
        }
        Ok(())
    }
}
