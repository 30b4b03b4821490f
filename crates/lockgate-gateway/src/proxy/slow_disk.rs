//! A proxy whose table of addresses lies on a slow disk.

use std::sync::Arc;
use std::time::Duration;

use lockgate_tokio::{Client, ClientOptions};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;
use crate::addresses::SLOW;
use crate::keys::{Psk, StaticKeys};

const PATIENCE: Duration = Duration::from_secs(20);

/// What is counted when a new device has come, sent something and heard the answer, or that it gets none.
async fn first_device(handshake_timeout: Duration) -> Counters {
    let backend = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let connect = backend.local_addr().unwrap().to_string();
    let mut options = ProxyOptions::new(connect.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    options.bind = vec!["127.0.0.1:0".parse().unwrap()];
    options.upstream_pool = Some("127.64.0.0/24".parse().unwrap());
    options.upstream_pool_table = Some(dir.path().join(SLOW));
    options.handshake_timeout = handshake_timeout;
    let keys: StaticKeys = [(b"device".to_vec(), Psk::new(b"secret").unwrap())]
        .into_iter()
        .collect();
    let proxy = Proxy::bind(&options, Arc::new(keys)).await.unwrap();
    let (address, handle) = (proxy.addresses()[0], proxy.handle());
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(proxy.serve(async {
        let _ = stopped.await;
    }));
    let device = ClientOptions::new(b"device", b"secret");
    let mut device = Client::connect(address, device).await.unwrap();
    assert_eq!(handle.counters().await.unwrap().sessions, 0, "it waits");
    let begun = async {
        while handle.counters().await.unwrap().sessions == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let mut room = [0; 16];
    tokio::select! {
        () = begun => {
            device.send(b"hello").await.unwrap();
            let (_, from) = backend.recv_from(&mut room).await.unwrap();
            backend.send_to(b"welcome", from).await.unwrap();
            let len = device.recv(&mut room).await.unwrap();
            assert_eq!(&room[..len], b"welcome");
        }
        heard = async { device.recv(&mut [0; 16]).await } => assert!(heard.is_err()),
    }
    stop.send(()).unwrap();
    task.await.unwrap().unwrap()
}

#[tokio::test]
async fn a_new_device_waits_for_a_slow_disk_but_not_for_ever() {
    let patient = timeout(PATIENCE, first_device(Duration::from_secs(10)));
    let counters = patient.await.unwrap();
    assert_eq!(counters.ended(EndReason::NoAddress), 0);
    assert_eq!(counters.to_devices.datagrams, 1);
    let impatient = timeout(PATIENCE, first_device(Duration::from_millis(500)));
    let counters = impatient.await.unwrap();
    assert_eq!(counters.ended(EndReason::NoAddress), 1);
    assert_eq!(counters.handshakes_completed, 1);
}
