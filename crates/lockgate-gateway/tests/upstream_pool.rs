//! One socket for all sessions, an address for each device.

mod support;

#[path = "support/device.rs"]
mod raw_device;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use lockgate_aws_lc::PrivateKey;
use lockgate_dtls::crypto::KeyType;
use lockgate_gateway::config::ProxyOptions;
use lockgate_gateway::proxy::{EndReason, Proxy};
use lockgate_tokio::Client;
use raw_device::{Device, Proof};
use support::{Gateway, LOOPBACK, device, keys, options, recv};
use tokio::net::UdpSocket;
use tokio::task::spawn_blocking;

const NET: &str = "127.64.0.0/10";

fn pool(backend: &UdpSocket, net: &str) -> ProxyOptions {
    let mut options = options(backend.local_addr().unwrap());
    options.upstream_pool = Some(net.parse().unwrap());
    options
}

fn with_table(backend: &UdpSocket, table: &Path) -> ProxyOptions {
    let mut options = pool(backend, NET);
    options.upstream_pool_table = Some(table.into());
    options
}

async fn backend() -> UdpSocket {
    UdpSocket::bind(LOOPBACK).await.unwrap()
}

/// Sends something, and tells where the backend sees it come from.
async fn seen(device: &mut Client, backend: &UdpSocket) -> SocketAddr {
    device.send(b"who am I").await.unwrap();
    let mut buf = [0; 16];
    let (len, from) = tokio::time::timeout(support::PATIENCE, backend.recv_from(&mut buf))
        .await
        .expect("nothing comes")
        .unwrap();
    assert_eq!(&buf[..len], b"who am I");
    from
}

#[tokio::test]
async fn devices_have_addresses_of_their_own_and_keep_them() {
    let backend = backend().await;
    let table = tempfile::tempdir().unwrap();
    let options = with_table(&backend, &table.path().join("addresses"));
    let mut addresses = Vec::new();
    let mut port = 0;
    for start in 0..3 {
        let gateway = Gateway::start(&options, keys()).await;
        // The order in which they come does not matter.
        let numbers = if start == 1 { [2, 0, 1] } else { [0, 1, 2] };
        let mut now = [IpAddr::from([0, 0, 0, 0]); 3];
        for number in numbers {
            let mut device = device(&gateway, number).await;
            // The very first one waits for the file.
            gateway.wait_for(|c| c.sessions == 1).await;
            let from = seen(&mut device, &backend).await;
            now[number] = from.ip();
            port = from.port();
            let started = gateway.lines("session started").pop().unwrap();
            assert!(started.contains(&format!("upstream={from}")), "{started}");
            backend.send_to(b"for you", from).await.unwrap();
            assert_eq!(recv(&mut device).await.unwrap(), b"for you");
            device.close().await.unwrap();
            gateway.wait_for(|c| c.sessions == 0).await;
        }
        // And within one life of the proxy.
        let mut again = device(&gateway, 1).await;
        let expected = SocketAddr::new(now[1], port);
        assert_eq!(seen(&mut again, &backend).await, expected);
        addresses.push(now);
        let (counters, log) = gateway.stop().await;
        assert_eq!(counters.lost_to_backend + counters.backend_errors, 0);
        assert!(!log.contains("get other addresses"), "{log}");
    }
    assert_eq!(addresses[0], addresses[1]);
    assert_eq!(addresses[0], addresses[2]);
    let pool = NET.parse::<lockgate_gateway::addresses::PoolNet>().unwrap();
    assert!(addresses[0].iter().all(|address| pool.contains(*address)));
    assert_ne!(addresses[0][0], addresses[0][1]);
    assert_ne!(addresses[0][1], addresses[0][2]);
}

#[tokio::test]
async fn the_backend_can_speak_first_from_its_own_address_alone() {
    let backend = backend().await;
    let gateway = Gateway::start(&pool(&backend, NET), keys()).await;
    let mut device = device(&gateway, 0).await;
    let started = gateway.lines("session started").pop().unwrap();
    let upstream = started.split("upstream=").nth(1).unwrap();
    let upstream: SocketAddr = upstream.split(' ').next().unwrap().parse().unwrap();
    // The same address with another port, and the same port with another address.
    let other_port = UdpSocket::bind(LOOPBACK).await.unwrap();
    other_port.send_to(b"spoofed", upstream).await.unwrap();
    let port = backend.local_addr().unwrap().port();
    let other_address = UdpSocket::bind(("127.0.0.2", port)).await.unwrap();
    other_address.send_to(b"spoofed", upstream).await.unwrap();
    // The kernel drops both: were they in the buffer, they would be taken and counted before what follows.
    // Addresses without a session: one that was never given out, and the proxy's own.
    for ip in ["127.99.0.1", "127.127.255.254", "127.64.0.0", "127.0.0.1"] {
        let nobody = SocketAddr::new(ip.parse().unwrap(), upstream.port());
        backend.send_to(b"hello?", nobody).await.unwrap();
    }
    gateway.wait_for(|c| c.pool_no_session == 4).await;
    backend.send_to(b"first word", upstream).await.unwrap();
    assert_eq!(recv(&mut device).await.unwrap(), b"first word");
    device.close().await.unwrap();
    gateway.wait_for(|c| c.sessions == 0).await;
    backend.send_to(b"still there?", upstream).await.unwrap();
    gateway.wait_for(|c| c.pool_no_session == 5).await;
    let (counters, log) = gateway.stop().await;
    assert_eq!(counters.to_devices.datagrams, 1);
    assert!(log.contains("at most 4194302 sessions"), "{log}");
    assert!(log.contains("get other addresses"), "{log}");
    let line = counters.to_string();
    assert!(
        line.contains(" pool_strangers=0 pool_no_session=5 "),
        "{line}"
    );
}

#[tokio::test]
async fn devices_without_an_identity_have_an_address_for_the_session() {
    let backend = backend().await;
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own.der");
    let key = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
    std::fs::write(&own, key.to_pkcs8_der()).unwrap();
    let mut options = pool(&backend, "127.64.0.0/24");
    options.handshake_timeout = Duration::from_secs(10);
    options.certificates.raw_keys = vec![own];
    let gateway = Gateway::start(&options, keys()).await;
    // One with an identity, at the other end.
    let mut known = device(&gateway, 0).await;
    assert_eq!(
        seen(&mut known, &backend).await.ip().to_string(),
        "127.64.0.1"
    );
    let address = gateway.address;
    let mut devices = Vec::new();
    for last in [254, 253] {
        let begin = move || Device::connect(address, Proof::Nothing, None);
        let mut device = spawn_blocking(begin).await.unwrap();
        let task = spawn_blocking(move || {
            device.echo(b"nobody");
            device
        });
        let mut buf = [0; 16];
        let (len, from) = backend.recv_from(&mut buf).await.unwrap();
        assert_eq!(from.ip(), IpAddr::from([127, 64, 0, last]));
        backend.send_to(&buf[..len], from).await.unwrap();
        devices.push(task.await.unwrap());
    }
    drop(devices);
    assert_eq!(gateway.counters().await.sessions, 3);
}

#[tokio::test]
async fn a_full_pool_turns_new_devices_away_and_keeps_the_others() {
    let backend = backend().await;
    let gateway = Gateway::start(&pool(&backend, "127.64.0.0/30"), keys()).await;
    let mut first = device(&gateway, 0).await;
    let second = device(&gateway, 1).await;
    let mut third = device(&gateway, 2).await;
    // Its handshake is complete; then it hears that there is no place.
    assert!(recv(&mut third).await.is_err());
    let counters = gateway
        .wait_for(|c| c.ended(EndReason::NoAddress) == 1)
        .await;
    assert_eq!(counters.sessions, 2);
    second.close().await.unwrap();
    gateway.wait_for(|c| c.sessions == 1).await;
    // There is room, but the addresses are those of the first two.
    let mut third = device(&gateway, 2).await;
    assert!(recv(&mut third).await.is_err());
    gateway
        .wait_for(|c| c.ended(EndReason::NoAddress) == 2)
        .await;
    let line = gateway.lines("session turned away").pop().unwrap();
    for said in ["device-2", "127.64.0.0/30", "take a larger network"] {
        assert!(line.contains(said), "{said}: {line}");
    }
    let address = seen(&mut first, &backend).await.ip();
    assert_eq!(address, IpAddr::from([127, 64, 0, 1]));
    let mut second = device(&gateway, 1).await;
    let address = seen(&mut second, &backend).await.ip();
    assert_eq!(address, IpAddr::from([127, 64, 0, 2]));
}

#[tokio::test]
async fn new_devices_that_come_faster_than_the_disk_wait_for_their_address() {
    const DEVICES: usize = 200;
    let backend = backend().await;
    let dir = tempfile::tempdir().unwrap();
    // Seven addresses are claimed at a time.
    let mut options = pool(&backend, "127.64.0.0/24");
    options.handshake_timeout = Duration::from_secs(10);
    options.upstream_pool_table = Some(dir.path().join("addresses"));
    let gateway = Gateway::start(&options, keys()).await;
    let address = gateway.address;
    let connect = |number| Client::connect(address, support::device_options(number));
    let tasks: Vec<_> = (0..DEVICES).map(|n| tokio::spawn(connect(n))).collect();
    let mut devices = Vec::new();
    for task in tasks {
        devices.push(task.await.unwrap().unwrap());
    }
    gateway.wait_for(|c| c.sessions == DEVICES as u64).await;
    let mut addresses = Vec::new();
    for device in &mut devices {
        addresses.push(seen(device, &backend).await.ip());
    }
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), DEVICES);
    let (counters, log) = gateway.stop().await;
    // The first at least: nothing is claimed before somebody comes.
    let waited = log.matches("waiting for the table").count();
    assert!(waited >= 1, "{log}");
    assert_eq!(counters.handshakes_completed, DEVICES as u64);
    assert_eq!(counters.ended(EndReason::NoAddress), 0);
}

#[tokio::test]
async fn a_device_that_comes_again_takes_its_address_along() {
    let backend = backend().await;
    let gateway = Gateway::start(&pool(&backend, NET), keys()).await;
    let mut older = device(&gateway, 0).await;
    let from = seen(&mut older, &backend).await;
    let mut newer = device(&gateway, 0).await;
    gateway
        .wait_for(|c| c.ended(EndReason::Replaced) == 1)
        .await;
    assert_eq!(seen(&mut newer, &backend).await, from);
    backend.send_to(b"welcome back", from).await.unwrap();
    assert_eq!(recv(&mut newer).await.unwrap(), b"welcome back");
    assert!(recv(&mut older).await.is_err());
}

#[tokio::test]
async fn of_two_sessions_of_one_identity_the_one_that_sent_last_is_answered() {
    let backend = backend().await;
    let mut options = pool(&backend, NET);
    options.replace_same_identity = false;
    let gateway = Gateway::start(&options, keys()).await;
    let mut older = device(&gateway, 0).await;
    let from = seen(&mut older, &backend).await;
    let mut newer = device(&gateway, 0).await;
    backend.send_to(b"to the newest", from).await.unwrap();
    assert_eq!(recv(&mut newer).await.unwrap(), b"to the newest");
    assert_eq!(seen(&mut older, &backend).await, from);
    backend.send_to(b"to the older", from).await.unwrap();
    assert_eq!(recv(&mut older).await.unwrap(), b"to the older");
    assert_eq!(seen(&mut newer, &backend).await, from);
    newer.close().await.unwrap();
    gateway.wait_for(|c| c.sessions == 1).await;
    backend.send_to(b"to nobody", from).await.unwrap();
    gateway.wait_for(|c| c.pool_no_session == 1).await;
    assert_eq!(seen(&mut older, &backend).await, from);
    backend.send_to(b"to the last", from).await.unwrap();
    assert_eq!(recv(&mut older).await.unwrap(), b"to the last");
}

#[tokio::test]
async fn the_pools_port_is_the_one_that_is_named() {
    let backend = backend().await;
    let free = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    let named = pool(&backend, &format!("{NET}:{port}"));
    let taken = Proxy::bind(&named, keys()).await.err().unwrap().to_string();
    assert!(
        taken.contains("cannot bind the port: Address already in use"),
        "{taken}"
    );
    drop(free);
    let gateway = Gateway::start(&named, keys()).await;
    let mut device = device(&gateway, 0).await;
    assert_eq!(seen(&mut device, &backend).await.port(), port);
}

#[tokio::test]
async fn a_pool_that_cannot_work_is_an_error_at_the_start() {
    let backend = backend().await;
    for (net, said) in [
        // TEST-NET-3: nobody's.
        (
            "203.0.113.0/24",
            "not local; run: ip route add local 203.0.113.0/24 dev lo",
        ),
        ("fd12:3456::/64", "other family"),
        ("127.0.0.0/8", "the backend's own address"),
    ] {
        let error = Proxy::bind(&pool(&backend, net), keys())
            .await
            .err()
            .unwrap();
        let error = error.to_string();
        assert!(error.contains(&format!("--upstream-pool {net}")), "{error}");
        assert!(error.contains(said), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let table = dir.path().join("addresses");
    let options = with_table(&backend, &table);
    let first = Proxy::bind(&options, keys()).await.unwrap();
    let error = Proxy::bind(&options, keys())
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("another process is using it"), "{error}");
    drop(first);
    let mut other = with_table(&backend, &table);
    other.upstream_pool = Some("127.128.0.0/10".parse().unwrap());
    let error = Proxy::bind(&other, keys()).await.err().unwrap().to_string();
    assert!(
        error.contains("addresses of another network than 127.128.0.0/10"),
        "{error}"
    );
}
