//! `lockgate nc HOST PORT`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use lockgate_tokio::{Connection, Connector, ConnectorOptions, Error, Peer, ReceiveHalf, SendHalf};
use tokio::time::Instant;

use super::args::{NcArgs, Place};
use super::files::{self, Dump};
use super::pipes::{self, Output};
use super::{Signals, config, credentials, explain, observer, report, until};
use crate::Failure;

const IDENTITY: &str = "Client_identity";
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

pub(super) async fn run(args: &NcArgs, place: &Place) -> Result<(), Failure> {
    let (Some(host), Some(port)) = (&place.host, place.port) else {
        return Err("give the host and the port to connect to, or --listen".into());
    };
    let mut signals = Signals::new()?;
    let credentials = credentials::load(args)?;
    let session = files::read_session(args)?;
    let key_log = files::key_log(args)?;
    let dump = Dump::open(args)?;
    let mut options = ConnectorOptions {
        config: config(args)?,
        credentials,
        key_log,
        observer: observer(args),
        max_connections: 1,
        ..ConnectorOptions::default()
    };
    options.config.resumption = args.sess_in.is_some() || args.sess_out.is_some();
    let mut failure = None;
    for server in resolve(args, host, port).await? {
        options.bind = local(args, server)?;
        let mut connector = Connector::new(options.clone()).map_err(|e| e.to_string())?;
        let mut peer = peer(args, host, server)?;
        peer.session.clone_from(&session);
        let begun = Instant::now();
        let connected = tokio::select! {
            connected = connector.connect(peer) => connected,
            () = signals.next() => return Ok(()),
        };
        match connected {
            Ok(connection) => {
                tell(args, &connection, begun.elapsed());
                if let (Some(path), Some(session)) = (&args.sess_out, connection.session()) {
                    files::write_session(path, session)?;
                } else if args.sess_out.is_some() && !args.quiet {
                    eprintln!("lockgate nc: the server gave no session to go on with");
                }
                let outcome = talk(args, connection, &mut connector, &dump, &mut signals).await;
                if args.verbosity() >= 3 {
                    eprintln!("{}", report::counters(&connector.statistics().await.io));
                }
                let _ = tokio::time::timeout(GOODBYE, connector.close()).await;
                return outcome;
            }
            Err(error) => {
                let sent = connector.statistics().await.io.sent;
                let why = explain::connecting(args, server, &error, sent);
                // Another address may do where nobody listens at this one.
                if !matches!(error, Error::Io(_)) {
                    return Err(why);
                }
                failure = Some(why);
            }
        }
    }
    Err(failure.unwrap_or_else(|| format!("{host}: no address")))
}

async fn resolve(args: &NcArgs, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let looking = tokio::net::lookup_host((host, port));
    let found = tokio::time::timeout(args.timeout, looking).await;
    let found = found
        .map_err(|_| {
            format!(
                "{host}: no answer from the name service in {:?}",
                args.timeout
            )
        })?
        .map_err(|e| format!("{host}: cannot find its address: {e}"))?;
    let wanted: Vec<_> = found
        .filter(|address| !(args.ipv4 && address.is_ipv6() || args.ipv6 && address.is_ipv4()))
        .collect();
    if wanted.is_empty() {
        let family = if args.ipv4 { "IPv4" } else { "IPv6" };
        return Err(format!("{host}: it has no {family} address"));
    }
    Ok(wanted)
}

fn local(args: &NcArgs, server: SocketAddr) -> Result<SocketAddr, Failure> {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let ip = args.source.unwrap_or(any);
    if ip.is_ipv4() != server.is_ipv4() {
        return Err(format!(
            "--source {ip}: {server} cannot be reached from there"
        ));
    }
    Ok((ip, args.source_port.unwrap_or(0)).into())
}

fn peer(args: &NcArgs, host: &str, server: SocketAddr) -> Result<Peer, Failure> {
    let mut peer = match &args.psk {
        None => Peer::with_certificate(server),
        Some(psk) => {
            let identity = args.psk_identity.as_deref().unwrap_or(IDENTITY);
            Peer::new(server, identity.as_bytes(), &psk.0)
                .map_err(|_| "--psk-identity: at most 128 bytes")?
        }
    };
    let name = args.proof.servername.as_deref().unwrap_or(host);
    // RFC 6066 §3: addresses are not asked for.
    if name.parse::<IpAddr>().is_err() {
        peer.server_name = name.trim_end_matches('.').into();
    }
    peer.certificate_name = Some(name.into());
    Ok(peer)
}

fn tell(args: &NcArgs, connection: &Connection, took: Duration) {
    if args.verbosity() >= 1 {
        for line in report::established(connection, Some(took)) {
            eprintln!("{line}");
        }
    }
    let info = connection.info();
    if args.rebind && info.peer_cid.as_slice().is_empty() && !args.quiet {
        eprintln!(
            "lockgate nc: the server gave out no connection ID: it will not know us from another port"
        );
    }
}

async fn talk(
    args: &NcArgs,
    connection: Connection,
    connector: &mut Connector,
    dump: &Dump,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let info = connection.info();
    let mtu = args
        .mtu
        .unwrap_or(1200)
        .saturating_sub(info.record_overhead);
    let limit = info.max_payload.min(mtu).max(1);
    let (mut send, receive) = connection.split();
    let mut output = Output::start(args.framing());
    let mut input = (!args.recv_only).then(|| pipes::input(args.framing(), limit));
    let mut receiving = tokio::spawn(receive_all(
        receive,
        output.datagrams.clone(),
        dump.clone(),
        args.send_only,
    ));
    let mut ending = None;
    let mut sent = 0_u64;
    let ticks = tokio::time::interval(Duration::from_millis(50));
    tokio::pin!(ticks);
    let mut moved = Instant::now();
    let mut last = send.statistics();
    let outcome = loop {
        let idle = args.idle_timeout.map(|idle| moved + idle);
        tokio::select! {
            datagram = next(&mut input) => match datagram {
                Some(Ok(datagram)) => {
                    if args.rebind && sent > 0 {
                        rebind(args, connector).await?;
                    }
                    dump.write(true, &datagram);
                    sent += 1;
                    if let Err(error) = send.send_bytes(datagram).await {
                        break match error {
                            Error::Closed(reason) => explain::ended(reason),
                            error => Err(error.to_string()),
                        };
                    }
                }
                Some(Err(failure)) => break Err(failure),
                None => {
                    input = None;
                    if args.send_only {
                        break Ok(());
                    }
                    moved = Instant::now();
                    ending = Some(args.quit_after);
                }
            },
            ended = &mut receiving => break match ended {
                Ok(Error::Closed(reason)) => explain::ended(reason),
                Ok(error) => Err(error.to_string()),
                Err(_) => Err("the task that receives is gone".into()),
            },
            failed = &mut output.ended => break Err(pipes::output_failure(failed)),
            () = until(ending.map(|after| moved + after)) => break Ok(()),
            () = until(idle) => break Err(format!(
                "idle for {:?} (--idle-timeout)", args.idle_timeout.unwrap_or_default()
            )),
            () = signals.next() => break Ok(()),
            _ = ticks.tick() => {}
        }
        let now = send.statistics();
        if now != last {
            last = now;
            moved = Instant::now();
        }
    };
    finish(send, receiving, output, outcome).await
}

/// Says goodbye, and writes what has come.
async fn finish(
    send: SendHalf,
    receiving: tokio::task::JoinHandle<Error>,
    output: Output,
    outcome: Result<(), Failure>,
) -> Result<(), Failure> {
    // One that has ended has been heard already.
    if !receiving.is_finished() {
        receiving.abort();
        let _ = receiving.await;
    }
    drop(send);
    let Output { datagrams, ended } = output;
    drop(datagrams);
    if outcome.is_ok() && !ended.is_terminated() {
        // Whoever reads may be slow, but not for ever.
        if let Ok(Ok(Err(error))) = tokio::time::timeout(GOODBYE, ended).await {
            return Err(pipes::output_failure(Ok(Err(error))));
        }
    }
    outcome
}

async fn rebind(args: &NcArgs, connector: &mut Connector) -> Result<(), Failure> {
    // What is queued goes out from the old port.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let local = connector
        .rebind()
        .await
        .map_err(|e| format!("--rebind: {e}"))?;
    if args.verbosity() >= 1 {
        eprintln!("now from {local}");
    }
    Ok(())
}

async fn next<T>(input: &mut Option<tokio::sync::mpsc::Receiver<T>>) -> Option<T> {
    match input {
        Some(input) => input.recv().await,
        None => std::future::pending().await,
    }
}

/// Until the end, which is what it returns.
async fn receive_all(
    mut receive: ReceiveHalf,
    output: tokio::sync::mpsc::Sender<lockgate_tokio::Bytes>,
    dump: Dump,
    silent: bool,
) -> Error {
    loop {
        match receive.recv_bytes().await {
            Ok(_) if silent => {}
            Ok(datagram) => {
                dump.write(false, &datagram);
                if output.send(datagram).await.is_err() {
                    // The writer tells why.
                    std::future::pending::<()>().await;
                }
            }
            Err(error) => return error,
        }
    }
}
