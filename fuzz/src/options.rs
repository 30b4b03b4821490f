//! What both ends go by, chosen by the first bytes of a script; and what they show of themselves.

use lockgate_dtls::certificate::{CertificateType, CertificateTypes, ClientAuth};
use lockgate_dtls::config::ProtocolList;
use lockgate_dtls::crypto::{KeyType, SignatureScheme};
use lockgate_dtls::wire::MaxFragmentLength;
use lockgate_dtls::{
    CidConfig, CipherSuite, Config, EndpointConfig, MIN_SCRATCH_LEN, Padding, ShortBytes, SuiteList,
};

use crate::provider::sha256;
use crate::{Lenient, Script, Side};

/// Connections that an end may have.
pub const MAX_CONNECTIONS: u32 = 8;
/// Handshakes that peers may have begun.
pub const MAX_HALF_OPEN: u32 = 4;
const MAX_HALF_OPEN_PER_ADDRESS: u32 = 2;

/// The protocol that both ends agree on, where any is.
pub const PROTOCOL: &[u8] = b"coap";

/// What a script begins with. The first byte's last bit says whether two more follow.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    choice: u8,
    mode: u8,
    papers: u8,
    extra: u8,
}

impl Options {
    /// Reads two bytes, or four where public keys are in play.
    pub fn read(script: &mut Script<'_>) -> Option<Self> {
        let (choice, mode) = (script.u8()?, script.u8()?);
        let (papers, extra) = if choice & 0x80 == 0 {
            (0, 0)
        } else {
            (script.u8()?, script.u8()?)
        };
        Some(Self {
            choice,
            mode,
            papers,
            extra,
        })
    }

    /// What the providers let pass.
    pub const fn lenient(self) -> Lenient {
        Lenient {
            records: self.mode & 1 != 0,
            keys: self.mode & 4 != 0,
            macs: self.mode & 8 != 0,
        }
    }

    /// Whether the script begins with a connection that is made.
    pub const fn starts_connected(self) -> bool {
        self.mode & 2 != 0
    }

    const fn extended(self) -> bool {
        self.choice & 0x80 != 0
    }

    const fn kind(self) -> u8 {
        self.papers & 3
    }

    /// Whether a server's certificate or raw public key is in play.
    pub const fn has_certificates(self) -> bool {
        self.extended() && self.kind() != 2
    }

    /// Whether clients are asked for theirs.
    pub const fn client_auth(self) -> ClientAuth {
        if !self.has_certificates() {
            return ClientAuth::None;
        }
        match self.papers >> 2 & 3 {
            0 => ClientAuth::None,
            2 => ClientAuth::Required,
            _ => ClientAuth::Optional,
        }
    }

    /// Whether a client has something to show.
    pub const fn client_shows(self) -> bool {
        matches!(self.papers >> 2 & 3, 1 | 2)
    }

    /// Whether sessions can be resumed.
    pub const fn resumes(self) -> bool {
        self.extended() && self.papers >> 4 & 3 != 0
    }

    /// Whether an application protocol is agreed on.
    pub const fn has_protocol(self) -> bool {
        self.extended() && self.papers & 0x40 != 0
    }

    /// Whether there is so little memory that handshakes may fail for want of it.
    pub const fn is_tight(self) -> bool {
        self.extended() && self.papers & 0x80 != 0
    }

    /// The host name that clients ask for; a long one makes their hello one of several fragments.
    pub const fn server_name(self) -> &'static [u8] {
        if self.extra & 0x40 == 0 {
            b"gateway.example"
        } else {
            &[b'a'; 250]
        }
    }

    /// What an end shows.
    pub fn paper(self, side: Side) -> Option<Paper> {
        let shows = match side {
            Side::Server => self.has_certificates(),
            Side::Client => self.client_auth() != ClientAuth::None && self.client_shows(),
        };
        let kind = if self.kind() == 1 {
            CertificateType::RawPublicKey
        } else {
            CertificateType::X509
        };
        let more = if self.extra & 2 == 0 { 0 } else { 3 };
        shows.then(|| Paper::new(side, kind, more))
    }

    /// The options of one end's endpoint.
    pub fn config(self, side: Side) -> EndpointConfig {
        let server = side == Side::Server;
        let plain = [
            CipherSuite::PSK_AES_128_CCM_8,
            CipherSuite::PSK_AES_128_GCM_SHA256,
            CipherSuite::PSK_CHACHA20_POLY1305_SHA256,
            CipherSuite::PSK_AES_256_GCM_SHA384,
        ];
        let signed = [
            CipherSuite::ECDHE_ECDSA_AES_128_CCM_8,
            CipherSuite::ECDHE_ECDSA_AES_128_GCM_SHA256,
            CipherSuite::ECDHE_ECDSA_CHACHA20_POLY1305_SHA256,
            CipherSuite::ECDHE_ECDSA_AES_256_GCM_SHA384,
        ];
        let ephemeral = [
            CipherSuite::ECDHE_PSK_AES_128_CCM_8_SHA256,
            CipherSuite::ECDHE_PSK_AES_128_GCM_SHA256,
            CipherSuite::ECDHE_PSK_CHACHA20_POLY1305_SHA256,
            CipherSuite::ECDHE_PSK_AES_256_GCM_SHA384,
        ];
        let which = usize::from(self.choice & 3);
        let suites = match (self.extended(), self.kind()) {
            (false, _) => SuiteList::new(&[plain[which]]),
            (true, 2) => SuiteList::new(&[ephemeral[which], plain[which]]),
            (true, 3) => SuiteList::new(&[signed[which], ephemeral[which], plain[which]]),
            (true, _) => SuiteList::new(&[signed[which]]),
        };
        let mut config = Config {
            cipher_suites: suites,
            psk: !self.has_certificates() || self.kind() == 3,
            cid: match (self.choice >> 3 & 3, server) {
                (0, _) => CidConfig::Length(8),
                (1, true) => CidConfig::Length(20),
                (1, false) => CidConfig::Length(0),
                (2, true) => CidConfig::Length(0),
                (2, false) => CidConfig::Length(9),
                _ => CidConfig::Off,
            },
            padding: if self.choice & 0x20 == 0 {
                Padding::None
            } else {
                Padding::Multiple(std::num::NonZeroU8::new(16).expect("not zero"))
            },
            // Small, so that flights fall into fragments.
            mtu: if self.choice & 0x40 == 0 { 1200 } else { 256 },
            ..Config::default()
        };
        if self.extended() {
            self.extend(&mut config, server);
        }
        EndpointConfig {
            server,
            cookies: self.choice & 4 == 0,
            max_connections: MAX_CONNECTIONS,
            max_half_open: MAX_HALF_OPEN,
            max_half_open_per_address: MAX_HALF_OPEN_PER_ADDRESS,
            // None where no hello of a client's comes in fragments.
            max_fragmented_hellos: if self.extra & 1 == 0 || self.choice & 0x40 != 0 {
                2
            } else {
                0
            },
            // So few that keys are expanded again all the time.
            key_cache: 2,
            scratch_len: self
                .is_tight()
                .then_some(MIN_SCRATCH_LEN + usize::from(self.extra >> 4) * 128),
            config,
            ..EndpointConfig::default()
        }
    }

    fn extend(self, config: &mut Config, server: bool) {
        use CertificateType::{RawPublicKey, X509};
        if self.has_certificates() {
            let types = match self.kind() {
                0 => CertificateTypes::new(&[X509]),
                1 => CertificateTypes::new(&[RawPublicKey]),
                _ => CertificateTypes::new(&[X509, RawPublicKey]),
            };
            let asked = self.client_auth() != ClientAuth::None;
            if server {
                config.own_certificate_types = types;
                config.client_auth = self.client_auth();
            } else {
                config.peer_certificate_types = types;
            }
            if server && asked {
                config.peer_certificate_types = types;
            } else if !server && asked && self.client_shows() {
                config.own_certificate_types = types;
            }
        }
        config.resumption = self.resumes();
        config.tickets = self.papers >> 4 & 3 == 1;
        if self.papers >> 4 & 3 == 3 {
            config.psk_identity_hint = ShortBytes::new(b"a hint").expect("short");
        }
        if self.has_protocol() {
            config.protocols = ProtocolList::new(&[PROTOCOL]).expect("short");
        }
        if self.extra & 4 != 0 {
            config.record_size_limit = Some(200);
        }
        if self.extra & 8 != 0 {
            config.max_fragment_length = Some(MaxFragmentLength::Bytes512);
        }
        config.reveal_unknown_identity = self.extra & 0x20 != 0;
    }
}

/// A certificate chain or raw public key, and the key that the play signatures of [`crate::sign`] are made with.
pub struct Paper {
    /// Which of the two.
    pub certificate_type: CertificateType,
    /// The DER of each.
    pub chain: Vec<Vec<u8>>,
    /// What kind of key it claims to be.
    pub key_type: KeyType,
    /// The one scheme it signs with.
    pub scheme: SignatureScheme,
    /// The public key.
    pub key: Vec<u8>,
    /// SHA-256 of its `SubjectPublicKeyInfo`.
    pub key_hash: [u8; 32],
}

impl Paper {
    fn new(side: Side, certificate_type: CertificateType, more: usize) -> Self {
        let (key_type, scheme, key, algorithm): (_, _, Vec<u8>, &[u8]) = match side {
            Side::Server => (
                KeyType::EcdsaP256,
                SignatureScheme::ECDSA_SECP256R1_SHA256,
                [&[4][..], &[0x5E; 64]].concat(),
                b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
            ),
            Side::Client => (
                KeyType::Ed25519,
                SignatureScheme::ED25519,
                vec![0xC1; 32],
                b"\x06\x03\x2b\x65\x70",
            ),
        };
        let bits = [&[0], &key[..]].concat();
        let info = der(0x30, &[der(0x30, algorithm), der(0x03, &bits)].concat());
        let key_hash = sha256(&info);
        let chain = match certificate_type {
            CertificateType::RawPublicKey => vec![info],
            CertificateType::X509 => {
                let name = der(0x30, &[b'n'; 150]);
                let to_be_signed = [
                    der(0xA0, &der(0x02, &[2])),
                    der(0x02, &[1]),
                    der(0x30, &[]),
                    name.clone(),
                    der(0x30, &[]),
                    name,
                    info,
                ];
                let whole = [
                    der(0x30, &to_be_signed.concat()),
                    der(0x30, &[]),
                    der(0x03, &[0]),
                ];
                vec![der(0x30, &whole.concat()); 1 + more]
            }
        };
        Self {
            certificate_type,
            chain,
            key_type,
            scheme,
            key,
            key_hash,
        }
    }
}

/// One value in DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        len @ 0..0x80 => out.push(len as u8),
        len @ 0x80..0x100 => out.extend([0x81, len as u8]),
        len => {
            out.push(0x82);
            out.extend((len as u16).to_be_bytes());
        }
    }
    out.extend(content);
    out
}
