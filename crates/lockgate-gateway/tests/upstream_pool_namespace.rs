//! Pools of networks that only a local route makes ours, in a network namespace of their own, where whoever may make one
//! runs them: `cargo test` does so by itself.

mod support;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::process::Command;

use lockgate_gateway::config::ProxyOptions;
use lockgate_gateway::proxy::Proxy;
use support::{Gateway, device, echo, echo_on, keys, options_with, recv};
use tokio::net::UdpSocket;

const NET_V6: &str = "fd12:3456::/64";
const NET_V4: &str = "10.77.0.0/16";

/// Runs the ignored test `name` of this file in a namespace where `setup` was done.
fn in_namespace(name: &str, setup: &str) {
    let can = Command::new("unshare").args(["-rn", "ip", "link"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this machine lets nobody make a network namespace with unshare -rn");
        return;
    }
    let script = format!("ip link set lo up && {setup} && exec \"$0\" --ignored --exact {name}");
    let output = Command::new("unshare")
        .args(["-rn", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("1 passed"), "{out}\n{err}");
}

#[test]
fn ipv6() {
    in_namespace("ipv6_inside", "ip -6 route add local fd12:3456::/64 dev lo");
}

#[test]
fn ipv4() {
    in_namespace("ipv4_inside", "ip route add local 10.77.0.0/16 dev lo");
}

async fn bind(address: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(address).await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn pool(backend: SocketAddr, net: &str) -> ProxyOptions {
    options_with(backend, Some(net))
}

#[tokio::test]
#[ignore = "needs a network of its own, made by the test ipv6"]
async fn ipv6_inside() {
    let (backend, address) = bind("[::1]:0").await;
    let error = Proxy::bind(&pool(address, "fd12:9999::/64"), keys()).await;
    let error = error.err().unwrap().to_string();
    let remedy = "not local; run: ip -6 route add local fd12:9999::/64 dev lo";
    assert!(error.contains(remedy), "{error}");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let gateway = Gateway::start(&pool(address, NET_V6), keys()).await;
        assert_eq!(gateway.lines("an address for every device").len(), 1);
        let mut one = device(&gateway, 0).await;
        one.send(b"hello").await.unwrap();
        let mut buf = [0; 16];
        let (_, from) = backend.recv_from(&mut buf).await.unwrap();
        let mut other = device(&gateway, 1).await;
        other.send(b"hello").await.unwrap();
        let (_, from_other) = backend.recv_from(&mut buf).await.unwrap();
        backend.send_to(b"for one", from).await.unwrap();
        backend.send_to(b"for another", from_other).await.unwrap();
        assert_eq!(recv(&mut one).await.unwrap(), b"for one");
        assert_eq!(recv(&mut other).await.unwrap(), b"for another");
        let (stranger, _) = bind("[::1]:0").await;
        stranger.send_to(b"spoofed", from).await.unwrap();
        let nobody = "fd12:3456::1".parse::<Ipv6Addr>().unwrap();
        backend.send_to(b"?", (nobody, from.port())).await.unwrap();
        gateway
            .wait_for(|c| (c.pool_strangers, c.pool_no_session) == (0, 1))
            .await;
        one.close().await.unwrap();
        gateway.wait_for(|c| c.sessions == 1).await;
        backend.send_to(b"?", from).await.unwrap();
        gateway.wait_for(|c| c.pool_no_session == 2).await;
        seen.push([from.ip(), from_other.ip()]);
    }
    assert_eq!(seen[0], seen[1]);
    // As docs/proxy-upstream.md says: printf 'lockgate upstream pool\0\0device-0' | sha256sum
    let expected: Ipv6Addr = "fd12:3456::3e82:40af:e34d:f609".parse().unwrap();
    assert_eq!(seen[0][0], IpAddr::from(expected));
    // A backend that goes and comes back.
    drop(backend);
    let gateway = Gateway::start(&pool(address, NET_V6), keys()).await;
    let mut device = device(&gateway, 0).await;
    device.send(b"lost").await.unwrap();
    gateway.wait_for(|c| c.backend_refused >= 1).await;
    tokio::spawn(echo_on(UdpSocket::bind(address).await.unwrap()));
    echo(&mut device, b"back").await;
}

#[tokio::test]
#[ignore = "needs a network of its own, made by the test ipv4"]
async fn ipv4_inside() {
    let (backend, address) = bind("127.0.0.1:0").await;
    let error = Proxy::bind(&pool(address, "10.78.0.0/16"), keys()).await;
    let error = error.err().unwrap().to_string();
    let remedy = "not local; run: ip route add local 10.78.0.0/16 dev lo";
    assert!(error.contains(remedy), "{error}");
    let gateway = Gateway::start(&pool(address, NET_V4), keys()).await;
    let mut device = device(&gateway, 0).await;
    device.send(b"hello").await.unwrap();
    let (_, from) = backend.recv_from(&mut [0; 16]).await.unwrap();
    assert_eq!(from.ip(), IpAddr::from([10, 77, 0, 1]));
    backend.send_to(b"welcome", from).await.unwrap();
    assert_eq!(recv(&mut device).await.unwrap(), b"welcome");
}
