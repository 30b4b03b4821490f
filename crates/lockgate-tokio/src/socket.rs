//! UDP sockets that listen.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// How many sockets one driver serves at most.
pub const MAX_SOCKETS: usize = 64;

/// The receive buffer that is asked for, in bytes, and the send buffer. With `CAP_NET_ADMIN` the kernel grants it, otherwise
/// as much of it as `net.core.rmem_max` and `net.core.wmem_max` let.
///
/// It bridges the moments in which a worker does something else: at 100,000 small datagrams a second some 100 ms.
pub const RECEIVE_BUFFER_LEN: usize = 8 << 20;

/// How [`bind_with`] binds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sharing {
    /// Peers get sockets at the same address.
    pub(crate) with_peers: bool,
    /// Other workers get sockets at the same address, and the kernel spreads the peers over them.
    pub(crate) with_workers: bool,
}

/// Binds one socket to each address, all or none.
///
/// `[::]` takes IPv4 as well (dual stack), unless an IPv4 address with the same port stands in the list. Port 0 is a free
/// one. The addresses are not shared: where another socket has one, that is an error.
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<UdpSocket>, (SocketAddr, io::Error)> {
    if addresses.len() > MAX_SOCKETS {
        let too_many = io::Error::other(format!("at most {MAX_SOCKETS} addresses can be bound"));
        return Err((addresses[MAX_SOCKETS], too_many));
    }
    let bind = |&address: &SocketAddr| {
        let has_ipv4 = addresses
            .iter()
            .any(|other| other.is_ipv4() && other.port() == address.port() && address.port() != 0);
        bind_one(address, has_ipv4).map_err(|error| (address, error))
    };
    addresses.iter().map(bind).collect()
}

/// [`bind`] for sockets that are to share their addresses, with our own sockets only: the first ones are bound as if
/// they shared nothing, so an address that is taken is still an error, and opened to others afterwards.
///
/// `first` are the sockets of the first worker, where this is another one; then the addresses are theirs.
pub(crate) fn bind_with(
    addresses: &[SocketAddr],
    sharing: Sharing,
    first: Option<&[UdpSocket]>,
) -> Result<Vec<UdpSocket>, (SocketAddr, io::Error)> {
    let Some(first) = first else {
        let sockets = bind(addresses)?;
        for (socket, &address) in sockets.iter().zip(addresses) {
            share(&SockRef::from(socket), sharing).map_err(|error| (address, error))?;
        }
        return Ok(sockets);
    };
    let beside = |socket: &UdpSocket| {
        let address = socket.local_addr()?;
        let new = new_socket(address, SockRef::from(socket).only_v6().unwrap_or(false))?;
        share(&SockRef::from(&new), sharing)?;
        new.bind(&address.into())?;
        Ok(UdpSocket::from(new))
    };
    first
        .iter()
        .zip(addresses)
        .map(|(socket, &address)| beside(socket).map_err(|error| (address, error)))
        .collect()
}

fn share(socket: &SockRef<'_>, sharing: Sharing) -> io::Result<()> {
    if sharing.with_peers {
        socket.set_reuse_address(true)?;
    }
    if sharing.with_workers {
        socket.set_reuse_port(true)?;
    }
    Ok(())
}

fn bind_one(address: SocketAddr, only_v6: bool) -> io::Result<UdpSocket> {
    let only_v6 = only_v6 || !address.ip().is_unspecified();
    let socket = new_socket(address, only_v6)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn new_socket(address: SocketAddr, only_v6: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    widen(&socket);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Asks for buffers of [`RECEIVE_BUFFER_LEN`]. Smaller ones are no reason not to serve.
pub fn widen(socket: &impl AsFd) {
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_LEN).is_err() {
        let _ = SockRef::from(socket).set_recv_buffer_size(RECEIVE_BUFFER_LEN);
    }
    if setsockopt(socket, sockopt::SndBufForce, &RECEIVE_BUFFER_LEN).is_err() {
        let _ = SockRef::from(socket).set_send_buffer_size(RECEIVE_BUFFER_LEN);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_taken_port_is_an_error_that_names_the_address() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let first = bind(&[any]).unwrap();
        let taken = first[0].local_addr().unwrap();
        let (address, error) = bind(&[any, taken]).unwrap_err();
        assert_eq!(address, taken);
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_unspecified_ipv6_address_is_dual_stack_unless_ipv4_has_the_port() {
        let Ok(sockets) = bind(&["[::]:0".parse().unwrap()]) else {
            return; // a machine without IPv6
        };
        let port = sockets[0].local_addr().unwrap().port();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"x", ("127.0.0.1", port)).unwrap();
        sockets[0].set_nonblocking(false).unwrap();
        let (_, from) = sockets[0].recv_from(&mut [0; 8]).unwrap();
        assert_eq!(from.ip().to_canonical(), sender.local_addr().unwrap().ip());
        drop(sockets);
        let both = [
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            format!("[::]:{port}").parse().unwrap(),
        ];
        assert_eq!(bind(&both).unwrap().len(), 2);
    }
}
