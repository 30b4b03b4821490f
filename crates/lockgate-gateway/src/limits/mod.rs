//! How many sessions fit on this machine.
//!
//! Each session has an upstream socket of its own, connected to the backend. That socket costs a
//! file descriptor (`RLIMIT_NOFILE`) and a local port from the kernel's ephemeral range. With a pool of addresses it
//! costs neither, and the network's size is what binds.

#[cfg(test)]
mod tests;

use std::fs;

use crate::addresses::PoolNet;
use crate::config::MAX_SESSIONS;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors and ports that are left to everything else: listening sockets, the key service,
/// programs and their pipes, files, name resolution.
pub const RESERVED: u32 = 256;
/// Descriptors that are left besides for each look-up that may run at once (`--kms-concurrency`): a connection to the
/// service, and the two pipes of a program.
pub const RESERVED_PER_LOOKUP: u32 = 3;

/// The ephemeral port range that Linux has by default, taken when the real one cannot be read.
const DEFAULT_PORTS: (u16, u16) = (32768, 60999);
const PORT_RANGE_FILE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// What the machine allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open files of this process.
    pub descriptors: u64,
    /// Local ports that the kernel hands out.
    pub ports: u32,
}

/// How many sessions there may be, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionBudget {
    /// The number of sessions, at least 1.
    pub sessions: u32,
    /// Whether more were asked for than fit: worth a warning.
    pub exceeded: bool,
    /// One sentence for the start log that names the limit.
    pub sentence: String,
}

impl Limits {
    /// Raises the soft limit of open files to the hard one and reads both limits.
    ///
    /// The soft limit is low only for the sake of old programs that use `select`. Call it once at
    /// start; it affects the whole process. Nothing fails: when raising is refused, the limit stays
    /// as it was.
    pub fn raise_and_read() -> Self {
        Self {
            descriptors: raise_descriptors(),
            ports: fs::read_to_string(PORT_RANGE_FILE)
                .ok()
                .and_then(|text| parse_range(&text))
                .map_or_else(|| count(DEFAULT_PORTS), count),
        }
    }

    /// How many sessions fit, or the `requested` number (`--max-sessions`).
    pub fn budget(&self, requested: Option<u32>) -> SessionBudget {
        self.budget_beside(0, requested)
    }

    /// As [`budget`](Self::budget), with so many key look-ups at once beside the sessions.
    pub fn budget_beside(&self, lookups: usize, requested: Option<u32>) -> SessionBudget {
        let lookups = u32::try_from(lookups).unwrap_or(u32::MAX);
        let reserved = RESERVED_PER_LOOKUP
            .saturating_mul(lookups)
            .saturating_add(RESERVED);
        let by_descriptors = u32::try_from(self.descriptors)
            .unwrap_or(u32::MAX)
            .saturating_sub(reserved)
            .max(1);
        let by_ports = self.ports.saturating_sub(RESERVED).max(1);
        let fit = by_descriptors.min(by_ports);
        let why = if by_descriptors <= by_ports {
            format!(
                "the limit of {} open files, less {reserved} for other things, binds (raise it with ulimit -n or LimitNOFILE)",
                self.descriptors
            )
        } else {
            format!(
                "the {} local ports bind (widen them with sysctl net.ipv4.ip_local_port_range)",
                self.ports
            )
        };
        let (sessions, exceeded, sentence) = match requested {
            None => (fit, false, format!("at most {fit} sessions: {why}")),
            Some(n) if n <= fit => (
                n,
                false,
                format!("at most {n} sessions, as asked for; {fit} would fit"),
            ),
            Some(n) => (
                n,
                true,
                format!("{n} sessions are asked for, but only {fit} fit: {why}"),
            ),
        };
        SessionBudget {
            sessions,
            exceeded,
            sentence,
        }
    }
}

/// How many sessions fit in a pool of addresses, where neither descriptors nor ports bind, or the `requested` number.
pub fn pool_budget(net: &PoolNet, requested: Option<u32>) -> SessionBudget {
    let network = net.network();
    let addresses = net.capacity();
    let fit = addresses.unwrap_or(MAX_SESSIONS).min(MAX_SESSIONS);
    let sessions = requested.unwrap_or(fit);
    let exceeded = sessions > fit;
    let holds = match addresses {
        Some(addresses) => format!("the pool {network} has addresses for {addresses} devices"),
        None => format!("the pool {network} has an address for every device"),
    };
    let sentence = match requested {
        None => format!("at most {fit} sessions: {holds}"),
        Some(n) if exceeded => format!("{n} sessions are asked for, but {holds}"),
        Some(n) => format!("at most {n} sessions, as asked for; {holds}"),
    };
    SessionBudget {
        sessions,
        exceeded,
        sentence,
    }
}

fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let Rlimit { current, maximum } = limit;
    // `None` is "no limit"; the kernel has one for descriptors all the same.
    let Some(soft) = current else {
        return u64::MAX;
    };
    if maximum.is_some_and(|hard| hard <= soft) {
        return soft;
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open files");
            soft
        }
    }
}

/// The first and the last port in the kernel's file.
fn parse_range(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    let (first, last) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (first <= last).then_some((first, last))
}

/// Both ends belong to the range.
fn count((first, last): (u16, u16)) -> u32 {
    u32::from(last - first) + 1
}
