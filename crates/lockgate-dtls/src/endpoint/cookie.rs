//! Stateless cookies (RFC 6347 §4.2.1): a MAC over the client's address and what its `ClientHello` must say again.

use core::time::Duration;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::address::{Address, MAX_ADDRESS_LEN};
use crate::crypto::{CryptoError, HashAlgorithm, Hmac, Provider};
use crate::time::Instant;
use crate::wire::{
    ClientHello, ContentType, DTLS_1_0, HandshakeHeader, HandshakeType, HelloVerifyRequest,
    RANDOM_LEN, RECORD_HEADER_LEN, RecordHeader, Writer,
};

/// Length of a cookie in bytes.
pub(crate) const COOKIE_LEN: usize = 16;

/// Length of the datagram that carries a cookie, in bytes: smaller than any `ClientHello`.
pub(crate) const HELLO_VERIFY_REQUEST_LEN: usize = RECORD_HEADER_LEN + 12 + 2 + 1 + COOKIE_LEN;

/// The newest key and the one before it, so that a cookie lives for one to two lifetimes.
pub(crate) struct CookieJar<H> {
    newest: H,
    before: Option<H>,
    rotate_at: Instant,
    lifetime: Duration,
}

impl<H: Hmac> CookieJar<H> {
    pub(crate) fn new<P: Provider<Hmac = H>>(
        provider: &mut P,
        now: Instant,
        lifetime: Duration,
    ) -> Result<Self, CryptoError> {
        Ok(Self {
            newest: fresh_key(provider)?,
            before: None,
            rotate_at: now + lifetime,
            lifetime,
        })
    }

    /// Changes the key when it is time; without randomness the old one stays.
    pub(crate) fn rotate<P: Provider<Hmac = H>>(&mut self, provider: &mut P, now: Instant) {
        if now < self.rotate_at {
            return;
        }
        if let Ok(key) = fresh_key(provider) {
            let both_old = now >= self.rotate_at + self.lifetime;
            let before = core::mem::replace(&mut self.newest, key);
            self.before = (!both_old).then_some(before);
            self.rotate_at = now + self.lifetime;
        }
    }

    /// Whether `hello`, whose message body is `body`, carries a cookie of ours for this address and these parameters.
    pub(crate) fn holds<A: Address>(
        &self,
        address: &A,
        hello: &ClientHello<'_>,
        body: &[u8],
    ) -> bool {
        if hello.cookie.len() != COOKIE_LEN {
            return false;
        }
        let matches = |key: &H| bool::from(cookie(key, address, hello, body).ct_eq(hello.cookie));
        matches(&self.newest) || self.before.as_ref().is_some_and(matches)
    }

    /// The `HelloVerifyRequest` that answers `hello`.
    pub(crate) fn emit<A: Address>(
        &self,
        address: &A,
        hello: &ClientHello<'_>,
        body: &[u8],
        record_sequence: u64,
        message_seq: u16,
    ) -> [u8; HELLO_VERIFY_REQUEST_LEN] {
        let cookie = cookie(&self.newest, address, hello, body);
        let mut out = [0; HELLO_VERIFY_REQUEST_LEN];
        let mut writer = Writer::new(&mut out);
        // RFC 6347 §4.2.1: DTLS 1.0 whatever will be negotiated, and the ClientHello's own numbers.
        let length = HELLO_VERIFY_REQUEST_LEN - RECORD_HEADER_LEN;
        let header = RecordHeader {
            content_type: ContentType::HANDSHAKE,
            version: DTLS_1_0,
            epoch: 0,
            sequence: record_sequence,
            cid_len: 0,
            length: length as u16,
        };
        let message = HandshakeHeader::whole(
            HandshakeType::HELLO_VERIFY_REQUEST,
            message_seq,
            (length - 12) as u32,
        );
        let request = HelloVerifyRequest {
            version: DTLS_1_0,
            cookie: &cookie,
        };
        let written = header
            .emit(&[], &mut writer)
            .and_then(|()| message.emit(&mut writer))
            .and_then(|()| request.emit(&mut writer));
        debug_assert!(written.is_ok());
        out
    }
}

fn fresh_key<P: Provider>(provider: &mut P) -> Result<P::Hmac, CryptoError> {
    let mut key = Zeroizing::new([0; 32]);
    provider.random(&mut *key)?;
    provider.hmac(HashAlgorithm::Sha256, &*key)
}

fn cookie<H: Hmac, A: Address>(
    key: &H,
    address: &A,
    hello: &ClientHello<'_>,
    body: &[u8],
) -> [u8; COOKIE_LEN] {
    let mut bytes = [0; MAX_ADDRESS_LEN];
    let len = address.write(&mut bytes);
    // What a client must repeat: version, random, session_id, then cipher_suites and compression_methods. Extensions are not
    // among it, and wolfSSL puts those of a second ClientHello with a ticket into another order.
    let before = 2 + RANDOM_LEN + 1 + hello.session_id.len();
    let after = before + 1 + hello.cookie.len();
    let extensions = after + 2 + hello.cipher_suites.len() + 1 + hello.compression_methods.len();
    let parts = [
        &[len as u8],
        bytes.get(..len).unwrap_or_default(),
        body.get(..before).unwrap_or_default(),
        body.get(after..extensions).unwrap_or_default(),
    ];
    let mac = key.sign(&parts);
    let mut cookie = [0; COOKIE_LEN];
    for (to, from) in cookie.iter_mut().zip(mac.as_ref()) {
        *to = *from;
    }
    cookie
}
