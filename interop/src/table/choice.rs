//! Which cells are tried.

use lockgate_dtls::crypto::KeyType::{self, EcdsaP256, EcdsaP384, Ed25519, Rsa};
use lockgate_dtls::{CipherSuite, KeyExchangeAlgorithm};

use super::cell::{By, Cell, Fault, Peer, Proof, Role, Trial};

/// How many cells a run without `--all` has at most.
pub const MAX_CHOICE: usize = 60;

const GCM: CipherSuite = CipherSuite::ECDHE_ECDSA_AES_128_GCM_SHA256;
const GCM_256: CipherSuite = CipherSuite::ECDHE_ECDSA_AES_256_GCM_SHA384;
const CHACHA: CipherSuite = CipherSuite::ECDHE_ECDSA_CHACHA20_POLY1305_SHA256;
const CCM_8: CipherSuite = CipherSuite::ECDHE_ECDSA_AES_128_CCM_8;
const CCM: CipherSuite = CipherSuite::ECDHE_ECDSA_AES_128_CCM;
const CCM_256: CipherSuite = CipherSuite::ECDHE_ECDSA_AES_256_CCM;
const RSA_GCM: CipherSuite = CipherSuite::ECDHE_RSA_AES_128_GCM_SHA256;
const RSA_GCM_256: CipherSuite = CipherSuite::ECDHE_RSA_AES_256_GCM_SHA384;
const RSA_CHACHA: CipherSuite = CipherSuite::ECDHE_RSA_CHACHA20_POLY1305_SHA256;
const PSK_CCM_8: CipherSuite = CipherSuite::PSK_AES_128_CCM_8;
const PSK_GCM: CipherSuite = CipherSuite::PSK_AES_128_GCM_SHA256;
const ECDHE_PSK_CHACHA: CipherSuite = CipherSuite::ECDHE_PSK_CHACHA20_POLY1305_SHA256;
const ECDHE_PSK_GCM: CipherSuite = CipherSuite::ECDHE_PSK_AES_128_GCM_SHA256;

/// The cells of CI: each peer in each role it has, each key exchange, kind of credential and trial with several peers, each
/// suite of ours that a peer has at least once.
#[expect(
    clippy::too_many_lines,
    reason = "a table of sixty lines, and rustfmt makes more of them"
)]
pub fn choice() -> Vec<Cell> {
    use Peer::{CoapGnuTls, CoapOpenSsl, GnuTls, MbedTls, OpenSsl, WolfSsl};
    use Proof::{MutualRaw, MutualX509, Psk, Raw, X509};
    use Role::{Client, Server};
    use Trial::{Loss, Plain, Refused, SessionId, SmallPath, Ticket};
    let refused = |fault, by| Refused(fault, by);
    let rows = [
        (OpenSsl, Client, PSK_CCM_8, Psk, Plain),
        (OpenSsl, Client, ECDHE_PSK_CHACHA, Psk, Ticket),
        (OpenSsl, Client, GCM, X509(EcdsaP256), Plain),
        (OpenSsl, Client, CCM_256, X509(EcdsaP384), SessionId),
        (OpenSsl, Client, CHACHA, MutualX509(Ed25519), Plain),
        (OpenSsl, Client, RSA_GCM_256, MutualX509(Rsa), SmallPath),
        (OpenSsl, Client, CCM_8, MutualX509(EcdsaP256), Loss),
        (OpenSsl, Server, PSK_GCM, Psk, SessionId),
        (OpenSsl, Server, ECDHE_PSK_CHACHA, Psk, Plain),
        (OpenSsl, Server, CCM_8, MutualX509(EcdsaP256), SmallPath),
        (OpenSsl, Server, GCM_256, X509(EcdsaP384), Ticket),
        (OpenSsl, Server, CCM, X509(EcdsaP384), Plain),
        (OpenSsl, Server, RSA_CHACHA, MutualX509(Rsa), Loss),
        (GnuTls, Client, PSK_CCM_8, Psk, SessionId),
        (CoapGnuTls, Client, ECDHE_PSK_CHACHA, Psk, Plain),
        (GnuTls, Client, GCM, MutualX509(EcdsaP256), Ticket),
        (GnuTls, Client, CCM, X509(EcdsaP384), SmallPath),
        (GnuTls, Client, CHACHA, X509(Ed25519), Plain),
        (GnuTls, Client, RSA_GCM, MutualX509(Rsa), Loss),
        (GnuTls, Client, CCM_8, Raw(EcdsaP256), Plain),
        (GnuTls, Client, GCM, MutualRaw(Ed25519), Plain),
        (GnuTls, Server, ECDHE_PSK_CHACHA, Psk, Loss),
        (GnuTls, Server, CCM_8, MutualX509(EcdsaP256), Plain),
        (GnuTls, Server, GCM_256, MutualX509(EcdsaP384), SmallPath),
        (GnuTls, Server, RSA_CHACHA, X509(Rsa), Plain),
        (GnuTls, Server, CCM_8, MutualRaw(EcdsaP256), Plain),
        (GnuTls, Server, GCM, Raw(Ed25519), Plain),
        (CoapOpenSsl, Client, CCM_8, MutualX509(EcdsaP256), Plain),
        (CoapOpenSsl, Server, GCM, MutualX509(EcdsaP256), Loss),
        (CoapGnuTls, Client, CCM_8, MutualRaw(EcdsaP256), Plain),
        (CoapGnuTls, Client, PSK_CCM_8, Psk, Plain),
        (CoapGnuTls, Server, CCM_8, MutualX509(EcdsaP256), Plain),
        (CoapGnuTls, Server, CCM_8, MutualRaw(EcdsaP256), Plain),
        (MbedTls, Client, PSK_CCM_8, Psk, Ticket),
        (MbedTls, Client, CCM_8, MutualX509(EcdsaP256), SessionId),
        (MbedTls, Client, GCM_256, X509(EcdsaP384), Loss),
        (MbedTls, Client, RSA_GCM, X509(Rsa), SmallPath),
        (MbedTls, Server, ECDHE_PSK_CHACHA, Psk, SessionId),
        (MbedTls, Server, CCM, X509(EcdsaP384), Ticket),
        (MbedTls, Server, CCM_8, MutualX509(EcdsaP256), SmallPath),
        (MbedTls, Server, RSA_GCM_256, MutualX509(Rsa), Loss),
        (WolfSsl, Client, PSK_CCM_8, Psk, Plain),
        (WolfSsl, Client, ECDHE_PSK_GCM, Psk, Loss),
        (WolfSsl, Client, CCM_8, MutualX509(EcdsaP256), Ticket),
        (WolfSsl, Client, RSA_GCM, MutualX509(Rsa), SmallPath),
        (WolfSsl, Server, ECDHE_PSK_CHACHA, Psk, Ticket),
        (WolfSsl, Server, CCM_8, MutualX509(EcdsaP256), Loss),
        (WolfSsl, Server, GCM, X509(EcdsaP384), SessionId),
        (WolfSsl, Server, CCM_8, MutualRaw(EcdsaP256), Plain),
        (
            OpenSsl,
            Server,
            GCM,
            X509(EcdsaP256),
            refused(Fault::UnknownIssuer, By::Us),
        ),
        (
            OpenSsl,
            Server,
            GCM,
            X509(EcdsaP256),
            refused(Fault::WrongName, By::Us),
        ),
        (
            OpenSsl,
            Server,
            GCM,
            X509(EcdsaP256),
            refused(Fault::Expired, By::Us),
        ),
        (
            OpenSsl,
            Client,
            GCM,
            MutualX509(EcdsaP256),
            refused(Fault::UnknownIssuer, By::Us),
        ),
        (
            OpenSsl,
            Client,
            GCM,
            MutualX509(EcdsaP256),
            refused(Fault::Missing, By::Us),
        ),
        (
            GnuTls,
            Server,
            GCM,
            Raw(EcdsaP256),
            refused(Fault::UnknownKey, By::Us),
        ),
        (
            OpenSsl,
            Client,
            GCM,
            X509(EcdsaP256),
            refused(Fault::UnknownIssuer, By::Peer),
        ),
        (
            OpenSsl,
            Client,
            GCM,
            X509(EcdsaP256),
            refused(Fault::Expired, By::Peer),
        ),
        (
            OpenSsl,
            Client,
            GCM,
            X509(EcdsaP256),
            refused(Fault::WrongName, By::Peer),
        ),
        (
            MbedTls,
            Server,
            GCM,
            MutualX509(EcdsaP256),
            refused(Fault::UnknownIssuer, By::Peer),
        ),
        (
            WolfSsl,
            Client,
            GCM,
            X509(EcdsaP256),
            refused(Fault::WrongName, By::Peer),
        ),
    ];
    rows.into_iter()
        .map(|(peer, role, suite, proof, trial)| Cell {
            peer,
            role,
            suite,
            proof,
            trial,
        })
        .collect()
}

/// Every peer in both roles, with every suite, every proof that goes with the suite, and every trial; and the refusals of
/// [`choice`].
pub fn product() -> Vec<Cell> {
    let mut cells = Vec::new();
    for peer in Peer::ALL {
        for role in [Role::Client, Role::Server] {
            for suite in CipherSuite::ALL {
                for proof in proofs(suite) {
                    cells.extend(Trial::GOOD.map(|trial| Cell {
                        peer,
                        role,
                        suite,
                        proof,
                        trial,
                    }));
                }
            }
        }
    }
    let refusals = choice()
        .into_iter()
        .filter(|cell| matches!(cell.trial, Trial::Refused(..)));
    cells.extend(refusals);
    cells
}

/// What both ends can prove themselves with in this suite.
fn proofs(suite: CipherSuite) -> Vec<Proof> {
    let of = |keys: &[KeyType]| {
        let each = |&key| {
            [
                Proof::X509(key),
                Proof::MutualX509(key),
                Proof::Raw(key),
                Proof::MutualRaw(key),
            ]
        };
        keys.iter().flat_map(each).collect()
    };
    match suite.parameters().map(|p| p.key_exchange) {
        Some(KeyExchangeAlgorithm::EcdheEcdsa) => of(&[EcdsaP256, EcdsaP384, Ed25519]),
        Some(KeyExchangeAlgorithm::EcdheRsa) => of(&[Rsa]),
        _ => vec![Proof::Psk],
    }
}
