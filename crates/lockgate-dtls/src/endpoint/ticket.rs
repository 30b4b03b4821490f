//! Session tickets (RFC 5077): the session itself, encrypted so that only this endpoint can read it. Nothing is stored.

use alloc::boxed::Box;
use alloc::vec;
use core::time::Duration;

use zeroize::{Zeroize, Zeroizing};

use crate::crypto::{AeadAlgorithm, AeadKey, CryptoError, MAX_KEY_LEN, NONCE_LEN, Provider};
use crate::time::Instant;

/// Length of a key's name at the front of a ticket, in bytes.
const NAME_LEN: usize = 8;

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
}

impl<K: AeadKey> TicketJar<K> {
    /// A jar without keys: the first is made when it is needed.
    pub(crate) const fn new(now: Instant, lifetime: Duration) -> Self {
        Self {
            newest: None,
            before: None,
            rotate_at: now,
            lifetime,
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
        let key = TicketKey::new(provider)?;
        let both_old = now >= self.rotate_at + self.lifetime;
        let before = self.newest.replace(key);
        self.before = before.filter(|_| !both_old);
        self.rotate_at = now + self.lifetime;
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
        // Full tags only.
        let aead = [
            AeadAlgorithm::Aes128Gcm,
            AeadAlgorithm::ChaCha20Poly1305,
            AeadAlgorithm::Aes128Ccm,
        ]
        .into_iter()
        .find(|&aead| provider.supports_aead(aead))
        .ok_or(CryptoError::Unsupported)?;
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
}
