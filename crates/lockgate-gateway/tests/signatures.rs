//! Signatures that take long are made beside the worker. A test of its own, because it looks at the worker's thread.

mod support;

#[path = "support/device.rs"]
mod device;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use device::{Device, Proof};
use lockgate_aws_lc::PrivateKey;
use lockgate_dtls::crypto::{KeyType, MAX_SIGNATURE_LEN, SignatureScheme, SigningKey as _};
use support::{Gateway, echo_backend, keys, options};
use tokio::task::spawn_blocking;

const FLOOD: u32 = 100;

/// How long the thread of this name has run until now.
fn cpu_time_of(name: &str) -> Duration {
    let of_thread = |task: &Path| {
        let is_it = fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name);
        let stat = fs::read_to_string(task.join("schedstat")).ok()?;
        let nanos = stat.split(' ').next()?.parse().ok()?;
        is_it.then_some(Duration::from_nanos(nanos))
    };
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let found = tasks.filter_map(|task| of_thread(&task.unwrap().path()));
    found.last().expect("the thread is there")
}

/// How long the worker runs for a flood of handshakes with this key of ours.
async fn worker_time(key: &[u8]) -> Duration {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own.der");
    fs::write(&own, key).unwrap();
    let mut options = options(echo_backend().await);
    options.handshake_timeout = Duration::from_secs(30);
    options.certificates.raw_keys = vec![own];
    let gateway = Gateway::start(&options, keys()).await;
    let address = gateway.address;
    // The worker is there once it has answered.
    gateway.counters().await;
    let before = cpu_time_of("worker-0");
    let flood = spawn_blocking(move || {
        let begin = |_| Device::begin(address, Proof::Nothing, None);
        let mut devices: Vec<_> = (0..FLOOD).map(begin).collect();
        while !devices.iter().all(Device::is_connected) {
            for device in &mut devices {
                device.turn(Duration::from_millis(1));
            }
        }
    });
    flood.await.unwrap();
    gateway
        .wait_for(|c| c.handshakes_completed == u64::from(FLOOD))
        .await;
    let time = cpu_time_of("worker-0").saturating_sub(before);
    gateway.stop().await;
    time
}

#[tokio::test]
async fn the_worker_makes_no_rsa_signatures() {
    let size = rcgen::RsaKeySize::_4096;
    let rsa = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).unwrap();
    let key = PrivateKey::from_der(rsa.serialized_der()).unwrap();
    let sign = || {
        let mut signature = [0; MAX_SIGNATURE_LEN];
        let begun = Instant::now();
        key.sign(SignatureScheme::RSA_PSS_RSAE_SHA256, b"", &mut signature)
            .unwrap();
        begun.elapsed()
    };
    // Other processes only ever make it longer.
    let one = (0..50).map(|_| sign()).min().unwrap();
    let ecdsa = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
    let with_ecdsa = worker_time(&ecdsa.to_pkcs8_der()).await;
    let with_rsa = worker_time(rsa.serialized_der()).await;
    println!(
        "{FLOOD} handshakes: the worker runs {with_ecdsa:?} with ECDSA, {with_rsa:?} with RSA, whose signatures alone \
         take {:?}",
        one * FLOOD
    );
    assert!(with_rsa < with_ecdsa + one * FLOOD / 2);
}
