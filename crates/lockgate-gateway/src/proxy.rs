//! INTERIM: this file is replaced by the relay. It only fixes the signature that the binary calls.

use std::sync::Arc;

use crate::{config::ProxyOptions, keys::KeySource};

/// Why the proxy stopped or could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The relay is not part of this build.
    #[error("the relay is not part of this build yet")]
    NotBuilt,
}

/// Serves until a signal ends it. INTERIM: binds nothing and fails.
#[expect(
    clippy::unused_async,
    reason = "the signature is what the relay will have"
)]
pub async fn run(_options: ProxyOptions, _keys: Arc<dyn KeySource>) -> Result<(), ProxyError> {
    Err(ProxyError::NotBuilt)
}
