//! Runs cells, some at a time, each with deadlines.

use std::fmt;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lockgate_dtls::certificate::{CertificateError, CertificateType, CertificateTypes, ClientAuth};
use lockgate_dtls::wire::AlertDescription;
use lockgate_dtls::{CloseReason, Config, HandshakeError, SuiteList};

use super::cell::{By, Cell, Fault, PATH_LIMIT, Peer, Proof, Role, Trial};
use super::remote::{Bed, CID_LEN};
use crate::ours::{self, Options, Ours, Report};
use crate::papers::{CLIENT_NAME, Papers, SERVER_NAME};
use crate::{IDENTITY, Link, PATIENCE, PSK, Process, Relay};

/// How long a handshake over a bad link may take.
const LONG: Duration = Duration::from_secs(50);
/// What goes up, and what goes down.
const UP: &str = "from the client to the server";
const DOWN: &str = "from the server to the client";
/// Our answer to every request of CoAP's.
const COAP_TEXT: &str = "answered by lockgate";

/// What became of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that was asked for.
    Passed,
    /// What went wrong.
    Failed(String),
    /// Why it could not be tried.
    NotRun(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(why) => write!(f, "FAILED: {why}"),
            Self::NotRun(why) => write!(f, "not run: {why}"),
        }
    }
}

/// A cell and what became of it.
#[derive(Clone, Debug)]
pub struct Line {
    /// The cell.
    pub cell: Cell,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took.
    pub time: Duration,
    /// The peer's program is missing.
    pub missing: bool,
}

/// Runs all cells, `jobs` at a time, and tells `each` as it is done. The lines come in the order of the cells.
pub fn run_all(cells: &[Cell], jobs: usize, each: &(dyn Fn(&Line) + Sync)) -> Vec<Line> {
    let papers = Papers::new();
    let next = AtomicUsize::new(0);
    let lines: Mutex<Vec<Option<Line>>> = Mutex::new(vec![None; cells.len()]);
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&cell) = cells.get(number) else {
                        return;
                    };
                    let line = run(&papers, cell, number);
                    each(&line);
                    lines.lock().expect("no panic holds it")[number] = Some(line);
                }
            });
        }
    });
    let lines = lines.into_inner().expect("no panic holds it");
    lines.into_iter().flatten().collect()
}

fn run(papers: &Papers, cell: Cell, number: usize) -> Line {
    let begun = Instant::now();
    let bed = Bed {
        papers,
        cell,
        number,
    };
    let line = |outcome, missing| Line {
        cell,
        outcome,
        time: begun.elapsed(),
        missing,
    };
    if let Some(why) = cell.obstacle() {
        return line(Outcome::NotRun(why.into()), false);
    }
    if let Err(why) = bed.program() {
        return line(Outcome::NotRun(why), true);
    }
    // Processes panic when something does not come in time.
    let tried = catch_unwind(AssertUnwindSafe(|| bed.attempt()));
    let outcome = match tried {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(why)) => Outcome::Failed(why),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map_or("a panic without words", String::as_str);
            let first = text.lines().next().unwrap_or_default();
            Outcome::Failed(first.into())
        }
    };
    line(outcome, false)
}

impl Bed<'_> {
    fn attempt(&self) -> Result<(), String> {
        match self.cell.role {
            Role::Client => self.against_client(),
            Role::Server => self.against_server(),
        }
    }

    fn link(&self) -> Option<Link> {
        match self.cell.trial {
            Trial::SmallPath => Some(Link {
                limit: PATH_LIMIT,
                ..Link::default()
            }),
            Trial::Loss => Some(Link::bad(self.number as u64)),
            _ => std::env::var_os("LOCKGATE_TABLE_TRACE").map(|_| Link::default()),
        }
    }

    fn against_client(&self) -> Result<(), String> {
        let ours = Ours::serve(self.options());
        let relay = self.link().map(|link| Relay::start(ours.address(), link));
        let target = relay.as_ref().map_or(ours.address(), Relay::address);
        let mut client = self.client(target, false);
        let worked = self.serve(&ours, relay.as_ref(), &mut client, target);
        trace(relay.as_ref());
        with_words(worked, &client)
    }

    fn serve(
        &self,
        ours: &Ours,
        relay: Option<&Relay>,
        client: &mut Process,
        target: SocketAddr,
    ) -> Result<(), String> {
        if let Trial::Refused(fault, by) = self.cell.trial {
            return check_refusal(ours, client, self.cell.peer, fault, by);
        }
        self.check(&ours.connected_within(LONG)?, false)?;
        self.repair(relay);
        if self.cell.peer.is_coap() {
            ours.receive(b"")?;
            client.wait_for(COAP_TEXT);
            return ended(ours);
        }
        let resumes = self.cell.trial.resumes();
        let mut second = None;
        if resumes && self.cell.peer == Peer::GnuTls {
            // It says goodbye at once, and comes again.
            ended(ours)?;
            self.check(&ours.connected()?, true)?;
        }
        talk(ours, client)?;
        if resumes && self.cell.peer == Peer::OpenSsl {
            leave(self.cell.peer, client);
            client.wait();
            ended(ours)?;
            self.await_words(client, 1)?;
            let mut again = self.client(target, true);
            self.check(&ours.connected()?, true)?;
            talk(ours, &mut again)?;
            second = Some(again);
        } else if resumes && self.cell.peer != Peer::GnuTls {
            client.type_line("!again");
            ended(ours)?;
            self.check(&ours.connected()?, true)?;
            talk(ours, client)?;
        }
        let last = second.as_mut().unwrap_or(client);
        leave(self.cell.peer, last);
        ended(ours)?;
        last.wait();
        self.await_words(last, if resumes { 2 } else { 1 })
    }

    fn against_server(&self) -> Result<(), String> {
        let (mut server, address) = self.server();
        let relay = self.link().map(|link| Relay::start(address, link));
        let target = relay.as_ref().map_or(address, Relay::address);
        let ours = Ours::connect(self.options(), target, None);
        let worked = self.call(&ours, relay.as_ref(), &mut server, target);
        trace(relay.as_ref());
        with_words(worked, &server)
    }

    fn call(
        &self,
        ours: &Ours,
        relay: Option<&Relay>,
        server: &mut Process,
        target: SocketAddr,
    ) -> Result<(), String> {
        if let Trial::Refused(fault, by) = self.cell.trial {
            return check_refusal(ours, server, self.cell.peer, fault, by);
        }
        self.check(&ours.connected_within(LONG)?, false)?;
        self.repair(relay);
        self.exchange(ours, server)?;
        let mut connections = 1;
        if self.cell.trial.resumes() {
            let session = ours.session().ok_or("there is no session to resume")?;
            if session.has_ticket() != (self.cell.trial == Trial::Ticket) {
                return Err(format!("has_ticket is {}", session.has_ticket()));
            }
            let again = Ours::connect(self.options(), target, Some(session));
            self.check(&again.connected()?, true)?;
            self.exchange(&again, server)?;
            connections = 2;
        }
        self.await_words(server, connections)
    }

    /// [`Bed::check_words`], with some patience: a peer's output comes when it likes.
    fn await_words(&self, peer: &Process, connections: usize) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE / 4;
        loop {
            let checked = self.check_words(&peer.output(), connections);
            if checked.is_ok() || Instant::now() > deadline {
                return checked;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Data both ways, and our goodbye.
    fn exchange(&self, ours: &Ours, server: &mut Process) -> Result<(), String> {
        match self.cell.peer {
            Peer::CoapOpenSsl | Peer::CoapGnuTls => {
                // A confirmable GET of the root, message 0x1234 (RFC 7252 §3).
                ours.send(&[0x40, 0x01, 0x12, 0x34]);
                ours.receive(b"made with libcoap")?;
            }
            // It has an echo or HTTP, and no console.
            Peer::GnuTls => {
                ours.send(UP.as_bytes());
                ours.receive(UP.as_bytes())?;
            }
            // Ours first: s_server would finish a handshake within its own write, and say nothing of it.
            _ => {
                ours.send(format!("{UP}\n").as_bytes());
                server.wait_for(UP);
                server.type_line(DOWN);
                ours.receive(DOWN.as_bytes())?;
            }
        }
        ours.close();
        let goodbye = match self.cell.peer {
            Peer::OpenSsl => "DONE",
            Peer::GnuTls => "EOF",
            Peer::MbedTls | Peer::WolfSsl => "closed",
            Peer::CoapOpenSsl | Peer::CoapGnuTls => return Ok(()),
        };
        server.wait_for(goodbye);
        Ok(())
    }

    /// Data is not repeated by DTLS, so the link gets better once the handshake is over.
    fn repair(&self, relay: Option<&Relay>) {
        if let (Some(relay), Trial::Loss) = (relay, self.cell.trial) {
            relay.set_link(Link::default());
        }
    }

    fn options(&self) -> Options {
        let proof = self.cell.proof;
        let we_serve = self.cell.role == Role::Client;
        let shown = if proof.is_raw() {
            CertificateType::RawPublicKey
        } else {
            CertificateType::X509
        };
        let types = CertificateTypes::new(&[shown]);
        let own = self.our_paper().map(|paper| {
            let own = if proof.is_raw() {
                &paper.raw
            } else {
                &paper.x509
            };
            own.clone()
        });
        let judges = proof != Proof::Psk && (!we_serve || proof.is_mutual());
        Options {
            config: Config {
                cipher_suites: SuiteList::new(&[self.cell.suite]),
                psk: proof == Proof::Psk,
                own_certificate_types: own.as_ref().map_or(CertificateTypes::EMPTY, |_| types),
                peer_certificate_types: if judges {
                    types
                } else {
                    CertificateTypes::EMPTY
                },
                client_auth: if we_serve && proof.is_mutual() {
                    ClientAuth::Required
                } else {
                    ClientAuth::None
                },
                resumption: self.cell.trial.resumes(),
                tickets: self.cell.trial != Trial::SessionId,
                initial_timeout: Duration::from_millis(300),
                ..Config::default()
            },
            psk: (proof == Proof::Psk).then(|| (IDENTITY.into(), PSK.into())),
            own,
            trust: judges.then(|| self.trust()),
            server_name: match proof {
                Proof::X509(_) | Proof::MutualX509(_) => SERVER_NAME.into(),
                _ => String::new(),
            },
            answer: if self.cell.peer.is_coap() && we_serve {
                coap_answer
            } else {
                |_| None
            },
        }
    }

    fn trust(&self) -> std::sync::Arc<lockgate_webpki::Verifier> {
        let key = self.cell.proof.key_type().expect("not a pre-shared key");
        let family = self.papers.family(key);
        let (expected, other) = match self.cell.role {
            Role::Client => (&family.client, &family.server),
            Role::Server => (&family.server, &family.client),
        };
        match self.cell.trial {
            _ if !self.cell.proof.is_raw() => family.trust(),
            Trial::Refused(Fault::UnknownKey, By::Us) => other.trust_key(),
            _ => expected.trust_key(),
        }
    }

    /// What our side reports must be what was asked for.
    fn check(&self, report: &Report, resumed: bool) -> Result<(), String> {
        let proof = self.cell.proof;
        let peer = match (self.cell.role, proof) {
            (Role::Client, Proof::Psk) => ours::Proof::Psk(IDENTITY.into()),
            (Role::Server, Proof::Psk) => ours::Proof::Psk(String::new()),
            (Role::Client, Proof::X509(_) | Proof::Raw(_)) => ours::Proof::Nothing,
            (Role::Client, Proof::MutualX509(_)) => ours::Proof::X509(CLIENT_NAME.into()),
            (Role::Server, Proof::X509(_) | Proof::MutualX509(_)) => {
                ours::Proof::X509(SERVER_NAME.into())
            }
            (_, Proof::Raw(_) | Proof::MutualRaw(_)) => ours::Proof::RawPublicKey,
        };
        let cid = if self.cell.peer.has_cid() {
            (8, CID_LEN)
        } else {
            (0, 0)
        };
        let fits = report.suite == self.cell.suite
            && report.resumed == resumed
            && report.peer == peer
            && report.cid == cid;
        if fits {
            Ok(())
        } else {
            let wanted = if resumed { "resumed" } else { "a new session" };
            Err(format!("not as asked for ({wanted}, {peer:?}): {report:?}"))
        }
    }
}

/// One line from a client, and one to it.
fn talk(ours: &Ours, client: &mut Process) -> Result<(), String> {
    client.type_line(UP);
    ours.receive(UP.as_bytes())?;
    ours.send(format!("{DOWN}\n").as_bytes());
    client.wait_for(DOWN);
    Ok(())
}

/// Makes a client say goodbye.
fn leave(peer: Peer, client: &mut Process) {
    match peer {
        Peer::OpenSsl => client.type_line("Q"),
        _ => client.end_input(),
    }
}

/// The peer has said goodbye.
fn ended(ours: &Ours) -> Result<(), String> {
    match ours.closed()? {
        CloseReason::PeerClosed => Ok(()),
        other => Err(format!("no goodbye, but: {other}")),
    }
}

/// The handshake ended for the right reason, and the one that was refused was told so.
fn check_refusal(
    ours: &Ours,
    peer: &mut Process,
    kind: Peer,
    fault: Fault,
    by: By,
) -> Result<(), String> {
    use AlertDescription as A;
    let (error, alerts, words): (_, &[A], _) = match fault {
        Fault::UnknownIssuer => (
            CertificateError::UnknownIssuer,
            &[A::UNKNOWN_CA],
            "unknown ca",
        ),
        Fault::UnknownKey => (CertificateError::UnknownKey, &[A::UNKNOWN_CA], "unknown ca"),
        // TLS has no alert for it; libraries differ.
        Fault::WrongName => (
            CertificateError::WrongName,
            &[A::BAD_CERTIFICATE, A::CERTIFICATE_UNKNOWN],
            "certificate unknown",
        ),
        Fault::Expired => (
            CertificateError::Expired,
            &[A::CERTIFICATE_EXPIRED],
            "certificate expired",
        ),
        Fault::Missing => (
            CertificateError::Missing,
            &[A::HANDSHAKE_FAILURE],
            "handshake failure",
        ),
    };
    let CloseReason::HandshakeFailed(failure) = ours.closed()? else {
        return Err("closed, but not in the handshake".into());
    };
    match (by, failure) {
        (By::Us, HandshakeError::Certificate(found)) if found == error => {
            let words = match kind {
                Peer::GnuTls => "Alert[2|48]",
                _ => words,
            };
            peer.find_within(words, PATIENCE)
                .map(drop)
                .ok_or_else(|| format!("the peer does not say {words:?}"))
        }
        (By::Peer, HandshakeError::PeerAlert(alert)) if alerts.contains(&alert) => Ok(()),
        (_, other) => Err(format!("refused, but: {other}")),
    }
}

/// Every datagram of a cell, where `LOCKGATE_TABLE_TRACE` asks for it.
fn trace(relay: Option<&Relay>) {
    let Some(relay) = relay.filter(|_| std::env::var_os("LOCKGATE_TABLE_TRACE").is_some()) else {
        return;
    };
    let mut text = String::new();
    for seen in relay.seen() {
        let lost = if seen.lost { " lost" } else { "" };
        let _ = write!(text, "{:?}{lost} ", seen.direction);
        for byte in &seen.bytes {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    eprint!("{text}");
}

/// The last words of the peer behind an error.
fn with_words(worked: Result<(), String>, peer: &Process) -> Result<(), String> {
    worked.map_err(|why| {
        if std::env::var_os("LOCKGATE_TABLE_WORDS").is_some() {
            eprintln!("--- {why}; the peer printed:\n{}---", peer.output());
        }
        why
    })
}

/// 2.05 with a line of text to every confirmable request (RFC 7252 §5.2.1).
fn coap_answer(request: &[u8]) -> Option<Vec<u8>> {
    const TYPE_MASK: u8 = 0x30;
    const ACKNOWLEDGEMENT: u8 = 0x20;
    let (&[first, code, high, low], rest) = request.split_first_chunk()?;
    let token = rest.get(..usize::from(first & 0x0F))?;
    if first & TYPE_MASK != 0 || !(1..32).contains(&code) {
        return None;
    }
    let mut answer = vec![first | ACKNOWLEDGEMENT, 0x45, high, low];
    answer.extend_from_slice(token);
    answer.push(0xFF);
    answer.extend_from_slice(COAP_TEXT.as_bytes());
    Some(answer)
}
