//! X.509 chains of servers, checked without a heap.

use core::cell::Cell;
use core::fmt;

use lockgate_dtls::certificate::{CertificateError, PeerCertificate};
use lockgate_webpki::{ServerName, Time, Trust, Usage};

use crate::public_keys::CheckServer;

/// Takes servers whose certificate an authority of ours has issued for their name. Raw public keys it takes when
/// [`Trust::keys`] knows them.
pub struct X509<'m> {
    trust: Trust<'m>,
    name: Option<ServerName<'m>>,
    time: Cell<Time>,
}

impl<'m> X509<'m> {
    /// `name` is what the server's certificate has to be for; with `None` any name will do, which is right only for
    /// authorities that vouch for nobody else. There is no clock, until [`X509::set_time`] says what time it is.
    pub const fn new(trust: Trust<'m>, name: Option<ServerName<'m>>) -> Self {
        Self {
            trust,
            name,
            time: Cell::new(Time::Unknown),
        }
    }

    /// Says what time it is, for the next handshake.
    pub fn set_time(&self, time: Time) {
        self.time.set(time);
    }
}

impl CheckServer for X509<'_> {
    fn check(&self, shown: &PeerCertificate<'_>) -> Result<(), CertificateError> {
        let usage = Usage::Server { name: self.name };
        self.trust.verify(shown, usage, self.time.get())?;
        Ok(())
    }
}

impl fmt::Debug for X509<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509")
            .field("name", &self.name)
            .field("time", &self.time.get())
            .finish_non_exhaustive()
    }
}
