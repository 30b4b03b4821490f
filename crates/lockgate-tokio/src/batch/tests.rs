use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};

use super::*;
use crate::Path;

fn socket(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// What came in, until nothing more does.
fn take_all(socket: &UdpSocket, addresses: bool) -> Vec<(Vec<u8>, SocketAddr, Option<IpAddr>)> {
    let mut batch = ReceiveBatch::new();
    let mut all = Vec::new();
    loop {
        match batch.receive(socket, addresses) {
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                assert!(batch.is_empty() && batch.get(0).is_none());
                return all;
            }
            Ok(_) => {
                for n in 0..batch.len() {
                    let arrived = batch.get(n).unwrap();
                    all.push((arrived.bytes.to_vec(), arrived.from, arrived.to));
                }
            }
        }
    }
}

/// Collects `bytes` for `path`, and sends when it must.
fn collect(
    batch: &mut SendBatch,
    bytes: &[u8],
    path: Path,
    socket: &UdpSocket,
) -> Vec<io::Result<usize>> {
    batch.room()[..bytes.len()].copy_from_slice(bytes);
    batch.push(0..bytes.len(), path);
    if batch.is_full() {
        return send(batch, socket);
    }
    Vec::new()
}

fn send(batch: &mut SendBatch, socket: &UdpSocket) -> Vec<io::Result<usize>> {
    let mut told = Vec::new();
    batch.send(|_| Some(socket.as_fd()), |_, result| told.push(result));
    assert!(batch.is_empty() && !batch.is_full());
    told
}

#[test]
fn many_datagrams_arrive_in_order_and_whole() {
    let (here, there) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    let to = Path::new(there.local_addr().unwrap(), 0);
    let mut batch = SendBatch::new();
    let mut told = Vec::new();
    // Beyond every bound of the batches, the receiver's socket alone must take them all.
    let datagrams: Vec<Vec<u8>> = (0..150_u8).map(|n| vec![n; usize::from(n) * 3]).collect();
    for datagram in &datagrams {
        told.extend(collect(&mut batch, datagram, to, &here));
    }
    told.extend(send(&mut batch, &here));
    let lengths: Vec<usize> = told.into_iter().map(Result::unwrap).collect();
    assert_eq!(lengths, datagrams.iter().map(Vec::len).collect::<Vec<_>>());
    let arrived = take_all(&there, false);
    assert_eq!(arrived.len(), datagrams.len());
    for ((bytes, from, own), sent) in arrived.iter().zip(&datagrams) {
        assert_eq!(bytes, sent);
        assert_eq!((*from, *own), (here.local_addr().unwrap(), None));
    }
}

#[test]
fn the_longest_datagram_fits() {
    let (here, there) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    let to = Path::new(there.local_addr().unwrap(), 0);
    let longest = vec![7; 65_507];
    let mut batch = SendBatch::new();
    for _ in 0..3 {
        collect(&mut batch, &longest, to, &here);
        send(&mut batch, &here);
        assert_eq!(take_all(&there, false)[0].0, longest);
    }
}

#[test]
fn each_datagram_leaves_from_its_own_address() {
    let any = socket("0.0.0.0:0");
    setsockopt(&any, sockopt::Ipv4PacketInfo, &true).unwrap();
    let port = any.local_addr().unwrap().port();
    let peer = socket("127.0.0.1:0");
    let own: Vec<IpAddr> = (1..=5)
        .map(|n| Ipv4Addr::new(127, 3, 0, n).into())
        .collect();
    for address in &own {
        peer.send_to(b"to", (*address, port)).unwrap();
    }
    let mut batch = SendBatch::new();
    let mut seen = Vec::new();
    for (bytes, from, to) in take_all(&any, true) {
        seen.push(to.unwrap());
        collect(&mut batch, &bytes, Path::with_local(from, to, 0), &any);
    }
    assert_eq!(seen, own);
    assert!(send(&mut batch, &any).iter().all(Result::is_ok));
    let answers = take_all(&peer, false);
    let from: Vec<IpAddr> = answers.iter().map(|(_, from, _)| from.ip()).collect();
    assert_eq!(from, own);
}

#[test]
fn ipv6_tells_and_takes_addresses_as_well() {
    let Ok(any) = UdpSocket::bind("[::]:0") else {
        return; // a machine without IPv6
    };
    any.set_nonblocking(true).unwrap();
    setsockopt(&any, sockopt::Ipv6RecvPacketInfo, &true).unwrap();
    let port = any.local_addr().unwrap().port();
    let v6 = socket("[::1]:0");
    let v4 = socket("127.0.0.1:0");
    v6.send_to(b"six", ("::1", port)).unwrap();
    v4.send_to(b"four", ("127.0.0.9", port)).unwrap();
    let mut batch = SendBatch::new();
    let arrived = take_all(&any, true);
    let own: Vec<_> = arrived
        .iter()
        .map(|(_, _, to)| to.unwrap().to_canonical())
        .collect();
    assert_eq!(
        own,
        [
            "::1".parse::<IpAddr>().unwrap(),
            Ipv4Addr::new(127, 0, 0, 9).into()
        ]
    );
    for (bytes, from, to) in arrived {
        collect(&mut batch, &bytes, Path::with_local(from, to, 0), &any);
    }
    assert!(send(&mut batch, &any).iter().all(Result::is_ok));
    assert_eq!(take_all(&v6, false)[0].0, b"six");
    let (bytes, from, _) = take_all(&v4, false).remove(0);
    assert_eq!((bytes.as_slice(), from.ip()), (&b"four"[..], own[1]));
}

#[test]
fn one_that_cannot_go_takes_nobody_with_it() {
    let (here, there) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    let to = Path::new(there.local_addr().unwrap(), 0);
    let nowhere = Path::new("[::1]:9".parse().unwrap(), 0); // not by a socket of IPv4
    let mut batch = SendBatch::new();
    for path in [to, nowhere, to, nowhere, nowhere, to] {
        collect(&mut batch, b"x", path, &here);
    }
    let told: Vec<bool> = send(&mut batch, &here).iter().map(Result::is_ok).collect();
    assert_eq!(told, [true, false, true, false, false, true]);
    assert_eq!(take_all(&there, false).len(), 3);
}

#[test]
fn sockets_are_found_by_their_number() {
    let ours = [socket("127.0.0.1:0"), socket("127.0.0.1:0")];
    let there = socket("127.0.0.1:0");
    let to = there.local_addr().unwrap();
    let mut batch = SendBatch::new();
    for number in [0, 1, 1, 2, 0] {
        collect(&mut batch, &[number], Path::new(to, number), &ours[0]);
    }
    let mut told = Vec::new();
    let by_number = |number: u8| ours.get(usize::from(number)).map(AsFd::as_fd);
    batch.send(by_number, |path, result| {
        told.push((path.socket(), result.is_ok()));
    });
    assert_eq!(
        told,
        [(0, true), (1, true), (1, true), (2, false), (0, true)]
    );
    for (bytes, from, _) in take_all(&there, false) {
        assert_eq!(from, ours[usize::from(bytes[0])].local_addr().unwrap());
    }
}

#[test]
fn what_else_a_socket_tells_does_not_hide_the_address() {
    let any = socket("0.0.0.0:0");
    setsockopt(&any, sockopt::Ipv4PacketInfo, &true).unwrap();
    setsockopt(&any, sockopt::RxqOvfl, &1).unwrap();
    setsockopt(&any, sockopt::RcvBuf, &4096).unwrap();
    let to = ("127.3.0.7", any.local_addr().unwrap().port());
    let peer = socket("127.0.0.1:0");
    // More than fit, so that from now on the kernel says how many were lost.
    for _ in 0..64 {
        let _ = peer.send_to(&[0; 1000], to);
    }
    assert!(take_all(&any, true).len() < 64);
    peer.send_to(b"after", to).unwrap();
    let (bytes, _, own) = take_all(&any, true).remove(0);
    assert_eq!(bytes, b"after");
    assert_eq!(own, Some(Ipv4Addr::new(127, 3, 0, 7).into()));
}

#[test]
fn an_error_of_an_earlier_datagram_costs_nobody_a_datagram() {
    let (here, there) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    setsockopt(&here, sockopt::Ipv4RecvErr, &true).unwrap();
    let gone = socket("127.0.0.1:0").local_addr().unwrap();
    let to = Path::new(there.local_addr().unwrap(), 0);
    let mut batch = SendBatch::new();
    for path in [to, Path::new(gone, 0), to, to] {
        collect(&mut batch, b"x", path, &here);
    }
    // The report of the second is there before the third goes.
    assert!(send(&mut batch, &here).iter().all(Result::is_ok));
    assert_eq!(take_all(&there, false).len(), 3);
}
