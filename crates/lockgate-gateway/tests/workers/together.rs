//! What several workers do together.

#[path = "../support/device.rs"]
mod device;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use device::{Device, Proof};
use lockgate_dtls::CloseReason;
use lockgate_gateway::keys::{KeyFuture, KeySource, Psk, StaticKeys};
use lockgate_gateway::proxy::{EndReason, Proxy};
use lockgate_tokio::{Client, ClientError};
use support::{
    Gateway, KEY, device, device_options, echo, echo_backend, identity, keys, options, recv,
};
use tokio::net::UdpSocket;

fn is_steered() -> bool {
    !module_path!().contains("hand_over")
}

fn closed_by_peer(error: &ClientError) -> bool {
    matches!(error, ClientError::Closed(CloseReason::PeerClosed))
}

#[tokio::test]
async fn devices_that_move_reach_the_worker_that_has_their_session() {
    let gateway = Gateway::with_echo().await;
    let mut devices = Vec::new();
    for number in 0..8 {
        devices.push(device(&gateway, number).await);
    }
    for round in 0..6_u8 {
        for device in &mut devices {
            device.rebind().await.unwrap();
            for n in 0..3 {
                echo(device, &[round, n]).await;
            }
        }
    }
    for (number, device) in devices.iter().enumerate() {
        let session = gateway.session(&identity(number)).await.unwrap();
        assert_eq!(session.to_backend.datagrams, 18);
        assert_eq!(session.peer, device.local_addr().unwrap());
    }
    assert!(gateway.session(b"device-8").await.is_none());
    let (counters, log) = gateway.stop().await;
    assert_eq!(counters.address_changes, 48);
    assert_eq!(counters.handshakes_completed, 8);
    assert_eq!(counters.to_devices.datagrams, 144);
    assert_eq!(counters.io.handed_over, counters.io.taken_over);
    if is_steered() {
        assert_eq!(counters.io.handed_over, 0);
    } else {
        // Two thirds of 144 on average; fewer than this once in a million runs.
        assert!(counters.io.handed_over >= 42, "{counters}");
    }
    let over = counters.io.handed_over;
    let line = counters.to_string();
    assert!(
        line.contains(&format!(" handed_over={over} taken_over={over} ")),
        "{line}"
    );
    assert!(log.contains("workers=3"), "{log}");
}

#[tokio::test]
async fn a_session_is_replaced_wherever_the_newer_one_is() {
    let gateway = Gateway::with_echo().await;
    let mut older = device(&gateway, 0).await;
    // Each comes from another port, and so to any of three workers.
    for round in 1..=12 {
        let mut newer = device(&gateway, 0).await;
        assert!(closed_by_peer(&recv(&mut older).await.unwrap_err()));
        echo(&mut newer, b"newer").await;
        let counters = gateway
            .wait_for(|c| c.sessions == 1 && c.ended(EndReason::Replaced) == round)
            .await;
        assert_eq!(counters.handshakes_completed, round + 1);
        let session = gateway.session(&identity(0)).await.unwrap();
        assert_eq!(session.peer, newer.local_addr().unwrap());
        older = newer;
    }
    older.close().await.unwrap();
    gateway.wait_for(|c| c.sessions == 0).await;
    assert!(gateway.session(&identity(0)).await.is_none());
    assert_eq!(gateway.lines("replaced by a newer session").len(), 12);
}

#[tokio::test]
async fn the_cap_is_for_all_workers_together() {
    let mut options = options(echo_backend().await);
    options.max_sessions = Some(5);
    let gateway = Gateway::start(&options, keys()).await;
    let mut inside: Vec<Client> = Vec::new();
    for number in 0..5 {
        inside.push(device(&gateway, number).await);
    }
    // All at once, so that workers decide beside each other.
    let refused = (5..25).map(|number| {
        let address = gateway.address;
        tokio::spawn(async move {
            let mut device = Client::connect(address, device_options(number))
                .await
                .unwrap();
            recv(&mut device).await.unwrap_err()
        })
    });
    for refused in refused.collect::<Vec<_>>() {
        assert!(closed_by_peer(&refused.await.unwrap()));
    }
    let counters = gateway
        .wait_for(|c| c.ended(EndReason::TooManySessions) == 20)
        .await;
    assert_eq!(counters.sessions, 5);
    for device in &mut inside {
        echo(device, b"unharmed").await;
    }
    inside.pop().unwrap().close().await.unwrap();
    gateway.wait_for(|c| c.sessions == 4).await;
    echo(&mut device(&gateway, 30).await, b"now").await;
}

#[tokio::test]
async fn a_session_goes_on_at_any_worker() {
    let gateway = Gateway::with_echo().await;
    let address = gateway.address;
    let devices = tokio::task::spawn_blocking(move || {
        let proof = || Proof::Psk(identity(0), KEY.to_vec());
        let mut session = None;
        for round in 0..10 {
            let mut device = Device::connect(address, proof(), session.as_ref());
            assert_eq!(device.is_resumed(), round > 0, "round {round}");
            device.echo(b"hello");
            session = device.session.take().or(session);
        }
    });
    devices.await.unwrap();
    let (counters, _) = gateway.stop().await;
    assert_eq!(counters.handshakes_resumed, 9);
    assert_eq!(counters.resumptions_refused, 0);
}

#[tokio::test]
async fn all_workers_write_one_key_log() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.log");
    let mut options = options(echo_backend().await);
    options.keylog = Some(file.clone());
    let gateway = Gateway::start(&options, keys()).await;
    for number in 0..9 {
        echo(&mut device(&gateway, number).await, b"hello").await;
    }
    gateway.stop().await;
    let log = std::fs::read_to_string(file).unwrap();
    assert_eq!(log.lines().count(), 9);
    assert!(log.lines().all(|line| line.len() > 150), "{log}");
}

#[tokio::test]
async fn slow_keys_reach_the_worker_that_asked() {
    /// Answers after a while.
    struct Slow(StaticKeys);

    impl KeySource for Slow {
        fn name(&self) -> &'static str {
            "slow"
        }

        fn lookup<'a>(&'a self, identity: &'a [u8]) -> KeyFuture<'a, Option<Psk>> {
            Box::pin(async move {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                self.0.lookup(identity).await
            })
        }
    }

    let key = Psk::new(KEY).unwrap();
    let slow = Slow((0..20).map(|n| (identity(n), key.clone())).collect());
    let gateway = Gateway::start(&options(echo_backend().await), Arc::new(slow)).await;
    for number in 0..12 {
        echo(&mut device(&gateway, number).await, b"hello").await;
    }
    assert_eq!(gateway.counters().await.slow_key_lookups, 12);
}

#[tokio::test]
async fn with_a_free_port_each_worker_has_a_pool_socket_of_its_own() {
    let backend = UdpSocket::bind(support::LOOPBACK).await.unwrap();
    let mut options = options(backend.local_addr().unwrap());
    options.upstream_pool = Some("127.64.0.0/16".parse().unwrap());
    let gateway = Gateway::start(&options, keys()).await;
    let (mut ports, mut addresses) = (HashSet::new(), HashSet::new());
    let mut devices = Vec::new();
    for number in 0..12 {
        let mut device = device(&gateway, number).await;
        let from = seen(&mut device, &backend).await;
        ports.insert(from.port());
        addresses.insert(from.ip());
        backend.send_to(b"for you", from).await.unwrap();
        assert_eq!(recv(&mut device).await.unwrap(), b"for you");
        devices.push(device);
    }
    // One table for all.
    assert_eq!(addresses.len(), 12);
    // All at one of three workers: once in 177,147 runs.
    assert!((2..=3).contains(&ports.len()), "{ports:?}");
    assert_eq!(gateway.counters().await.pool_handed_over, 0);
}

#[tokio::test]
async fn with_a_given_port_a_device_has_one_address_at_every_worker() {
    let backend = UdpSocket::bind(support::LOOPBACK).await.unwrap();
    let mut options = options(backend.local_addr().unwrap());
    let port = free_port();
    options.upstream_pool = Some(format!("127.64.0.0/16:{port}").parse().unwrap());
    let gateway = Gateway::start(&options, keys()).await;
    let mut devices = Vec::new();
    for number in 0..8 {
        let mut device = device(&gateway, number).await;
        let from = seen(&mut device, &backend).await;
        devices.push((device, from));
    }
    for round in 0..4_u8 {
        for (number, (device, address)) in devices.iter_mut().enumerate() {
            assert_eq!(address.port(), port);
            let payload = [round, number as u8];
            backend.send_to(&payload, *address).await.unwrap();
            assert_eq!(recv(device).await.unwrap(), payload);
            device.rebind().await.unwrap();
            assert_eq!(seen(device, &backend).await, *address);
            // A new session of the same identity, at any worker, has the address and gets what is sent there.
            let mut newer = support::device(&gateway, number).await;
            // The older session may be at another worker, and live there a moment longer.
            let completed = 8 + u64::from(round) * 8 + number as u64 + 1;
            gateway
                .wait_for(|c| c.handshakes_completed == completed)
                .await;
            backend.send_to(&payload, *address).await.unwrap();
            assert_eq!(recv(&mut newer).await.unwrap(), payload);
            assert_eq!(seen(&mut newer, &backend).await, *address);
            assert!(closed_by_peer(&recv(device).await.unwrap_err()));
            *device = newer;
        }
    }
    let (device, address) = devices.pop().unwrap();
    device.close().await.unwrap();
    gateway.wait_for(|c| c.sessions == 7).await;
    backend.send_to(b"still there?", address).await.unwrap();
    let counters = gateway.wait_for(|c| c.pool_no_session == 1).await;
    // Two thirds of 64 on average; fewer than this once in a million runs.
    assert!(counters.pool_handed_over >= 14, "{counters}");
    assert_eq!(counters.lost_to_devices, 0);
    // The port is ours alone.
    let taken = Proxy::bind(&options, keys()).await.err().unwrap();
    assert!(taken.to_string().contains("in use"), "{taken}");
}

#[tokio::test]
async fn of_sessions_at_several_workers_the_one_that_sent_last_is_answered() {
    let backend = UdpSocket::bind(support::LOOPBACK).await.unwrap();
    let mut options = options(backend.local_addr().unwrap());
    options.upstream_pool = Some(format!("127.64.0.0/16:{}", free_port()).parse().unwrap());
    options.replace_same_identity = false;
    let gateway = Gateway::start(&options, keys()).await;
    // Each comes from another port, and so to any of three workers: all to the same one once in 2,000 runs.
    let mut devices = Vec::new();
    for _ in 0..8 {
        devices.push(device(&gateway, 0).await);
    }
    gateway.wait_for(|c| c.sessions == 8).await;
    for round in 0..3_u8 {
        for n in [0, 5, 1, 4, 7, 2, 6, 3_u8] {
            let device = &mut devices[usize::from(n)];
            device.send(b"who am I").await.unwrap();
            let (_, from) = backend.recv_from(&mut [0; 16]).await.unwrap();
            backend.send_to(&[round, n], from).await.unwrap();
            assert_eq!(recv(device).await.unwrap(), [round, n]);
        }
    }
    let counters = gateway.counters().await;
    assert_eq!(counters.to_devices.datagrams, 24, "{counters}");
    assert_eq!(counters.pool_no_session, 0, "{counters}");
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

/// One that nobody has at any address, a moment ago.
fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.local_addr().unwrap().port()
}
