//! One socket for all sessions, an address for each device.

mod support;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use lockgate_gateway::config::ProxyOptions;
use lockgate_tokio::Client;
use support::{Gateway, LOOPBACK, device, keys, options, recv};
use tokio::net::UdpSocket;

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
            let from = seen(&mut device, &backend).await;
            now[number] = from.ip();
            port = from.port();
            let started = gateway.lines("session started").pop().unwrap();
            assert!(started.contains(&format!("upstream={from}")), "{started}");
            backend.send_to(b"for you", from).await.unwrap();
            assert_eq!(recv(&mut device).await.unwrap(), b"for you");
            device.close().await.unwrap();
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
    gateway.wait_for(|c| c.pool_strangers == 2).await;
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
        line.contains(" pool_strangers=2 pool_no_session=5 "),
        "{line}"
    );
}
