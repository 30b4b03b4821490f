//! The kernel drops what strangers send to the pool's socket: a classic BPF program that the socket is bound with.
//!
//! All sessions share one receive buffer. Without the program, whoever can reach the pool's port could keep it full, and
//! what the backend sends would be lost before anybody has looked at who sent it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::libc::{self, sock_filter};
use socket2::{SockFilter, Socket};

/// Where offsets into the header of IP begin. Offset 0 is the first byte of the UDP header (which is not so for
/// programs that choose a socket of a group: there it is the first byte behind it).
const IP: u32 = libc::SKF_NET_OFF.cast_unsigned();
/// Where the source address is in an IPv4 header (RFC 791, section 3.1) and in an IPv6 header (RFC 8200, section 3).
const SOURCE_V4: u32 = IP + 12;
const SOURCE_V6: u32 = IP + 8;
/// Where the source port is in a UDP header (RFC 768).
const SOURCE_PORT: u32 = 0;

/// What the program returns: how many bytes of the datagram the socket gets.
const ALL: u32 = u32::MAX;
const NOTHING: u32 = 0;

/// The program that lets pass what comes from the address and port of `backend`.
///
/// Loads beyond the end end it with 0, which drops the datagram as well.
fn program(backend: SocketAddr) -> Vec<sock_filter> {
    let load = |size: u32, offset| (libc::BPF_LD | size | libc::BPF_ABS, offset);
    let mut tests = vec![(load(libc::BPF_H, SOURCE_PORT), u32::from(backend.port()))];
    match backend.ip() {
        IpAddr::V4(address) => tests.push((load(libc::BPF_W, SOURCE_V4), address.to_bits())),
        IpAddr::V6(address) => {
            let words = address.octets();
            let words = words.as_chunks().0.iter().copied().map(u32::from_be_bytes);
            let words = (SOURCE_V6..).step_by(4).zip(words);
            tests.extend(words.map(|(offset, word)| (load(libc::BPF_W, offset), word)));
        }
    }
    let statement = |code: u32, k: u32| sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let mut program = Vec::with_capacity(2 * tests.len() + 2);
    for (left, ((code, offset), expected)) in (0..tests.len()).rev().zip(tests) {
        program.push(statement(code, offset));
        program.push(sock_filter {
            // Over the other tests and the return after them.
            jf: 2 * left as u8 + 1,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, expected)
        });
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, ALL));
    program.push(statement(libc::BPF_RET | libc::BPF_K, NOTHING));
    program
}

/// Has the kernel drop what does not come from `backend`. What ICMP says is not touched by it.
pub(super) fn attach(socket: &Socket, backend: SocketAddr) -> io::Result<()> {
    let program = program(backend).into_iter();
    let program: Vec<_> = program
        .map(|statement| SockFilter::new(statement.code, statement.jt, statement.jf, statement.k))
        .collect();
    socket.attach_filter(&program)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::super::pool_socket::{Sharing, bind};
    use super::*;

    /// What the kernel does with a program, as far as ours goes. A load beyond the end returns 0.
    fn run(program: &[sock_filter], ip: &[u8], udp: &[u8]) -> u32 {
        let (mut accumulator, mut at) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let (header, offset) = if k >= IP { (ip, k - IP) } else { (udp, k) };
            let field = |len| header.get(offset as usize..)?.get(..len);
            match u32::from(code) {
                // ldh [k]; ld [k]
                0x28 => match field(2) {
                    Some(half) => accumulator = u16::from_be_bytes(half.try_into().unwrap()).into(),
                    None => return 0,
                },
                0x20 => match field(4) {
                    Some(word) => accumulator = u32::from_be_bytes(word.try_into().unwrap()),
                    None => return 0,
                },
                // jeq
                0x15 => at += usize::from(if accumulator == k { jt } else { jf }),
                // ret #k
                0x06 => return k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    /// The headers of IP and UDP of a datagram from `source`, as far as the program looks.
    fn headers(source: SocketAddr) -> (Vec<u8>, Vec<u8>) {
        let udp = [&source.port().to_be_bytes()[..], &[0x16, 0x33, 0, 8, 0, 0]].concat();
        let ip = match source.ip() {
            IpAddr::V4(address) => [&[0x45; 12][..], &address.octets(), &[127, 0, 0, 1]].concat(),
            IpAddr::V6(address) => [&[0x60; 8][..], &address.octets(), &[0xfd; 16]].concat(),
        };
        (ip, udp)
    }

    #[test]
    fn only_the_backends_address_and_port_pass() {
        let passes = |backend: &str, source: &str| {
            let program = program(backend.parse().unwrap());
            let (ip, udp) = headers(source.parse().unwrap());
            // Cut short, nothing passes.
            assert_eq!(run(&program, &ip, &udp[..1]), NOTHING);
            assert_eq!(run(&program, &ip[..13], &udp), NOTHING);
            run(&program, &ip, &udp) == ALL
        };
        assert!(passes("192.0.2.200:5683", "192.0.2.200:5683"));
        for other in [
            "192.0.2.200:5684",
            "192.0.2.200:65535",
            "192.0.2.201:5683",
            "200.2.0.192:5683",
            "63.0.2.200:5683",
        ] {
            assert!(!passes("192.0.2.200:5683", other), "{other}");
        }
        let backend = "[2001:db8:1:2:3:4:5:6]:5683";
        assert!(passes(backend, backend));
        for other in [
            "[2001:db8:1:2:3:4:5:6]:5684",
            "[2001:db9:1:2:3:4:5:6]:5683",
            "[2001:db8:1:3:3:4:5:6]:5683",
            "[2001:db8:1:2:3:5:5:6]:5683",
            "[2001:db8:1:2:3:4:5:7]:5683",
        ] {
            assert!(!passes(backend, other), "{other}");
        }
    }

    #[test]
    fn the_kernel_keeps_the_buffer_for_the_backend() {
        for ip in ["127.0.0.1", "::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            let Ok(backend) = UdpSocket::bind((ip, 0)) else {
                continue; // a machine without IPv6
            };
            let from = backend.local_addr().unwrap();
            let pool = bind(ip.is_ipv6(), 0, Sharing::Nothing, from).unwrap();
            let to = SocketAddr::new(ip, pool.local_addr().unwrap().port());
            let stranger = UdpSocket::bind((ip, 0)).unwrap();
            // More than any buffer of ours holds: 8 MiB, which the kernel doubles.
            for _ in 0..20_000 {
                stranger.send_to(&[0; 1024], to).unwrap();
            }
            // An empty one, and one as long as they get here.
            for len in [0, 5, 9000] {
                backend.send_to(&vec![7; len], to).unwrap();
                let mut room = [0; 10_000];
                assert_eq!(pool.recv_from(&mut room).unwrap(), (len, from));
                assert!(room[..len].iter().all(|&byte| byte == 7));
            }
            let left = pool.recv_from(&mut [0; 8]).unwrap_err();
            assert_eq!(left.kind(), io::ErrorKind::WouldBlock);
        }
    }
}
