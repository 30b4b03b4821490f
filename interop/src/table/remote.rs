//! How each peer is called for a cell, and what it says when the cell has worked.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use lockgate_dtls::CipherSuite;
use lockgate_dtls::crypto::KeyType;

use super::cell::{
    By, Cell, Fault, PATH_LIMIT, Peer, Proof, Role, Trial, gnutls_name, openssl_name, short,
};
use crate::papers::{Paper, Papers, SERVER_NAME, arg};
use crate::peers::built;
use crate::{IDENTITY, PSK, PSK_HEX, Process, free_port};

/// The connection ID of peers that have one.
const CID: &str = "c1d0c1d1";
/// The same in bytes.
pub(super) const CID_LEN: usize = CID.len() / 2;

/// What a cell is run with.
pub(super) struct Bed<'a> {
    pub(super) papers: &'a Papers,
    pub(super) cell: Cell,
    /// Unique among cells, for file names.
    pub(super) number: usize,
}

impl Bed<'_> {
    /// The peer's program, or how to get it.
    pub(super) fn program(&self) -> Result<String, String> {
        let (name, package) = match (self.cell.peer, self.cell.role) {
            (Peer::OpenSsl, _) => ("openssl", "openssl"),
            (Peer::GnuTls, Role::Client) => ("gnutls-cli", "gnutls-bin"),
            (Peer::GnuTls, Role::Server) => ("gnutls-serv", "gnutls-bin"),
            (Peer::CoapOpenSsl, Role::Client) => ("coap-client-openssl", "libcoap3-bin"),
            (Peer::CoapOpenSsl, Role::Server) => ("coap-server-openssl", "libcoap3-bin"),
            (Peer::CoapGnuTls, Role::Client) => ("coap-client-gnutls", "libcoap3-bin"),
            (Peer::CoapGnuTls, Role::Server) => ("coap-server-gnutls", "libcoap3-bin"),
            (Peer::MbedTls, _) => return built("mbedtls-peer"),
            (Peer::WolfSsl, _) => return built("wolfssl-peer"),
        };
        // `--version` is not known to all of them; that they start is enough.
        let found = Command::new(name)
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match found {
            Ok(_) => Ok(name.into()),
            Err(_) => Err(format!("there is no {name} (Debian package {package})")),
        }
    }

    fn family_key(&self) -> KeyType {
        self.cell.proof.key_type().unwrap_or(KeyType::EcdsaP256)
    }

    /// What the peer shows.
    fn peer_paper(&self) -> Option<&Paper> {
        self.paper(self.cell.role, By::Us)
    }

    /// What our end shows.
    pub(super) fn our_paper(&self) -> Option<&Paper> {
        let ours = match self.cell.role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        self.paper(ours, By::Peer)
    }

    /// What the end in this role shows, with the fault if `refuser` is to see one.
    fn paper(&self, role: Role, refuser: By) -> Option<&Paper> {
        let fault = match self.cell.trial {
            Trial::Refused(fault, by) if by == refuser => Some(fault),
            _ => None,
        };
        let family = self.papers.family(self.family_key());
        match (self.cell.proof, role, fault) {
            (Proof::Psk, ..) | (_, Role::Client, Some(Fault::Missing)) => None,
            (proof, Role::Client, _) if !proof.is_mutual() => None,
            (_, Role::Client, Some(Fault::UnknownIssuer)) => Some(&self.papers.stranger.client),
            (_, Role::Client, _) => Some(&family.client),
            (_, Role::Server, Some(Fault::UnknownIssuer)) => Some(&self.papers.stranger.server),
            (_, Role::Server, Some(Fault::WrongName)) => Some(&self.papers.misnamed),
            (_, Role::Server, Some(Fault::Expired)) => Some(&self.papers.expired),
            (_, Role::Server, _) => Some(&family.server),
        }
    }

    /// What somebody must trust to accept the other end.
    fn authority(&self) -> &str {
        arg(&self.papers.family(self.family_key()).authority)
    }

    /// Starts the peer as a client; `again` with the session that it has kept.
    pub(super) fn client(&self, target: SocketAddr, again: bool) -> Process {
        let program = self.program().expect("looked for before");
        let mut args = Vec::new();
        match self.cell.peer {
            Peer::OpenSsl => self.s_client(target, again, &mut args),
            Peer::GnuTls => self.gnutls_cli(target, &mut args),
            Peer::CoapOpenSsl | Peer::CoapGnuTls => self.coap_client(target, &mut args),
            Peer::MbedTls | Peer::WolfSsl => self.wrapped("client", target, &mut args),
        }
        start(&program, &args)
    }

    /// Starts the peer as a server.
    pub(super) fn server(&self) -> (Process, SocketAddr) {
        let program = self.program().expect("looked for before");
        let mut address = free_port();
        let mut args = Vec::new();
        let ready = match self.cell.peer {
            Peer::OpenSsl => {
                self.s_server(address, &mut args);
                "ACCEPT"
            }
            Peer::GnuTls => {
                self.gnutls_serv(address, &mut args);
                "IPv4"
            }
            Peer::CoapOpenSsl | Peer::CoapGnuTls => {
                self.coap_server(address, &mut args);
                address.set_port(address.port() + 1);
                "created DTLS endpoint"
            }
            Peer::MbedTls | Peer::WolfSsl => {
                self.wrapped("server", address, &mut args);
                "listening on"
            }
        };
        let mut server = start(&program, &args);
        server.wait_for(ready);
        (server, address)
    }

    fn s_client(&self, target: SocketAddr, again: bool, args: &mut Vec<String>) {
        push(args, &["s_client", "-dtls1_2", "-nbio", "-connect"]);
        push(args, &[&target.to_string()]);
        self.openssl_common(args);
        if self.cell.proof != Proof::Psk {
            push(args, &["-verify_hostname", SERVER_NAME]);
            push(args, &["-servername", SERVER_NAME]);
        }
        if self.cell.trial.resumes() {
            let file = self.papers.scratch(&format!("session-{}", self.number));
            let flag = if again { "-sess_in" } else { "-sess_out" };
            push(args, &[flag, arg(&file)]);
        }
    }

    fn s_server(&self, address: SocketAddr, args: &mut Vec<String>) {
        push(args, &["s_server", "-dtls1_2", "-nbio", "-accept"]);
        push(args, &[&address.to_string()]);
        self.openssl_common(args);
        if self.cell.proof == Proof::Psk {
            push(args, &["-nocert"]);
        } else if self.cell.proof.is_mutual() {
            push(args, &["-Verify", "2"]);
        }
    }

    fn openssl_common(&self, args: &mut Vec<String>) {
        push(args, &["-cipher", &openssl_name(self.cell.suite)]);
        if self.cell.proof == Proof::Psk {
            push(args, &["-psk_identity", IDENTITY, "-psk", PSK_HEX]);
        } else {
            push(args, &["-CAfile", self.authority(), "-verify_return_error"]);
        }
        if let Some(paper) = self.peer_paper() {
            push(args, &["-cert", arg(&paper.certificate)]);
            push(args, &["-key", arg(&paper.key)]);
        }
        match self.cell.trial {
            Trial::SessionId => push(args, &["-no_ticket"]),
            Trial::SmallPath => push(args, &["-mtu", &PATH_LIMIT.to_string()]),
            _ => {}
        }
    }

    fn gnutls_cli(&self, target: SocketAddr, args: &mut Vec<String>) {
        self.gnutls_common(target.port(), args);
        match self.cell.proof {
            Proof::Psk => push(args, &["--pskusername", IDENTITY, "--pskkey", PSK_HEX]),
            Proof::Raw(_) | Proof::MutualRaw(_) => push(args, &["--insecure"]),
            Proof::X509(_) | Proof::MutualX509(_) => {
                push(args, &["--verify-hostname", SERVER_NAME]);
                push(args, &["--sni-hostname", SERVER_NAME]);
            }
        }
        if self.cell.trial.resumes() {
            push(args, &["--resume"]);
        }
        push(args, &[&target.ip().to_string()]);
    }

    fn gnutls_serv(&self, address: SocketAddr, args: &mut Vec<String>) {
        self.gnutls_common(address.port(), args);
        // It says nothing of its sessions otherwise.
        push(args, &["--echo", "--debug", "5"]);
        if self.cell.proof == Proof::Psk {
            let file = self.papers.scratch(&format!("keys-{}", self.number));
            std::fs::write(&file, format!("{IDENTITY}:{PSK_HEX}\n")).expect("written");
            push(args, &["--pskpasswd", arg(&file)]);
        }
        match self.cell.proof {
            Proof::MutualX509(_) => {
                push(args, &["--require-client-cert", "--verify-client-cert"]);
            }
            // It has no way to name the keys that it trusts.
            Proof::MutualRaw(_) => push(args, &["--require-client-cert"]),
            _ => push(args, &["--disable-client-cert"]),
        }
    }

    fn gnutls_common(&self, port: u16, args: &mut Vec<String>) {
        let (exchange, cipher) = gnutls_name(self.cell.suite);
        let types = if self.cell.proof.is_raw() {
            ":-CTYPE-ALL:+CTYPE-SRV-RAWPK:+CTYPE-CLI-RAWPK"
        } else {
            ""
        };
        let priority = format!(
            "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+{exchange}:-CIPHER-ALL:+{cipher}{types}"
        );
        push(args, &["--udp", "--port", &port.to_string()]);
        push(args, &["--priority", &priority]);
        if !self.cell.proof.is_raw() && self.cell.proof != Proof::Psk {
            push(args, &["--x509cafile", self.authority()]);
        }
        match self.peer_paper() {
            Some(paper) if self.cell.proof.is_raw() => {
                push(args, &["--rawpkfile", arg(&paper.public)]);
                push(args, &["--rawpkkeyfile", arg(&paper.key)]);
            }
            Some(paper) => {
                push(args, &["--x509certfile", arg(&paper.certificate)]);
                push(args, &["--x509keyfile", arg(&paper.key)]);
            }
            None => {}
        }
        match self.cell.trial {
            Trial::SessionId => push(args, &["--noticket"]),
            Trial::SmallPath => push(args, &["--mtu", &PATH_LIMIT.to_string()]),
            _ => {}
        }
    }

    fn coap_client(&self, target: SocketAddr, args: &mut Vec<String>) {
        push(args, &["-m", "get", "-B", "30", "-v", "7"]);
        match self.cell.proof {
            Proof::Psk => push(args, &["-u", IDENTITY, "-k", PSK]),
            Proof::X509(_) => push(args, &["-R", self.authority()]),
            _ => self.coap_papers(args),
        }
        push(args, &[&format!("coaps://{target}/")]);
    }

    fn coap_server(&self, address: SocketAddr, args: &mut Vec<String>) {
        push(args, &["-A", &address.ip().to_string(), "-v", "7"]);
        push(args, &["-p", &address.port().to_string()]);
        match self.cell.proof {
            Proof::Psk => push(args, &["-k", PSK]),
            _ => self.coap_papers(args),
        }
        if !self.cell.proof.is_mutual() && self.cell.proof != Proof::Psk {
            push(args, &["-n"]);
        }
    }

    fn coap_papers(&self, args: &mut Vec<String>) {
        // A client that shows nothing under RFC 7250 has no file to name.
        let Some(paper) = self.peer_paper() else {
            return;
        };
        if self.cell.proof.is_raw() {
            push(args, &["-M", arg(&paper.pair)]);
        } else {
            push(args, &["-c", arg(&paper.certificate)]);
            push(args, &["-j", arg(&paper.key), "-C", self.authority()]);
        }
    }

    /// The programs of `interop/peers`.
    fn wrapped(&self, role: &str, address: SocketAddr, args: &mut Vec<String>) {
        let (identity, key) = match self.cell.proof {
            Proof::Psk => (IDENTITY, PSK_HEX),
            _ => ("-", "-"),
        };
        let suite = format!("{:04x}", self.cell.suite.0);
        let mtu = match self.cell.trial {
            Trial::SmallPath => PATH_LIMIT,
            _ => 0,
        };
        push(args, &[role, &address.to_string(), identity, key, &suite]);
        push(args, &[CID, &mtu.to_string()]);
        if let Some(paper) = self.peer_paper() {
            let shown = if self.cell.proof.is_raw() {
                &paper.public_der
            } else {
                &paper.certificate
            };
            push(args, &["--cert", arg(shown), "--key", arg(&paper.key)]);
        }
        match self.cell.proof {
            Proof::Psk => {}
            Proof::Raw(_) | Proof::MutualRaw(_) => push(args, &["--raw"]),
            Proof::X509(_) | Proof::MutualX509(_) => {
                push(args, &["--ca", self.authority()]);
                if self.cell.role == Role::Client {
                    push(args, &["--name", SERVER_NAME]);
                }
            }
        }
        if self.cell.proof.is_mutual() {
            push(args, &["--auth"]);
        }
        if self.cell.trial == Trial::SessionId {
            push(args, &["--no-tickets"]);
        }
        if self.cell.trial.resumes() {
            push(args, &["--sessions", "2"]);
        }
    }

    /// Whether what the peer has printed in `connections` connections says that they were as asked for: the suite, and that
    /// the last was resumed if there were two of a cell that resumes.
    pub(super) fn check_words(&self, printed: &str, connections: usize) -> Result<(), String> {
        let suite = openssl_name(self.cell.suite);
        let resumes = self.cell.trial.resumes();
        let want = |text: &str, times: usize| {
            let found = printed.matches(text).count();
            if found == times {
                Ok(())
            } else {
                let name = self.cell.peer.name();
                Err(format!("{name} said {text:?} {found} times, not {times}"))
            }
        };
        match (self.cell.peer, self.cell.role) {
            (Peer::OpenSsl, Role::Client) => {
                // One process for each connection: this one's is the last.
                let how = if connections > 1 { "Reused" } else { "New" };
                want(&format!("{how}, TLSv1.2, Cipher is {suite}\n"), 1)
            }
            (Peer::OpenSsl, Role::Server) => {
                want(&format!("CIPHER is {suite}\n"), connections)?;
                want("Reused session-id", usize::from(connections > 1))
            }
            (Peer::GnuTls, Role::Client) => {
                let (_, cipher) = gnutls_name(self.cell.suite);
                want(&format!("-({cipher})\n"), connections)?;
                want("This is a resumed session", usize::from(resumes))
            }
            (Peer::GnuTls, Role::Server) => {
                want("Accepted connection from", connections)?;
                // In a resumed session nothing is selected.
                let suite = suite_of_gnutls(self.cell.suite);
                want(&format!("Selected cipher suite: {suite}\n"), 1)
            }
            (Peer::MbedTls | Peer::WolfSsl, _) => self.check_report(printed, connections),
            // The examples of libcoap say nothing of it.
            (Peer::CoapOpenSsl | Peer::CoapGnuTls, _) => Ok(()),
        }
    }

    fn check_report(&self, printed: &str, connections: usize) -> Result<(), String> {
        let reports: Vec<&str> = printed
            .lines()
            .filter(|line| line.starts_with("connected "))
            .collect();
        let name = self.cell.peer.name();
        if reports.len() != connections {
            return Err(format!("{name} reports {} connections", reports.len()));
        }
        for (place, report) in reports.iter().enumerate() {
            let suite = match self.cell.peer {
                Peer::WolfSsl => format!("{:04x}", self.cell.suite.0),
                _ => self.cell.suite.name().unwrap_or_default().replace('_', "-"),
            };
            let resumed = format!("resumed={}", place > 0);
            // Eight bytes of ours.
            let cid = report.split_once("cid=on peer_cid=").map(|(_, cid)| cid);
            if !report.contains(&format!("suite={suite} ")) {
                return Err(format!(
                    "{name} reports another suite than {suite}: {report}"
                ));
            }
            if !report.contains(&resumed) || cid.is_none_or(|cid| cid.len() != 16) {
                return Err(format!("{name} reports {report:?}, connection {place}"));
            }
        }
        Ok(())
    }
}

/// `GnuTLS`'s own name of a suite.
fn suite_of_gnutls(suite: CipherSuite) -> String {
    let name = short(suite).replace("WITH_", "");
    let name = match name.strip_suffix("_SHA256") {
        Some(name) if name.ends_with("POLY1305") => name,
        _ => &name,
    };
    format!("GNUTLS_{name}")
}

fn push(args: &mut Vec<String>, more: &[&str]) {
    args.extend(more.iter().map(ToString::to_string));
}

fn start(program: &str, args: &[String]) -> Process {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Process::start(program, &args)
}
