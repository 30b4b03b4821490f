//! Two endpoints, a link between them that the script rules, and what must hold whatever the script does.

use std::net::SocketAddr;
use std::time::Duration;

use lockgate_dtls::{
    CloseReason, ConnectionHandle, Datagram, Event, Instant, Received, Session, UdpPath,
};

use crate::end::{End, How};
use crate::options::Options;
use crate::{Script, Side};

/// Steps that one script may take.
const MAX_STEPS: usize = 200;
/// Datagrams that are remembered for repeating.
const MAX_HISTORY: usize = 64;

/// The two ends and their clock.
pub struct World {
    client: End,
    server: End,
    now: Instant,
    attacked: Side,
    options: Options,
    /// The ends let pass what should not: only panics, bounds and proofs are looked for.
    lenient: bool,
    history: Vec<Vec<u8>>,
    /// How many clients have begun.
    begun: u16,
    reached: Reached,
}

/// The address of device number `n`.
fn device(n: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, (n % 3) as u8 + 1], 40_000 + n % 5))
}

const SERVER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1)),
    5684,
);

/// How far a script got before everything was put in order again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Connections that the client has made.
    pub client_connected: u32,
    /// Connections that the server has made.
    pub server_connected: u32,
    /// How many of the server's went on with an earlier session.
    pub resumed: u32,
    /// How many of the server's peers have shown a certificate.
    pub named: u32,
}

/// Plays a script against one end, and then looks whether everything that was sound still is.
///
/// # Panics
/// When a promise is broken.
pub fn play(attacked: Side, script: &[u8]) -> Reached {
    let mut script = Script::new(script);
    let Some(options) = Options::read(&mut script) else {
        return Reached::default();
    };
    let mut world = World::new(attacked, options);
    world.connect(None);
    if options.starts_connected() {
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
    let reached = world.reached;
    world.epilogue();
    reached
}

/// The clear-text handshake messages, each with its type, of a connection with these options, and of one that goes on with
/// its session where that is possible.
///
/// # Panics
/// When the options leave something out.
pub fn clear_messages(options: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let options = Options::read(&mut Script::new(options)).expect("options");
    let mut world = World::new(Side::Server, options);
    world.connect(None);
    world.settle();
    if options.resumes() {
        world.abandon(true, true, 0);
        world.abandon(false, true, 0);
        world.connect_again(None).expect("a session");
        world.settle();
    }
    let mut messages = Vec::new();
    for datagram in &world.history {
        let mut rest = &datagram[..];
        while let [22, _, _, 0, 0, _, _, _, _, _, _, high, low, ..] = rest {
            let end = 13 + usize::from(u16::from_be_bytes([*high, *low]));
            let content = &rest[13..end];
            // Those in fragments are left out.
            if content[1..4] == content[9..12] {
                messages.push((content[0], content[12..].to_vec()));
            }
            rest = &rest[end..];
        }
    }
    messages
}

impl World {
    fn new(attacked: Side, options: Options) -> Self {
        Self {
            client: End::new(Side::Client, options),
            server: End::new(Side::Server, options),
            now: Instant::default(),
            attacked,
            options,
            lenient: !options.lenient().is_strict(),
            history: Vec::new(),
            begun: 0,
            reached: Reached::default(),
        }
    }

    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn connect(&mut self, session: Option<&Session>) {
        let server = UdpPath::from(SERVER);
        let name = self.options.server_name();
        let begun = self
            .client
            .endpoint
            .connect_with(self.now, server, name, session);
        if begun.is_ok() {
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
        match script.u8()? % 25 {
            0 | 1 => self.deliver_next(attacked),
            2 | 3 => self.deliver_next(attacked.other()),
            4 => {
                // The next genuine datagram, changed; the true one still comes.
                let (from, mut bytes) = self.peek(attacked)?;
                change(&mut bytes, script.bytes()?);
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
                let how = match answer >> 1 & 3 {
                    3 => How::Refuse,
                    2 if answer >= 0x80 => How::Wrong(script.u8()?),
                    1 if answer >= 0x80 => How::Other(script.u8()?),
                    _ => How::Right,
                };
                let now = self.now;
                let place = usize::from(answer >> 3 & 7);
                self.end(side).answer(now, place, how);
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
            18 => self.connect_again(None)?,
            19 => {
                // With a session that has been tampered with.
                let changes = script.bytes()?;
                self.connect_again(Some(changes))?;
            }
            20 => self.tell_of_the_path(script.u8()?, script.u16()?),
            21 => {
                let n = script.u8()?;
                self.abandon(n & 1 == 0, n & 2 == 0, n >> 2);
            }
            22 => self.fragment(script)?,
            23 => {
                // What came first comes last.
                let inbox = &mut self.end(attacked).inbox;
                inbox.rotate_left(1.min(inbox.len()));
            }
            _ => self.connect(None),
        }
        self.collect();
        Some(())
    }

    /// A client that goes on with the newest session that it has.
    fn connect_again(&mut self, changes: Option<&[u8]>) -> Option<()> {
        let mut session = self.client.sessions.back()?.clone();
        if let Some(changes) = changes {
            let mut bytes = session.as_bytes().to_vec();
            change(&mut bytes, changes);
            session = Session::from_bytes(&bytes)?;
        }
        self.connect(Some(&session));
        Some(())
    }

    /// An ICMP message, or a caller that knows the path.
    fn tell_of_the_path(&mut self, n: u8, value: u16) {
        let end = self.end(self.attacked);
        let all: Vec<_> = end.endpoint.handles().collect();
        let Some(&handle) = all.get(usize::from(n >> 1) % all.len().max(1)) else {
            return;
        };
        if n & 1 == 0 {
            let _ = end.endpoint.set_mtu(handle, usize::from(value));
        } else {
            let timeout = Duration::from_millis(u64::from(value));
            let _ = end.endpoint.set_initial_timeout(handle, timeout);
        }
    }

    /// A caller that ends a connection, whatever state it is in.
    fn abandon(&mut self, ours: bool, quietly: bool, n: u8) {
        let side = if ours {
            self.attacked
        } else {
            self.attacked.other()
        };
        let end = self.end(side);
        let mut all: Vec<_> = end.endpoint.handles().collect();
        all.sort();
        let Some(&handle) = all.get(usize::from(n) % all.len().max(1)) else {
            return;
        };
        if quietly {
            end.endpoint.discard(handle);
            end.forget(handle);
            end.asked.retain(|(asked, _)| *asked != handle);
            if let Some(secret) = end.established.remove(&handle) {
                end.ended.insert(secret);
            }
        } else {
            end.endpoint
                .abort(handle, lockgate_dtls::wire::AlertDescription(80));
        }
    }

    /// A clear-text handshake message that was seen, in two or three pieces, from wherever.
    fn fragment(&mut self, script: &mut Script<'_>) -> Option<()> {
        let record = self.remembered(script.u8()?)?.to_vec();
        let (flags, at) = (script.u8()?, script.u16()?);
        if record.len() < 26 || record[0] != 22 || record[3..5] != [0, 0] {
            return Some(());
        }
        let header: [u8; 12] = *record[13..].first_chunk()?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let body = record.get(25..25 + length).unwrap_or(&record[25..]);
        let at = usize::from(at) % (body.len() + 1);
        let second = if flags & 1 == 0 { at } else { at / 2 };
        let pieces = [(0, &body[..at]), (second, &body[second..])];
        let from = match flags >> 1 & 3 {
            0 => self.other_end(),
            n => device(u16::from(n)),
        };
        let mut datagram = Vec::new();
        for (i, (offset, piece)) in pieces.into_iter().enumerate() {
            if flags & (8 << i) != 0 {
                continue;
            }
            let mut content = header[..6].to_vec();
            content.extend(&(offset as u32).to_be_bytes()[1..]);
            content.extend(&(piece.len() as u32).to_be_bytes()[1..]);
            content.extend(piece);
            datagram.extend(&record[..10]);
            datagram.push(flags);
            datagram.extend((content.len() as u16).to_be_bytes());
            datagram.extend(content);
            // Each on its own, or all in one.
            if flags & 0x20 == 0 {
                self.forge(from, &std::mem::take(&mut datagram));
            }
        }
        if !datagram.is_empty() {
            self.forge(from, &datagram);
        }
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
                end.note(handle, &event);
                match event {
                    Event::Connected => {
                        let info = end.endpoint.info(handle);
                        match side {
                            Side::Client => self.reached.client_connected += 1,
                            Side::Server => {
                                self.reached.server_connected += 1;
                                let resumed = info.is_some_and(|i| i.resumed);
                                let named = info.is_some_and(|i| i.peer_key_hash.is_some());
                                self.reached.resumed += u32::from(resumed);
                                self.reached.named += u32::from(named);
                            }
                        }
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
                            CloseReason::Local | CloseReason::Aborted(_) => true,
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
                    let now = self.now;
                    self.end(side).answer(now, 0, How::Right);
                    self.collect();
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
        if self.options.is_tight() {
            // A handshake that does not fit is no fault.
            return;
        }
        // And both ends still do their work.
        self.connect(None);
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

/// Changes single bytes, three bytes of instruction each.
pub fn change(bytes: &mut [u8], changes: &[u8]) {
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]]));
        let len = bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at % len) {
            *byte ^= change[2];
        }
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
