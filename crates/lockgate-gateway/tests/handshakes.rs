//! Handshakes that fail or wait, and what an operator reads about them.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate_dtls::{CipherSuite, HandshakeError, SuiteList};
use lockgate_gateway::keys::{KeyError, KeyFuture, KeySource, Psk};
use lockgate_gateway::proxy::FailureReason;
use lockgate_tokio::{Client, ClientError, ClientOptions};
use support::{
    Gateway, KEY, connect, device, device_options, echo, echo_backend, identity, keys, options,
};
use tokio::sync::Semaphore;

/// Device 1 has to wait for `release`, device 2's key cannot be found out, device 3 does not exist.
struct Moody {
    release: Semaphore,
}

impl KeySource for Moody {
    fn name(&self) -> &'static str {
        "moody"
    }

    fn lookup<'a>(&'a self, asked: &'a [u8]) -> KeyFuture<'a, Option<Psk>> {
        Box::pin(async move {
            if asked == identity(1) {
                let _ = self.release.acquire().await;
            } else if asked == identity(2) {
                tokio::task::yield_now().await;
                return Err(KeyError::Unavailable {
                    origin: "moody",
                    reason: "the key service is on fire".into(),
                });
            } else if asked == identity(3) {
                return Ok(None);
            }
            Ok(Some(Psk::new(KEY).unwrap()))
        })
    }
}

fn moody() -> Arc<Moody> {
    Arc::new(Moody {
        release: Semaphore::new(0),
    })
}

/// Gives up soon.
fn hasty(number: usize) -> ClientOptions {
    let mut options = device_options(number);
    options.config.handshake_timeout = Duration::from_millis(300);
    options
}

async fn fail(gateway: &Gateway, options: ClientOptions) -> HandshakeError {
    match connect(gateway, options).await {
        Ok(_) => panic!("it connected"),
        Err(ClientError::Handshake(error)) => error,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_unknown_identity_and_a_wrong_key_look_alike_outside_and_differ_in_the_log() {
    let gateway = Gateway::with_echo().await;
    let mut unknown = hasty(0);
    unknown.identity = b"nobody\n\x1b[31m".into();
    let mut wrong = hasty(0);
    wrong.psk = b"a guess".into();
    let errors = [fail(&gateway, unknown).await, fail(&gateway, wrong).await];
    assert!(
        errors
            .iter()
            .all(|e| matches!(e, HandshakeError::Timeout(_))),
        "{errors:?}"
    );
    gateway
        .wait_for(|c| {
            c.failed(FailureReason::UnknownIdentity) == 1
                && c.failed(FailureReason::WrongKeyLikely) == 1
        })
        .await;
    let said = gateway.lines("handshake failed");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("why=unknown identity"), "{}", said[0]);
    assert!(said[0].contains(r"nobody\n\x1b[31m"), "{}", said[0]);
    assert!(said[1].contains("wrong key likely"), "{}", said[1]);
    assert!(
        said.iter()
            .all(|l| l.contains("WARN") && l.contains("peer=127.0.0.1:"))
    );
    echo(&mut device(&gateway, 0).await, b"others go on").await;
}

#[tokio::test]
async fn no_common_suite_is_said_at_once() {
    let mut options = options(echo_backend().await);
    options.cipher_suites = vec![0xC0A8];
    let gateway = Gateway::start(&options, keys()).await;
    let mut other = device_options(0);
    other.config.cipher_suites = SuiteList::new(&[CipherSuite::PSK_AES_128_GCM_SHA256]);
    let error = fail(&gateway, other).await;
    assert!(matches!(error, HandshakeError::PeerAlert(_)), "{error}");
    gateway
        .wait_for(|c| c.failed(FailureReason::NoCommonCipherSuite) == 1)
        .await;
    let said = gateway.lines("handshake failed");
    assert!(
        said[0].contains("no common cipher suite") && said[0].contains("peer="),
        "{said:?}"
    );
    let device = device(&gateway, 0).await;
    assert_eq!(
        device.info().unwrap().cipher_suite,
        CipherSuite::PSK_AES_128_CCM_8
    );
}

#[tokio::test]
async fn a_slow_key_delays_its_own_handshake_only() {
    let keys = moody();
    let mut options = options(echo_backend().await);
    options.handshake_timeout = Duration::from_secs(5);
    let gateway = Gateway::start(&options, Arc::<Moody>::clone(&keys)).await;
    let slow = tokio::spawn(Client::connect(gateway.address, device_options(1)));
    gateway.wait_for(|c| c.slow_key_lookups == 1).await;
    let mut quick = device(&gateway, 0).await;
    echo(&mut quick, b"quick").await;
    assert!(!slow.is_finished());
    assert_eq!(gateway.counters().await.handshakes_completed, 1);
    keys.release.add_permits(1);
    echo(&mut slow.await.unwrap().unwrap(), b"late").await;
    assert_eq!(
        gateway.counters().await.slow_key_lookups,
        1,
        "the others were quick"
    );
}

#[tokio::test]
async fn a_key_that_never_comes_is_not_waited_for_any_longer_than_the_handshake() {
    let keys = moody();
    let gateway = Gateway::start(&options(echo_backend().await), Arc::<Moody>::clone(&keys)).await;
    fail(&gateway, hasty(1)).await;
    gateway
        .wait_for(|c| c.failed(FailureReason::KeyServiceFailed) == 1)
        .await;
    // Nobody waits for the permit any more: the look-up was given up.
    let waited = Instant::now();
    while Arc::strong_count(&keys) > 2 {
        assert!(
            waited.elapsed() < Duration::from_secs(5),
            "the look-up goes on"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(gateway.lines("handshake failed")[0].contains("no key was provided in time"));
}

#[tokio::test]
async fn a_key_service_that_fails_refuses_that_handshake_and_says_why() {
    let gateway = Gateway::start(&options(echo_backend().await), moody()).await;
    fail(&gateway, hasty(2)).await;
    gateway
        .wait_for(|c| c.failed(FailureReason::KeyServiceFailed) == 1)
        .await;
    let said = gateway.lines("handshake failed");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("key service failed: moody: the key service is on fire"));
    echo(&mut device(&gateway, 0).await, b"others go on").await;
}

#[tokio::test]
async fn an_unknown_identity_is_told_when_that_is_asked_for() {
    let mut options = options(echo_backend().await);
    options.reveal_unknown_identity = true;
    let gateway = Gateway::start(&options, moody()).await;
    let error = fail(&gateway, device_options(3)).await;
    assert!(
        error.to_string().contains("unknown_psk_identity"),
        "{error}"
    );
    gateway
        .wait_for(|c| c.failed(FailureReason::UnknownIdentity) == 1)
        .await;
}

#[tokio::test]
async fn a_flood_of_failures_does_not_flood_the_log() {
    let mut options = options(echo_backend().await);
    options.reveal_unknown_identity = true;
    let gateway = Gateway::start(&options, keys()).await;
    for number in 0..60 {
        let mut options = device_options(0);
        options.identity = format!("stranger-{number}").into_bytes();
        fail(&gateway, options).await;
    }
    gateway
        .wait_for(|c| c.failed(FailureReason::UnknownIdentity) == 60)
        .await;
    let logged = gateway.lines("handshake failed").len() as u64;
    let counters = gateway.wait_for(|c| c.unlogged_failures > 0).await;
    // Every one is either logged or counted as not logged.
    assert_eq!(logged + counters.unlogged_failures, 60);
    assert_eq!(gateway.lines("more handshakes failed").len(), 1);
}

#[tokio::test]
async fn half_open_handshakes_are_capped() {
    let keys = moody();
    let mut options = options(echo_backend().await);
    options.max_half_open = 2;
    options.handshake_timeout = Duration::from_secs(5);
    let gateway = Gateway::start(&options, Arc::<Moody>::clone(&keys)).await;
    let waiting: Vec<_> = (0..2)
        .map(|_| tokio::spawn(Client::connect(gateway.address, device_options(1))))
        .collect();
    gateway.wait_for(|c| c.slow_key_lookups == 2).await;
    let third = tokio::spawn(Client::connect(gateway.address, device_options(0)));
    gateway
        .wait_for(|c| c.io.dropped.get(lockgate_dtls::DropReason::HalfOpenLimit) > 0)
        .await;
    keys.release.add_permits(2);
    // Once there is room, its repeated ClientHello gets in.
    echo(&mut third.await.unwrap().unwrap(), b"late").await;
    for task in waiting {
        let _ = task.await.unwrap();
    }
}
