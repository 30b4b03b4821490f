//! Two endpoints, a link between them that the script rules, and what must hold whatever the script does.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use lockgate_dtls::{
    CidConfig, CipherSuite, CloseReason, Config, ConnectionHandle, Datagram, Endpoint,
    EndpointConfig, Event, Instant, Padding, Received, SuiteList, UdpPath,
};

use crate::{FuzzProvider, Script};

const IDENTITY: &[u8] = b"device-01";
const KEY: &[u8] = b"0123456789abcdef";
/// Steps that one script may take.
const MAX_STEPS: usize = 200;
/// Datagrams that are remembered for repeating.
const MAX_HISTORY: usize = 64;
const MAX_CONNECTIONS: u32 = 8;
const MAX_HALF_OPEN: u32 = 4;
const MAX_HALF_OPEN_PER_ADDRESS: u32 = 2;

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that connects.
    Client,
    /// The one that answers.
    Server,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// One end and what it has told.
struct End {
    endpoint: Endpoint<FuzzProvider, UdpPath>,
    /// Connections that are established, with a secret that the two ends of one share.
    established: HashMap<ConnectionHandle, [u8; 16]>,
    /// Key requests that wait for the script.
    asked: VecDeque<ConnectionHandle>,
    /// Connections that we ended ourselves, with the secret that they had.
    ended: HashSet<[u8; 16]>,
    /// Genuine datagrams on their way here, with the address they come from.
    inbox: VecDeque<(SocketAddr, Vec<u8>)>,
    delivered: Vec<(ConnectionHandle, Vec<u8>)>,
}

/// The two ends and their clock.
pub struct World {
    client: End,
    server: End,
    now: Instant,
    attacked: Side,
    /// The attacked end opens anything: only panics and bounds are looked for.
    lenient: bool,
    history: Vec<Vec<u8>>,
    /// How many clients have begun.
    begun: u16,
}

/// The address of device number `n`.
fn device(n: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, (n % 3) as u8 + 1], 40_000 + n % 5))
}

const SERVER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1)),
    5684,
);

impl End {
    fn new(seed: u64, lenient: bool, config: EndpointConfig) -> Self {
        let provider = FuzzProvider::new(seed, lenient);
        Self {
            endpoint: Endpoint::new(provider, Instant::default(), config).expect("valid options"),
            established: HashMap::new(),
            asked: VecDeque::new(),
            ended: HashSet::new(),
            inbox: VecDeque::new(),
            delivered: Vec::new(),
        }
    }

    fn check_bounds(&self) {
        assert!(self.endpoint.connections() <= MAX_CONNECTIONS);
        assert!(self.endpoint.half_open() <= MAX_HALF_OPEN);
        assert_eq!(
            self.endpoint.handles().count(),
            self.endpoint.connections() as usize
        );
    }
}

/// Options of both ends, from one byte of the script.
fn config(server: bool, choice: u8) -> EndpointConfig {
    let suites = [
        CipherSuite::PSK_AES_128_CCM_8,
        CipherSuite::PSK_AES_128_GCM_SHA256,
        CipherSuite::PSK_CHACHA20_POLY1305_SHA256,
        CipherSuite::PSK_AES_256_GCM_SHA384,
    ];
    EndpointConfig {
        server,
        cookies: choice & 4 == 0,
        max_connections: MAX_CONNECTIONS,
        max_half_open: MAX_HALF_OPEN,
        max_half_open_per_address: MAX_HALF_OPEN_PER_ADDRESS,
        // So few that keys are expanded again all the time.
        key_cache: 2,
        config: Config {
            cipher_suites: SuiteList::new(&[suites[usize::from(choice & 3)]]),
            cid: match (choice >> 3 & 3, server) {
                (0, _) => CidConfig::Length(8),
                (1, true) => CidConfig::Length(20),
                (1, false) => CidConfig::Length(0),
                (2, true) => CidConfig::Length(0),
                (2, false) => CidConfig::Length(9),
                _ => CidConfig::Off,
            },
            padding: if choice & 0x20 == 0 {
                Padding::None
            } else {
                Padding::Multiple(std::num::NonZeroU8::new(16).expect("not zero"))
            },
            // Small, so that flights fall into fragments.
            mtu: if choice & 0x40 == 0 { 1200 } else { 256 },
            ..Config::default()
        },
        ..EndpointConfig::default()
    }
}

/// Plays a script against one end, and then looks whether everything that was sound still is.
pub fn play(attacked: Side, script: &[u8]) {
    let mut script = Script::new(script);
    let (Some(choice), Some(mode)) = (script.u8(), script.u8()) else {
        return;
    };
    let lenient = mode & 1 != 0;
    let mut world = World {
        client: End::new(1, lenient, config(false, choice)),
        server: End::new(2, lenient, config(true, choice)),
        now: Instant::default(),
        attacked,
        lenient,
        history: Vec::new(),
        begun: 0,
    };
    world.connect();
    if mode & 2 != 0 {
        // Straight to an established session: most of an endpoint's life.
        world.settle();
    }
    for _ in 0..MAX_STEPS {
        if world.step(&mut script).is_none() {
            break;
        }
        world.client.check_bounds();
        world.server.check_bounds();
    }
    world.epilogue();
}

impl World {
    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn connect(&mut self) {
        let server = UdpPath::from(SERVER);
        if self
            .client
            .endpoint
            .connect(self.now, server, b"gateway.example")
            .is_ok()
        {
            self.begun += 1;
        }
        self.collect();
    }

    /// The address that the client's datagrams come from.
    fn client_address(&self) -> SocketAddr {
        device(0)
    }

    /// One instruction.
    fn step(&mut self, script: &mut Script<'_>) -> Option<()> {
        let attacked = self.attacked;
        match script.u8()? % 18 {
            0 | 1 => self.deliver_next(attacked),
            2 | 3 => self.deliver_next(attacked.other()),
            4 => {
                // The next genuine datagram, changed; the true one still comes.
                let (from, mut bytes) = self.peek(attacked)?;
                for change in script.bytes()?.chunks_exact(3) {
                    let at = usize::from(u16::from_be_bytes([change[0], change[1]]));
                    let len = bytes.len().max(1);
                    if let Some(byte) = bytes.get_mut(at % len) {
                        *byte ^= change[2];
                    }
                }
                self.forge(from, &bytes);
            }
            5 => {
                let (from, bytes) = self.peek(attacked)?;
                let len = usize::from(script.u16()?) % (bytes.len() + 1);
                self.forge(from, &bytes[..len]);
            }
            6 => {
                let bytes = self.remembered(script.u8()?)?.to_vec();
                let from = self.other_end();
                self.forge(from, &bytes);
            }
            7 => {
                // The same from another address.
                let bytes = self.remembered(script.u8()?)?.to_vec();
                let from = device(u16::from(script.u8()?));
                self.forge(from, &bytes);
            }
            8 => {
                let bytes = script.bytes()?.to_vec();
                let from = self.other_end();
                self.forge(from, &bytes);
            }
            9 => {
                // A clear-text record with a handshake message of the script's.
                let record = clear_record(script)?;
                let from = self.other_end();
                self.forge(from, &record);
            }
            10 => {
                // The head of one datagram and the tail of another.
                let head = self.remembered(script.u8()?)?.to_vec();
                let tail = self.remembered(script.u8()?)?.to_vec();
                let at = usize::from(script.u16()?) % (head.len() + 1);
                let from_at = usize::from(script.u16()?) % (tail.len() + 1);
                let spliced = [&head[..at], &tail[from_at..]].concat();
                let from = self.other_end();
                self.forge(from, &spliced);
            }
            11 => {
                self.now = self.now + Duration::from_millis(1 << (script.u8()? % 18));
                self.client.endpoint.handle_timeout(self.now);
                self.server.endpoint.handle_timeout(self.now);
            }
            12 => {
                let answer = script.u8()?;
                let side = if answer & 1 == 0 {
                    attacked
                } else {
                    attacked.other()
                };
                self.answer(side, answer & 6 != 6);
            }
            13 => {
                let (n, len) = (script.u8()?, script.u8()?);
                self.say(attacked.other(), n, usize::from(len));
            }
            14 => {
                let (n, len) = (script.u8()?, script.u8()?);
                self.say(attacked, n, usize::from(len));
            }
            15 => {
                self.end(attacked).inbox.pop_front();
            }
            16 => {
                let n = script.u8()?;
                let side = if n & 1 == 0 {
                    attacked
                } else {
                    attacked.other()
                };
                self.close(side, n >> 1);
            }
            _ => self.connect(),
        }
        self.collect();
        Some(())
    }

    /// Where the attacked end's peer is.
    fn other_end(&self) -> SocketAddr {
        match self.attacked {
            Side::Client => SERVER,
            Side::Server => self.client_address(),
        }
    }

    fn peek(&mut self, side: Side) -> Option<(SocketAddr, Vec<u8>)> {
        self.end(side).inbox.front().cloned()
    }

    fn remembered(&self, n: u8) -> Option<&[u8]> {
        let len = self.history.len().max(1);
        self.history.get(usize::from(n) % len).map(Vec::as_slice)
    }

    fn deliver_next(&mut self, to: Side) {
        if let Some((from, bytes)) = self.end(to).inbox.pop_front() {
            self.deliver(to, from, bytes);
        }
    }

    /// Something that the peer did not send, or not now, or not from there.
    fn forge(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.deliver(self.attacked, from, bytes.to_vec());
    }

    fn deliver(&mut self, to: Side, from: SocketAddr, mut bytes: Vec<u8>) {
        let now = self.now;
        let whole = bytes.len();
        let end = self.end(to);
        let mut replies = Vec::new();
        let mut records = 0;
        let mut datagram = Datagram::new(&mut bytes);
        while let Some(received) = end.endpoint.handle(now, UdpPath::from(from), &mut datagram) {
            records += 1;
            assert!(records <= whole, "a datagram that does not end");
            match received {
                Received::Application {
                    connection,
                    payload,
                } => {
                    let payload = datagram.bytes()[payload].to_vec();
                    assert!(
                        end.established.contains_key(&connection)
                            || end.endpoint.info(connection).is_some(),
                        "application data of a connection that is not established"
                    );
                    end.delivered.push((connection, payload));
                }
                Received::Reply(range) => replies.push(datagram.bytes()[range].to_vec()),
                Received::Progress(_) | Received::Kept | Received::Dropped { .. } => {}
            }
        }
        let answered: usize = replies.iter().map(Vec::len).sum();
        assert!(answered <= whole, "an amplifier");
        for reply in replies {
            self.put(to, UdpPath::from(from), reply);
        }
        self.collect();
    }

    /// Sends what `from` has for `to`.
    fn put(&mut self, from: Side, to: UdpPath, bytes: Vec<u8>) {
        if self.history.len() < MAX_HISTORY {
            self.history.push(bytes.clone());
        }
        let source = match from {
            Side::Client => self.client_address(),
            Side::Server => SERVER,
        };
        // What goes to an address where nobody is, is lost.
        let arrives = match from {
            Side::Client => to.remote() == SERVER,
            Side::Server => to.remote() == self.client_address(),
        };
        let inbox = &mut self.end(from.other()).inbox;
        if arrives && inbox.len() < MAX_HISTORY {
            inbox.push_back((source, bytes));
        }
    }

    /// Takes out what both ends have to say.
    fn collect(&mut self) {
        for side in [Side::Client, Side::Server] {
            let (now, lenient, begun) = (self.now, self.lenient, self.begun);
            let (end, other) = match side {
                Side::Client => (&mut self.client, &self.server),
                Side::Server => (&mut self.server, &self.client),
            };
            let mut events = 0;
            while let Some((handle, event)) = end.endpoint.poll_event() {
                events += 1;
                assert!(events < 100, "events without end");
                match event {
                    Event::PskRequested => end.asked.push_back(handle),
                    Event::Connected => {
                        let mut secret = [0; 16];
                        let exported = end.endpoint.export_keying_material(
                            handle,
                            b"EXPERIMENTAL fuzz",
                            None,
                            &mut secret,
                        );
                        // It may have been closed by the same datagram.
                        if exported.is_ok() {
                            end.established.insert(handle, secret);
                        }
                    }
                    Event::Closed(reason) => {
                        let Some(secret) = end.established.remove(&handle) else {
                            continue;
                        };
                        // An end whose handshake noise has broken tells the other one that it is over.
                        let other_holds = other.established.values().any(|s| *s == secret);
                        let explained = match reason {
                            CloseReason::Local => true,
                            CloseReason::Replaced => begun > 1,
                            _ => false,
                        };
                        assert!(
                            lenient || explained || !other_holds,
                            "noise ended a session: {reason:?}"
                        );
                        end.ended.insert(secret);
                    }
                    _ => {}
                }
            }
            let mut buf = [0; 2048];
            let mut sent = Vec::new();
            while let Some(transmit) = end.endpoint.poll_transmit(now, &mut buf) {
                assert!(sent.len() < 200, "transmits without end");
                sent.push((transmit.path, buf[..transmit.len].to_vec()));
            }
            for (path, bytes) in sent {
                self.put(side, path, bytes);
            }
        }
    }

    /// Answers the oldest key request of an end.
    fn answer(&mut self, side: Side, known: bool) {
        let now = self.now;
        let end = self.end(side);
        let Some(handle) = end.asked.pop_front() else {
            return;
        };
        // The handshake may be over by now: then there is nobody to answer, which is an error and no more.
        let _ = match side {
            Side::Client => end.endpoint.provide_identity(now, handle, IDENTITY, KEY),
            Side::Server if known => end.endpoint.provide_psk(now, handle, KEY),
            Side::Server => end.endpoint.refuse_psk(now, handle),
        };
        self.collect();
    }

    fn nth_established(&mut self, side: Side, n: u8) -> Option<ConnectionHandle> {
        let mut all: Vec<_> = self.end(side).established.keys().copied().collect();
        all.sort();
        let len = all.len().max(1);
        all.get(usize::from(n) % len).copied()
    }

    /// A genuine datagram of application data.
    fn say(&mut self, side: Side, n: u8, len: usize) {
        let Some(handle) = self.nth_established(side, n) else {
            return;
        };
        let mut out = [0; 1024];
        let sent = self
            .end(side)
            .endpoint
            .send(handle, &vec![n; len], &mut out);
        if let Ok((record, path)) = sent {
            self.put(side, path, out[record].to_vec());
        }
    }

    fn close(&mut self, side: Side, n: u8) {
        if let Some(handle) = self.nth_established(side, n) {
            self.end(side).endpoint.close(handle);
        }
    }

    /// Lets everything that is genuine arrive and be answered.
    fn settle(&mut self) {
        for _ in 0..200 {
            for side in [Side::Client, Side::Server] {
                while !self.end(side).asked.is_empty() {
                    self.answer(side, true);
                }
                self.deliver_next(side);
            }
            if self.client.inbox.is_empty()
                && self.server.inbox.is_empty()
                && self.client.asked.is_empty()
                && self.server.asked.is_empty()
            {
                return;
            }
        }
    }

    /// What must hold at the end.
    fn epilogue(&mut self) {
        self.collect();
        if !self.lenient {
            self.check_sessions();
        }
        // Whatever began and was not finished is over after its time, and its place is free.
        for _ in 0..40 {
            self.now = self.now + Duration::from_secs(10);
            self.client.endpoint.handle_timeout(self.now);
            self.server.endpoint.handle_timeout(self.now);
            self.collect();
        }
        assert_eq!(
            self.server.endpoint.half_open(),
            0,
            "a handshake without end"
        );
        for end in [&mut self.client, &mut self.server] {
            end.asked.clear();
            end.inbox.clear();
            for handle in end.endpoint.handles().collect::<Vec<_>>() {
                let known = end.established.contains_key(&handle);
                assert!(
                    known || end.endpoint.info(handle).is_some(),
                    "a connection that is neither a handshake nor a session"
                );
                end.endpoint.discard(handle);
            }
            assert_eq!(end.endpoint.connections(), 0);
            end.established.clear();
        }
        // And both ends still do their work.
        self.connect();
        self.settle();
        assert_eq!(
            self.client.established.len(),
            1,
            "the client does not connect any more"
        );
        assert_eq!(
            self.server.established.len(),
            1,
            "the server does not answer any more"
        );
        self.lenient = false;
        self.check_sessions();
    }

    /// Every session that both ends hold carries data both ways, from where it was left.
    fn check_sessions(&mut self) {
        self.client.inbox.clear();
        self.server.inbox.clear();
        let mut pairs = Vec::new();
        for (client, secret) in &self.client.established {
            for (server, other) in &self.server.established {
                // A session that one end has closed says no more, whether or not the other has heard of it.
                let ended = [&self.client.ended, &self.server.ended];
                if secret == other && !ended.iter().any(|e| e.contains(secret)) {
                    pairs.push((*client, *server));
                }
            }
        }
        pairs.sort();
        for (client, server) in pairs {
            self.check_session(client, server);
        }
    }

    fn check_session(&mut self, client: ConnectionHandle, server: ConnectionHandle) {
        let mut out = [0; 1024];
        let sent = self.client.endpoint.send(client, b"still there?", &mut out);
        let (record, _) = sent.expect("an established client sends");
        let from = self.client_address();
        self.server.delivered.clear();
        self.deliver(Side::Server, from, out[record].to_vec());
        let arrived = [(server, b"still there?".to_vec())];
        assert_eq!(self.server.delivered, arrived, "a session was harmed");

        let sent = self.server.endpoint.send(server, b"as ever", &mut out);
        let (record, path) = sent.expect("an established server sends");
        assert_eq!(path, UdpPath::from(from), "a session lost its peer");
        self.client.delivered.clear();
        self.deliver(Side::Client, SERVER, out[record].to_vec());
        let arrived = [(client, b"as ever".to_vec())];
        assert_eq!(self.client.delivered, arrived, "a session was harmed");
    }
}

/// A record of epoch 0 or 1 with a handshake header that fits its body, unless the script wants otherwise.
fn clear_record(script: &mut Script<'_>) -> Option<Vec<u8>> {
    let flags = script.u8()?;
    let content_type = [22, 20, 21, 23, 25][usize::from(flags & 7) % 5];
    let sequence = script.u8()?;
    let msg_type = script.u8()?;
    let message_seq = script.u8()?;
    let body = script.bytes()?;
    let mut content = Vec::new();
    if content_type == 22 {
        let extra = if flags & 0x10 == 0 { 0 } else { script.u8()? };
        let offset = if flags & 0x20 == 0 { 0 } else { script.u8()? };
        let length = body.len() as u32 + u32::from(extra);
        content.push(msg_type);
        content.extend(&length.to_be_bytes()[1..]);
        content.extend([0, message_seq, 0, 0, offset]);
        content.extend(&(body.len() as u32).to_be_bytes()[1..]);
    }
    content.extend(body);
    let mut record = vec![content_type, 0xFE, 0xFD, 0, u8::from(flags & 8 != 0)];
    record.extend([0, 0, 0, 0, 0, sequence]);
    record.extend((content.len() as u16).to_be_bytes());
    record.extend(content);
    Some(record)
}
