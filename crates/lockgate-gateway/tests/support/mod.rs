//! A proxy in this process, on the loopback and free ports; a backend; devices.

#![allow(dead_code, reason = "every test file takes what it needs")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockgate_gateway::config::{HostPort, ProxyOptions};
use lockgate_gateway::keys::{KeySource, Psk, StaticKeys};
use lockgate_gateway::proxy::{Counters, Proxy, ProxyError, ProxyHandle};
use lockgate_tokio::{Client, ClientError, ClientOptions};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) const KEY: &[u8] = b"secretPSK";
pub(crate) const LOOPBACK: SocketAddr =
    SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
/// Longer than anything takes, shorter than anybody's patience.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// `device-0` and so on.
pub(crate) fn identity(number: usize) -> Vec<u8> {
    format!("device-{number}").into_bytes()
}

/// Keys of `device-0` to `device-199`.
pub(crate) fn keys() -> Arc<dyn KeySource> {
    let key = Psk::new(KEY).unwrap();
    let keys: StaticKeys = (0..200).map(|n| (identity(n), key.clone())).collect();
    Arc::new(keys)
}

/// Short timers and a free port, in front of `backend`.
pub(crate) fn options(backend: SocketAddr) -> ProxyOptions {
    let backend: HostPort = backend.to_string().parse().unwrap();
    let mut options = ProxyOptions::new(backend);
    options.bind = vec![LOOPBACK];
    options.handshake_timeout = Duration::from_millis(500);
    options
}

/// The ways to the backend: a socket per session, and a pool of addresses.
pub(crate) const UPSTREAMS: [Option<&str>; 2] = [None, Some("127.64.0.0/10")];

/// [`options`] with one of [`UPSTREAMS`].
pub(crate) fn options_with(backend: SocketAddr, upstream: Option<&str>) -> ProxyOptions {
    let mut options = options(backend);
    options.upstream_pool = upstream.map(|net| net.parse().unwrap());
    options
}

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) addresses: Vec<SocketAddr>,
    handle: ProxyHandle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Counters, ProxyError>>,
    log: Log,
    _log: tracing::subscriber::DefaultGuard,
}

impl Gateway {
    pub(crate) async fn start(options: &ProxyOptions, keys: Arc<dyn KeySource>) -> Self {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let proxy = Proxy::bind(options, keys).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let addresses = proxy.addresses().to_vec();
        let handle = proxy.handle();
        let task = tokio::spawn(proxy.serve(async {
            let _ = stopped.await;
        }));
        Self {
            address: addresses[0],
            addresses,
            handle,
            stop,
            task,
            log,
            _log: guard,
        }
    }

    /// In front of an echo, with the keys of everybody.
    pub(crate) async fn with_echo() -> Self {
        Self::with_echo_over(None).await
    }

    /// The same with one of [`UPSTREAMS`].
    pub(crate) async fn with_echo_over(upstream: Option<&str>) -> Self {
        let options = options_with(echo_backend().await, upstream);
        Self::start(&options, keys()).await
    }

    pub(crate) async fn counters(&self) -> Counters {
        self.handle.counters().await.unwrap()
    }

    /// Waits until the counters are as `wanted`.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(&Counters) -> bool) -> Counters {
        let seen = timeout(PATIENCE, async {
            loop {
                let counters = self.counters().await;
                if wanted(&counters) {
                    return counters;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        if let Ok(counters) = seen.await {
            return counters;
        }
        panic!("{}\n{}", self.counters().await, self.log.text())
    }

    /// Log lines that hold `text`.
    pub(crate) fn lines(&self, text: &str) -> Vec<String> {
        let log = self.log.text();
        let lines = log.lines().filter(|line| line.contains(text));
        lines.map(Into::into).collect()
    }

    pub(crate) async fn stop(self) -> (Counters, String) {
        self.stop.send(()).unwrap();
        let counters = timeout(PATIENCE, self.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        (counters, self.log.text())
    }
}

/// What was logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends everything back.
pub(crate) async fn echo_backend() -> SocketAddr {
    let socket = UdpSocket::bind(LOOPBACK).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(echo_on(socket));
    address
}

pub(crate) async fn echo_on(socket: UdpSocket) {
    let mut buf = vec![0; 65_535];
    loop {
        if let Ok((len, from)) = socket.recv_from(&mut buf).await {
            let _ = socket.send_to(&buf[..len], from).await;
        }
    }
}

pub(crate) fn device_options(number: usize) -> ClientOptions {
    let mut options = ClientOptions::new(&identity(number), KEY);
    options.config.initial_timeout = Duration::from_millis(100);
    options.config.handshake_timeout = Duration::from_secs(5);
    options
}

pub(crate) async fn device(gateway: &Gateway, number: usize) -> Client {
    connect(gateway, device_options(number)).await.unwrap()
}

pub(crate) async fn connect(
    gateway: &Gateway,
    options: ClientOptions,
) -> Result<Client, ClientError> {
    timeout(PATIENCE, Client::connect(gateway.address, options))
        .await
        .expect("connect takes too long")
}

pub(crate) async fn recv(device: &mut Client) -> Result<Vec<u8>, ClientError> {
    let mut buf = vec![0; 65_535];
    let len = timeout(PATIENCE, device.recv(&mut buf))
        .await
        .expect("nothing comes")?;
    buf.truncate(len);
    Ok(buf)
}

pub(crate) async fn echo(device: &mut Client, payload: &[u8]) {
    device.send(payload).await.unwrap();
    assert_eq!(recv(device).await.unwrap(), payload);
}

/// Stands between a device and the proxy: remembers what the device sent, and speaks from its address.
pub(crate) struct Middlebox {
    /// Where the device connects to.
    pub(crate) address: SocketAddr,
    outside: Arc<UdpSocket>,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    gateway: SocketAddr,
}

impl Middlebox {
    /// Forwards each of the device's datagrams `copies` times.
    pub(crate) async fn start(gateway: SocketAddr, copies: usize) -> Self {
        let inside = Arc::new(UdpSocket::bind(LOOPBACK).await.unwrap());
        let outside = Arc::new(UdpSocket::bind(LOOPBACK).await.unwrap());
        let middlebox = Self {
            address: inside.local_addr().unwrap(),
            outside: Arc::clone(&outside),
            seen: Arc::default(),
            gateway,
        };
        let seen = Arc::clone(&middlebox.seen);
        tokio::spawn(async move {
            let (mut up, mut down) = (vec![0; 65_535], vec![0; 65_535]);
            let mut device = LOOPBACK;
            loop {
                tokio::select! {
                    Ok((len, from)) = inside.recv_from(&mut up) => {
                        device = from;
                        seen.lock().unwrap().push(up[..len].to_vec());
                        for _ in 0..copies {
                            outside.send_to(&up[..len], gateway).await.unwrap();
                        }
                    }
                    Ok((len, _)) = outside.recv_from(&mut down) => {
                        inside.send_to(&down[..len], device).await.unwrap();
                    }
                }
            }
        });
        middlebox
    }

    /// Every datagram that the device has sent.
    pub(crate) fn seen(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().clone()
    }

    /// Sends from the device's address as the proxy knows it.
    pub(crate) async fn inject(&self, datagram: &[u8]) {
        self.outside.send_to(datagram, self.gateway).await.unwrap();
    }
}
