//! One socket for all sessions, in which each device has an address of its own: no descriptor per device, and the backend
//! sees who is who.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use lockgate_aws_lc::AwsLc;
use lockgate_dtls::crypto::Provider as _;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::pool_socket::{self, PoolSocket, Reports, may_be_of_another, take_reports};
use super::{NoUpstream, Sent};
use crate::addresses::{AddressTable, Assigned, PoolError, PoolNet};
use crate::relay::EndReason;
use crate::relay::identity::Identity;

/// In place of a session's index: nobody is there.
const NOBODY: u32 = u32::MAX;

/// A pool that is ready for a worker.
pub(crate) struct PoolSetup {
    net: PoolNet,
    socket: std::net::UdpSocket,
    /// Who has which address; an IPv6 network needs none.
    table: Option<Arc<AddressTable>>,
}

impl PoolSetup {
    /// Checks that the network is ours, and binds. `table` is for an IPv4 network.
    pub(crate) fn open(
        net: PoolNet,
        table: Option<Arc<AddressTable>>,
        backend: SocketAddr,
    ) -> Result<Self, PoolError> {
        net.suits(backend)
            .map_err(|why| PoolError::Backend { net, why })?;
        if !net.is_local() {
            return Err(PoolError::NotLocal { net });
        }
        let socket = pool_socket::bind(net.is_ipv6(), net.port())
            .map_err(|error| PoolError::Bind { net, error })?;
        Ok(Self { net, socket, table })
    }

    /// Calls `wake` when sessions that got no address [yet](NoUpstream::Yet) may ask again.
    pub(crate) fn on_progress(&self, wake: impl Fn() + Send + 'static) {
        if let Some(table) = &self.table {
            table.on_progress(wake);
        }
    }
}

/// The socket, and which session is behind which address.
pub(crate) struct Pool {
    net: PoolNet,
    backend: SocketAddr,
    socket: PoolSocket,
    port: u16,
    live: Live,
    /// Several sessions may have the same address, and the one that sent last gets the answers.
    follow_sender: bool,
    reports: mpsc::Receiver<Reports>,
    /// Reports that have come and are not counted yet.
    reported: Reports,
    reporter: AbortHandle,
}

/// The sessions by the host part of their addresses.
enum Live {
    V4 {
        table: Arc<AddressTable>,
        /// Numbers from the bottom up, and from the top down: they are given out like that, so both are dense.
        low: Vec<u32>,
        high: Vec<u32>,
    },
    V6(HashMap<u64, u32>),
}

/// What was taken from the socket.
pub(in crate::relay) enum FromBackend {
    /// So many bytes for the session at this index.
    For(usize, usize),
    /// Not from the backend.
    Stranger,
    /// For an address without a session.
    NoSession,
    /// Nothing is left.
    Empty,
    /// Something else, which is not about one datagram.
    Failed,
}

impl Pool {
    /// Must be called within a tokio runtime.
    pub(super) fn new(
        setup: PoolSetup,
        backend: SocketAddr,
        follow_sender: bool,
    ) -> io::Result<Self> {
        let port = setup.socket.local_addr()?.port();
        let socket = PoolSocket::new(setup.socket)?;
        // More than a few are never on their way; the rest waits in the kernel, which bounds it.
        let (sender, reports) = mpsc::channel(4);
        let reporter = tokio::spawn(report(Arc::clone(socket.socket()), sender)).abort_handle();
        let live = match setup.table {
            Some(table) => Live::V4 {
                table,
                low: Vec::new(),
                high: Vec::new(),
            },
            None => Live::V6(HashMap::new()),
        };
        Ok(Self {
            net: setup.net,
            backend,
            socket,
            port,
            live,
            follow_sender,
            reports,
            reported: Reports::default(),
            reporter,
        })
    }

    /// Where datagrams with this host part come from.
    pub(super) fn address(&self, host: u64) -> SocketAddr {
        (self.net.address(host), self.port).into()
    }

    /// Gives the session at `index` an address; returns its host part. The backend's answers go to it from now on.
    pub(super) fn attach(
        &mut self,
        index: usize,
        identity: &Identity,
        is_same: impl FnOnce(usize) -> bool,
    ) -> Result<u64, NoUpstream> {
        let hash = identity.hash();
        match &mut self.live {
            Live::V4 { table, low, high } => {
                let assigned = match &hash {
                    Some(hash) => table.assign(hash.table_key()),
                    None => table.lend(),
                };
                let host = match assigned {
                    Assigned::Host(host) => host,
                    Assigned::Wait => return Err(NoUpstream::Yet),
                    Assigned::Full => return Err(self.full()),
                    Assigned::Failed(error) => {
                        let why = format!("the table of addresses cannot be written: {error}");
                        return Err(NoUpstream::turned_away(EndReason::NoAddress, why));
                    }
                };
                let (places, place) = match hash {
                    Some(_) => (low, host - 1),
                    None => (high, table.capacity() - host),
                };
                let place = place as usize;
                if places.len() <= place {
                    places.resize(place + 1, NOBODY);
                }
                places[place] = index as u32;
                Ok(host.into())
            }
            Live::V6(live) => {
                let Some(hash) = hash else {
                    return lend(live, index).ok_or_else(|| self.full());
                };
                let host = hash.interface();
                match live.entry(host) {
                    Entry::Occupied(other) if !is_same(*other.get() as usize) => {
                        let address = self.net.address(host);
                        let why = format!("another identity has the same address, {address}");
                        return Err(NoUpstream::turned_away(EndReason::NoAddress, why));
                    }
                    entry => *entry.or_default() = index as u32,
                }
                Ok(host)
            }
        }
    }

    fn full(&self) -> NoUpstream {
        let net = self.net.network();
        let why = format!(
            "all addresses of {net} are given out: take a larger network for --upstream-pool"
        );
        NoUpstream::turned_away(EndReason::NoAddress, why)
    }

    /// The session at `index` is over; its address waits for the device to come back.
    pub(super) fn detach(&mut self, host: u64, index: usize, identity: &Identity) {
        if let Some(place) = self.place(host)
            && *place == index as u32
        {
            *place = NOBODY;
        }
        match &mut self.live {
            Live::V4 { table, .. } if identity.is_anonymous() => table.give_back(host as u32),
            Live::V4 { .. } => {}
            Live::V6(live) => {
                if live.get(&host) == Some(&NOBODY) {
                    live.remove(&host);
                }
            }
        }
    }

    /// Sends one datagram to the backend, from the address with this host part.
    pub(super) fn send(&mut self, host: u64, index: usize, datagram: &[u8]) -> Sent {
        if self.follow_sender
            && let Some(place) = self.place(host)
        {
            *place = index as u32;
        }
        let source = self.net.address(host);
        let mut sent = Sent::default();
        for _ in 0..2 {
            match self.socket.send(source, self.backend, datagram) {
                Ok(()) => {
                    sent.done = true;
                    break;
                }
                // It has not been sent; what is meant may be another datagram.
                Err(error) if may_be_of_another(&error) => {
                    let reports = take_reports(&**self.socket.socket());
                    sent.refused += reports.refused;
                    sent.errors += reports.other;
                }
                Err(_) => break,
            }
        }
        if !sent.done && sent.refused == 0 && sent.errors == 0 {
            sent.errors = 1;
        }
        sent
    }

    /// Takes the next datagram.
    pub(in crate::relay) fn recv(&mut self, buf: &mut [u8]) -> FromBackend {
        let arrived = match self.socket.recv(buf) {
            Ok(arrived) => arrived,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::WouldBlock => FromBackend::Empty,
                    // The report itself waits to be taken.
                    _ if may_be_of_another(&error) => FromBackend::Empty,
                    _ => FromBackend::Failed,
                };
            }
        };
        if arrived.from != self.backend {
            return FromBackend::Stranger;
        }
        let host = self.net.host(arrived.to);
        match host.and_then(|host| self.place(host)) {
            Some(&mut index) if index != NOBODY => FromBackend::For(index as usize, arrived.len),
            _ => FromBackend::NoSession,
        }
    }

    /// What ICMP has said since it was asked last, beside what sending told.
    pub(in crate::relay) fn take_reported(&mut self) -> Reports {
        std::mem::take(&mut self.reported)
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = self.socket.socket().poll_recv_ready(cx).is_ready();
        if let Poll::Ready(Some(reports)) = self.reports.poll_recv(cx) {
            self.reported.refused += reports.refused;
            self.reported.other += reports.other;
            ready = true;
        }
        if ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Where the index of the session with this host part stands.
    fn place(&mut self, host: u64) -> Option<&mut u32> {
        match &mut self.live {
            Live::V4 { table, low, high } => {
                let host = host as usize;
                // Numbers with an identity are all below those without.
                if host <= low.len() {
                    low.get_mut(host.checked_sub(1)?)
                } else {
                    high.get_mut((table.capacity() as usize).checked_sub(host)?)
                }
            }
            Live::V6(live) => live.get_mut(&host),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.reporter.abort();
    }
}

/// A random IPv6 interface identifier for one session.
fn lend(live: &mut HashMap<u64, u32>, index: usize) -> Option<u64> {
    // One is enough unless the generator is broken.
    for _ in 0..4 {
        let mut bytes = [0; 8];
        AwsLc.random(&mut bytes).ok()?;
        let host = u64::from_ne_bytes(bytes).max(1);
        if let Entry::Vacant(place) = live.entry(host) {
            place.insert(index as u32);
            return Some(host);
        }
    }
    None
}

/// Waits for reports, which alone make no socket readable, and passes them on.
async fn report(socket: Arc<UdpSocket>, reports: mpsc::Sender<Reports>) {
    while socket.ready(Interest::ERROR).await.is_ok() {
        let mut taken = Reports::default();
        // Taken until nothing is left, or the socket would be ready for ever.
        let _ = socket.try_io(Interest::ERROR, || {
            taken = take_reports(&*socket);
            if taken == Reports::default() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        if taken != Reports::default() && reports.send(taken).await.is_err() {
            return;
        }
    }
}
