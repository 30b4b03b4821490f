//! What the proxy does with raw public keys and earlier sessions, seen from both ends. Other people's programs meet it in
//! the tests of the binary.

mod support;

#[path = "support/device.rs"]
mod device;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use device::{Device, Proof};
use lockgate_aws_lc::PrivateKey;
use lockgate_dtls::certificate::ClientAuth;
use lockgate_dtls::crypto::{KeyType, SigningKey as _};
use lockgate_gateway::config::ProxyOptions;
use lockgate_gateway::keys::{KeyFuture, KeySource, Psk};
use lockgate_gateway::proxy::{EndReason, FailureReason};
use lockgate_webpki::KeyHash;
use support::{Gateway, KEY, echo_backend, identity, keys, options};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

/// A gateway's options with a raw public key of its own in `dir`, for devices in the allow list there.
async fn with_raw_keys(dir: &TempDir, allowed: &[&PrivateKey]) -> ProxyOptions {
    let own = dir.path().join("own.der");
    std::fs::write(&own, generate().to_pkcs8_der()).unwrap();
    let mut options = options(echo_backend().await);
    options.handshake_timeout = Duration::from_secs(10);
    options.certificates.raw_keys = vec![own];
    let list = dir.path().join("allow.txt");
    write_allowed(&list, allowed);
    options.certificates.allowed_keys = vec![list];
    options.certificates.client_auth = ClientAuth::Required;
    options
}

fn write_allowed(list: &Path, allowed: &[&PrivateKey]) {
    let line = |(n, key): (usize, &&PrivateKey)| {
        format!("{} sensor-{n}\n", KeyHash::of(key.public_key_info()))
    };
    let lines: String = allowed.iter().enumerate().map(line).collect();
    std::fs::write(list, lines).unwrap();
}

/// Connects without holding up the runtime of the test.
async fn connect(
    server: SocketAddr,
    proof: Proof,
    session: Option<lockgate_dtls::Session>,
) -> Device {
    spawn_blocking(move || Device::connect(server, proof, session.as_ref()))
        .await
        .unwrap()
}

fn generate() -> PrivateKey {
    PrivateKey::generate(KeyType::EcdsaP256).unwrap()
}

#[tokio::test]
async fn a_device_is_known_by_its_raw_public_key() {
    let dir = tempfile::tempdir().unwrap();
    let (key, stranger) = (generate(), generate());
    let options = with_raw_keys(&dir, &[&key]).await;
    let gateway = Gateway::start(&options, keys()).await;
    let address = gateway.address;
    let raw = || Proof::RawPublicKey(key.clone());
    let mut first = connect(address, raw(), None).await;
    first = spawn_blocking(move || {
        first.echo(b"hello");
        first
    })
    .await
    .unwrap();
    // The same device from elsewhere.
    let _second = connect(address, raw(), None).await;
    gateway
        .wait_for(|c| c.ended(EndReason::Replaced) == 1)
        .await;
    let closed = spawn_blocking(move || {
        first.until(|first| first.closed.is_some());
        first.closed
    });
    assert!(closed.await.unwrap().is_some());
    let refused = spawn_blocking(move || {
        let mut device = Device::begin(address, Proof::RawPublicKey(stranger), None);
        device.until(|device| device.closed.is_some());
    });
    refused.await.unwrap();
    let counters = gateway
        .wait_for(|c| c.failed(FailureReason::CertificateRefused) == 1)
        .await;
    assert_eq!(counters.sessions, 1);
    let (_, log) = gateway.stop().await;
    assert_eq!(log.matches("identity=sensor-0 spki=").count(), 4, "{log}");
}

#[tokio::test]
async fn a_raw_public_key_that_is_taken_off_the_list_does_not_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (key, other) = (generate(), generate());
    let options = with_raw_keys(&dir, &[&key, &other]).await;
    let gateway = Gateway::start(&options, keys()).await;
    let address = gateway.address;
    let raw = || Proof::RawPublicKey(key.clone());
    let mut first = connect(address, raw(), None).await;
    let session = first.session.take();
    let again = connect(address, raw(), session.clone()).await;
    assert!(again.is_resumed());
    write_allowed(&dir.path().join("allow.txt"), &[&other]);
    let deadline = Instant::now() + support::PATIENCE;
    while gateway.lines("read again").is_empty() {
        assert!(Instant::now() < deadline, "nobody notices");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let proof = raw();
    let refused = spawn_blocking(move || {
        let mut device = Device::begin(address, proof, session.as_ref());
        device.until(|device| device.closed.is_some());
    });
    refused.await.unwrap();
    let counters = gateway
        .wait_for(|c| c.failed(FailureReason::CertificateRefused) == 1)
        .await;
    assert_eq!(
        (counters.handshakes_resumed, counters.resumptions_refused),
        (1, 1)
    );
}

/// Takes its time, and forgets everybody when it is told to.
struct SlowKeys {
    forgotten: Arc<AtomicBool>,
}

impl KeySource for SlowKeys {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn lookup<'a>(&'a self, _: &'a [u8]) -> KeyFuture<'a, Option<Psk>> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let known = !self.forgotten.load(Ordering::Relaxed);
            Ok(known.then(|| Psk::new(KEY).unwrap()))
        })
    }
}

#[tokio::test]
async fn a_slow_key_source_is_waited_for_before_a_session_goes_on() {
    let forgotten = Arc::new(AtomicBool::new(false));
    let slow = SlowKeys {
        forgotten: Arc::clone(&forgotten),
    };
    let mut options = options(echo_backend().await);
    options.handshake_timeout = Duration::from_secs(2);
    let gateway = Gateway::start(&options, Arc::new(slow)).await;
    let address = gateway.address;
    let psk = || Proof::Psk(identity(0), KEY.to_vec());
    let mut first = connect(address, psk(), None).await;
    let session = first.session.take();
    let again = connect(address, psk(), session.clone()).await;
    assert!(again.is_resumed());
    // The device has the last word of such a handshake, and it may still be on its way.
    let counters = gateway.wait_for(|c| c.handshakes_resumed == 1).await;
    assert_eq!(counters.slow_key_lookups, 2);
    forgotten.store(true, Ordering::Relaxed);
    let proof = psk();
    let mut late = spawn_blocking(move || Device::begin(address, proof, session.as_ref()))
        .await
        .unwrap();
    let over = spawn_blocking(move || late.until(|device| device.closed.is_some()));
    let counters = gateway
        .wait_for(|c| c.failed(FailureReason::UnknownIdentity) == 1)
        .await;
    assert_eq!(
        (counters.handshakes_resumed, counters.resumptions_refused),
        (1, 1)
    );
    over.await.unwrap();
}
