//! What is asked of one pair of peers, and in which words each of them knows it.

use std::fmt;

use lockgate_dtls::crypto::KeyType;
use lockgate_dtls::{CipherSuite, KeyExchangeAlgorithm};

/// Whose DTLS the other end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// `openssl s_client` and `s_server`
    OpenSsl,
    /// `gnutls-cli` and `gnutls-serv`
    GnuTls,
    /// libcoap's example client and server on OpenSSL
    CoapOpenSsl,
    /// The same on `GnuTLS`
    CoapGnuTls,
    /// `mbedtls-peer` of `interop/peers`
    MbedTls,
    /// `wolfssl-peer` of `interop/peers`
    WolfSsl,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::OpenSsl,
        Self::GnuTls,
        Self::CoapOpenSsl,
        Self::CoapGnuTls,
        Self::MbedTls,
        Self::WolfSsl,
    ];

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenSsl => "OpenSSL",
            Self::GnuTls => "GnuTLS",
            Self::CoapOpenSsl => "libcoap on OpenSSL",
            Self::CoapGnuTls => "libcoap on GnuTLS",
            Self::MbedTls => "Mbed TLS",
            Self::WolfSsl => "wolfSSL",
        }
    }

    /// Whether it speaks CoAP alone.
    pub const fn is_coap(self) -> bool {
        matches!(self, Self::CoapOpenSsl | Self::CoapGnuTls)
    }

    /// Whether it does connection IDs, so that its cells insist on them.
    pub const fn has_cid(self) -> bool {
        matches!(self, Self::MbedTls | Self::WolfSsl)
    }
}

/// Which end the peer is; ours is the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It connects.
    Client,
    /// It listens.
    Server,
}

/// What the ends prove themselves with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A pre-shared key.
    Psk,
    /// The server has a certificate.
    X509(KeyType),
    /// Both have.
    MutualX509(KeyType),
    /// The server has a raw public key.
    Raw(KeyType),
    /// Both have.
    MutualRaw(KeyType),
}

impl Proof {
    /// What kind of key it is about, if not a pre-shared one.
    pub const fn key_type(self) -> Option<KeyType> {
        match self {
            Self::Psk => None,
            Self::X509(key) | Self::MutualX509(key) | Self::Raw(key) | Self::MutualRaw(key) => {
                Some(key)
            }
        }
    }

    /// Whether the client shows something, too.
    pub const fn is_mutual(self) -> bool {
        matches!(self, Self::MutualX509(_) | Self::MutualRaw(_))
    }

    /// Whether it is a raw public key.
    pub const fn is_raw(self) -> bool {
        matches!(self, Self::Raw(_) | Self::MutualRaw(_))
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Psk => return f.pad("PSK"),
            Self::X509(_) => "X.509",
            Self::MutualX509(_) => "X.509 mutual",
            Self::Raw(_) => "raw key",
            Self::MutualRaw(_) => "raw key mutual",
        };
        let key = match self.key_type() {
            Some(KeyType::EcdsaP256) => "P-256",
            Some(KeyType::EcdsaP384) => "P-384",
            Some(KeyType::Ed25519) => "Ed25519",
            _ => "RSA",
        };
        f.pad(&format!("{kind} {key}"))
    }
}

/// What else is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// A handshake, and data both ways.
    Plain,
    /// A second connection goes on by a ticket.
    Ticket,
    /// A second connection goes on by the session's ID.
    SessionId,
    /// Datagrams over [`PATH_LIMIT`] bytes are lost, and nobody has told our end.
    SmallPath,
    /// 10 % lost, 5 % twice, 10 % out of order.
    Loss,
    /// The handshake must be refused.
    Refused(Fault, By),
}

/// What a small path takes, in bytes of UDP payload.
pub const PATH_LIMIT: usize = 600;

impl Trial {
    /// All but refusals.
    pub const GOOD: [Self; 5] = [
        Self::Plain,
        Self::Ticket,
        Self::SessionId,
        Self::SmallPath,
        Self::Loss,
    ];

    /// Whether there is a second connection.
    pub const fn resumes(self) -> bool {
        matches!(self, Self::Ticket | Self::SessionId)
    }
}

/// What is wrong with what an end shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its authority is not known.
    UnknownIssuer,
    /// The server's is for another name.
    WrongName,
    /// It is past its end.
    Expired,
    /// The client has none.
    Missing,
    /// The raw public key is not known.
    UnknownKey,
}

/// Who refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Our end.
    Us,
    /// The peer.
    Peer,
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fault, by) = match self {
            Self::Plain => return f.pad("data"),
            Self::Ticket => return f.pad("ticket"),
            Self::SessionId => return f.pad("session ID"),
            Self::SmallPath => return f.pad("small path"),
            Self::Loss => return f.pad("loss"),
            Self::Refused(fault, by) => (fault, by),
        };
        let fault = match fault {
            Fault::UnknownIssuer => "unknown issuer",
            Fault::WrongName => "wrong name",
            Fault::Expired => "expired",
            Fault::Missing => "no certificate",
            Fault::UnknownKey => "unknown key",
        };
        let by = match by {
            By::Us => "we",
            By::Peer => "it",
        };
        f.pad(&format!("{fault}: {by} refuse"))
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The other end.
    pub peer: Peer,
    /// Which end it is.
    pub role: Role,
    /// The one suite that both may use.
    pub suite: CipherSuite,
    /// What they prove themselves with.
    pub proof: Proof,
    /// What else is tried.
    pub trial: Trial,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Client => "client",
            Role::Server => "server",
        };
        let (peer, suite) = (self.peer.name(), short(self.suite));
        write!(f, "{peer} {role}, {suite}, {}, {}", self.proof, self.trial)
    }
}

/// A suite's name without what all of them have.
pub fn short(suite: CipherSuite) -> &'static str {
    let name = suite.name().unwrap_or("?");
    name.strip_prefix("TLS_").unwrap_or(name)
}

impl Cell {
    /// Why there cannot be such a thing, as far as that is known beforehand.
    pub fn obstacle(self) -> Option<&'static str> {
        let Some(parameters) = self.suite.parameters() else {
            return Some("the engine does not have the suite");
        };
        if let Some(why) = self.peer_lacks(parameters.key_exchange) {
            return Some(why);
        }
        let key = self.proof.key_type();
        let psk_with_dh = parameters.key_exchange == KeyExchangeAlgorithm::EcdhePsk;
        let is_server = self.role == Role::Server;
        match self.peer {
            Peer::GnuTls if psk_with_dh && !is_server => Some(
                "gnutls-cli 3.7 crashes when it prints such a session, with OpenSSL's server as well",
            ),
            Peer::OpenSsl | Peer::CoapOpenSsl if is_server && key == Some(KeyType::Ed25519) => {
                Some("servers on OpenSSL 3.0 take Ed25519 in TLS, but not in DTLS")
            }
            Peer::OpenSsl if self.proof.is_raw() => Some("OpenSSL 3.0 has no raw public keys"),
            Peer::MbedTls if self.proof.is_raw() => Some("Mbed TLS has no raw public keys"),
            Peer::MbedTls if key == Some(KeyType::Ed25519) => Some("Mbed TLS has no Ed25519"),
            Peer::WolfSsl if key == Some(KeyType::Ed25519) => {
                Some("wolfssl-sys builds wolfSSL without Ed25519")
            }
            Peer::CoapOpenSsl if self.proof.is_raw() => {
                Some("libcoap on OpenSSL has no raw public keys")
            }
            _ if self.peer.is_coap() => self.coap_lacks(),
            _ => None,
        }
    }

    fn peer_lacks(self, exchange: KeyExchangeAlgorithm) -> Option<&'static str> {
        use CipherSuite as S;
        let chacha = self.suite == S::ECDHE_PSK_CHACHA20_POLY1305_SHA256;
        if exchange == KeyExchangeAlgorithm::EcdhePsk && !chacha {
            match self.peer {
                Peer::OpenSsl | Peer::CoapOpenSsl => {
                    return Some("of ECDHE_PSK with AEAD, OpenSSL 3.0 has ChaCha20 alone");
                }
                Peer::GnuTls | Peer::CoapGnuTls => {
                    return Some("of ECDHE_PSK with AEAD, GnuTLS 3.7 has ChaCha20 alone");
                }
                Peer::MbedTls => {
                    return Some("of ECDHE_PSK with AEAD, Mbed TLS has ChaCha20 alone");
                }
                Peer::WolfSsl if self.suite != S::ECDHE_PSK_AES_128_GCM_SHA256 => {
                    return Some("wolfSSL does not have the suite");
                }
                Peer::WolfSsl => {}
            }
        }
        if self.peer == Peer::WolfSsl && self.suite == S::ECDHE_ECDSA_AES_256_CCM {
            return Some("wolfSSL does not have the suite");
        }
        None
    }

    fn coap_lacks(self) -> Option<&'static str> {
        use CipherSuite as S;
        let has_no_suite = matches!(
            self.suite,
            S::ECDHE_ECDSA_AES_256_CCM_8 | S::PSK_AES_256_CCM_8
        );
        let shows_ed25519 = self.role == Role::Client
            && self.proof.is_mutual()
            && self.proof.key_type() == Some(KeyType::Ed25519);
        match self.trial {
            _ if self.peer == Peer::CoapGnuTls && has_no_suite => {
                Some("libcoap on GnuTLS does not switch the suite on")
            }
            _ if self.peer == Peer::CoapGnuTls && shows_ed25519 => {
                Some("libcoap on GnuTLS shows no Ed25519")
            }
            Trial::Ticket | Trial::SessionId => Some("libcoap's examples do not resume sessions"),
            Trial::SmallPath => Some("libcoap's examples cannot be told an MTU"),
            _ => None,
        }
    }
}

/// OpenSSL's name of a suite.
pub(super) fn openssl_name(suite: CipherSuite) -> String {
    // TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 is ECDHE-ECDSA-AES128-CCM8, and ChaCha20 goes without its hash.
    let name = short(suite)
        .replace("WITH_", "")
        .replace("AES_", "AES")
        .replace("CCM_8", "CCM8");
    let name = match name.strip_suffix("_SHA256") {
        Some(name) if name.ends_with("POLY1305") => name,
        _ => &name,
    };
    name.replace('_', "-")
}

/// Key exchange and cipher in a priority string of `GnuTLS`.
pub(super) fn gnutls_name(suite: CipherSuite) -> (String, String) {
    let (exchange, cipher) = short(suite)
        .split_once("_WITH_")
        .expect("the names of the registry");
    let cipher = cipher
        .trim_end_matches("_SHA256")
        .trim_end_matches("_SHA384");
    (exchange.replace('_', "-"), cipher.replace('_', "-"))
}
