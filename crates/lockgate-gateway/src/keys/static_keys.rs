//! Keys given one by one: `--psk IDENTITY:HEX`, the demo, tests.

use std::{collections::HashMap, fmt};

use super::{KeyFuture, KeySource, Psk};

/// A fixed set of keys in memory.
#[derive(Clone, Default)]
pub struct StaticKeys(HashMap<Vec<u8>, Psk>);

impl StaticKeys {
    /// No keys yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key. The last one given for an identity wins.
    pub fn insert(&mut self, identity: impl Into<Vec<u8>>, key: Psk) {
        self.0.insert(identity.into(), key);
    }

    /// How many identities have a key.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All identities and their keys, in the order of the identities.
    pub fn sorted(&self) -> Vec<(&[u8], &Psk)> {
        let mut all: Vec<_> = self.0.iter().map(|(i, k)| (i.as_slice(), k)).collect();
        all.sort_unstable_by_key(|&(identity, _)| identity);
        all
    }

    /// The key of `identity`, without waiting.
    pub fn get(&self, identity: &[u8]) -> Option<&Psk> {
        self.0.get(identity)
    }
}

impl<I: Into<Vec<u8>>> FromIterator<(I, Psk)> for StaticKeys {
    fn from_iter<T: IntoIterator<Item = (I, Psk)>>(keys: T) -> Self {
        Self(keys.into_iter().map(|(i, k)| (i.into(), k)).collect())
    }
}

impl KeySource for StaticKeys {
    fn name(&self) -> &'static str {
        "static"
    }

    fn lookup<'a>(&'a self, identity: &'a [u8]) -> KeyFuture<'a, Option<Psk>> {
        Box::pin(async move { Ok(self.get(identity).cloned()) })
    }
}

impl fmt::Debug for StaticKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StaticKeys({} keys)", self.0.len())
    }
}
