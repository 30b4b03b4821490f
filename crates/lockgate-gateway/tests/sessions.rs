//! The life of sessions: moving, being replaced, falling silent, and how many there may be.

mod support;

use std::time::Duration;

use lockgate_dtls::{CloseReason, DropReason, HandshakeError};
use lockgate_gateway::proxy::{EndReason, FailureReason};
use lockgate_tokio::ClientError;
use support::{Gateway, connect, device, device_options, echo, echo_backend, keys, options, recv};
use tokio::net::UdpSocket;

fn closed_by_peer(error: &ClientError) -> bool {
    matches!(error, ClientError::Closed(CloseReason::PeerClosed))
}

#[tokio::test]
async fn a_device_that_comes_back_from_another_port_keeps_its_session() {
    let gateway = Gateway::with_echo().await;
    let mut device = device(&gateway, 0).await;
    echo(&mut device, b"before").await;
    for _ in 0..3 {
        let (old, new) = (device.local_addr().unwrap(), device.rebind().await.unwrap());
        assert_ne!(old.port(), new.port());
        echo(&mut device, b"after").await;
    }
    let port = device.local_addr().unwrap().port();
    device.close().await.unwrap();
    gateway.wait_for(|c| c.sessions == 0).await;
    let (counters, log) = gateway.stop().await;
    assert_eq!(counters.address_changes, 3);
    assert_eq!(counters.handshakes_completed, 1);
    assert_eq!(
        counters.io.stateless_replies, 1,
        "one ClientHello was enough"
    );
    let end = log.lines().find(|l| l.contains("session ended")).unwrap();
    assert!(
        end.contains(&format!("127.0.0.1:{port}")),
        "the newest address: {end}"
    );
}

#[tokio::test]
async fn backend_datagrams_follow_the_device_to_its_newest_address() {
    let backend = UdpSocket::bind(support::LOOPBACK).await.unwrap();
    let gateway = Gateway::start(&options(backend.local_addr().unwrap()), keys()).await;
    let mut device = device(&gateway, 0).await;
    device.send(b"here").await.unwrap();
    let (_, session) = backend.recv_from(&mut [0; 8]).await.unwrap();
    device.rebind().await.unwrap();
    device.send(b"there").await.unwrap();
    let (_, same_session) = backend.recv_from(&mut [0; 8]).await.unwrap();
    assert_eq!(session, same_session, "the backend sees no change");
    for note in [&b"one"[..], b"two"] {
        backend.send_to(note, session).await.unwrap();
        assert_eq!(recv(&mut device).await.unwrap(), note);
    }
}

#[tokio::test]
async fn without_connection_ids_a_new_port_is_a_stranger() {
    let mut options = options(echo_backend().await);
    options.cid_length = 0;
    let gateway = Gateway::start(&options, keys()).await;
    let mut device = device(&gateway, 0).await;
    assert!(device.info().unwrap().peer_cid.is_empty());
    echo(&mut device, b"before").await;
    device.rebind().await.unwrap();
    device.send(b"after").await.unwrap();
    let counters = gateway
        .wait_for(|c| c.io.dropped.get(DropReason::UnknownAddress) > 0)
        .await;
    assert_eq!(
        (counters.address_changes, counters.to_backend.datagrams),
        (0, 1)
    );
}

#[tokio::test]
async fn a_new_handshake_of_the_same_identity_replaces_the_older_session() {
    let gateway = Gateway::with_echo().await;
    let mut older = device(&gateway, 0).await;
    echo(&mut older, b"older").await;
    let mut other = device(&gateway, 1).await;
    let mut newer = device(&gateway, 0).await;
    assert!(closed_by_peer(&recv(&mut older).await.unwrap_err()));
    echo(&mut newer, b"newer").await;
    echo(&mut other, b"other").await;
    let counters = gateway.counters().await;
    assert_eq!(
        (counters.sessions, counters.ended(EndReason::Replaced)),
        (2, 1)
    );
    // And again, now that the newer one is the older.
    let mut newest = device(&gateway, 0).await;
    assert!(closed_by_peer(&recv(&mut newer).await.unwrap_err()));
    echo(&mut newest, b"newest").await;
    assert_eq!(gateway.lines("replaced by a newer session").len(), 2);
}

#[tokio::test]
async fn a_handshake_that_does_not_complete_replaces_nothing() {
    let gateway = Gateway::with_echo().await;
    let mut device = device(&gateway, 0).await;
    let mut impostor = device_options(0);
    impostor.psk = b"a guess".into();
    impostor.config.handshake_timeout = Duration::from_millis(300);
    connect(&gateway, impostor).await.err().unwrap();
    gateway
        .wait_for(|c| c.failed(FailureReason::WrongKeyLikely) == 1)
        .await;
    echo(&mut device, b"unharmed").await;
    assert_eq!(gateway.counters().await.sessions, 1);
}

#[tokio::test]
async fn with_replacement_off_both_sessions_live() {
    let mut options = options(echo_backend().await);
    options.replace_same_identity = false;
    let gateway = Gateway::start(&options, keys()).await;
    let (mut one, mut two) = (device(&gateway, 0).await, device(&gateway, 0).await);
    echo(&mut one, b"one").await;
    echo(&mut two, b"two").await;
    assert_eq!(gateway.counters().await.sessions, 2);
}

#[tokio::test]
async fn a_silent_device_loses_its_session_and_a_busy_one_does_not() {
    let mut options = options(echo_backend().await);
    options.idle_timeout = Some(Duration::from_millis(600));
    let gateway = Gateway::start(&options, keys()).await;
    let (mut silent, mut busy) = (device(&gateway, 0).await, device(&gateway, 1).await);
    for _ in 0..9 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        echo(&mut busy, b"still here").await;
    }
    assert!(closed_by_peer(&recv(&mut silent).await.unwrap_err()));
    let counters = gateway.counters().await;
    assert_eq!((counters.sessions, counters.ended(EndReason::Idle)), (1, 1));
    assert_eq!(gateway.lines("silent for too long").len(), 1);
}

#[tokio::test]
async fn beyond_the_cap_new_devices_are_refused_and_old_ones_may_come_back() {
    let mut options = options(echo_backend().await);
    options.max_sessions = Some(2);
    let gateway = Gateway::start(&options, keys()).await;
    let (mut one, two) = (device(&gateway, 0).await, device(&gateway, 1).await);
    // Without its key nobody learns who is connected: a name that has a session fails as one that has none.
    for number in [1, 2] {
        let mut stranger = device_options(number);
        stranger.psk = b"guessed".to_vec();
        stranger.config.handshake_timeout = Duration::from_millis(300);
        let refused = connect(&gateway, stranger).await.err().unwrap();
        let ClientError::Handshake(error) = &refused else {
            panic!("{refused}");
        };
        assert!(
            matches!(error, HandshakeError::Timeout(_)),
            "{number}: {error:?}"
        );
    }
    let mut refused = device(&gateway, 2).await;
    assert!(closed_by_peer(&recv(&mut refused).await.unwrap_err()));
    gateway
        .wait_for(|c| c.ended(EndReason::TooManySessions) == 1)
        .await;
    assert_eq!(gateway.lines("too many sessions").len(), 1);
    assert_eq!(gateway.lines("at most 2 sessions").len(), 1);
    echo(&mut one, b"unharmed").await;
    // One that lost its session without a word takes its own place.
    let mut again = device(&gateway, 1).await;
    echo(&mut again, b"again").await;
    drop(two);
    again.close().await.unwrap();
    gateway.wait_for(|c| c.sessions == 1).await;
    echo(&mut device(&gateway, 2).await, b"now").await;
}
