//! Sockets of single peers: none of the datagrams that arrive while such a socket is made is lost, and what happens when
//! there are no descriptors for one.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lockgate_tokio::Listener;
use support::*;

/// How many talk, and how many join meanwhile.
const TALKERS: u64 = 20;
const JOINERS: u64 = 200;

async fn talkers_lose_nothing_while_others_join(mode: Mode) {
    let (listener, address) = listen(mode.options());
    let came = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&came);
    let serving = tokio::spawn(async move {
        let mut listener: Listener = listener;
        for _ in 0..TALKERS + JOINERS {
            let mut connection = listener.accept_connection().await.unwrap();
            let came = Arc::clone(&counted);
            tokio::spawn(async move {
                while connection.recv_bytes().await.is_ok() {
                    came.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        listener
    });
    let mut talking = Vec::new();
    let (joined, done) = tokio::sync::watch::channel(false);
    for _ in 0..TALKERS {
        let mut connection = in_time(lockgate_tokio::connect(address, options()))
            .await
            .unwrap();
        let done = done.clone();
        // Paced, so that no socket's buffer overflows: what is missing then was lost by us.
        talking.push(tokio::spawn(async move {
            let mut sent = 0_u64;
            while !*done.borrow() {
                connection.send(&sent.to_be_bytes()).await.unwrap();
                sent += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            (connection, sent)
        }));
    }
    let mut joiners = Vec::new();
    for _ in 0..JOINERS / 20 {
        // Each new socket takes, for a moment, what those beside send for their handshakes. No second try: a datagram
        // that is lost shows.
        let mut once = options();
        once.config.initial_timeout = 2 * PATIENCE;
        let joining = || tokio::spawn(lockgate_tokio::connect(address, once.clone()));
        let joining: Vec<_> = std::iter::repeat_with(joining).take(20).collect();
        for joining in joining {
            joiners.push(in_time(joining).await.unwrap().unwrap());
        }
    }
    joined.send(true).unwrap();
    let mut sent = 0;
    let mut kept = Vec::new();
    for talker in talking {
        let (connection, count) = in_time(talker).await.unwrap();
        sent += count;
        kept.push(connection);
    }
    let listener = in_time(serving).await.unwrap();
    let arrived = async {
        while came.load(Ordering::Relaxed) < sent {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), arrived).await;
    let statistics = listener.statistics().await;
    assert_eq!(came.load(Ordering::Relaxed), sent, "{statistics:?}");
    assert!(sent > JOINERS, "they talked while others joined: {sent}");
    assert_eq!(statistics.peer_sockets as u64, TALKERS + JOINERS);
    assert_eq!(statistics.io.dropped.total(), 0, "{statistics:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_talkers_lose_nothing_while_others_join() {
    talkers_lose_nothing_while_others_join(Mode::PerPeer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_do_they_with_several_workers() {
    talkers_lose_nothing_while_others_join(Mode::WorkersPerPeer).await;
}
