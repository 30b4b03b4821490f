//! `lockgate nc --listen`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use lockgate_dtls::certificate::ClientAuth;
use lockgate_tokio::{
    Bytes, Connection, Error, KeyAnswer, KeyRequest, Listener, Options, Psk, ReceiveHalf, SendHalf,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::args::{NcArgs, Place};
use super::files::{self, Dump};
use super::pipes::{self, Output};
use super::{Signals, config, credentials, explain, observer, report, until};
use crate::Failure;

/// How long what has come may take to be written at the end.
const GOODBYE: Duration = Duration::from_secs(1);
/// Sessions that are kept for clients that take no tickets.
const SESSIONS: usize = 64;

pub(super) async fn run(args: &NcArgs, place: &Place) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let listener = bind(args, place).await?;
    for address in listener.local_addrs() {
        if args.verbosity() >= 2 {
            eprintln!("Hosting at: {}:{}", address.ip(), address.port());
        } else if args.verbosity() == 1 {
            eprintln!("listening on {address}");
        }
    }
    Peers::new(args, Dump::open(args)?)
        .serve(listener, &mut signals)
        .await
}

async fn bind(args: &NcArgs, place: &Place) -> Result<Listener, Failure> {
    let credentials = credentials::load(args)?;
    let asks = args.proof.trusts();
    let mut options = Options::new(keys(args)?)
        .credentials(credentials)
        .resumption(SESSIONS);
    let resumption = options.endpoint.config.resumption;
    options.endpoint.config = config(args)?;
    options.endpoint.config.resumption = resumption;
    options.endpoint.config.client_auth =
        args.client_auth
            .unwrap_or(match (asks, args.proof.insecure) {
                (true, _) => ClientAuth::Required,
                (false, true) => ClientAuth::Optional,
                (false, false) => ClientAuth::None,
            });
    if options.endpoint.config.client_auth != ClientAuth::None && !asks && !args.proof.insecure {
        return Err("--client-auth: give the authorities with --cafile".into());
    }
    if let Some(log) = files::key_log(args)? {
        options = options.key_log(log);
    }
    if let Some(observer) = observer(args) {
        options = options.observer(observer);
    }
    let port = match (place.port, args.source_port) {
        (Some(port), Some(other)) if port != other => {
            return Err(format!(
                "listen on port {port} or {other}? Give one of them"
            ));
        }
        (port, other) => port.or(other).unwrap_or(0),
    };
    let ip = match (args.source, &place.host) {
        (Some(ip), _) => Some(ip),
        (None, Some(host)) => {
            let mut found = tokio::net::lookup_host((host.as_str(), port))
                .await
                .map_err(|e| format!("{host}: cannot find its address: {e}"))?;
            let fits = |a: &SocketAddr| !(args.ipv4 && a.is_ipv6() || args.ipv6 && a.is_ipv4());
            let found = found.find(fits);
            Some(
                found
                    .ok_or_else(|| format!("{host}: no address to listen on"))?
                    .ip(),
            )
        }
        (None, None) if args.ipv4 => Some(Ipv4Addr::UNSPECIFIED.into()),
        (None, None) => None,
    };
    let any = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    let bound = Listener::bind(&[(ip.unwrap_or(any), port).into()], options.clone());
    match bound {
        // Without IPv6 in the kernel, "any" is any IPv4 address.
        Err(_) if ip.is_none() && !args.ipv6 => {
            Listener::bind(&[(Ipv4Addr::UNSPECIFIED, port).into()], options)
        }
        bound => bound,
    }
    .map_err(|e| e.to_string())
}

/// One key, for one identity or for all.
fn keys(args: &NcArgs) -> Result<impl lockgate_tokio::KeyStore, Failure> {
    let key = args.psk.as_ref().map(|psk| Psk::new(&psk.0)).transpose();
    let key = key.map_err(|e| format!("--psk: {e}"))?;
    let identity = args.psk_identity.clone();
    Ok(move |request: KeyRequest| {
        let known = identity
            .as_ref()
            .is_none_or(|identity| identity.as_bytes() == request.identity);
        let answer = KeyAnswer::from(key.clone().filter(|_| known));
        async move { answer }
    })
}

/// Everybody who is in.
struct Peers<'a> {
    args: &'a NcArgs,
    dump: Dump,
    /// With a number that no other has: one address may have several, one after the other.
    senders: Vec<(u64, SendHalf)>,
    receivers: JoinSet<(u64, SocketAddr, Error)>,
    admitted: u64,
    handshakes: JoinSet<(SocketAddr, Result<Connection, Error>)>,
    /// Datagrams of the input that a peer was too slow for.
    dropped: u64,
}

impl<'a> Peers<'a> {
    fn new(args: &'a NcArgs, dump: Dump) -> Self {
        Self {
            args,
            dump,
            senders: Vec::new(),
            admitted: 0,
            receivers: JoinSet::new(),
            handshakes: JoinSet::new(),
            dropped: 0,
        }
    }

    async fn serve(mut self, mut listener: Listener, signals: &mut Signals) -> Result<(), Failure> {
        let args = self.args;
        let limit = args.mtu.unwrap_or(1200).saturating_sub(64).max(1);
        let mut output = Output::start(args.framing());
        let (heard, mut hears) = mpsc::channel::<()>(1);
        let mut input: Option<mpsc::Receiver<Result<Bytes, Failure>>> = None;
        let mut begun = args.recv_only;
        let mut ending = None;
        let mut moved = Instant::now();
        let outcome = loop {
            let idle = args.idle_timeout.map(|idle| moved + idle);
            tokio::select! {
                incoming = listener.accept() => match incoming {
                    Ok(incoming) => {
                        let peer = incoming.remote_addr();
                        self.handshakes.spawn(async move { (peer, incoming.accept().await) });
                    }
                    Err(error) => break Err(error.to_string()),
                },
                Some(Ok((peer, outcome))) = self.handshakes.join_next() => {
                    moved = Instant::now();
                    match outcome {
                        Ok(connection) => {
                            self.admit(connection, &output.datagrams, &heard);
                            if !begun {
                                // Input is for peers: it is not read before there is one.
                                begun = true;
                                input = Some(pipes::input(args.framing(), limit));
                            }
                        }
                        Err(error) if !args.quiet => {
                            eprintln!("lockgate nc: {peer}: {}", explain::peer(&error));
                        }
                        Err(_) => {}
                    }
                },
                datagram = next(&mut input) => match datagram {
                    Some(Ok(datagram)) => {
                        moved = Instant::now();
                        self.send(&datagram).await;
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
                Some(()) = hears.recv() => moved = Instant::now(),
                Some(Ok((number, peer, error))) = self.receivers.join_next() => {
                    self.leave(number, peer, &error);
                }
                failed = &mut output.ended => break Err(pipes::output_failure(failed)),
                () = until(ending.map(|after| moved + after)) => break Ok(()),
                () = until(idle) => break Err(format!(
                    "idle for {:?} (--idle-timeout)", args.idle_timeout.unwrap_or_default()
                )),
                () = signals.next() => break Ok(()),
            }
        };
        if self.dropped > 0 && !args.quiet {
            eprintln!(
                "lockgate nc: {} datagrams were dropped: peers were too slow",
                self.dropped
            );
        }
        if args.verbosity() >= 3 {
            let statistics = listener.statistics().await;
            eprintln!("{}", report::counters(&statistics.io));
        }
        listener.close().await;
        self.receivers.abort_all();
        while self.receivers.join_next().await.is_some() {}
        let Output { datagrams, ended } = output;
        drop(datagrams);
        if outcome.is_ok()
            && let Ok(Ok(Err(error))) = tokio::time::timeout(GOODBYE, ended).await
        {
            return Err(pipes::output_failure(Ok(Err(error))));
        }
        outcome
    }

    fn admit(
        &mut self,
        connection: Connection,
        output: &mpsc::Sender<Bytes>,
        heard: &mpsc::Sender<()>,
    ) {
        if self.args.verbosity() >= 1 {
            for line in report::established(&connection, None) {
                eprintln!("{line}");
            }
        }
        let peer = connection.remote_addr();
        let (send, receive) = connection.split();
        self.admitted += 1;
        let number = self.admitted;
        self.senders.push((number, send));
        let received = receive_all(
            receive,
            output.clone(),
            heard.clone(),
            self.dump.clone(),
            self.args.send_only,
        );
        self.receivers
            .spawn(async move { (number, peer, received.await) });
    }

    /// To everybody. Who is too slow has a moment, then loses it, as the network would.
    async fn send(&mut self, datagram: &Bytes) {
        self.dump.write(true, datagram);
        for (_, peer) in &mut self.senders {
            let sent = peer.send_bytes(datagram.clone());
            match tokio::time::timeout(Duration::from_millis(100), sent).await {
                // One that has ended is told of by its receiver.
                Ok(_) => {}
                Err(_) => self.dropped += 1,
            }
        }
    }

    fn leave(&mut self, number: u64, peer: SocketAddr, error: &Error) {
        self.senders.retain(|(other, _)| *other != number);
        if self.args.verbosity() >= 1 {
            eprintln!("{peer}: {error}");
        }
    }
}

async fn next<T>(input: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match input {
        Some(input) => input.recv().await,
        None => std::future::pending().await,
    }
}

/// Until the end, which is what it returns.
async fn receive_all(
    mut receive: ReceiveHalf,
    output: mpsc::Sender<Bytes>,
    heard: mpsc::Sender<()>,
    dump: Dump,
    silent: bool,
) -> Error {
    loop {
        match receive.recv_bytes().await {
            Ok(_) if silent => {}
            Ok(datagram) => {
                dump.write(false, &datagram);
                let _ = heard.try_send(());
                if output.send(datagram).await.is_err() {
                    // The writer tells why.
                    std::future::pending::<()>().await;
                }
            }
            Err(error) => return error,
        }
    }
}
