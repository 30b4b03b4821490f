//! The identities and keys of the devices.

use zeroize::Zeroizing;

/// A pre-shared key.
pub type Key = Zeroizing<Vec<u8>>;

/// Which device has which identity and key. `Debug` does not show keys.
#[derive(Clone)]
pub enum Keys {
    /// No pre-shared keys: certificates alone.
    None,
    /// The same key for all.
    One {
        /// The identity; `{n}` or `{}` in it stands for the device's number, counted from 0.
        identity: String,
        /// 1 to 64 bytes.
        key: Key,
    },
    /// Device `n` has number `n` of the list; when there are more devices than that, it begins again.
    List(Vec<(Vec<u8>, Key)>),
}

impl Keys {
    /// What device `n` says to the server.
    pub(crate) fn with<T>(&self, n: u32, answer: impl FnOnce(&[u8], &[u8]) -> T) -> Option<T> {
        match self {
            Self::None => None,
            Self::One { identity, key } if is_numbered(identity) => {
                let n = n.to_string();
                let identity = identity.replace("{n}", &n).replace("{}", &n);
                Some(answer(identity.as_bytes(), key))
            }
            Self::One { identity, key } => Some(answer(identity.as_bytes(), key)),
            Self::List(list) => {
                let place = n as usize % list.len().max(1);
                let (identity, key) = list.get(place)?;
                Some(answer(identity, key))
            }
        }
    }

    /// How many identities there are; `None` when each device has its own.
    pub fn identities(&self) -> Option<usize> {
        match self {
            Self::None => Some(0),
            Self::One { identity, .. } if is_numbered(identity) => None,
            Self::One { .. } => Some(1),
            Self::List(list) => Some(list.len()),
        }
    }
}

fn is_numbered(identity: &str) -> bool {
    identity.contains("{n}") || identity.contains("{}")
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::One { identity, .. } => write!(f, "One({identity:?})"),
            Self::List(list) => write!(f, "List of {}", list.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(keys: &Keys, n: u32) -> Option<Vec<u8>> {
        keys.with(n, |identity, _| identity.to_vec())
    }

    #[test]
    fn identities_are_numbered_or_listed() {
        let key = || Key::new(vec![7]);
        let one = |identity: &str| Keys::One {
            identity: identity.into(),
            key: key(),
        };
        assert_eq!(identity(&one("d{n}x"), 12).unwrap(), b"d12x");
        assert_eq!(identity(&one("{}d"), 12).unwrap(), b"12d");
        assert_eq!(identity(&one("d"), 12).unwrap(), b"d");
        let list = Keys::List(vec![(b"a".into(), key()), (b"b".into(), key())]);
        assert_eq!(identity(&list, 3).unwrap(), b"b");
        assert_eq!(identity(&Keys::None, 0), None);
        assert_eq!(identity(&Keys::List(Vec::new()), 0), None);
        assert_eq!(one("d{n}").identities(), None);
        assert!(!format!("{:?}", one("d")).contains('7'));
    }
}
