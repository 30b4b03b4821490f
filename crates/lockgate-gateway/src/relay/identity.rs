//! Who a device is: the name of its key, what its certificate says, or nobody.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use lockgate_dtls::PeerIdentity;
use lockgate_dtls::config::MAX_PEER_NAME_LEN;
use lockgate_webpki::KeyHash;

use crate::addresses::IdentityHash;
use crate::certificates::TrustId;
use crate::certificates::short;
use crate::keys::escaped;

/// A device's identity. Each kind has names of its own: a certificate never stands for a pre-shared key.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Identity(Option<Rc<Known>>);

#[derive(Debug)]
enum Known {
    Psk(Box<[u8]>),
    /// Boxed, so that the many that have a pre-shared key do not pay for its length.
    Certificate(Box<Certified>),
}

#[derive(Debug)]
struct Certified {
    name: Box<str>,
    key: KeyHash,
}

impl Identity {
    /// Names a pre-shared key.
    pub(super) fn psk(identity: &[u8]) -> Self {
        Self(Some(Rc::new(Known::Psk(identity.into()))))
    }

    /// Named by a certificate or an allow list.
    pub(super) fn certificate(name: &str, key: KeyHash) -> Self {
        let name = name.into();
        Self(Some(Rc::new(Known::Certificate(Box::new(Certified {
            name,
            key,
        })))))
    }

    /// Whether it is nobody in particular.
    pub(super) const fn is_anonymous(&self) -> bool {
        self.0.is_none()
    }

    /// What its address in a pool goes by; nobody has none. These bytes are in files: they stay as they are.
    pub(super) fn hash(&self) -> Option<IdentityHash> {
        Some(match self.0.as_deref()? {
            Known::Psk(identity) => IdentityHash::of(0, identity),
            Known::Certificate(certified) => IdentityHash::of(1, certified.name.as_bytes()),
        })
    }

    /// The first bytes of its key's hash, when it has a certificate or raw public key.
    pub(super) fn key(&self) -> Option<impl fmt::Display + use<>> {
        match self.0.as_deref() {
            Some(Known::Certificate(certified)) => Some(short(&certified.key.0)),
            _ => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_deref() {
            None => f.write_str("-"),
            Some(Known::Psk(identity)) => escaped(identity).fmt(f),
            Some(Known::Certificate(certified)) => escaped(certified.name.as_bytes()).fmt(f),
        }
    }
}

/// A device that gets a new key keeps its name, and so what belongs to it.
impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Psk(one), Self::Psk(other)) => one == other,
            (Self::Certificate(one), Self::Certificate(other)) => one.name == other.name,
            _ => false,
        }
    }
}

impl Eq for Known {}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Psk(identity) => (0_u8, identity).hash(state),
            Self::Certificate(certified) => (1_u8, &certified.name).hash(state),
        }
    }
}

/// What a session remembers of the certificate that it was made with. The engine keeps it, in tickets too, as the peer's
/// name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// Until when all that the peer showed is valid, in seconds since 1970.
    pub(super) expires: u64,
    /// Who was trusted then.
    pub(super) trust: TrustId,
    /// What the peer is called.
    pub(super) name: String,
}

/// First byte of a label, so that a later form can be told from this one.
const VERSION: u8 = 1;
const HEADER_LEN: usize = 1 + 8 + size_of::<TrustId>();
/// Longest name that a label holds.
const MAX_NAME_LEN: usize = MAX_PEER_NAME_LEN - HEADER_LEN;

impl Label {
    /// A label. A name that is too long for it is cut, and made different from others that begin alike.
    pub(super) fn new(expires: u64, trust: TrustId, mut name: String) -> Self {
        if name.len() > MAX_NAME_LEN {
            let hash = short(&KeyHash::of(name.as_bytes()).0).to_string();
            name.truncate(name.floor_char_boundary(MAX_NAME_LEN - hash.len() - 3));
            name += "...";
            name += &hash;
        }
        Self {
            expires,
            trust,
            name,
        }
    }

    /// For the engine to keep.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.name.len());
        bytes.push(VERSION);
        bytes.extend(self.expires.to_be_bytes());
        bytes.extend(self.trust);
        bytes.extend(self.name.bytes());
        bytes
    }

    /// From what the engine kept.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (&[VERSION], bytes) = bytes.split_first_chunk()? else {
            return None;
        };
        let (expires, bytes) = bytes.split_first_chunk()?;
        let (trust, name) = bytes.split_first_chunk()?;
        Some(Self {
            expires: u64::from_be_bytes(*expires),
            trust: *trust,
            name: str::from_utf8(name).ok()?.into(),
        })
    }
}

/// Whose session a device wants to go on with.
pub(super) enum Claim {
    /// Somebody without a name.
    Anonymous,
    /// The holder of a pre-shared key: its identity, and the SHA-256 of the key.
    Psk(Box<[u8]>, KeyHash),
    /// The holder of a certificate or raw public key.
    Certificate(Label, KeyHash),
    /// Not ours, or of an earlier version.
    Unreadable,
}

impl From<PeerIdentity<'_>> for Claim {
    fn from(peer: PeerIdentity<'_>) -> Self {
        match peer {
            PeerIdentity::Anonymous => Self::Anonymous,
            PeerIdentity::Psk { identity, key_hash } => {
                Self::Psk(identity.into(), KeyHash(key_hash))
            }
            PeerIdentity::Certificate { name, key_hash } => match Label::parse(name) {
                Some(label) => Self::Certificate(label, KeyHash(key_hash)),
                None => Self::Unreadable,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_comes_back_and_fits_the_engine() {
        for name in ["", "device", "ä", &"ü".repeat(300)] {
            let label = Label::new(1_800_000_000, [7; 16], name.into());
            let bytes = label.to_bytes();
            assert!(bytes.len() <= MAX_PEER_NAME_LEN, "{}", bytes.len());
            assert_eq!(Label::parse(&bytes), Some(label));
        }
        assert_eq!(Label::parse(b""), None);
        assert_eq!(Label::parse(&[VERSION; HEADER_LEN - 1]), None);
        assert_eq!(Label::parse(&[VERSION + 1; 40]), None);
    }

    #[test]
    fn long_names_that_begin_alike_stay_apart() {
        let name = |end| Label::new(0, [0; 16], format!("{}{end}", "x".repeat(200))).name;
        assert_ne!(name("a"), name("b"));
        assert_eq!(name("a"), name("a"));
    }

    #[test]
    fn kinds_of_identities_have_names_of_their_own() {
        let key = |byte| KeyHash([byte; 32]);
        let certified = Identity::certificate("device", key(1));
        assert!(certified != Identity::psk(b"device"));
        assert!(certified == Identity::certificate("device", key(2)));
        assert!(Identity::default().is_anonymous());
        assert_eq!(Identity::default().to_string(), "-");
        assert_eq!(Identity::psk(b"a b").to_string(), r"a\x20b");
        assert_eq!(certified.key().unwrap().to_string(), "0101010101010101");
    }
}
