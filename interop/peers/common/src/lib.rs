//! What the programs around other people's DTLS libraries share: their arguments and their input.
//!
//! ```text
//! …-peer client|server ADDRESS:PORT IDENTITY HEXKEY SUITE [HEXCID|-] [MTU] [FLAG [VALUE]]...
//! ```
//!
//! `SUITE` is a number of the registry in hexadecimal. An identity of `-` means no pre-shared key. A CID of `-` turns the
//! extension off; an empty one offers to send with the other's CID but wants none. An MTU of 0 is the library's own.
//!
//! | flag | |
//! |---|---|
//! | `--cert FILE --key FILE` | what this end shows, PEM; with `--raw` the certificate is the DER of a public key |
//! | `--ca FILE` | whom it trusts, PEM |
//! | `--name NAME` | what a client's server must be called |
//! | `--auth` | a server asks for a certificate and insists on it |
//! | `--raw` | raw public keys (RFC 7250) both ways; any is accepted |
//! | `--no-tickets` | sessions have IDs alone |
//! | `--sessions N` | a server serves so many connections, one after the other |
//!
//! The programs print `listening on …` (server), `connected suite=… resumed=… peer=… cid=… peer_cid=…`,
//! `received LINE` and `closed`. Every line typed is sent as one record, but for `!again`, at which a client says goodbye
//! and connects again with the session that it has. The end of input says goodbye.

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use std::{env, io, thread};

/// What a client types to connect again.
pub const AGAIN: &str = "!again";

/// What the program was called with.
pub struct Args {
    pub server: bool,
    pub address: SocketAddr,
    pub psk: Option<(String, Vec<u8>)>,
    pub suite: u16,
    pub cid: Option<Vec<u8>>,
    pub mtu: u16,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub authority: Option<PathBuf>,
    pub name: Option<String>,
    pub auth: bool,
    pub raw: bool,
    pub tickets: bool,
    pub sessions: u32,
}

impl Args {
    /// Reads them.
    pub fn read() -> Result<Self, Box<dyn Error>> {
        let args: Vec<String> = env::args().skip(1).collect();
        let flags = args.iter().position(|arg| arg.starts_with("--"));
        let (places, flags) = args.split_at(flags.unwrap_or(args.len()));
        let [role, address, identity, key, suite, rest @ ..] = places else {
            return Err("see the comment at the top of peers/common/src/lib.rs".into());
        };
        let psk = match identity.as_str() {
            "-" => None,
            _ => Some((identity.clone(), from_hex(key)?)),
        };
        let mut args = Self {
            server: role == "server",
            address: address.parse()?,
            psk,
            suite: u16::from_str_radix(suite, 16)?,
            cid: match rest.first().map(String::as_str) {
                None | Some("-") => None,
                Some(hex) => Some(from_hex(hex)?),
            },
            mtu: rest.get(1).map_or(Ok(0), |mtu| mtu.parse())?,
            certificate: None,
            key: None,
            authority: None,
            name: None,
            auth: false,
            raw: false,
            tickets: true,
            sessions: 1,
        };
        let mut flags = flags.iter();
        while let Some(flag) = flags.next() {
            let mut value = || flags.next().ok_or_else(|| format!("{flag} needs a value"));
            match flag.as_str() {
                "--cert" => args.certificate = Some(value()?.into()),
                "--key" => args.key = Some(value()?.into()),
                "--ca" => args.authority = Some(value()?.into()),
                "--name" => args.name = Some(value()?.clone()),
                "--auth" => args.auth = true,
                "--raw" => args.raw = true,
                "--no-tickets" => args.tickets = false,
                "--sessions" => args.sessions = value()?.parse()?,
                other => return Err(format!("there is no {other}").into()),
            }
        }
        Ok(args)
    }

    /// The socket and, for a client, where the server is.
    pub fn open(&self) -> io::Result<Net> {
        let socket = if self.server {
            let socket = UdpSocket::bind(self.address)?;
            println!("listening on {}", socket.local_addr()?);
            socket
        } else {
            UdpSocket::bind("127.0.0.1:0")?
        };
        socket.set_read_timeout(Some(TICK))?;
        Ok(Net {
            socket,
            remote: (!self.server).then_some(self.address),
        })
    }
}

/// How long a read waits, so that the loops around it do not spin.
const TICK: Duration = Duration::from_millis(5);

/// The socket and where the other end is.
pub struct Net {
    pub socket: UdpSocket,
    pub remote: Option<SocketAddr>,
}

impl Net {
    /// One datagram, if one comes soon. A server answers to where the newest came from: good enough for a test.
    pub fn receive(&mut self, buf: &mut [u8]) -> Option<usize> {
        let (len, from) = self.socket.recv_from(buf).ok()?;
        self.remote = Some(from);
        Some(len)
    }

    /// Sends one.
    pub fn send(&self, datagram: &[u8]) -> Option<usize> {
        self.socket.send_to(datagram, self.remote?).ok()
    }

    /// Waits for somebody to come, without taking the datagram.
    pub fn await_client(&mut self) -> SocketAddr {
        loop {
            if let Ok((_, from)) = self.socket.peek_from(&mut [0; 1]) {
                self.remote = Some(from);
                return from;
            }
        }
    }
}

/// What is typed, line by line; disconnected at the end of input.
pub fn typed() -> Receiver<String> {
    let (tell, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Why a conversation ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The other end said goodbye.
    Closed,
    /// The input ended.
    Done,
    /// [`AGAIN`] was typed.
    Again,
}

/// What stands for nothing in `cid=`, and what for the rest.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}
