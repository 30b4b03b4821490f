//! Resident memory of a server's endpoint, as a slope, measured in a process of its own so that it is the server's
//! alone, the C heap included.
//!
//! The parent plays all clients and speaks to the child over its standard streams: datagrams in, datagrams out.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use std::sync::Arc;

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::crypto::NamedGroup;
use lockgate_dtls::{
    Association, CipherSuite, Datagram, Endpoint, EndpointConfig, Event, Instant, Received, Role,
};

use crate::counting::allocations;
use crate::loopback::{endpoint, endpoint_config, path, proving_config};
use crate::machine::resident;
use crate::papers::{Caller, Papers, Proof};
use crate::report::{Row, Section};

/// A datagram of peer `n`, in either direction: `D n length bytes`.
const DATAGRAM: u8 = b'D';
/// The parent wants all answers; the child ends them with the same byte and [`Figures`].
const FLUSH: u8 = b'F';

/// Clients that shake hands at the same time: few, so that what handshakes leave behind is not taken for sessions.
const AT_ONCE: u32 = 64;

/// How the child's server is set up.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ServerOptions {
    /// Give out connection IDs of 8 bytes.
    #[arg(long)]
    cid: bool,
    /// Certificates of both ends instead of a pre-shared key.
    #[arg(long)]
    certificates: bool,
    /// Leave every key request unanswered.
    #[arg(long)]
    withhold_keys: bool,
}

/// What the child says of itself.
#[derive(Clone, Copy, Debug)]
struct Figures {
    resident: u64,
    allocations: u64,
    connections: u32,
    half_open: u32,
}

const SUITE: CipherSuite = CipherSuite::PSK_AES_128_GCM_SHA256;
const WITH_CERTIFICATES: CipherSuite = CipherSuite::ECDHE_ECDSA_AES_128_GCM_SHA256;

/// The options of an end, and who answers for it. The two ends know nothing of each other's authority, and do not ask.
fn end(role: Role, cid: bool, certificates: bool) -> (EndpointConfig, Caller) {
    let server = role == Role::Server;
    if certificates {
        let group = NamedGroup::SECP256R1;
        (
            proving_config(server, WITH_CERTIFICATES, cid, Proof::Mutual, group),
            Caller::new(role, Some(Arc::new(Papers::unchecked()))),
        )
    } else {
        (endpoint_config(server, SUITE, cid), Caller::new(role, None))
    }
}

/// The child: an endpoint that echoes, fed by standard input.
pub fn serve(options: ServerOptions) -> io::Result<()> {
    let (config, mut caller) = end(Role::Server, options.cid, options.certificates);
    let config = EndpointConfig {
        max_half_open: 1 << 20,
        max_half_open_per_address: 1 << 20,
        ..config
    };
    let mut server = endpoint(config);
    let now = Instant::default();
    let mut input = BufReader::new(io::stdin().lock());
    let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut answers = Vec::with_capacity(1 << 16);
    let (mut buf, mut out) = (vec![0; 2048], vec![0; 2048]);
    let mut allocated = 0;
    let mut kind = [0];
    while input.read(&mut kind)? == 1 {
        if kind[0] == FLUSH {
            output.write_all(&answers)?;
            answers.clear();
            output.write_all(&[FLUSH])?;
            output.write_all(&resident().to_le_bytes())?;
            output.write_all(&u64::to_le_bytes(allocated))?;
            output.write_all(&server.connections().to_le_bytes())?;
            output.write_all(&server.half_open().to_le_bytes())?;
            output.flush()?;
            continue;
        }
        let (n, len) = read_datagram(&mut input, &mut buf)?;
        let before = allocations();
        let mut datagram = Datagram::new(&mut buf[..len]);
        while let Some(received) = server.handle(now, path(n), &mut datagram) {
            match received {
                Received::Application {
                    connection,
                    payload,
                } => {
                    let payload = &datagram.bytes()[payload];
                    if let Ok((record, _)) = server.send(connection, payload, &mut out) {
                        write_datagram(&mut answers, n, &out[record])?;
                    }
                }
                Received::Reply(range) => {
                    write_datagram(&mut answers, n, &datagram.bytes()[range])?;
                }
                Received::Progress(_) | Received::Kept | Received::Dropped { .. } => {}
            }
        }
        while let Some((handle, event)) = server.poll_event() {
            if !(matches!(event, Event::PskRequested) && options.withhold_keys) {
                caller.answer(&mut server, now, handle, event);
            }
        }
        // All of them go to the peer that was just heard: no time passes, so nobody else has anything to say.
        while let Some(sent) = server.poll_transmit(now, &mut out) {
            write_datagram(&mut answers, n, &out[..sent.len])?;
        }
        allocated += allocations() - before;
    }
    Ok(())
}

fn write_datagram(to: &mut impl Write, n: u32, bytes: &[u8]) -> io::Result<()> {
    to.write_all(&[DATAGRAM])?;
    to.write_all(&n.to_le_bytes())?;
    to.write_all(&(bytes.len() as u16).to_le_bytes())?;
    to.write_all(bytes)
}

/// What follows [`DATAGRAM`]: the peer's number, and the length of what is in `buf` now.
fn read_datagram(from: &mut impl Read, buf: &mut [u8]) -> io::Result<(u32, usize)> {
    let n = u32::from_le_bytes(read_array(from)?);
    let len = usize::from(u16::from_le_bytes(read_array(from)?));
    let room = buf
        .get_mut(..len)
        .ok_or_else(|| io::Error::other("a datagram beyond the buffer"))?;
    from.read_exact(room)?;
    Ok((n, len))
}

fn read_array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The child as its parent sees it.
struct Server {
    child: Child,
    input: Option<BufWriter<ChildStdin>>,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start(options: ServerOptions) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("memory-server");
        for (option, on) in [
            ("--cid", options.cid),
            ("--certificates", options.certificates),
            ("--withhold-keys", options.withhold_keys),
        ] {
            if on {
                command.arg(option);
            }
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("no pipes"));
        };
        Ok(Self {
            child,
            input: Some(BufWriter::with_capacity(1 << 16, input)),
            output: BufReader::new(output),
        })
    }

    fn send(&mut self, n: u32, bytes: &[u8]) -> io::Result<()> {
        let input = self
            .input
            .as_mut()
            .ok_or_else(|| io::Error::other("ended"))?;
        write_datagram(input, n, bytes)
    }

    /// Hands all answers since the last time to `each`.
    fn flush(&mut self, mut each: impl FnMut(u32, &mut [u8])) -> io::Result<Figures> {
        let input = self
            .input
            .as_mut()
            .ok_or_else(|| io::Error::other("ended"))?;
        input.write_all(&[FLUSH])?;
        input.flush()?;
        let mut buf = [0; 2048];
        loop {
            match read_array::<1>(&mut self.output)?[0] {
                DATAGRAM => {
                    let (n, len) = read_datagram(&mut self.output, &mut buf)?;
                    each(n, &mut buf[..len]);
                }
                _ => {
                    return Ok(Figures {
                        resident: u64::from_le_bytes(read_array(&mut self.output)?),
                        allocations: u64::from_le_bytes(read_array(&mut self.output)?),
                        connections: u32::from_le_bytes(read_array(&mut self.output)?),
                        half_open: u32::from_le_bytes(read_array(&mut self.output)?),
                    });
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with its input; should it not, it is ended.
        drop(self.input.take());
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How far clients go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// A datagram there and its echo back.
    Echo,
    /// Silent after the server's first flight.
    AfterServerHello,
    /// All said but the server has not been given the key.
    AwaitKey,
}

/// Lets the clients `from..to` connect, some at a time, and forgets them at their own end.
fn clients(
    server: &mut Server,
    options: ServerOptions,
    from: u32,
    to: u32,
    goal: Goal,
) -> io::Result<Figures> {
    let now = Instant::default();
    let (config, mut caller) = end(Role::Client, options.cid, options.certificates);
    let mut client: Endpoint<AwsLc> = endpoint(config);
    let mut next = from;
    while next < to {
        let group = next..to.min(next + AT_ONCE);
        let mut handles = Vec::with_capacity(group.len());
        for n in group.clone() {
            let handle = client
                .connect(now, path(n), b"")
                .map_err(io::Error::other)?;
            handles.push(handle);
        }
        let mut buf = [0; 2048];
        let mut echoes = 0;
        for turn in 0..8 {
            if goal == Goal::AfterServerHello && turn == 2 {
                break;
            }
            while let Some(sent) = client.poll_transmit(now, &mut buf) {
                server.send(number(sent.path), &buf[..sent.len])?;
            }
            server.flush(|n, bytes| {
                let mut datagram = Datagram::new(bytes);
                while let Some(received) = client.handle(now, path(n), &mut datagram) {
                    echoes += usize::from(matches!(received, Received::Application { .. }));
                }
            })?;
            while let Some((handle, event)) = client.poll_event() {
                match event {
                    Event::Connected => {
                        let n = client.path(handle).map(number);
                        let (record, _) = client
                            .send(handle, &[0x5A; 64], &mut buf)
                            .map_err(io::Error::other)?;
                        server.send(n.unwrap_or(0), &buf[record])?;
                    }
                    event => caller.answer(&mut client, now, handle, event),
                }
            }
            if echoes == handles.len() {
                break;
            }
        }
        if goal == Goal::Echo && echoes != handles.len() {
            return Err(io::Error::other("a session carried no traffic"));
        }
        for handle in handles {
            client.discard(handle);
        }
        next = group.end;
    }
    server.flush(|_, _| {})
}

/// The peer whose path this is: the inverse of [`path`].
fn number(path: lockgate_dtls::UdpPath) -> u32 {
    match path.remote() {
        std::net::SocketAddr::V4(v4) => v4.ip().to_bits() - 0x0A00_0000,
        std::net::SocketAddr::V6(_) => 0,
    }
}

/// From how many, to how many.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The first reading.
    pub from: u32,
    /// The last reading.
    pub to: u32,
}

/// Bytes for each one between the two ends of `span`, and the highest such slope between ten readings on the way.
fn slope(
    span: Span,
    server: &mut Server,
    mut fill: impl FnMut(&mut Server, u32, u32) -> io::Result<Figures>,
) -> io::Result<(f64, Figures)> {
    let first = fill(server, 0, span.from)?;
    let last = fill(server, span.from, span.to)?;
    let bytes = last.resident as f64 - first.resident as f64;
    Ok((bytes / f64::from(span.to - span.from), last))
}

/// All of them.
pub fn measure(sessions: Span, half_open: Span, hellos: u32) -> io::Result<Section> {
    let mut rows = Vec::new();
    let options = |cid, certificates, withhold_keys| ServerOptions {
        cid,
        certificates,
        withhold_keys,
    };
    // Their handshakes take twenty times as long.
    let fewer = |span: Span, least: u32| Span {
        from: least,
        to: least + (span.to - span.from) / 5,
    };
    for (how, cid, certificates, sessions) in [
        ("CID", true, false, sessions),
        ("no CID", false, false, sessions),
        (
            "CID, hash of the client's key",
            true,
            true,
            fewer(sessions, 5000),
        ),
    ] {
        let options = options(cid, certificates, false);
        let mut server = Server::start(options)?;
        let (bytes, last) = slope(sessions, &mut server, |server, from, to| {
            clients(server, options, from, to, Goal::Echo)
        })?;
        check(last.connections == sessions.to && last.half_open == 0)?;
        rows.push(Row::new(format!("established session, {how}"), bytes, "bytes").at_most(1024.0));
    }
    let phases = [
        ("after ServerHelloDone", Goal::AfterServerHello, false),
        ("waiting for its key", Goal::AwaitKey, false),
        (
            "after ServerHelloDone, certificates of both",
            Goal::AfterServerHello,
            true,
        ),
    ];
    for (what, goal, certificates) in phases {
        let options = options(true, certificates, true);
        let half_open = if certificates {
            fewer(half_open, 500)
        } else {
            half_open
        };
        let mut server = Server::start(options)?;
        let (bytes, last) = slope(half_open, &mut server, |server, from, to| {
            clients(server, options, from, to, goal)
        })?;
        check(last.half_open == half_open.to)?;
        let row = Row::new(format!("half-open, {what}"), bytes, "bytes");
        rows.push(if certificates {
            row
        } else {
            row.at_most(4096.0)
        });
    }
    rows.extend(cookie_phase(hellos)?);
    let sizes = [
        ("size_of Association", size_of::<Association>()),
        ("size_of UdpPath", size_of::<lockgate_dtls::UdpPath>()),
    ];
    for (what, size) in sizes {
        rows.push(Row::new(what, size as f64, "bytes"));
    }
    Ok(Section {
        title: "Memory of a server's endpoint",
        rows,
        notes: vec![format!(
            "Slopes of resident memory in a process of the server's own, from {} to {} sessions, each of which has \
             carried a datagram both ways, and from {} to {} half-open handshakes; the C heap is in it. \
             `TLS_PSK_WITH_AES_128_GCM_SHA256`, key cache of 4,096 sessions, filled before the first reading.",
            sessions.from, sessions.to, half_open.from, half_open.to
        )],
    })
}

/// `hellos` clients, each from an address of its own, that never show a cookie.
fn cookie_phase(hellos: u32) -> io::Result<[Row; 2]> {
    let mut server = Server::start(ServerOptions {
        cid: true,
        certificates: false,
        withhold_keys: false,
    })?;
    let now = Instant::default();
    let mut client: Endpoint<AwsLc> = endpoint(endpoint_config(false, SUITE, true));
    let mut buf = [0; 2048];
    let mut answers = 0;
    let mut flood = |server: &mut Server, from: u32, to: u32| {
        let mut figures = server.flush(|_, _| {})?;
        for n in from..to {
            let handle = client
                .connect(now, path(n), b"")
                .map_err(io::Error::other)?;
            while let Some(sent) = client.poll_transmit(now, &mut buf) {
                server.send(n, &buf[..sent.len])?;
            }
            client.discard(handle);
            if n % AT_ONCE == 0 || n + 1 == to {
                figures = server.flush(|_, _| answers += 1)?;
            }
        }
        Ok::<_, io::Error>(figures)
    };
    // Buffers of the process and its pipes find their size in the first of them.
    let before = flood(&mut server, 0, 1000)?;
    let after = flood(&mut server, 1000, 1000 + hellos)?;
    check(answers == hellos + 1000 && after.connections == 0 && after.half_open == 0)?;
    let grown = after.resident as f64 - before.resident as f64;
    Ok([
        Row::new(
            format!("growth after {hellos} ClientHellos without cookie"),
            grown,
            "bytes",
        )
        .at_most(0.0),
        Row::new(
            format!("allocations by {hellos} ClientHellos without cookie"),
            (after.allocations - before.allocations) as f64,
            "",
        )
        .at_most(0.0),
    ])
}

fn check(as_expected: bool) -> io::Result<()> {
    if as_expected {
        Ok(())
    } else {
        Err(io::Error::other(
            "the server counts other sessions than its clients",
        ))
    }
}
