//! Datagrams through the proxy, both ways.

mod support;

use lockgate_dtls::CloseReason;
use lockgate_gateway::proxy::EndReason;
use lockgate_tokio::{Client, ClientError};
use support::{
    Gateway, KEY, LOOPBACK, UPSTREAMS, device, device_options, echo, echo_backend, echo_on, keys,
    options, options_with, recv,
};
use tokio::net::UdpSocket;

#[tokio::test]
async fn what_a_device_sends_comes_back_from_the_backend() {
    for upstream in UPSTREAMS {
        let gateway = Gateway::with_echo_over(upstream).await;
        let mut device = device(&gateway, 0).await;
        echo(&mut device, b"hello").await;
        echo(&mut device, b"").await;
        echo(&mut device, &[7; 4000]).await;
        device.close().await.unwrap();
        gateway.wait_for(|c| c.sessions == 0).await;
        let (counters, log) = gateway.stop().await;
        assert_eq!(counters.to_backend, counters.to_devices);
        assert_eq!(
            (counters.to_backend.datagrams, counters.to_backend.bytes),
            (3, 4005)
        );
        let started: Vec<_> = log
            .lines()
            .filter(|l| l.contains("session started"))
            .collect();
        let ended: Vec<_> = log
            .lines()
            .filter(|l| l.contains("session ended"))
            .collect();
        assert_eq!((started.len(), ended.len()), (1, 1), "{log}");
        let from = upstream.map_or("upstream=127.0.0.1:", |_| "upstream=127.64.0.1:");
        for said in [
            "INFO",
            "device-0",
            "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256",
            "cid=",
            "peer=127.0.0.1:",
            from,
        ] {
            assert!(started[0].contains(said), "{said}: {}", started[0]);
        }
        for said in [
            "INFO",
            "device-0",
            "TLS_ECDHE_PSK",
            "cid=",
            "peer=",
            "to_backend=3",
            "to_device_bytes=4005",
            "closed by the device",
        ] {
            assert!(ended[0].contains(said), "{said}: {}", ended[0]);
        }
        let key = String::from_utf8_lossy(KEY);
        assert!(!log.contains(&*key), "a key in the log");
    }
}

#[tokio::test]
async fn a_hundred_sessions_do_not_mix() {
    for upstream in UPSTREAMS {
        let gateway = Gateway::with_echo_over(upstream).await;
        let mut devices = Vec::new();
        for number in 0..100 {
            devices.push(device(&gateway, number).await);
        }
        assert_eq!(gateway.counters().await.sessions, 100);
        // All at once, and then each gets its own back.
        for round in 0..3 {
            for (number, device) in devices.iter_mut().enumerate() {
                device
                    .send(format!("{round}/{number}").as_bytes())
                    .await
                    .unwrap();
            }
            for (number, device) in devices.iter_mut().enumerate() {
                assert_eq!(
                    recv(device).await.unwrap(),
                    format!("{round}/{number}").into_bytes()
                );
            }
        }
        let (counters, log) = gateway.stop().await;
        assert_eq!(counters.to_devices.datagrams, 300);
        assert_eq!(counters.ended(EndReason::Shutdown), 100);
        assert_eq!(log.matches("session started").count(), 100);
        assert_eq!(log.matches("session ended").count(), 100);
        // Each of them was told.
        for device in &mut devices {
            let end = recv(device).await.unwrap_err();
            assert!(
                matches!(end, ClientError::Closed(CloseReason::PeerClosed)),
                "{end}"
            );
        }
    }
}

#[tokio::test]
async fn each_session_has_its_own_source_port() {
    let backend = UdpSocket::bind(LOOPBACK).await.unwrap();
    let gateway = Gateway::start(&options(backend.local_addr().unwrap()), keys()).await;
    let mut ports = Vec::new();
    for number in 0..3 {
        let mut device = device(&gateway, number).await;
        device.send(b"x").await.unwrap();
        let (_, from) = backend.recv_from(&mut [0; 8]).await.unwrap();
        ports.push(from.port());
        // And it is a stranger's no way in: the socket takes datagrams from the backend alone.
        let stranger = UdpSocket::bind(LOOPBACK).await.unwrap();
        stranger.send_to(b"spoofed", from).await.unwrap();
        backend.send_to(b"true", from).await.unwrap();
        assert_eq!(recv(&mut device).await.unwrap(), b"true");
        // Kept alive, or its port could be given out again.
        std::mem::forget(device);
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 3);
}

#[tokio::test]
async fn a_datagram_that_no_record_holds_is_dropped_and_counted() {
    for upstream in UPSTREAMS {
        let backend = UdpSocket::bind(LOOPBACK).await.unwrap();
        let options = options_with(backend.local_addr().unwrap(), upstream);
        let gateway = Gateway::start(&options, keys()).await;
        let mut device = device(&gateway, 0).await;
        device.send(b"x").await.unwrap();
        let (_, from) = backend.recv_from(&mut [0; 8]).await.unwrap();
        let longest = device.info().unwrap().max_payload;
        for (len, arrives) in [
            (65_507, false),
            (longest + 1, false),
            (longest, true),
            (0, true),
        ] {
            let datagram = vec![0xA5; len];
            backend.send_to(&datagram, from).await.unwrap();
            if arrives {
                assert_eq!(recv(&mut device).await.unwrap(), datagram);
            }
        }
        let (counters, _) = gateway.stop().await;
        assert_eq!(counters.too_large_for_device, 2);
        assert_eq!(counters.to_devices.datagrams, 2);
    }
}

#[tokio::test]
async fn a_backend_that_restarts_costs_datagrams_but_no_session() {
    for upstream in UPSTREAMS {
        let backend = UdpSocket::bind(LOOPBACK).await.unwrap();
        let address = backend.local_addr().unwrap();
        drop(backend);
        let gateway = Gateway::start(&options_with(address, upstream), keys()).await;
        let mut device = device(&gateway, 0).await;
        device.send(b"lost").await.unwrap();
        gateway.wait_for(|c| c.backend_refused >= 1).await;
        device.send(b"lost").await.unwrap();
        gateway.wait_for(|c| c.backend_refused >= 2).await;
        tokio::spawn(echo_on(UdpSocket::bind(address).await.unwrap()));
        // The very next one arrives, although the socket may still hold an error.
        echo(&mut device, b"back").await;
        let counters = gateway.counters().await;
        assert_eq!(counters.sessions, 1);
        assert_eq!(counters.handshakes_completed, 1);
    }
}

#[tokio::test]
async fn several_addresses_of_both_families_are_served() {
    let mut options = options(echo_backend().await);
    options.bind = vec![LOOPBACK, LOOPBACK];
    let ipv6 = UdpSocket::bind("[::1]:0").await.is_ok();
    if ipv6 {
        options.bind.push("[::1]:0".parse().unwrap());
        options.bind.push("[::]:0".parse().unwrap());
    }
    let gateway = Gateway::start(&options, keys()).await;
    let mut addresses = gateway.addresses.clone();
    if ipv6 {
        // The dual-stack one, asked from IPv4.
        let port = addresses.pop().unwrap().port();
        addresses.push((std::net::Ipv4Addr::LOCALHOST, port).into());
    }
    for (number, &address) in addresses.iter().enumerate() {
        let mut device = Client::connect(address, device_options(number))
            .await
            .unwrap();
        echo(&mut device, b"hello").await;
    }
    let (_, log) = gateway.stop().await;
    assert!(!log.contains("::ffff"), "IPv4 is shown as such: {log}");
}
