//! What a driver counts.

use std::fmt;

use lockgate_dtls::DropReason;

/// How many records were dropped, by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropCounters([u64; DropReason::ALL.len()]);

impl Default for DropCounters {
    fn default() -> Self {
        Self([0; DropReason::ALL.len()])
    }
}

impl DropCounters {
    /// Counts one more.
    pub fn add(&mut self, reason: DropReason) {
        // The reasons are numbered in the order of `ALL`.
        self.0[reason as usize] += 1;
    }

    /// How many were dropped for `reason`.
    pub const fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// How many were dropped in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Adds what another one has counted.
    pub fn add_all(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    /// The reasons that occurred, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .into_iter()
            .zip(self.0)
            .filter(|(_, count)| *count > 0)
    }
}

impl fmt::Display for DropCounters {
    /// `malformed=3 replayed=1`, or nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (reason, count)) in self.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{reason}={count}")?;
        }
        Ok(())
    }
}

/// What went through the sockets of a driver. Bytes are UDP payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoCounters {
    /// Datagrams that came.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Datagrams that were handed to the kernel.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Errors of receiving, such as a peer's ICMP message.
    pub receive_errors: u64,
    /// Datagrams that the kernel refused to send: no route, too long, …
    pub send_errors: u64,
    /// Datagrams that were not sent because the kernel's buffer was full.
    pub send_blocked: u64,
    /// Stateless answers, which cost no memory: `HelloVerifyRequest`.
    pub stateless_replies: u64,
    /// Records that led nowhere.
    pub dropped: DropCounters,
    /// Datagrams that came to the wrong worker and were handed over.
    pub handed_over: u64,
    /// Such that came from another worker.
    pub taken_over: u64,
    /// Such that were dropped because the queue to the other worker was full.
    pub hand_over_dropped: u64,
}

impl IoCounters {
    /// Adds what another driver has counted.
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.received_bytes += other.received_bytes;
        self.sent += other.sent;
        self.sent_bytes += other.sent_bytes;
        self.receive_errors += other.receive_errors;
        self.send_errors += other.send_errors;
        self.send_blocked += other.send_blocked;
        self.stateless_replies += other.stateless_replies;
        self.dropped.add_all(&other.dropped);
        self.handed_over += other.handed_over;
        self.taken_over += other.taken_over;
        self.hand_over_dropped += other.hand_over_dropped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_place() {
        let mut counters = DropCounters::default();
        for reason in DropReason::ALL {
            counters.add(reason);
        }
        assert!(DropReason::ALL.iter().all(|&r| counters.get(r) == 1));
        assert_eq!(counters.total(), DropReason::ALL.len() as u64);
        assert!(counters.to_string().starts_with("malformed=1 "));
    }
}
