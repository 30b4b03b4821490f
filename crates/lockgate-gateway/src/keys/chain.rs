//! Several sources, asked in order.

use std::fmt;

use super::{KeyError, KeyFuture, KeySource, Psk, escaped};

/// Asks its sources one after the other; the first that knows the identity wins.
///
/// After a source that fails, the next is asked. When nobody knows the identity and at least one
/// failed, the answer is an error and not "unknown": the one that failed might know it. The error
/// names all failures; whoever asked logs it, as often as is good.
pub struct Chain(Vec<Box<dyn KeySource>>);

impl Chain {
    /// A chain of `sources`, first asked first.
    pub fn new(sources: Vec<Box<dyn KeySource>>) -> Self {
        Self(sources)
    }
}

impl KeySource for Chain {
    fn name(&self) -> &'static str {
        "chain"
    }

    fn lookup<'a>(&'a self, identity: &'a [u8]) -> KeyFuture<'a, Option<Psk>> {
        Box::pin(async move {
            let mut failures = Vec::new();
            for source in &self.0 {
                match source.lookup(identity).await {
                    Ok(Some(key)) => return Ok(Some(key)),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::debug!(
                            identity = %escaped(identity),
                            source = source.name(),
                            %error,
                            "key look-up failed"
                        );
                        failures.push(error);
                    }
                }
            }
            match failures.pop() {
                None => Ok(None),
                // With one source there is nothing to add to its own words.
                Some(error) if self.0.len() == 1 => Err(error),
                Some(last) => {
                    failures.push(last);
                    let failures: Vec<_> = failures.iter().map(ToString::to_string).collect();
                    Err(KeyError::Incomplete {
                        failures: failures.join("; "),
                    })
                }
            }
        })
    }

    /// Reloads every source, also after one failed; the first failure is returned, the others are
    /// logged.
    fn reload(&self) -> KeyFuture<'_, ()> {
        Box::pin(async move {
            let mut result = Ok(());
            for source in &self.0 {
                if let Err(error) = source.reload().await {
                    if result.is_ok() {
                        result = Err(error);
                    } else {
                        tracing::warn!(source = source.name(), %error, "reload failed");
                    }
                }
            }
            result
        })
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|s| s.name()))
            .finish()
    }
}
