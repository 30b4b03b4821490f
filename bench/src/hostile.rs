//! What peers that mean no good cost the others: a flood of spoofed hellos, and clients that fall silent.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lockgate_dtls::CipherSuite;

use crate::devices::{Devices, Seen};
use crate::flood::{Flood, Hellos, Kind};
use crate::machine::{resident_of, socket_drops};
use crate::papers::{Papers, Proof};
use crate::process::{Scratch, Server, echo};
use crate::relay::start_lockgate;
use crate::report::{Row, Section};
use crate::timing::{median, percentile};
use crate::visitor::Visitor;

/// Under which suite.
const SUITE: CipherSuite = CipherSuite::PSK_AES_128_GCM_SHA256;
/// How much the proxy's memory may grow through the floods, in bytes.
const GROWTH_BAR: f64 = 1_048_576.0;
/// How many times their usual duration handshakes may take beside silent ones, in the median.
const SILENT_BAR: f64 = 1.1;

/// How much of it.
#[derive(Clone, Debug)]
pub struct Hostility {
    /// The `lockgate` program.
    pub lockgate: PathBuf,
    /// Spoofed hellos a second.
    pub flood: u32,
    /// Sessions that go on meanwhile.
    pub sessions: usize,
    /// Datagrams a second of all sessions together.
    pub pace: u32,
    /// How long each flood lasts.
    pub duration: Duration,
    /// Rounds of handshakes, with and without silent clients in turn.
    pub rounds: usize,
    /// Handshakes in each.
    pub visits: usize,
}

/// All of it.
pub fn measure(how: &Hostility) -> io::Result<Section> {
    let scratch = Scratch::new()?;
    let backend = echo()?;
    let log = scratch.file("proxy.log");
    let proxy = start_lockgate(&how.lockgate, backend, SUITE, &log)?;
    let (mut rows, mut notes) = floods(how, &proxy)?;
    drop(proxy);
    let proxy = start_lockgate(&how.lockgate, backend, SUITE, &log)?;
    let (more, note) = silent(how, &proxy)?;
    rows.extend(more);
    notes.push(note);
    Ok(Section {
        title: "Hostile peers",
        rows,
        notes,
    })
}

/// What a flood did.
struct Flooded {
    kind: Kind,
    seen: Seen,
    per_second: f64,
    /// The proxy's processor time for one hello, in microseconds.
    cpu: f64,
    /// Datagrams that the proxy's socket had no room for.
    dropped: u64,
}

fn floods(how: &Hostility, proxy: &Server) -> io::Result<(Vec<Row>, Vec<String>)> {
    let SocketAddr::V4(address) = proxy.address else {
        return Err(io::Error::other("the flood is for IPv4"));
    };
    let mut devices = Devices::new(proxy.address, how.sessions, 64, Some(SUITE))?;
    let hellos = Hellos::of(proxy.address, SUITE)?;
    let kinds = [Kind::Plain, Kind::WrongCookie, Kind::Halves];
    // What grows once, grows now.
    for kind in kinds {
        flood(how, address, kind, &hellos, proxy, &mut devices, 4)?;
    }
    let memory = |proxy: &Server| resident_of(proxy.id()) as f64;
    let before = memory(proxy);
    let cpu = proxy.processor_nanos()?;
    let alone = devices.run_paced(how.duration, how.pace)?;
    let cpu_alone = proxy.processor_nanos()?.saturating_sub(cpu) as f64 / 1e3;
    let mut all = Vec::new();
    for kind in kinds {
        let mut flooded = flood(how, address, kind, &hellos, proxy, &mut devices, 1)?;
        let hellos = flooded.per_second * how.duration.as_secs_f64();
        flooded.cpu = (flooded.cpu - cpu_alone) / hellos;
        all.push(flooded);
    }
    let growth = memory(proxy) - before;
    let p99 = |seen: &Seen| percentile(seen.micros.clone(), 99);
    let mut rows = vec![Row::new(
        "live datagrams lost, no flood",
        alone.lost as f64,
        "",
    )];
    for flooded in &all {
        let name = flooded.kind.name();
        let lost = Row::new(
            format!("live datagrams lost, {name}"),
            flooded.seen.lost as f64,
            "",
        );
        let hellos = flooded.per_second / 1e3;
        let late = p99(&flooded.seen);
        rows.extend([
            lost.at_most_but_for_noise(0.0),
            Row::new(
                format!("dropped by the proxy's socket, {name}"),
                flooded.dropped as f64,
                "",
            ),
            Row::new(format!("thousand a second, {name}"), hellos, ""),
            Row::new(
                format!("the proxy's CPU for each, {name}"),
                flooded.cpu,
                "µs",
            ),
            Row::new(
                format!("live round trip, 99th percentile, {name}"),
                late,
                "µs",
            )
            .beside("no flood", p99(&alone), late / p99(&alone)),
        ]);
    }
    rows.push(
        Row::new(
            "growth of resident memory through all floods",
            growth,
            "bytes",
        )
        .at_most(GROWTH_BAR),
    );
    let note = format!(
        "Floods of {} hellos a second for {} ms, each hello from another address of 127.0.0.0/8, beside {} sessions that \
         together have {} datagrams a second echoed; memory is read after a first, shorter flood of each kind and after \
         the last. Flood, devices, proxy and backend share this machine's processors.",
        how.flood,
        how.duration.as_millis(),
        how.sessions,
        how.pace
    );
    Ok((rows, vec![note]))
}

/// One flood beside the devices, for a part of the time; the processor time is the proxy's whole.
fn flood(
    how: &Hostility,
    address: SocketAddrV4,
    kind: Kind,
    hellos: &Hellos,
    proxy: &Server,
    devices: &mut Devices,
    part: u32,
) -> io::Result<Flooded> {
    let cpu = proxy.processor_nanos()?;
    let dropped = socket_drops(address.port());
    let flood = Flood::start(address, kind, hellos, how.flood)?;
    let seen = devices.run_paced(how.duration / part, how.pace)?;
    let (_, per_second) = flood.stop()?;
    Ok(Flooded {
        kind,
        seen,
        per_second,
        cpu: proxy.processor_nanos()?.saturating_sub(cpu) as f64 / 1e3,
        dropped: socket_drops(address.port()).saturating_sub(dropped),
    })
}

/// Handshakes beside clients that have said hello, or more, and then nothing.
fn silent(how: &Hostility, proxy: &Server) -> io::Result<(Vec<Row>, String)> {
    let papers = Arc::new(Papers::certificates());
    let mut visitor = Visitor::new(proxy.address, SUITE, Proof::Psk, &papers);
    for _ in 0..5 {
        visitor.visit()?;
    }
    let mut round = || -> io::Result<Vec<f64>> {
        let micros = |_| Ok(visitor.visit()?.as_secs_f64() * 1e6);
        (0..how.visits).map(micros).collect()
    };
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let mut ratios = Vec::new();
    for _ in 0..how.rounds {
        let usual = round()?;
        let _silent = fall_silent(proxy.address)?;
        let beside = round()?;
        ratios.push(median(beside.clone()) / median(usual.clone()));
        without.extend(usual);
        with.extend(beside);
    }
    let p99 = |micros: &[f64]| percentile(micros.to_vec(), 99);
    let rows = vec![
        Row::new(
            "handshake beside silent clients, median",
            median(with.clone()),
            "µs",
        )
        .beside("without them", median(without.clone()), median(ratios))
        .at_most_times(SILENT_BAR),
        Row::new(
            "handshake beside silent clients, 99th percentile",
            p99(&with),
            "µs",
        )
        .beside("without them", p99(&without), p99(&with) / p99(&without)),
    ];
    let note = format!(
        "Handshakes with a pre-shared key at the proxy, one after the other: {} rounds of {}, each once before and once \
         after one client has sent a hello and one a hello with its cookie, and both have fallen silent.",
        how.rounds, how.visits
    );
    Ok((rows, note))
}

/// One client that says hello and one that comes as far as the server's flight; their sockets.
fn fall_silent(server: SocketAddr) -> io::Result<[UdpSocket; 2]> {
    let (one, two) = (Hellos::of(server, SUITE)?, Hellos::of(server, SUITE)?);
    two.socket.send(&two.second)?;
    // The server's flight.
    two.socket.recv(&mut [0; 2048])?;
    Ok([one.socket, two.socket])
}
