//! What comes from strangers harms nobody.

mod support;

use lockgate_dtls::DropReason;
use lockgate_tokio::Client;
use support::{Gateway, LOOPBACK, Middlebox, device, device_options, echo};
use tokio::net::UdpSocket;

#[tokio::test]
async fn garbage_is_dropped_counted_and_never_answered() {
    let gateway = Gateway::with_echo().await;
    let mut device = device(&gateway, 0).await;
    let stranger = UdpSocket::bind(LOOPBACK).await.unwrap();
    let mut sent = 0;
    for len in [0, 1, 12, 13, 14, 25, 60, 1200, 16_384, 65_507] {
        for first in [0, 20, 21, 22, 23, 25, 54, 0xff] {
            let mut datagram = vec![0xFE; len];
            if let Some(byte) = datagram.first_mut() {
                *byte = first;
            }
            stranger.send_to(&datagram, gateway.address).await.unwrap();
            sent += 1;
            if sent % 8 == 0 {
                echo(&mut device, b"unharmed").await;
            }
        }
    }
    let counters = gateway.counters().await;
    assert!(
        counters.io.dropped.get(DropReason::Malformed) > 0,
        "{counters}"
    );
    assert!(
        counters.io.dropped.total() >= 70,
        "all but the empty ones: {counters}"
    );
    let answer = stranger.try_recv(&mut [0; 1]);
    assert_eq!(answer.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn what_is_seen_twice_is_relayed_once() {
    let gateway = Gateway::with_echo().await;
    let middlebox = Middlebox::start(gateway.address, 3).await;
    let mut device = Client::connect(middlebox.address, device_options(0))
        .await
        .unwrap();
    for n in 0..10_u8 {
        echo(&mut device, &[n]).await;
    }
    let before = middlebox.seen();
    for datagram in &before {
        middlebox.inject(datagram).await;
    }
    echo(&mut device, b"unharmed").await;
    let (counters, _) = gateway.stop().await;
    assert_eq!(counters.to_backend.datagrams, 11);
    assert!(
        counters.io.dropped.get(DropReason::Replayed) >= 30,
        "{counters}"
    );
    assert_eq!(counters.handshakes_completed, 1);
    assert_eq!(counters.address_changes, 0);
}

#[tokio::test]
async fn a_replay_from_elsewhere_does_not_move_a_session() {
    let gateway = Gateway::with_echo().await;
    let middlebox = Middlebox::start(gateway.address, 1).await;
    let mut device = Client::connect(middlebox.address, device_options(0))
        .await
        .unwrap();
    echo(&mut device, b"true").await;
    let record = middlebox.seen().pop().unwrap();
    let thief = UdpSocket::bind(LOOPBACK).await.unwrap();
    let mut forged = record.clone();
    *forged.last_mut().unwrap() ^= 1;
    for datagram in [&record, &forged] {
        thief.send_to(datagram, gateway.address).await.unwrap();
    }
    gateway
        .wait_for(|c| c.io.dropped.get(DropReason::Replayed) >= 1)
        .await;
    echo(&mut device, b"still mine").await;
    assert_eq!(gateway.counters().await.address_changes, 0);
    assert!(thief.try_recv(&mut [0; 1]).is_err());
}

#[tokio::test]
async fn a_forged_client_hello_from_a_live_address_ends_nothing() {
    let gateway = Gateway::with_echo().await;
    let middlebox = Middlebox::start(gateway.address, 1).await;
    let mut device = Client::connect(middlebox.address, device_options(0))
        .await
        .unwrap();
    let other = Middlebox::start(gateway.address, 1).await;
    let _other = Client::connect(other.address, device_options(1))
        .await
        .unwrap();
    // The other's whole handshake, with and without cookie, from this device's address.
    for datagram in other.seen().iter().chain(&other.seen()) {
        middlebox.inject(datagram).await;
    }
    for n in 0..3_u8 {
        echo(&mut device, &[n]).await;
    }
    let counters = gateway.counters().await;
    assert_eq!(counters.sessions, 2);
    assert_eq!(counters.handshakes_completed, 2);
}
