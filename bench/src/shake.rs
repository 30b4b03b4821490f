//! Handshakes with public keys, ours and the sum of their parts, as [`Work`].

use std::hint::black_box;

use lockgate_aws_lc::{AwsLc, PrivateKey};
use lockgate_dtls::crypto::{
    KeyExchange as _, KeyType, MAX_SHARED_SECRET_LEN, NamedGroup, Provider as _, SignatureScheme,
    SigningKey as _,
};
use lockgate_dtls::{CipherSuite, EndpointConfig};

use crate::loopback::{Loopback, proving_config};
use crate::papers::{MAX_ECDSA_LEN, Papers, Proof};
use crate::timing::Work;

/// What an earlier session goes on by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// RFC 5246.
    Id,
    /// RFC 5077.
    Ticket,
}

/// One sort of handshake.
#[derive(Clone, Copy, Debug)]
pub struct Shake {
    /// Under which suite.
    pub suite: CipherSuite,
    /// With which ephemeral keys, where there are any.
    pub group: NamedGroup,
    /// What both prove themselves with.
    pub proof: Proof,
    /// Whether certificates are checked against an authority, not only their keys proved.
    pub checked: bool,
    /// With connection IDs of 8 bytes.
    pub cid: bool,
}

impl Shake {
    fn pair(self, resumption: Option<Resumption>) -> Loopback {
        let config = |server| {
            let mut options = proving_config(server, self.suite, self.cid, self.proof, self.group);
            options.config.resumption = resumption.is_some();
            options.config.tickets = resumption == Some(Resumption::Ticket);
            options
        };
        self.between(config(false), config(true))
    }

    fn between(self, client: EndpointConfig, server: EndpointConfig) -> Loopback {
        let pair = Loopback::new(client, server);
        match self.proof {
            Proof::Psk => pair,
            Proof::RawKeys => pair.with_papers(Papers::raw_keys()),
            Proof::Server | Proof::Mutual if self.checked => {
                pair.with_papers(Papers::certificates())
            }
            Proof::Server | Proof::Mutual => pair.with_papers(Papers::unchecked()),
        }
    }

    /// Whole handshakes, with cookies, between two endpoints that live on.
    pub fn full(self) -> Work<'static> {
        let mut pair = self.pair(None);
        Box::new(move |runs| {
            for _ in 0..runs {
                let ends = pair.connect(0);
                pair.discard(black_box(ends));
            }
        })
    }

    /// Handshakes that go on with one earlier session, with cookies, between two endpoints that live on.
    ///
    /// # Panics
    /// When a session does not go on.
    pub fn resumed(self, by: Resumption) -> Work<'static> {
        let mut pair = self.pair(Some(by));
        let ends = pair.connect(0);
        pair.discard(ends);
        let session = pair.session().expect("a session that can go on");
        assert_eq!(session.has_ticket(), by == Resumption::Ticket);
        let ends = pair.connect_with(0, Some(&session));
        let info = pair.server.info(ends.server).expect("established");
        assert!(info.resumed, "the session goes on");
        pair.discard(ends);
        Box::new(move |runs| {
            for _ in 0..runs {
                let ends = pair.connect_with(0, Some(&session));
                pair.discard(black_box(ends));
            }
        })
    }

    /// How many signatures are made in such a handshake, and how many verified.
    fn signatures(self) -> (u32, u32) {
        match (self.proof, self.checked) {
            (Proof::Psk, _) => (0, 0),
            // The server's parameters; and its certificate.
            (Proof::Server, false) => (1, 1),
            (Proof::Server, true) => (1, 2),
            // The client's transcript as well; and its certificate.
            (Proof::Mutual, true) => (2, 4),
            (Proof::Mutual, false) | (Proof::RawKeys, _) => (2, 2),
        }
    }

    /// What such a handshake does with public keys, in words.
    pub fn operations(self) -> String {
        let (signed, verified) = self.signatures();
        format!("2 keys, 2 agreements, {signed} signed, {verified} verified")
    }

    /// The same by the provider alone: pairs of keys and agreements at both ends, signatures made and verified. Hashing,
    /// the key schedule and the records are not in it.
    ///
    /// # Panics
    /// When the provider fails.
    pub fn parts(self) -> Work<'static> {
        let (signed, verified) = self.signatures();
        let mut agree = agreement(self.group);
        let mut sign = signing();
        let mut verify = verifying();
        Box::new(move |runs| {
            for _ in 0..runs {
                agree(1);
                sign(signed);
                verify(verified);
            }
        })
    }
}

/// Both ends' ephemeral keys, and both ends' agreements.
///
/// # Panics
/// When the provider fails.
pub fn agreement(group: NamedGroup) -> Work<'static> {
    Box::new(move |runs| {
        for _ in 0..runs {
            let [one, other] =
                [(), ()].map(|()| AwsLc.key_exchange(group).expect("a key of the group"));
            let public = [one.public_value(), other.public_value()].map(<[u8]>::to_vec);
            let mut secret = [0; MAX_SHARED_SECRET_LEN];
            for (key, peer) in [(one, &public[1]), (other, &public[0])] {
                key.agree(peer, &mut secret).expect("a key of the group");
                black_box(&secret);
            }
        }
    })
}

/// A server's ephemeral key alone.
///
/// # Panics
/// When the provider fails.
pub fn key_pair(group: NamedGroup) -> Work<'static> {
    Box::new(move |runs| {
        for _ in 0..runs {
            black_box(AwsLc.key_exchange(group).expect("a key of the group"));
        }
    })
}

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_SECP256R1_SHA256;

/// What a server signs: both randoms and its parameters with a point of P-256.
const SIGNED: [u8; 133] = [7; 133];

/// ECDSA on P-256 with SHA-256.
///
/// # Panics
/// When the provider fails.
pub fn signing() -> Work<'static> {
    let key = PrivateKey::generate(KeyType::EcdsaP256).expect("randomness");
    Box::new(move |runs| {
        for _ in 0..runs {
            let mut signature = [0; MAX_ECDSA_LEN];
            let signed = key.sign(SCHEME, black_box(&SIGNED), &mut signature);
            black_box(signed.expect("signed"));
        }
    })
}

/// The other half of [`signing`], with a key that stands there as bytes, as in a certificate.
///
/// # Panics
/// When the provider fails.
pub fn verifying() -> Work<'static> {
    let key = PrivateKey::generate(KeyType::EcdsaP256).expect("randomness");
    let mut signature = [0; MAX_ECDSA_LEN];
    let len = key.sign(SCHEME, &SIGNED, &mut signature).expect("signed");
    Box::new(move |runs| {
        for _ in 0..runs {
            AwsLc
                .verify(
                    SCHEME,
                    key.public_key(),
                    black_box(&SIGNED),
                    &signature[..len],
                )
                .expect("a good signature");
        }
    })
}
