//! The kernel finds the worker: a classic BPF program on the sockets that share an address.
//!
//! It is run for each datagram that no connected socket takes, with offset 0 at the UDP payload, and returns the index of
//! a socket in the group. That is the order in which they were bound, which is the order of the workers, for as long as
//! none of them is closed: then the last of the group takes its place.

use std::net::UdpSocket;

use lockgate_dtls::wire::{ContentType, RecordHeader};
use nix::libc::{self, sock_filter};
use nix::sys::socket::{setsockopt, sockopt};

/// Names no worker: the kernel hashes the addresses, as without a program. So all that comes from one address without a
/// connection ID, such as the pieces of a handshake, comes to one worker.
const BY_ADDRESS: u32 = u32::MAX;

/// The program for `workers` sockets, 1 to 64: the first byte of the connection ID modulo their number
/// ([`Placement`](lockgate_dtls::Placement)), where the first record has one.
///
/// Loads beyond the end would end it with 0, which is a worker, so the length is looked at first.
pub(super) fn program(workers: u8) -> [sock_filter; 8] {
    const CID: u32 = RecordHeader::CID_OFFSET as u32;
    let statement = |code: u32, k: u32| sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    // Goes on when `code` holds, and `over` instructions further when not.
    let unless = |code: u32, k: u32, over: u8| sock_filter {
        jf: over,
        ..statement(libc::BPF_JMP | code | libc::BPF_K, k)
    };
    let byte_at = |offset| statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, offset);
    [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0),
        unless(libc::BPF_JGE, CID + 1, 5),
        byte_at(0),
        unless(libc::BPF_JEQ, ContentType::TLS12_CID.0.into(), 3),
        byte_at(CID),
        statement(
            libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K,
            workers.max(1).into(),
        ),
        statement(libc::BPF_RET | libc::BPF_A, 0),
        statement(libc::BPF_RET | libc::BPF_K, BY_ADDRESS),
    ]
}

/// Has the kernel steer the datagrams to the address that `socket` shares with those of `workers - 1` other workers; all
/// of them are bound.
pub(super) fn attach(socket: &UdpSocket, workers: u8) -> nix::Result<()> {
    let mut program = program(workers);
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // The kernel checks and copies the program before this returns.
    setsockopt(socket, sockopt::AttachReusePortCbpf, &program)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::socket::{Sharing, bind_with};

    const WORKERS: u8 = 5;

    /// What the kernel does with a program, as far as ours goes. A load beyond the end returns 0.
    fn run(program: &[sock_filter], datagram: &[u8]) -> u32 {
        let (mut accumulator, mut at) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            match u32::from(code) {
                // ld #len; ldb [k]
                0x80 => accumulator = datagram.len() as u32,
                0x30 => match datagram.get(k as usize) {
                    Some(&byte) => accumulator = byte.into(),
                    None => return 0,
                },
                // jge, jeq
                0x35 => at += usize::from(if accumulator >= k { jt } else { jf }),
                0x15 => at += usize::from(if accumulator == k { jt } else { jf }),
                // mod
                0x94 => accumulator %= k,
                // ret #k; ret a
                0x06 => return k,
                0x16 => return accumulator,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    /// The first bytes of a record with a connection ID.
    fn record(cid: u8) -> Vec<u8> {
        let mut record = vec![25, 254, 253, 0, 1, 0, 0, 0, 0, 0, 1];
        record.push(cid);
        record
    }

    #[test]
    fn the_first_byte_of_a_connection_id_tells_the_worker() {
        for workers in 1..=64 {
            for cid in 0..=255 {
                let mut datagram = record(cid);
                assert_eq!(run(&program(workers), &datagram), u32::from(cid % workers));
                datagram.extend([0x5a; 40]);
                assert_eq!(run(&program(workers), &datagram), u32::from(cid % workers));
            }
        }
    }

    #[test]
    fn what_has_no_connection_id_goes_by_its_address() {
        for len in 0..12 {
            assert_eq!(run(&program(WORKERS), &record(1)[..len]), BY_ADDRESS);
        }
        for kind in (0..=255).filter(|&kind| kind != 25) {
            let mut datagram = record(1);
            datagram[0] = kind;
            assert_eq!(run(&program(WORKERS), &datagram), BY_ADDRESS);
        }
    }

    /// The sockets of so many workers at one address.
    fn group(address: &str, workers: u8) -> Option<Vec<UdpSocket>> {
        let address: SocketAddr = address.parse().unwrap();
        let sharing = Sharing {
            with_peers: false,
            with_workers: true,
        };
        // A machine without IPv6 has nothing to say here.
        let first = bind_with(&[address], sharing, None).ok()?;
        let mut all = first;
        for _ in 1..workers {
            let next = bind_with(&[address], sharing, Some(&all[..1])).unwrap();
            all.extend(next);
        }
        for socket in &all {
            socket.set_nonblocking(false).unwrap();
            let patience = Some(Duration::from_secs(10));
            socket.set_read_timeout(patience).unwrap();
        }
        Some(all)
    }

    /// How many datagrams wait at each socket; they are taken.
    fn count(group: &[UdpSocket]) -> Vec<usize> {
        let waiting = |socket: &UdpSocket| {
            socket.set_nonblocking(true).unwrap();
            let count = (0..100_000)
                .take_while(|_| socket.recv(&mut [0; 64]).is_ok())
                .count();
            socket.set_nonblocking(false).unwrap();
            count
        };
        group.iter().map(waiting).collect()
    }

    #[test]
    fn the_kernel_numbers_the_sockets_as_they_were_bound() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
            let Some(group) = group(address, WORKERS) else {
                continue;
            };
            attach(&group[0], WORKERS).unwrap();
            let port = group[0].local_addr().unwrap().port();
            let ours = if address.starts_with("[::1]") {
                format!("[::1]:{port}")
            } else {
                format!("127.0.0.1:{port}")
            };
            // Peers that move: each datagram comes from another port.
            for cid in (0..=255).step_by(7) {
                let any = ours.replace(&port.to_string(), "0");
                let peer = UdpSocket::bind(any).unwrap();
                peer.send_to(&record(cid), &ours).unwrap();
                let owner = &group[usize::from(cid % WORKERS)];
                let (len, from) = owner.recv_from(&mut [0; 64]).unwrap();
                assert_eq!(len, 12);
                assert_eq!(from.port(), peer.local_addr().unwrap().port());
            }
            assert_eq!(count(&group), vec![0; usize::from(WORKERS)]);
        }
    }

    #[test]
    fn peers_without_connection_ids_are_spread_and_stay() {
        let group = group("127.0.0.1:0", 4).unwrap();
        attach(&group[0], 4).unwrap();
        let ours = group[0].local_addr().unwrap();
        let mut sums = vec![0; group.len()];
        for _ in 0..128 {
            let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
            // A hello, a record without an ID, too short for one, nothing at all.
            let mut hello = record(1);
            hello[0] = 22;
            let application = [23; 64];
            let short = record(1);
            for datagram in [&hello[..], &application, &short[..11], &short[..1], &[]] {
                peer.send_to(datagram, ours).unwrap();
            }
            // Loopback delivers before it returns.
            let counts = count(&group);
            let owner = counts.iter().position(|&count| count == 5);
            sums[owner.unwrap_or_else(|| panic!("torn apart: {counts:?}"))] += 1;
        }
        // 128 throws of a die with four sides: fewer than ten of one once in 2,000,000 runs.
        assert!(sums.iter().all(|&sum| sum >= 10), "{sums:?}");
    }

    #[test]
    fn a_socket_that_shares_nothing_takes_no_program() {
        let alone = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(attach(&alone, 2), Err(nix::Error::EINVAL));
    }
}
