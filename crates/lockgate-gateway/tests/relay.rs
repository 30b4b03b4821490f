//! Datagrams through the proxy, both ways.

mod support;

use support::{Gateway, KEY, device, echo};

#[tokio::test]
async fn what_a_device_sends_comes_back_from_the_backend() {
    let gateway = Gateway::with_echo().await;
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
    for said in [
        "INFO",
        "device-0",
        "TLS_PSK_WITH_AES_128_GCM_SHA256",
        "cid=",
        "peer=127.0.0.1:",
        "upstream=127.0.0.1:",
    ] {
        assert!(started[0].contains(said), "{said}: {}", started[0]);
    }
    for said in [
        "INFO",
        "device-0",
        "TLS_PSK",
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
