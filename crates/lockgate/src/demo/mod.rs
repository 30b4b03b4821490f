//! `lockgate demo`: the proxy at work, with nothing to set up.

mod backend;
mod story;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use lockgate_aws_lc::AwsLc;
use lockgate_dtls::crypto::Provider as _;
use lockgate_gateway::config::{HostPort, LogArgs, ProxyOptions, one_line};
use lockgate_gateway::keys::{Psk, StaticKeys};
use lockgate_gateway::proxy::Proxy;
use tokio::signal::unix::{SignalKind, signal};
use tokio::{runtime, sync::oneshot};

use crate::{Failure, logging};

pub(crate) const NAME: &str = "demo";

/// Who the simulated device is.
const DEVICE: &str = "sensor-1";
/// Who the commands to paste are.
const VISITOR: &str = "visitor";

#[derive(clap::Args)]
struct DemoArgs {
    /// Where devices connect to [default: 127.0.0.1 and a free port]
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:0",
        hide_default_value = true
    )]
    bind: SocketAddr,

    /// End when the story is told; exit with 1 when any step of it fails
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn command() -> Command {
    DemoArgs::augment_args(Command::new(NAME))
        .about("Show the proxy at work: a throw-away key, a built-in backend, a simulated device")
        .long_about(None)
}

pub(crate) fn run(flags: &ArgMatches) -> Result<(), Failure> {
    let args = DemoArgs::from_arg_matches(flags).map_err(|e| one_line(&e))?;
    let mut log = args.log.options();
    if log.filter.is_none() && std::env::var_os("RUST_LOG").is_none() {
        // The first and the last line of every session, and what goes wrong.
        log.filter = Some("warn,lockgate_gateway::relay=info".into());
    }
    let _logging = logging::init(&log)?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    runtime.block_on(show(&args))
}

async fn show(args: &DemoArgs) -> Result<(), Failure> {
    let started = |e: std::io::Error| format!("cannot start: {e}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(started)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(started)?;
    let key = random_key()?;
    let backend = backend::start().await.map_err(started)?;
    let connect = HostPort {
        host: backend.ip().to_string(),
        port: backend.port(),
    };
    let mut options = ProxyOptions::new(connect);
    options.bind = vec![args.bind];
    let psk = Psk::new(key.as_bytes()).map_err(|e| e.to_string())?;
    let keys: StaticKeys = [(DEVICE, psk.clone()), (VISITOR, psk)]
        .into_iter()
        .collect();
    let proxy = Proxy::bind(&options, Arc::new(keys))
        .await
        .map_err(|e| e.to_string())?;
    let handle = proxy.handle();
    let address = reachable(proxy.addresses()[0]);
    introduce(address, backend, &key);

    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(proxy.serve(async {
        // Gone is as good as told.
        let _ = stopped.await;
    }));
    let told = tokio::select! {
        told = story::tell(address, key.as_bytes(), &handle) => Some(told),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    if let Some(told) = told {
        told?;
        if !args.once {
            say("\nThe proxy goes on serving; end it with Ctrl-C.");
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
    }
    // When it has ended by itself, the next line says so.
    let _ = stop.send(());
    let ended = serving.await.map_err(|e| e.to_string())?;
    ended.map(|_| ()).map_err(|e| e.to_string())
}

fn introduce(address: SocketAddr, backend: SocketAddr, key: &str) {
    let mut hex = String::new();
    for byte in key.bytes() {
        let _ = write!(hex, "{byte:02x}");
    }
    say(&format!(
        "\
lockgate demo: DTLS -> {address} (proxy) -> plain UDP -> {backend} (echo and CoAP)

Meet it from another terminal; the key is good until the demo ends:

  openssl s_client -dtls1_2 -psk {hex} -psk_identity {VISITOR} -cipher PSK-AES128-GCM-SHA256 -connect {address}
  coap-client -m get -u {VISITOR} -k {key} coaps://{address}/
  (Debian calls it coap-client-openssl or coap-client-gnutls)

A simulated device meanwhile:
"
    ));
}

/// A key of 32 printable characters with 128 random bits: `coap-client` takes keys as text only.
fn random_key() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    AwsLc
        .random(&mut bytes)
        .map_err(|e| format!("cannot make a key: {e}"))?;
    let mut text = String::with_capacity(32);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// Where a client on this machine reaches what is bound to `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (ip, address.port()).into()
}

/// One line on standard output. Whoever closed the pipe has seen enough.
fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}
