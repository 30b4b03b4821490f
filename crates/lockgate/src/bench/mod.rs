//! `lockgate bench`: many simulated devices, to find out what a server can take.

mod args;
mod progress;
mod summary;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{ArgMatches, Args, Command, FromArgMatches};
use lockgate_dtls::wire::AlertDescription as Alert;
use lockgate_dtls::{
    CloseReason, Config, HandshakeError, PeerIncompatible, PeerMisbehaved, SuiteList, Timeout,
    WaitingFor,
};
use lockgate_gateway::config::{HostPort, one_line, parse_psk};
use lockgate_gateway::keys::read_csv;
use lockgate_load::{
    Fleet, FleetOptions, Handshakes, Key, Keys, Pace, Pattern, Phase, Sizes, SourceNet, Sources,
};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use self::args::BenchArgs;
use self::progress::{Display, Showing};
use self::summary::Summary;
use crate::Failure;

pub(crate) const NAME: &str = "bench";

const EXAMPLE: &str = "\
Durations are written 500ms, 30s, 5m or 24h; a bare number counts seconds. Long flags may also be
written with one dash.

Examples:
  lockgate bench 127.0.0.1:5684 --psk device:73656372657450534b --sessions 100
  lockgate bench 127.0.0.1:5684 --psk 'device-{}:73656372' --sessions 100000 --rate 5000
  lockgate bench 192.0.2.1:5684 --psk-csv keys.csv --sessions 500 --think 30s --duration 10m";

/// More devices than this on a server of this machine have addresses of their own.
const SOCKETS_ENOUGH: u32 = 256;

pub(crate) fn command() -> Command {
    BenchArgs::augment_args(Command::new(NAME))
        .about("Simulate many devices: sessions, handshakes, datagrams and how long they take")
        .long_about(None)
        .next_line_help(true)
        .mut_arg("insecure", |arg| arg.help("Believe any server"))
        .after_help(EXAMPLE)
}

pub(crate) fn run(flags: &ArgMatches) -> Result<(), Failure> {
    let args = BenchArgs::from_arg_matches(flags).map_err(|e| one_line(&e))?;
    let server = resolve(&args)?;
    let sources = sources(&args, server);
    let stop = stop_on_signal()?;
    let host = args.server.host.as_str();
    let name = args.proof.servername.as_deref().unwrap_or(host);
    // RFC 6066 §3: addresses are not asked for.
    let server_name = match name.parse::<IpAddr>() {
        Ok(_) => Vec::new(),
        Err(_) => name.trim_end_matches('.').into(),
    };
    let keys = keys(&args)?;
    let one_identity = keys.identities() == Some(1);
    let mut fleet = Fleet::new(FleetOptions {
        sources,
        config: config(&args),
        loss: args.loss,
        seed: args.seed,
        credentials: args
            .proof
            .of_client(args.psk.is_some() || args.psk_csv.is_some())?,
        server_name,
        certificate_name: name.into(),
        ..FleetOptions::new(server, keys)
    })
    .map_err(|e| e.to_string())?;
    let display = Display::new(args.quiet, stop);
    let mut summary = Summary::new(&args, server, sources, one_identity);

    let pace = Pace {
        at_once: args.handshakes_at_once,
        per_second: args.connect_rate.filter(|&rate| rate > 0.0),
    };
    let mut watch = display.watch(Showing::Handshakes(args.sessions.into()));
    let handshakes = fleet.connect(args.sessions, pace, &mut watch);
    drop(watch);
    let handshakes = handshakes.map_err(|e| e.to_string())?;
    if handshakes.completed == 0 {
        if let Some(error) = fleet.send_error() {
            let from = args.source.map_or("", |_| " from there (--source)");
            return Err(format!(
                "{server}: nothing could be connected: the system does not send{from}: {error}"
            ));
        }
        let declined = fleet.declined() > 0 && args.proof.pkey.is_none();
        return Err(not_connected(server, &handshakes, declined));
    }
    summary.connected(&handshakes, fleet.agreed());

    if args.storm && !display.stopped() {
        let mut watch = display.watch(Showing::Storm(args.duration));
        let storm = fleet.storm(pace, args.duration, &mut watch);
        drop(watch);
        summary.storm = Some(storm.map_err(|e| e.to_string())?);
    } else if !args.duration.is_zero() && !display.stopped() {
        let phase = phase(&args)?;
        let mut watch = display.watch(Showing::Traffic(args.duration));
        let traffic = fleet.run(&phase, &mut watch);
        drop(watch);
        summary.traffic = Some(traffic.map_err(|e| e.to_string())?);
    }
    if args.probe && !display.stopped() {
        let mut watch = display.watch(Showing::Probe(fleet.sessions().into()));
        let probe = fleet.probe(args.lost_after, &mut watch);
        drop(watch);
        summary.probe = Some(probe.map_err(|e| e.to_string())?);
    }
    summary.stopped = display.stopped();
    summary.dropped(fleet.dropped());
    summary.sessions.at_end = fleet.sessions();
    fleet.close();
    summary.tell(&args)
}

fn resolve(args: &BenchArgs) -> Result<SocketAddr, Failure> {
    let HostPort { host, port } = &args.server;
    let found = (host.as_str(), *port).to_socket_addrs();
    let found = found.map_err(|e| format!("{host}: cannot find its address: {e}"))?;
    let mut found: Vec<_> = found.collect();
    // Networks of source addresses are IPv4 alone.
    found.sort_by_key(SocketAddr::is_ipv6);
    let found = found.first().copied();
    found.ok_or_else(|| format!("{host}: it has no address"))
}

fn sources(args: &BenchArgs, server: SocketAddr) -> Sources {
    let on_loopback = server.is_ipv4() && server.ip().is_loopback();
    args.source
        .unwrap_or(if on_loopback && args.sessions > SOCKETS_ENOUGH {
            Sources::Net(SourceNet::LOOPBACK)
        } else {
            Sources::Sockets(None)
        })
}

fn config(args: &BenchArgs) -> Config {
    let mut config = Config {
        handshake_timeout: args.timeout,
        cid: args.cid,
        resumption: args.resume,
        ..Config::default()
    };
    if !args.cipher_suites.is_empty() {
        config.cipher_suites = SuiteList::new(&args.cipher_suites);
    }
    config
}

fn keys(args: &BenchArgs) -> Result<Keys, Failure> {
    if let Some(path) = &args.psk_csv {
        let keys = read_csv(path).map_err(|e| e.to_string())?;
        let list = keys
            .sorted()
            .into_iter()
            .map(|(identity, key)| (identity.to_vec(), Key::new(key.as_bytes().to_vec())));
        return Ok(Keys::List(list.collect()));
    }
    match &args.psk {
        Some(psk) => {
            let (identity, key) = parse_psk(psk.as_str()).map_err(|e| format!("--psk: {e}"))?;
            Ok(Keys::One {
                identity: identity.into(),
                key: Key::new(key.as_bytes().to_vec()),
            })
        }
        None => Ok(Keys::None),
    }
}

fn phase(args: &BenchArgs) -> Result<Phase, Failure> {
    let pattern = match args.rate.filter(|&rate| rate > 0.0) {
        Some(per_second) => Pattern::Paced { per_second },
        None => Pattern::Closed {
            think: args.think.unwrap_or_default(),
            jitter: args.jitter,
        },
    };
    Ok(Phase {
        pattern,
        duration: args.duration,
        sizes: Sizes::ranges(&args.size).ok_or("--size: expected bytes such as 64")?,
        coap: args.coap.clone(),
        expect: args.expect,
        lost_after: args.lost_after,
        rebinds_per_second: args.rebind,
    })
}

fn not_connected(server: SocketAddr, handshakes: &Handshakes, declined: bool) -> Failure {
    let reasons = handshakes.failed.by_number();
    let reason = reasons.first().map_or("stopped", |&(reason, _)| reason);
    let why = match handshakes.first_failure {
        Some(CloseReason::HandshakeFailed(_)) if declined => {
            "the server asked for a client certificate: give --cert and --key".into()
        }
        Some(CloseReason::HandshakeFailed(error)) => format!("{reason}{}", remedy(error)),
        _ => reason.into(),
    };
    format!("{server}: nothing could be connected: {why}")
}

/// What to do about a handshake that failed.
fn remedy(error: HandshakeError) -> &'static str {
    match error {
        HandshakeError::Timeout(Timeout {
            waiting_for: WaitingFor::Hello,
            ..
        }) => ": is it DTLS that listens there, and does UDP get through? (--timeout)",
        HandshakeError::Timeout(Timeout {
            waiting_for: WaitingFor::Finished,
            ..
        })
        | HandshakeError::PeerMisbehaved(PeerMisbehaved::IncorrectFinished)
        | HandshakeError::PeerAlert(
            Alert::BAD_RECORD_MAC | Alert::DECRYPT_ERROR | Alert::UNKNOWN_PSK_IDENTITY,
        ) => ": do the keys differ, or is the identity unknown? (--psk, --psk-csv)",
        HandshakeError::PeerIncompatible(PeerIncompatible::NoCommonCipherSuite)
        | HandshakeError::PeerAlert(Alert::HANDSHAKE_FAILURE | Alert::INSUFFICIENT_SECURITY) => {
            ": a pre-shared key here and a certificate there, or the other way round? (--psk, --ca, --cert, \
             --cipher-suites)"
        }
        HandshakeError::Certificate(error) => crate::nc::remedy(error),
        _ => "",
    }
}

/// Set when somebody asks us to stop; a second time ends us at once.
fn stop_on_signal() -> Result<Arc<AtomicBool>, Failure> {
    let failed = |e: std::io::Error| format!("cannot start: {e}");
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(failed)?;
    let (mut interrupt, mut terminate) = {
        let _in_it = runtime.enter();
        let listen = |kind| signal(kind).map_err(failed);
        (
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
        )
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if told.swap(true, Ordering::Relaxed) {
                    std::process::exit(1);
                }
            }
        });
    });
    Ok(stop)
}
