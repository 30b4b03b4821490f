//! The proxy as a program: signals and the service manager.

use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Proxy, ProxyError, ProxyHandle};
use crate::certificates::Certificates;
use crate::config::ProxyOptions;
use crate::keys::KeySource;

/// Serves until SIGTERM or SIGINT, and then tells all devices that it ends; a second signal ends it at once.
///
/// SIGHUP reads keys and certificates again, SIGUSR1 logs the counters, which are logged at the end as well. A service manager
/// (`NOTIFY_SOCKET`) is told when devices can connect and when it stops. Nothing is served unless everything needed for it
/// is there.
pub async fn run(options: ProxyOptions, keys: Arc<dyn KeySource>) -> Result<(), ProxyError> {
    let mut signals = Signals::new().map_err(ProxyError::Start)?;
    let start = async {
        let proxy = Proxy::bind(&options, Arc::clone(&keys)).await?;
        let running = (proxy.handle(), proxy.certificates());
        Ok::<_, ProxyError>((proxy.start().await?, running))
    };
    // A resolver may take its time.
    let (serving, running) = tokio::select! {
        started = start => started?,
        name = signals.until_stop(None, &keys) => {
            tracing::info!(signal = name, "stopped before the start was complete");
            return Ok(());
        }
    };
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let mut serving = std::pin::pin!(serving.until(async {
        // Gone is as good as told.
        let _ = stopped.await;
    }));
    notify(&NotifyState::Ready);
    tokio::select! {
        ended = &mut serving => return report(ended),
        name = signals.until_stop(Some(&running), &keys) => {
            tracing::info!(signal = name, "stopping");
        }
    }
    notify(&NotifyState::Stopping);
    let _ = stop.send(());
    tokio::select! {
        ended = &mut serving => report(ended),
        _ = signals.until_stop(Some(&running), &keys) => Err(ProxyError::Interrupted),
    }
}

fn report(ended: Result<super::Counters, ProxyError>) -> Result<(), ProxyError> {
    let counters = ended?;
    tracing::info!(%counters, "stopped");
    Ok(())
}

fn notify(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }

    /// Acts on signals until one says stop; returns its name.
    async fn until_stop(
        &mut self,
        running: Option<&(ProxyHandle, Option<Arc<Certificates>>)>,
        keys: &Arc<dyn KeySource>,
    ) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => {
                    let certificates = running.and_then(|(_, certificates)| certificates.clone());
                    reload(Arc::clone(keys), certificates);
                }
                _ = self.user1.recv() => {
                    if let Some((handle, _)) = running
                        && let Some(counters) = handle.counters().await
                    {
                        tracing::info!(%counters, "counters");
                    }
                }
            }
        }
    }
}

/// Reads keys and certificates again without holding anything up.
fn reload(keys: Arc<dyn KeySource>, certificates: Option<Arc<Certificates>>) {
    tokio::spawn(async move {
        match keys.reload().await {
            Ok(()) => tracing::info!("keys read again"),
            Err(error) => tracing::error!(%error, "keys cannot be read again; the old ones stay"),
        }
        if let Some(certificates) = certificates
            && let Err(error) = certificates.reload().await
        {
            tracing::error!(%error, "certificates cannot be read again; the old ones stay");
        }
    });
}
