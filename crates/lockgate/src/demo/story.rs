//! The simulated device: it connects, sleeps, comes back from another port, and goes on without a handshake.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lockgate_gateway::proxy::{ProxyHandle, SessionInfo};
use lockgate_tokio::{Client, ClientOptions};
use tokio::time::timeout;

use super::{DEVICE, say};
use crate::Failure;

/// How long the device sleeps. Hours would do as well; nobody wants to wait for them.
const SLEEP: Duration = Duration::from_millis(1500);
/// How long an echo may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells it, and fails at the first step that does not go as told.
pub(super) async fn tell(
    proxy: SocketAddr,
    key: &[u8],
    handle: &ProxyHandle,
) -> Result<(), Failure> {
    let teller = Teller {
        start: Instant::now(),
    };
    teller.say(format_args!("{DEVICE} connects to {proxy}"));
    let connecting = Client::connect(proxy, ClientOptions::new(DEVICE.as_bytes(), key));
    let mut device = connecting
        .await
        .map_err(|e| format!("the device cannot connect: {e}"))?;
    let agreed = device.info().ok_or("the device has no session")?;
    teller.say(format_args!(
        "connected in one handshake: {}",
        agreed.cipher_suite
    ));
    teller.say(format_args!(
        "the proxy gave it connection ID {:?}",
        agreed.peer_cid
    ));
    let before = seen(handle).await?;
    expect(
        before.cid.as_ref() == agreed.peer_cid.as_ref(),
        "both ends agree on the connection ID",
    )?;
    teller.say(format_args!("the proxy sees it at {}", before.peer));
    teller.exchange(&mut device, "21.5 C").await?;

    teller.say(format_args!(
        "sleeps for {} s; meanwhile its NAT forgets it",
        SLEEP.as_secs_f32()
    ));
    tokio::time::sleep(SLEEP).await;
    let new = device
        .rebind()
        .await
        .map_err(|e| format!("the device gets no other port: {e}"))?;
    teller.say(format_args!(
        "wakes up behind another port: {} instead of {}",
        new.port(),
        before.peer.port()
    ));
    teller.exchange(&mut device, "21.7 C").await?;
    let after = seen(handle).await?;
    expect(
        after.peer.port() == new.port(),
        "the proxy follows the device",
    )?;
    expect(after.cid == before.cid, "the session is the same")?;
    teller.say(format_args!(
        "the proxy knew it by {:?} and followed it from {} to {}",
        after.cid, before.peer, after.peer
    ));
    // A new handshake would have begun a new session, which counts from zero.
    expect(
        after.to_backend.datagrams == 2,
        "the session has carried both datagrams",
    )?;
    teller.say(format_args!(
        "no handshake, the same session, the same keys"
    ));
    device
        .close()
        .await
        .map_err(|e| format!("the device cannot say goodbye: {e}"))?;
    teller.say(format_args!("says goodbye"));
    Ok(())
}

struct Teller {
    start: Instant,
}

impl Teller {
    fn say(&self, what: std::fmt::Arguments<'_>) {
        let millis = self.start.elapsed().as_secs_f64() * 1e3;
        say(&format!("{millis:>8.1} ms  {what}"));
    }

    /// Sends a text and waits for its echo.
    async fn exchange(&self, device: &mut Client, text: &str) -> Result<(), Failure> {
        let sent = Instant::now();
        let failed = |e| format!("the device cannot talk to the backend: {e}");
        device.send(text.as_bytes()).await.map_err(failed)?;
        let mut echo = [0; 64];
        let len = timeout(PATIENCE, device.recv(&mut echo))
            .await
            .map_err(|_| format!("no echo of {text:?}"))?
            .map_err(failed)?;
        expect(&echo[..len] == text.as_bytes(), "the echo is what was sent")?;
        let took = sent.elapsed().as_secs_f64() * 1e3;
        self.say(format_args!(
            "sends {text:?}; the backend's echo is back after {took:.2} ms"
        ));
        Ok(())
    }
}

async fn seen(handle: &ProxyHandle) -> Result<SessionInfo, Failure> {
    let session = handle.session(DEVICE.as_bytes()).await;
    session.ok_or_else(|| "the proxy has no session of the device".into())
}

fn expect(holds: bool, what: &str) -> Result<(), Failure> {
    if holds {
        Ok(())
    } else {
        Err(format!("it was expected that {what}, and that is not so"))
    }
}
