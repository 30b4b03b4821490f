//! The network between a client and a server, in user space.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What happens to datagrams on their way, each as a chance in a thousand. The same seed does the same to the same
/// sequence of datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    /// Where the chances begin.
    pub seed: u64,
    /// Lost.
    pub loss: u16,
    /// Sent twice.
    pub duplicate: u16,
    /// Held back, so that later ones overtake.
    pub reorder: u16,
    /// How long every datagram takes.
    pub delay: Duration,
    /// Longer datagrams are lost, in bytes of UDP payload; 0 for none.
    pub limit: usize,
}

impl Link {
    /// 10 % lost, 5 % twice, 10 % out of order: a bad radio link.
    pub fn bad(seed: u64) -> Self {
        Self {
            seed,
            loss: 100,
            duplicate: 50,
            reorder: 100,
            delay: Duration::from_millis(5),
            limit: 0,
        }
    }
}

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// A datagram that came to the relay, whatever became of it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which way it went.
    pub direction: Direction,
    /// All of it.
    pub bytes: Vec<u8>,
    /// The link lost it.
    pub lost: bool,
}

impl Seen {
    /// The content type of its first record (RFC 6347 §4.1): 20 change cipher spec, 21 alert, 22 handshake, 23
    /// application data, 25 with connection ID.
    pub fn content_type(&self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }
}

/// Held-back datagrams, the next one on top.
type Queue = BinaryHeap<Reverse<(Instant, u64, Direction, Vec<u8>)>>;

struct State {
    link: Link,
    random: u64,
    client: Option<SocketAddr>,
    upstream: Arc<UdpSocket>,
    queue: Queue,
    queued: u64,
    seen: Vec<Seen>,
}

/// Forwards datagrams between one client and one server, as a NAT on a bad link would.
pub struct Relay {
    address: SocketAddr,
    server: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// How often held-back datagrams are looked at.
const TICK: Duration = Duration::from_millis(2);
const HELD_BACK: Duration = Duration::from_millis(40);

impl Relay {
    /// Starts a relay to `server`.
    pub fn start(server: SocketAddr, link: Link) -> Self {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free UDP port"));
        front.set_read_timeout(Some(TICK)).expect("a time-out");
        let address = front.local_addr().expect("bound");
        let state = Arc::new(Mutex::new(State {
            link,
            random: link.seed,
            client: None,
            upstream: upstream(server),
            queue: Queue::new(),
            queued: 0,
            seen: Vec::new(),
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let run = |step: fn(&UdpSocket, &Mutex<State>, &mut [u8])| {
            let (front, state, stop) = (Arc::clone(&front), Arc::clone(&state), Arc::clone(&stop));
            thread::spawn(move || {
                let mut buf = vec![0; 65_536];
                while !stop.load(Ordering::Relaxed) {
                    step(&front, &state, &mut buf);
                    lock(&state).deliver(&front);
                }
            })
        };
        Self {
            address,
            server,
            threads: vec![run(from_client), run(from_server)],
            state,
            stop,
        }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Goes on from another port, as a NAT does that has forgotten the client: what the server still sends to the old
    /// one is lost. Returns the new address that the server sees.
    pub fn rebind(&self) -> SocketAddr {
        let mut state = lock(&self.state);
        // The old socket lives until the new one is there, so that it gets another port.
        state.upstream = upstream(self.server);
        state.upstream.local_addr().expect("bound")
    }

    /// Changes the link from now on.
    pub fn set_link(&self, link: Link) {
        let mut state = lock(&self.state);
        state.link = link;
        state.random = link.seed;
    }

    /// All that came so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state).seen.clone()
    }

    /// Sends `datagram` to the server in the client's name: what an attacker on the path does.
    pub fn inject(&self, datagram: &[u8]) {
        let upstream = Arc::clone(&lock(&self.state).upstream);
        let _ = upstream.send(datagram);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        if thread::panicking() {
            for seen in self.seen() {
                let lost = if seen.lost { "lost" } else { "" };
                let (len, content) = (seen.bytes.len(), seen.content_type());
                eprintln!("{:?} {len} bytes, type {content} {lost}", seen.direction);
            }
        }
    }
}

impl State {
    /// True with `chance` in a thousand (splitmix64).
    fn happens(&mut self, chance: u16) -> bool {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % 1000 < u64::from(chance)
    }

    fn take(&mut self, direction: Direction, datagram: &[u8]) {
        let link = self.link;
        // Drawn in any case, so that one outcome does not shift the others.
        let too_long = link.limit != 0 && datagram.len() > link.limit;
        let lost = self.happens(link.loss) || too_long;
        let twice = self.happens(link.duplicate);
        let late = self.happens(link.reorder);
        self.seen.push(Seen {
            direction,
            bytes: datagram.into(),
            lost,
        });
        if lost {
            return;
        }
        let mut at = Instant::now() + link.delay;
        if late {
            at += HELD_BACK;
        }
        for _ in 0..=usize::from(twice) {
            // The counter keeps those of one instant in order.
            self.queued += 1;
            let entry = (at, self.queued, direction, datagram.into());
            self.queue.push(Reverse(entry));
        }
    }

    fn deliver(&mut self, front: &UdpSocket) {
        let now = Instant::now();
        while let Some(next) = self.queue.peek()
            && next.0.0 <= now
            && let Some(Reverse((_, _, direction, datagram))) = self.queue.pop()
        {
            // A closed port at either end is as good as a lost datagram.
            let _ = match (direction, self.client) {
                (Direction::Up, _) => self.upstream.send(&datagram),
                (Direction::Down, Some(client)) => front.send_to(&datagram, client),
                (Direction::Down, None) => Ok(0),
            };
        }
    }
}

fn from_client(front: &UdpSocket, state: &Mutex<State>, buf: &mut [u8]) {
    if let Ok((len, from)) = front.recv_from(buf) {
        let mut state = lock(state);
        state.client = Some(from);
        state.take(Direction::Up, &buf[..len]);
    }
}

fn from_server(_: &UdpSocket, state: &Mutex<State>, buf: &mut [u8]) {
    let upstream = Arc::clone(&lock(state).upstream);
    match upstream.recv(buf) {
        Ok(len) => lock(state).take(Direction::Down, &buf[..len]),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => thread::sleep(TICK),
        Err(_) => {}
    }
}

fn upstream(server: SocketAddr) -> Arc<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free UDP port");
    socket.connect(server).expect("an address to send to");
    socket.set_read_timeout(Some(TICK)).expect("a time-out");
    Arc::new(socket)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no panic holds it")
}
