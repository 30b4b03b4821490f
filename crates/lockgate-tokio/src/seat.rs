//! Where one of several workers sits: its sockets, and the ways to the others.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::crypto::Provider as _;
use lockgate_dtls::{CidKey, ConfigError, EndpointConfig, Placement, TicketSecret};

use crate::socket::{Sharing, bind_with};
use crate::steer::{self, Steering};

/// How many workers there may be at one address: a connection ID has 6 bits for them.
pub const MAX_WORKERS: u8 = 64;

/// The place of one of several [`Driver`](crate::Driver)s that serve the same addresses as workers, see [`bind_workers`].
///
/// All of them must be served equally long: the kernel gives each peer to one of the sockets, and spreads the peers anew when
/// one is closed.
pub struct Seat {
    pub(crate) sockets: Vec<UdpSocket>,
    /// With others, if there are others.
    pub(crate) steering: Option<Steering>,
    worker: u8,
    workers: u8,
}

impl Seat {
    /// Where it listens, in the order of the addresses that it was bound to, with the ports that were free.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(UdpSocket::local_addr).collect()
    }

    /// `config` as the engine of this worker needs it.
    pub(crate) fn place(&self, config: EndpointConfig) -> EndpointConfig {
        EndpointConfig {
            placement: Placement {
                worker: self.worker,
                workers: self.workers,
                ..config.placement
            },
            ..config
        }
    }
}

/// [`bind`](crate::bind) for so many workers, 1 to [`MAX_WORKERS`], each with a socket of its own at each address
/// (`SO_REUSEPORT`); ready to be served by [`Driver::at`](crate::Driver::at).
///
/// The kernel spreads the peers over the workers: records with a connection ID go to the worker that gave it out, where
/// `kernel_steering` asks for that and the kernel can (a classic BPF program, for which no privilege is needed), and
/// everything else by a hash of the addresses. What comes to the wrong worker is handed over.
///
/// # Panics
/// When `workers` is none of these numbers.
pub fn bind_workers(
    addresses: &[SocketAddr],
    workers: u8,
    kernel_steering: bool,
) -> Result<Vec<Seat>, (SocketAddr, io::Error)> {
    assert!((1..=MAX_WORKERS).contains(&workers), "1 to 64 workers");
    let sharing = Sharing {
        with_peers: false,
        with_workers: workers > 1,
    };
    seats(addresses, sharing, workers, kernel_steering)
}

/// [`bind_workers`] for sockets that may share their addresses with those of single peers as well.
pub(crate) fn seats(
    addresses: &[SocketAddr],
    sharing: Sharing,
    workers: u8,
    kernel_steering: bool,
) -> Result<Vec<Seat>, (SocketAddr, io::Error)> {
    let mut sockets = vec![bind_with(addresses, sharing, None)?];
    for _ in 1..workers {
        sockets.push(bind_with(addresses, sharing, Some(&sockets[0]))?);
    }
    if kernel_steering && workers > 1 {
        steer::in_kernel(&sockets[0], workers);
    }
    let seats = (0..workers)
        .zip(sockets)
        .zip(Steering::between(workers))
        .map(|((worker, sockets), steering)| Seat {
            sockets,
            steering: (workers > 1).then_some(steering),
            worker,
            workers,
        });
    Ok(seats.collect())
}

/// Gives the engines of several workers what they must have in common: the key of connection IDs, so that each can tell
/// whose a record is, and the secret of tickets, so that each takes what another has given. Where `config` has one, it stays.
/// Every worker gets a copy of `config`.
pub fn share_keys(config: &mut EndpointConfig) -> Result<(), ConfigError> {
    fn random<const N: usize>() -> Result<[u8; N], ConfigError> {
        let mut bytes = [0; N];
        AwsLc.random(&mut bytes).map_err(ConfigError::Crypto)?;
        Ok(bytes)
    }
    if config.cid_key.is_none() {
        config.cid_key = Some(CidKey::new(random()?));
    }
    if config.ticket_secret.is_none() {
        config.ticket_secret = Some(TicketSecret::new(random()?));
    }
    Ok(())
}
