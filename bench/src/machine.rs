//! Where a run took place, and what the kernel says about processes.

use std::fmt;
use std::fs;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

/// The machine and the build.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// The kernel's release.
    pub kernel: String,
    /// Memory in GiB.
    pub memory_gib: u64,
    /// Runnable tasks over the last minute when the run began: what else went on.
    pub load: String,
    /// Whether this is an optimised build.
    pub optimised: bool,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
        };
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_gib: field(&read("/proc/meminfo"), "MemTotal")
                .and_then(|kib| kib.split(' ').next()?.parse::<u64>().ok())
                .map_or(0, |kib| kib >> 20),
            load: read("/proc/loadavg")
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
            optimised: !cfg!(debug_assertions),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} × {}, {} GiB, Linux {}, load {} at the start",
            self.processors, self.processor, self.memory_gib, self.kernel, self.load
        )?;
        if !self.optimised {
            f.write_str(" — NOT an optimised build")?;
        }
        Ok(())
    }
}

/// Resident memory of this process in bytes.
pub fn resident() -> u64 {
    resident_of(std::process::id())
}

/// Resident memory of process `pid` in bytes; 0 when there is none.
pub fn resident_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

/// Datagrams that sockets of UDP over IPv4 at this port had no room for.
pub fn socket_drops(port: u16) -> u64 {
    let table = fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let of_port = fields.next()?.ends_with(&suffix);
            of_port
                .then(|| fields.last()?.parse::<u64>().ok())
                .flatten()
        })
        .sum()
}

/// Processor time that the threads of process `pid` have used, in nanoseconds.
///
/// From the scheduler's own clock of every thread; the ticks of `stat` (10 ms) where a kernel keeps none.
pub fn processor_nanos(pid: u32) -> Option<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let path = task.ok()?.path().join("schedstat");
        let Ok(text) = fs::read_to_string(path) else {
            return ticks(pid).map(|t| t * 10_000_000);
        };
        sum += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(sum)
}

/// utime + stime in hundredths of a second.
fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything; the fields count from behind it.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// This thread, and what it starts, on one processor for as long as this lives.
///
/// Two processes that wait for each other then hand the processor over. Waking another processor costs the one who
/// wakes it more than a handshake does, on a virtual machine above all.
pub struct OnOneProcessor(Option<CpuSet>);

impl OnOneProcessor {
    /// On the last one that this thread may use; where it may not choose, everything stays as it is.
    pub fn new() -> Self {
        let Ok(before) = sched_getaffinity(None) else {
            return Self(None);
        };
        let mut one = CpuSet::new();
        if let Some(last) = (0..CpuSet::MAX_CPU).rev().find(|&n| before.is_set(n)) {
            one.set(last);
        }
        Self(sched_setaffinity(None, &one).is_ok().then_some(before))
    }
}

impl Default for OnOneProcessor {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for OnOneProcessor {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = sched_setaffinity(None, before);
        }
    }
}
