//! Handshakes with public keys beside the sum of their parts and beside other libraries.

use lockgate_dtls::CipherSuite;
use lockgate_dtls::crypto::NamedGroup;

use crate::papers::Proof;
use crate::report::{Row, Section};
use crate::shake::{self, Resumption, Shake};
use crate::timing::{Effort, Timing, Work, side_by_side};
use crate::work::peer_certificates;

/// How many times the sum of its parts a handshake may take.
const BAR: f64 = 1.25;

const P256: NamedGroup = NamedGroup::SECP256R1;

/// Mutual ECDSA on P-256, GCM, certificates checked.
pub const MUTUAL: Shake = Shake {
    suite: CipherSuite::ECDHE_ECDSA_AES_128_GCM_SHA256,
    group: P256,
    proof: Proof::Mutual,
    checked: true,
    cid: true,
};

/// Works that are timed together, by their names.
#[derive(Default)]
struct Race {
    names: Vec<String>,
    works: Vec<Work<'static>>,
}

impl Race {
    fn add(&mut self, name: impl Into<String>, work: Work<'static>) -> usize {
        self.names.push(name.into());
        self.works.push(work);
        self.works.len() - 1
    }

    fn run(mut self, effort: Effort) -> Finish {
        Finish {
            timings: side_by_side(effort, &mut self.works),
            names: self.names,
        }
    }
}

/// What came of a [`Race`].
struct Finish {
    names: Vec<String>,
    timings: Vec<Timing>,
}

impl Finish {
    fn row(&self, what: usize, reference: usize) -> Row {
        let [ours, theirs] = [&self.timings[what], &self.timings[reference]];
        Row::new(self.names[what].clone(), ours.nanos / 1e3, "µs").beside(
            self.names[reference].clone(),
            theirs.nanos / 1e3,
            ours.by(theirs),
        )
    }

    fn alone(&self, what: usize) -> Row {
        Row::new(
            self.names[what].clone(),
            self.timings[what].nanos / 1e3,
            "µs",
        )
    }
}

/// Mutual ECDSA, and what varies from it.
#[allow(clippy::too_many_lines, reason = "a table, row by row")]
pub fn public_keys(effort: Effort) -> Section {
    let mut rows = Vec::new();
    for (group, name, theirs, peer) in [
        (P256, "P-256", "P-256", dimpl::NamedGroup::Secp256r1),
        (
            // A certificate's curve must be among the groups as well (RFC 8422 §5.1), by OpenSSL's reading.
            NamedGroup::X25519,
            "X25519",
            "X25519:P-256",
            dimpl::NamedGroup::X25519,
        ),
    ] {
        let checked = Shake { group, ..MUTUAL };
        let taken = Shake {
            checked: false,
            ..checked
        };
        let mut race = Race::default();
        let ours = race.add(
            format!("mutual, GCM, {name}, chains checked"),
            checked.full(),
        );
        let plain = race.add(
            format!("mutual, GCM, {name}, chains not checked"),
            taken.full(),
        );
        let sums = [checked, taken].map(|s| race.add(s.operations(), s.parts()));
        let dimpl = race.add("dimpl, not checked", peer_certificates(peer, true));
        let openssl = add_openssl(
            &mut race,
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            theirs,
            Proof::Mutual,
        );
        let finish = race.run(effort);
        rows.push(finish.row(ours, sums[0]).at_most_times(BAR));
        rows.extend(openssl.map(|o| finish.row(ours, o).at_most_times(1.0)));
        rows.push(finish.row(plain, sums[1]).at_most_times(BAR));
        rows.push(finish.row(plain, dimpl).at_most_times(1.0));
    }
    let shakes = [
        (
            "mutual, CCM_8, P-256, chains checked",
            Shake {
                suite: CipherSuite::ECDHE_ECDSA_AES_128_CCM_8,
                ..MUTUAL
            },
            Some("ECDHE-ECDSA-AES128-CCM8"),
        ),
        (
            "server's certificate only, GCM, P-256, chain checked",
            Shake {
                proof: Proof::Server,
                ..MUTUAL
            },
            Some("ECDHE-ECDSA-AES128-GCM-SHA256"),
        ),
        (
            "raw public keys of both, GCM, P-256",
            Shake {
                proof: Proof::RawKeys,
                ..MUTUAL
            },
            None,
        ),
        (
            "raw public keys of both, CCM_8, P-256",
            Shake {
                suite: CipherSuite::ECDHE_ECDSA_AES_128_CCM_8,
                proof: Proof::RawKeys,
                ..MUTUAL
            },
            None,
        ),
        (
            "ECDHE_PSK, ChaCha20-Poly1305, P-256",
            Shake {
                suite: CipherSuite::ECDHE_PSK_CHACHA20_POLY1305_SHA256,
                proof: Proof::Psk,
                ..MUTUAL
            },
            Some("ECDHE-PSK-CHACHA20-POLY1305"),
        ),
        (
            "ECDHE_PSK, CCM_8, P-256",
            Shake {
                suite: CipherSuite::ECDHE_PSK_AES_128_CCM_8_SHA256,
                proof: Proof::Psk,
                ..MUTUAL
            },
            None,
        ),
    ];
    for (what, shake, theirs) in shakes {
        let mut race = Race::default();
        let ours = race.add(what, shake.full());
        let sum = race.add(shake.operations(), shake.parts());
        let openssl = theirs.and_then(|suite| add_openssl(&mut race, suite, "P-256", shake.proof));
        let finish = race.run(effort);
        rows.push(finish.row(ours, sum));
        rows.extend(openssl.map(|o| finish.row(ours, o)));
    }
    let mut race = Race::default();
    let full = race.add("full", MUTUAL.full());
    let resumed = [
        ("mutual, GCM, P-256, resumed by ID", Resumption::Id),
        ("mutual, GCM, P-256, resumed by ticket", Resumption::Ticket),
    ]
    .map(|(what, by)| race.add(what, MUTUAL.resumed(by)));
    let finish = race.run(effort);
    rows.extend(resumed.map(|resumed| finish.row(resumed, full)));
    Section {
        title: "A handshake with public keys, both ends, in memory",
        rows,
        notes: vec![
            "All with cookie, Lockgate's with connection IDs. Certificates are of ECDSA on P-256, each issued by the \
             authority that the other end knows; \"chains checked\" is by `lockgate-webpki`, with the name of the server \
             and the time. The sum of the operations is the provider's alone in the same rounds: ephemeral keys and \
             agreements of both ends, signatures made, and signatures verified (the handshake's own, and where chains are \
             checked that of the authority on each certificate). Hashes, the key schedule, records and the reading of \
             certificates are not in it. dimpl leaves the check of certificates to its caller."
                .to_owned(),
            openssl_note(),
        ],
    }
}

/// What a handshake's public-key operations take one by one.
pub fn operations(effort: Effort) -> Section {
    let mut race = Race::default();
    let parts = [
        race.add("a key of P-256", shake::key_pair(P256)),
        race.add(
            "both ends' keys of P-256, and both agreements",
            shake::agreement(P256),
        ),
        race.add("a key of X25519", shake::key_pair(NamedGroup::X25519)),
        race.add(
            "both ends' keys of X25519, and both agreements",
            shake::agreement(NamedGroup::X25519),
        ),
        race.add("ECDSA on P-256: sign", shake::signing()),
        race.add("ECDSA on P-256: verify", shake::verifying()),
    ];
    let finish = race.run(effort);
    Section {
        title: "The operations of the provider",
        rows: parts.map(|part| finish.alone(part)).to_vec(),
        notes: Vec::new(),
    }
}

#[cfg(feature = "peer-openssl")]
fn add_openssl(race: &mut Race, suite: &str, group: &str, proof: Proof) -> Option<usize> {
    use crate::openssl::OpenSsl;
    let peer = OpenSsl::new(suite, group, proof).expect("a suite and group that it has");
    Some(race.add("OpenSSL", peer.full()))
}

#[cfg(feature = "peer-openssl")]
fn openssl_note() -> String {
    format!(
        "{}, by the crate `openssl`, over queues of datagrams in memory, without tickets and session cache; it checks \
         chains wherever certificates are shown. Making a cookie costs it nothing here.",
        crate::openssl::version()
    )
}

#[cfg(not(feature = "peer-openssl"))]
fn add_openssl(_: &mut Race, _: &str, _: &str, _: Proof) -> Option<usize> {
    None
}

#[cfg(not(feature = "peer-openssl"))]
fn openssl_note() -> String {
    "Built without OpenSSL to compare with: `--features peer-openssl` or `peer-openssl-vendored`."
        .to_owned()
}
