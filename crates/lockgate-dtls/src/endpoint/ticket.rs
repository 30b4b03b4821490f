//! Session tickets (RFC 5077): the session itself, encrypted so that only this endpoint can read it. Nothing is stored.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;
use core::time::Duration;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::crypto::{
    AeadAlgorithm, AeadKey, CryptoError, HashAlgorithm, Hmac as _, MAX_KEY_LEN, NONCE_LEN, Provider,
};
use crate::time::Instant;

/// Length of a key's name at the front of a ticket, in bytes.
const NAME_LEN: usize = 8;

/// A key of several endpoints never lives for less, so that an endpoint that was idle for long soon catches up.
const MIN_PERIOD: Duration = Duration::from_secs(1);

/// What several endpoints make the same ticket keys from, so that each takes the others' tickets.
///
/// Time is divided into periods of the tickets' lifetime, beginning at zero of the endpoint's clock; each has its key. The
/// secret of a period leads to the next one's and not back, and endpoints keep none longer than its tickets hold. Whoever
/// keeps a copy of the first one can make all keys.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TicketSecret([u8; 32]);

impl TicketSecret {
    /// The secret of these bytes, which should be random.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn derive<P: Provider>(&self, provider: &P, what: &[u8]) -> Result<Self, CryptoError> {
        let derived = provider.hmac(HashAlgorithm::Sha256, &self.0)?.sign(&[what]);
        let derived = derived.as_ref().first_chunk::<32>();
        Ok(Self(*derived.ok_or(CryptoError::Unsupported)?))
    }
}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketSecret").finish_non_exhaustive()
    }
}

/// The secret of one period.
struct Chain {
    secret: TicketSecret,
    period: u64,
}

struct TicketKey<K> {
    name: [u8; NAME_LEN],
    key: K,
    aead: AeadAlgorithm,
}

/// The newest key and the one before it, so that a ticket holds for one to two lifetimes.
pub(crate) struct TicketJar<K> {
    newest: Option<TicketKey<K>>,
    before: Option<TicketKey<K>>,
    rotate_at: Instant,
    lifetime: Duration,
    /// Where the keys come from, if not from chance: the secret of the newest key's period, or an earlier one.
    chain: Option<Chain>,
}

impl<K: AeadKey> TicketJar<K> {
    /// A jar without keys: the first is made when it is needed.
    pub(crate) fn new(now: Instant, lifetime: Duration, secret: Option<TicketSecret>) -> Self {
        Self {
            newest: None,
            before: None,
            rotate_at: now,
            lifetime,
            chain: secret.map(|secret| Chain { secret, period: 0 }),
        }
    }

    /// For how long a ticket that is made now is sure to hold, in seconds.
    pub(crate) fn lifetime_hint(&self) -> u32 {
        u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX)
    }

    /// Changes the key when it is time, and forgets those that are too old.
    pub(crate) fn rotate<P: Provider<AeadKey = K>>(
        &mut self,
        provider: &mut P,
        now: Instant,
    ) -> Result<(), CryptoError> {
        if self.newest.is_some() && now < self.rotate_at {
            return Ok(());
        }
        if self.chain.is_some() {
            return self.follow_chain(provider, now);
        }
        let key = TicketKey::new(provider)?;
        let both_old = now >= self.rotate_at + self.lifetime;
        let before = self.newest.replace(key);
        self.before = before.filter(|_| !both_old);
        self.rotate_at = now + self.lifetime;
        Ok(())
    }

    /// The keys of this period and the one before it, as every endpoint with the secret has them.
    fn follow_chain<P: Provider<AeadKey = K>>(
        &mut self,
        provider: &P,
        now: Instant,
    ) -> Result<(), CryptoError> {
        let Some(chain) = &mut self.chain else {
            return Ok(());
        };
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let period_len = micros(self.lifetime.max(MIN_PERIOD));
        let period = now.as_micros() / period_len;
        // Where something fails there are no keys, rather than some that are too old.
        let mut before = self.newest.take();
        self.before = None;
        while chain.period < period {
            if chain.period + 1 == period && before.is_none() {
                before = Some(TicketKey::of(provider, &chain.secret)?);
            } else if chain.period + 1 < period {
                before = None;
            }
            chain.secret = chain.secret.derive(provider, b"next period")?;
            chain.period += 1;
        }
        self.newest = Some(TicketKey::of(provider, &chain.secret)?);
        self.before = before;
        self.rotate_at = Instant::from_micros(period.saturating_add(1).saturating_mul(period_len));
        Ok(())
    }

    /// A ticket that holds `plaintext`.
    pub(crate) fn seal<P: Provider<AeadKey = K>>(
        &mut self,
        provider: &mut P,
        now: Instant,
        plaintext: &[u8],
    ) -> Result<Box<[u8]>, CryptoError> {
        self.rotate(provider, now)?;
        let key = self.newest.as_ref().ok_or(CryptoError::Unsupported)?;
        let mut nonce = [0; NONCE_LEN];
        provider.random(&mut nonce)?;
        let start = NAME_LEN + NONCE_LEN;
        let mut ticket = vec![0; start + plaintext.len() + key.aead.tag_len()].into_boxed_slice();
        ticket[..NAME_LEN].copy_from_slice(&key.name);
        ticket[NAME_LEN..start].copy_from_slice(&nonce);
        let (header, body) = ticket.split_at_mut(start);
        body[..plaintext.len()].copy_from_slice(plaintext);
        let sealed = key.key.seal_in_place(&nonce, header, body);
        if sealed.is_err() {
            body.zeroize();
        }
        sealed?;
        Ok(ticket)
    }

    /// Opens a ticket into `out`, which has room for its tag too: its length, and whether its key is no longer the newest. `None` for anything that is not
    /// a ticket of ours.
    pub(crate) fn open(&self, ticket: &[u8], out: &mut [u8]) -> Option<(usize, bool)> {
        let (name, rest) = ticket.split_first_chunk::<NAME_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (key, is_old) = match (&self.newest, &self.before) {
            (Some(key), _) if key.name == *name => (key, false),
            (_, Some(key)) if key.name == *name => (key, true),
            _ => return None,
        };
        let len = sealed.len().checked_sub(key.aead.tag_len())?;
        let body = out.get_mut(..sealed.len())?;
        body.copy_from_slice(sealed);
        let header = ticket.get(..NAME_LEN + NONCE_LEN)?;
        key.key.open_in_place(nonce, header, body).ok()?;
        Some((len, is_old))
    }
}

impl<K: AeadKey> TicketKey<K> {
    fn new<P: Provider<AeadKey = K>>(provider: &mut P) -> Result<Self, CryptoError> {
        let aead = Self::aead(provider)?;
        let mut bare = Zeroizing::new([0; MAX_KEY_LEN]);
        let bare = &mut bare[..aead.key_len()];
        provider.random(bare)?;
        let mut name = [0; NAME_LEN];
        provider.random(&mut name)?;
        Ok(Self {
            name,
            key: provider.aead_key(aead, bare)?,
            aead,
        })
    }

    /// The key of the period that has this secret.
    fn of<P: Provider<AeadKey = K>>(
        provider: &P,
        secret: &TicketSecret,
    ) -> Result<Self, CryptoError> {
        let aead = Self::aead(provider)?;
        let bare = secret.derive(provider, b"key")?;
        let bare = bare.0.get(..aead.key_len());
        let mut name = [0; NAME_LEN];
        name.copy_from_slice(&secret.derive(provider, b"name")?.0[..NAME_LEN]);
        Ok(Self {
            name,
            key: provider.aead_key(aead, bare.ok_or(CryptoError::BadLength)?)?,
            aead,
        })
    }

    fn aead<P: Provider<AeadKey = K>>(provider: &P) -> Result<AeadAlgorithm, CryptoError> {
        // Full tags only.
        [
            AeadAlgorithm::Aes128Gcm,
            AeadAlgorithm::ChaCha20Poly1305,
            AeadAlgorithm::Aes128Ccm,
        ]
        .into_iter()
        .find(|&aead| provider.supports_aead(aead))
        .ok_or(CryptoError::Unsupported)
    }
}
