//! What is told at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lockgate_load::{
    Agreed, DropCounters, Exchanged, Handshakes, Probed, Reasons, Sources, Stormed, Times,
};
use serde::Serialize;

use super::args::BenchArgs;
use crate::Failure;

/// The figures, in the form that `--json` writes.
#[derive(Serialize)]
pub(super) struct Summary {
    server: String,
    source: String,
    cipher_suite: Option<&'static str>,
    /// Length of the server's connection IDs in bytes.
    connection_id: usize,
    pub(super) sessions: Sessions,
    handshakes: Handshakes,
    pub(super) storm: Option<Stormed>,
    pub(super) traffic: Option<Exchanged>,
    pub(super) probe: Option<Probed>,
    /// Records of the server's that led nowhere, by reason.
    dropped: BTreeMap<String, u64>,
    /// Somebody ended it early.
    pub(super) stopped: bool,
    /// All devices say to be the same.
    #[serde(skip)]
    one_identity: bool,
}

#[derive(Serialize)]
pub(super) struct Sessions {
    wanted: u32,
    connected: u64,
    pub(super) at_end: u32,
}

impl Summary {
    pub(super) fn new(
        args: &BenchArgs,
        server: SocketAddr,
        sources: Sources,
        one_identity: bool,
    ) -> Self {
        Self {
            server: server.to_string(),
            source: match sources {
                Sources::Net(net) => net.to_string(),
                Sources::Sockets(Some(address)) => address.to_string(),
                Sources::Sockets(None) => "a socket each".into(),
            },
            cipher_suite: None,
            connection_id: 0,
            sessions: Sessions {
                wanted: args.sessions,
                connected: 0,
                at_end: 0,
            },
            handshakes: Handshakes::default(),
            storm: None,
            traffic: None,
            probe: None,
            dropped: BTreeMap::new(),
            stopped: false,
            one_identity,
        }
    }

    pub(super) fn connected(&mut self, handshakes: &Handshakes, agreed: Option<Agreed>) {
        self.sessions.connected = handshakes.completed;
        self.handshakes = handshakes.clone();
        self.cipher_suite = agreed.and_then(|agreed| agreed.cipher_suite.name());
        self.connection_id = agreed.map_or(0, |agreed| agreed.peer_cid_len);
    }

    pub(super) fn dropped(&mut self, dropped: &DropCounters) {
        let named = dropped.iter().map(|(reason, n)| (reason.to_string(), n));
        self.dropped = named.collect();
    }

    /// Writes it where it is wanted.
    pub(super) fn tell(&self, args: &BenchArgs) -> Result<(), Failure> {
        let to_stdout = args.json.as_deref() == Some(Path::new("-"));
        if let Some(path) = &args.json {
            let mut json = serde_json::to_string_pretty(self).map_err(|e| e.to_string())?;
            json.push('\n');
            if to_stdout {
                return print(&json);
            }
            std::fs::write(path, json)
                .map_err(|e| format!("{}: {e}: the figures cannot be written", path.display()))?;
        }
        if args.quiet {
            Ok(())
        } else {
            print(&self.text())
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let suite = self.cipher_suite.unwrap_or("no session left");
        let cid = match self.connection_id {
            0 => "no connection ID".into(),
            len => format!("connection ID of {len} bytes"),
        };
        line(
            &mut out,
            "server",
            &format!("{}, {suite}, {cid}", self.server),
        );
        let Sessions {
            wanted,
            connected,
            at_end,
        } = self.sessions;
        let mut sessions = if connected < wanted.into() {
            format!(
                "only {} of {} connected",
                number(connected),
                number(wanted.into())
            )
        } else {
            format!("{} connected", number(connected))
        };
        if u64::from(at_end) != connected {
            let _ = write!(sessions, ", {} at the end", number(at_end.into()));
        }
        let _ = write!(sessions, " (source: {})", self.source);
        line(&mut out, "sessions", &sessions);
        handshakes(&mut out, "handshakes", &self.handshakes);
        if let Some(storm) = &self.storm {
            let rounds = format!(
                "{} rounds, p50 {}, max {}",
                number(storm.rounds),
                time(storm.round_us.quantile(0.5)),
                time(storm.round_us.max())
            );
            line(&mut out, "storm", &rounds);
            handshakes(&mut out, "", &storm.handshakes);
        }
        if let Some(traffic) = &self.traffic {
            exchanged(&mut out, traffic);
        }
        if let Some(probe) = &self.probe {
            let text = format!(
                "{} of {} sessions echo, in {}",
                number(probe.answered),
                number(probe.asked),
                time(probe.elapsed)
            );
            line(&mut out, "probe", &text);
            times(&mut out, "", &probe.round_trip_us);
        }
        for (reason, count) in &self.dropped {
            line(
                &mut out,
                "dropped",
                &format!("{}: {reason}", number(*count)),
            );
        }
        if self.one_identity && at_end < wanted && connected > 1 {
            let hint = "all devices have the same identity, and servers may end older sessions of it: write {} in it";
            line(&mut out, "", hint);
        }
        if self.stopped {
            line(&mut out, "", "stopped early");
        }
        out
    }
}

fn handshakes(out: &mut String, name: &str, done: &Handshakes) {
    let mut text = format!(
        "{} in {}, {}/s",
        number(done.completed),
        time(done.elapsed),
        rate(done.per_second())
    );
    if done.resumed > 0 {
        let _ = write!(text, ", {} of them resumed", number(done.resumed));
    }
    line(out, name, &text);
    times(out, "", &done.time_us);
    reasons(out, "failed", &done.failed);
    reasons(out, "ended", &done.closed);
    if done.abandoned > 0 {
        line(out, "", &format!("{} not made", number(done.abandoned)));
    }
}

fn exchanged(out: &mut String, seen: &Exchanged) {
    let mut sent = format!(
        "{} datagrams in {}, {}/s",
        number(seen.sent),
        time(seen.elapsed),
        rate(seen.sent_per_second())
    );
    if let Some(wanted) = seen.wanted_per_second
        && seen.sent_per_second() < wanted * 0.99
    {
        let _ = write!(sent, " instead of {}/s", rate(wanted));
    }
    line(out, "sent", &sent);
    if seen.answered + seen.lost > 0 {
        let text = format!(
            "{} ({}), {} lost",
            number(seen.answered),
            percent_of(seen.answered, seen.sent),
            number(seen.lost)
        );
        line(out, "answered", &text);
        times(out, "round trip", &seen.round_trip_us);
    }
    for (count, what) in [
        (seen.rebinds, "moves to another source port"),
        (seen.simulated_loss, "lost on purpose (--loss)"),
        (seen.late, "late answers"),
        (seen.altered, "answers that are not what was sent"),
        (seen.not_sent, "not taken by the kernel"),
        (
            seen.overflow,
            "lost because our own receive buffer was full: we were too slow",
        ),
    ] {
        if count > 0 {
            line(out, "", &format!("{} {what}", number(count)));
        }
    }
    reasons(out, "ended", &seen.closed);
}

fn times(out: &mut String, name: &str, times: &Times) {
    if times.count() == 0 {
        return;
    }
    let mut text = String::new();
    for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)] {
        let _ = write!(text, "{name} {}, ", time(times.quantile(share)));
    }
    let _ = write!(text, "max {}", time(times.max()));
    line(out, name, &text);
}

fn reasons(out: &mut String, name: &str, reasons: &Reasons) {
    for (n, (reason, count)) in reasons.by_number().into_iter().enumerate() {
        let name = if n == 0 { name } else { "" };
        line(out, name, &format!("{}: {reason}", number(count)));
    }
}

fn line(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "{name:<12}{text}");
}

/// Whoever closed the pipe has seen enough.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("standard output: {e}"))
        }
        _ => Ok(()),
    }
}

/// With commas between groups of three digits.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share to look at, to two digits"
)]
pub(super) fn percent_of(part: u64, whole: u64) -> String {
    if whole == 0 || part == whole {
        return "100 %".into();
    }
    let percent = 100.0 * part as f64 / whole as f64;
    // Never 100 unless it is all.
    format!("{:.2} %", (percent * 100.0).floor() / 100.0)
}

#[expect(clippy::cast_sign_loss, reason = "rates are not negative")]
fn rate(per_second: f64) -> String {
    if per_second < 10.0 {
        format!("{per_second:.1}")
    } else {
        number(per_second.round() as u64)
    }
}

fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 1000.0 {
        format!("{micros:.0} µs")
    } else if micros < 100_000.0 {
        format!("{:.2} ms", micros / 1e3)
    } else if micros < 1e6 {
        format!("{:.0} ms", micros / 1e3)
    } else {
        format!("{:.2} s", micros / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_easy_to_read() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(percent_of(9999, 10_000), "99.99 %");
        assert_eq!(percent_of(999_999, 1_000_000), "99.99 %");
        assert_eq!(percent_of(5, 5), "100 %");
        assert_eq!(time(Duration::from_micros(42)), "42 µs");
        assert_eq!(time(Duration::from_micros(1234)), "1.23 ms");
        assert_eq!(time(Duration::from_millis(2500)), "2.50 s");
    }
}
