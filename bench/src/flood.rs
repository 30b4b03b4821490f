//! A flood of hellos, each from another source address on loopback.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lockgate_dtls::{CipherSuite, Datagram, Instant as EngineInstant};
use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};

use crate::loopback::{endpoint, endpoint_config, path};

/// Lengths of the headers of a record and of a handshake message (RFC 6347 §4.1, §4.2.2).
const RECORD_HEADER: usize = 13;
const MESSAGE_HEADER: usize = 12;
/// Where a hello's random value stands, behind both headers and the version.
const RANDOM: usize = RECORD_HEADER + MESSAGE_HEADER + 2;
/// How often the flood goes on.
const BEAT: Duration = Duration::from_millis(1);

/// Real hellos to one server.
pub struct Hellos {
    /// The first, without a cookie.
    pub first: Vec<u8>,
    /// The second, with the cookie that the server has asked for.
    pub second: Vec<u8>,
    /// The socket whose cookie that is. The server has not seen the second yet.
    pub socket: UdpSocket,
}

impl Hellos {
    /// Asks `server` for a cookie.
    pub fn of(server: SocketAddr, suite: CipherSuite) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        let now = EngineInstant::default();
        let mut client = endpoint(endpoint_config(false, suite, true));
        client
            .connect(now, path(0), b"")
            .map_err(io::Error::other)?;
        let mut buf = vec![0; 2048];
        let mut hello = |client: &mut lockgate_dtls::Endpoint<_>| {
            let sent = client.poll_transmit(now, &mut buf);
            let sent = sent.ok_or_else(|| io::Error::other("there is no hello"))?;
            Ok::<_, io::Error>(buf[..sent.len].to_vec())
        };
        let first = hello(&mut client)?;
        socket.send(&first)?;
        let mut answer = [0; 2048];
        let len = socket.recv(&mut answer)?;
        let mut answer = Datagram::new(&mut answer[..len]);
        while client.handle(now, path(0), &mut answer).is_some() {}
        let second = hello(&mut client)?;
        Ok(Self {
            first,
            second,
            socket,
        })
    }
}

/// What the flood consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Hellos without a cookie.
    Plain,
    /// Hellos with a cookie of another address.
    WrongCookie,
    /// The first half of a hello, and never the second.
    Halves,
}

impl Kind {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "hellos without cookie",
            Self::WrongCookie => "hellos with another's cookie",
            Self::Halves => "first halves of hellos",
        }
    }

    fn datagram(self, hellos: &Hellos) -> Vec<u8> {
        match self {
            Self::Plain => hellos.first.clone(),
            Self::WrongCookie => hellos.second.clone(),
            Self::Halves => first_half(&hellos.first),
        }
    }
}

/// Cuts a message of one record: the lengths of the record and of the fragment change, that of the message does not.
fn first_half(hello: &[u8]) -> Vec<u8> {
    let body = (hello.len() - RECORD_HEADER - MESSAGE_HEADER) / 2;
    let mut half = hello[..RECORD_HEADER + MESSAGE_HEADER + body].to_vec();
    let record = (MESSAGE_HEADER + body) as u16;
    half[RECORD_HEADER - 2..RECORD_HEADER].copy_from_slice(&record.to_be_bytes());
    let fragment = &(body as u32).to_be_bytes()[1..];
    half[RECORD_HEADER + 9..RECORD_HEADER + MESSAGE_HEADER].copy_from_slice(fragment);
    half
}

/// A flood under way, in a thread.
pub struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<io::Result<()>>>,
    begun: Instant,
}

impl Flood {
    /// Sends so many a second to `server`, each from another address of 127.0.0.0/8 and with another random value.
    pub fn start(
        server: SocketAddrV4,
        kind: Kind,
        hellos: &Hellos,
        per_second: u32,
    ) -> io::Result<Self> {
        let datagram = kind.datagram(hellos);
        // What the server answers comes here, and is lost once the buffer is full.
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            run(&socket, server, datagram, per_second, &stopped, &count)
        });
        Ok(Self {
            stop,
            sent,
            thread: Some(thread),
            begun: Instant::now(),
        })
    }

    /// Ends it: how many were sent, and how many a second.
    pub fn stop(mut self) -> io::Result<(u64, f64)> {
        self.stop.store(true, Ordering::Relaxed);
        let took = self.begun.elapsed().as_secs_f64();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            ended.map_err(|_| io::Error::other("the flood has panicked"))??;
        }
        let sent = self.sent.load(Ordering::Relaxed);
        Ok((sent, sent as f64 / took))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn run(
    socket: &UdpSocket,
    server: SocketAddrV4,
    mut datagram: Vec<u8>,
    per_second: u32,
    stop: &AtomicBool,
    count: &AtomicU64,
) -> io::Result<()> {
    let to = SockaddrIn::from(server);
    let begun = Instant::now();
    let mut sent = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let due = (begun.elapsed().as_micros() * u128::from(per_second) / 1_000_000) as u64;
        // Who was held up does not make up for all of it at once: that would be another, worse flood.
        sent = sent.max(due.saturating_sub(u64::from(per_second) / 100));
        while sent < due {
            // Steps by an odd number visit all addresses before one comes again.
            let number = (sent as u32).wrapping_mul(0x9E37_79B1);
            let source = Ipv4Addr::from(0x7F00_0000 | (number >> 8).max(2));
            datagram[RANDOM..RANDOM + 4].copy_from_slice(&number.to_be_bytes());
            let from = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from(source).to_be(),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            let bytes = [IoSlice::new(&datagram)];
            let control = [ControlMessage::Ipv4PacketInfo(&from)];
            let flags = MsgFlags::empty();
            sendmsg(socket.as_raw_fd(), &bytes, &control, flags, Some(&to))?;
            sent += 1;
            count.fetch_add(1, Ordering::Relaxed);
        }
        std::thread::sleep(BEAT);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_hello_says_how_long_it_is_and_how_long_the_whole() {
        let mut hello = vec![0; RECORD_HEADER + MESSAGE_HEADER + 100];
        hello[12] = 112;
        hello[RECORD_HEADER + 3] = 100;
        hello[RECORD_HEADER + 11] = 100;
        let half = first_half(&hello);
        assert_eq!(half.len(), RECORD_HEADER + MESSAGE_HEADER + 50);
        assert_eq!(half[11..13], [0, 62]);
        assert_eq!(half[RECORD_HEADER + 1..RECORD_HEADER + 4], [0, 0, 100]);
        assert_eq!(half[RECORD_HEADER + 9..RECORD_HEADER + 12], [0, 0, 50]);
    }
}
