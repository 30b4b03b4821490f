//! The reference of the whole: the plainest UDP relay that keeps clients apart, with the proxy's socket layout.
//!
//! One thread, one epoll; one `recvfrom` and one `sendto` for each datagram and nothing else, one upstream socket for
//! each client, connected to the backend. It knows no encryption, no time-outs and no end.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};

use crate::epoll::{Epoll, Ready};

/// How many clients it takes: enough for a bench.
const MAX_CLIENTS: usize = 10_000;
/// The listening socket among the upstream sockets' numbers.
const LISTENER: usize = usize::MAX;
/// How many datagrams are taken from the listening socket before the others have their turn.
const BURST: usize = 64;

/// Relays between clients of `bind` and the server at `connect` until the process is ended.
pub fn run(bind: SocketAddr, connect: SocketAddr) -> io::Result<()> {
    let listener = UdpSocket::bind(bind)?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new()?;
    epoll.add(&listener, LISTENER)?;
    let mut numbers = HashMap::new();
    let mut clients: Vec<(SocketAddr, UdpSocket)> = Vec::new();
    let mut buf = vec![0; 65_536];
    let mut ready = Ready::new();
    loop {
        for number in epoll.wait(&mut ready, None)? {
            if number != LISTENER {
                let (client, upstream) = &clients[number];
                // A datagram that cannot be sent is lost, as datagrams are; so is one that an ICMP error stands for.
                if let Ok(len) = upstream.recv(&mut buf) {
                    let _ = listener.send_to(&buf[..len], client);
                }
                continue;
            }
            for _ in 0..BURST {
                let (len, from) = match listener.recv_from(&mut buf) {
                    Ok(received) => received,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => continue,
                };
                let number = match numbers.get(&from) {
                    Some(number) => *number,
                    None if clients.len() == MAX_CLIENTS => continue,
                    None => {
                        let upstream = UdpSocket::bind(unspecified(connect))?;
                        upstream.connect(connect)?;
                        upstream.set_nonblocking(true)?;
                        epoll.add(&upstream, clients.len())?;
                        numbers.insert(from, clients.len());
                        clients.push((from, upstream));
                        clients.len() - 1
                    }
                };
                let _ = clients[number].1.send(&buf[..len]);
            }
        }
    }
}

fn unspecified(like: SocketAddr) -> SocketAddr {
    match like {
        SocketAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0; 16], 0)),
    }
}
