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
use lockgate_tokio::may_be_of_another;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::NoUpstream;
use super::fellows::{Fellows, Passed};
use super::pool_socket::{self, PoolSocket, Reports, Sharing, take_reports};
use crate::addresses::{AddressTable, Assigned, PoolError, PoolNet, TableKey};
use crate::relay::identity::Identity;
use crate::relay::{EndReason, Traffic};

#[cfg(test)]
mod tests;

/// In place of a session's index: nobody is there.
const NOBODY: u32 = u32::MAX;

/// A pool that is ready for a worker.
pub(crate) struct PoolSetup {
    net: PoolNet,
    socket: std::net::UdpSocket,
    /// Who has which address; an IPv6 network needs none.
    table: Option<Arc<AddressTable>>,
    /// Workers that share the port.
    fellows: Option<Fellows>,
}

impl PoolSetup {
    /// Binds a socket for each of `workers`: at the network's port, if that is given,
    /// or else each at one of its own. `table` is for an IPv4 network. What does not come from `backend` is dropped.
    pub(crate) fn open(
        net: PoolNet,
        table: Option<&Arc<AddressTable>>,
        workers: u8,
        backend: SocketAddr,
    ) -> Result<Vec<Self>, PoolError> {
        let share = workers > 1 && net.port() != 0;
        let mut fellows = share.then(|| Fellows::between(workers).into_iter());
        let setup = |number| {
            let sharing = match number {
                _ if !share => Sharing::Nothing,
                0 => Sharing::First,
                _ => Sharing::Beside,
            };
            let socket = pool_socket::bind(net.is_ipv6(), net.port(), sharing, backend)
                .map_err(|error| PoolError::Bind { net, error })?;
            Ok(Self {
                net,
                socket,
                table: table.cloned(),
                fellows: fellows.as_mut().and_then(Iterator::next),
            })
        };
        (0..workers).map(setup).collect()
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
    fellows: Option<Fellows>,
    /// Several sessions may have the same address, and the one that sent last gets the answers.
    follow_sender: bool,
    reports: mpsc::Receiver<Reports>,
    progress: Progress,
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

/// A datagram that was taken from the socket.
pub(in crate::relay) enum FromBackend<'a> {
    /// For the session at this index.
    For(usize, &'a [u8]),
    /// Not from the backend.
    Stranger,
    /// For an address without a session.
    NoSession,
    /// For a session of another worker's, which has it now, or has too much to do.
    Passed,
    PassedInVain,
}

/// What came of datagrams to the backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::relay) struct Progress {
    /// They have been handed to the kernel.
    pub(in crate::relay) sent: Traffic,
    /// The kernel did not take so many.
    pub(in crate::relay) lost: u64,
    /// What ICMP said.
    pub(in crate::relay) reports: Reports,
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
            fellows: setup.fellows,
            follow_sender,
            reports,
            progress: Progress::default(),
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
        self.forget_lost();
        let hash = identity.hash();
        let host = match &mut self.live {
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
                host.into()
            }
            Live::V6(live) => match &hash {
                None => lend(live, index).ok_or_else(|| self.full())?,
                Some(hash) => {
                    let host = hash.interface();
                    match live.entry(host) {
                        Entry::Occupied(other) if !is_same(*other.get() as usize) => {
                            return Err(self.met(host));
                        }
                        entry => *entry.or_default() = index as u32,
                    }
                    host
                }
            },
        };
        let key = hash.map(|hash| hash.table_key());
        if !self.claim(host, key) {
            self.live.forget(host);
            return Err(self.met(host));
        }
        Ok(host)
    }

    /// Another identity is behind this host part.
    fn met(&self, host: u64) -> NoUpstream {
        let address = self.net.address(host);
        let why = format!("another identity has the same address, {address}");
        NoUpstream::turned_away(EndReason::NoAddress, why)
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
        if let Some(place) = self.live.place(host)
            && *place == index as u32
        {
            self.live.forget(host);
            if let Some(fellows) = &self.fellows {
                fellows.give_up(host);
            }
        }
        if let Live::V4 { table, .. } = &self.live
            && identity.is_anonymous()
        {
            table.give_back(host as u32);
        }
    }

    /// Sends one datagram to the backend, from the address with this host part, at the end of the worker's turn at the
    /// latest. [`Pool::take_progress`] tells what came of it.
    pub(super) fn send(&mut self, host: u64, index: usize, identity: &Identity, datagram: &[u8]) {
        if self.follow_sender {
            self.follow(host, index, identity);
        }
        let Self {
            socket, progress, ..
        } = self;
        let source = self.net.address(host);
        socket.send(source, self.backend, datagram, |result| {
            progress.add(&result);
        });
    }

    /// The session at `index` has sent last, so answers go to it.
    fn follow(&mut self, host: u64, index: usize, identity: &Identity) {
        self.forget_lost();
        // Mostly it did before, and nobody need be asked.
        if self.live.index(host) != Some(index) {
            let key = identity.hash().map(|hash| hash.table_key());
            if self.claim(host, key) {
                self.live.take(host, index);
            }
        }
    }

    /// Forgets the sessions that a newer one at another worker has the address of now: what the backend sends to it is
    /// passed on from now on.
    fn forget_lost(&mut self) {
        if let Some(fellows) = &self.fellows {
            for host in fellows.lost() {
                self.live.forget(host);
            }
        }
    }

    /// Sends what waits to be sent.
    pub(super) fn flush(&mut self) {
        let Self {
            socket, progress, ..
        } = self;
        socket.flush(|result| progress.add(&result));
    }

    /// What came of sending since it was asked last.
    pub(in crate::relay) fn take_progress(&mut self) -> Progress {
        std::mem::take(&mut self.progress)
    }

    /// Takes what the backend sent, a bounded number of datagrams; whether there may be more.
    pub(in crate::relay) fn receive(&mut self) -> io::Result<bool> {
        self.forget_lost();
        match self.socket.receive() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            // The report itself is taken elsewhere.
            Err(error) if may_be_of_another(&error) => Ok(false),
            result => result,
        }
    }

    /// How many datagrams were taken.
    pub(in crate::relay) const fn taken(&self) -> usize {
        self.socket.taken()
    }

    /// Whose the datagram at `n` is.
    pub(in crate::relay) fn get(&mut self, n: usize) -> FromBackend<'_> {
        let Some(arrived) = self.socket.get(n) else {
            return FromBackend::NoSession;
        };
        if arrived.from != self.backend {
            return FromBackend::Stranger;
        }
        let Some(host) = arrived.to.and_then(|to| self.net.host(to)) else {
            return FromBackend::NoSession;
        };
        if let Some(index) = self.live.index(host) {
            return FromBackend::For(index, arrived.bytes);
        }
        let fellows = self.fellows.as_ref();
        match fellows.map(|fellows| fellows.pass(host, arrived.bytes)) {
            Some(Passed::On) => FromBackend::Passed,
            Some(Passed::Lost) => FromBackend::PassedInVain,
            Some(Passed::Nowhere) | None => FromBackend::NoSession,
        }
    }

    /// The next datagram that another worker has passed on, and the index of its session, unless that has ended since.
    pub(in crate::relay) fn passed_on(&mut self) -> Option<(Option<usize>, Box<[u8]>)> {
        let handed = self.fellows.as_mut()?.take()?;
        Some((self.live.index(handed.host), handed.datagram))
    }

    /// The newest session with this host part is here; `false` if another worker has one of another identity.
    fn claim(&self, host: u64, identity: Option<TableKey>) -> bool {
        let fellows = self.fellows.as_ref();
        fellows.is_none_or(|fellows| fellows.claim(host, identity))
    }

    /// Called before the worker waits, at the end of its turn: what it has for the backend goes now.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.flush();
        let mut ready = self.socket.socket().poll_recv_ready(cx).is_ready();
        if let Some(fellows) = &mut self.fellows {
            ready |= fellows.poll_ready(cx).is_ready();
        }
        if let Poll::Ready(Some(reports)) = self.reports.poll_recv(cx) {
            self.progress.reports.refused += reports.refused;
            self.progress.reports.other += reports.other;
            ready = true;
        }
        if ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Progress {
    fn add(&mut self, result: &io::Result<usize>) {
        match result {
            Ok(len) => self.sent.add(*len),
            Err(error) => {
                self.lost += 1;
                // Of refusals there are reports.
                let refused = error.kind() == io::ErrorKind::ConnectionRefused;
                self.reports.other += u64::from(!refused);
            }
        }
    }
}

impl Live {
    /// The address with this host part means the session at `index`, which has it already, beside others perhaps.
    fn take(&mut self, host: u64, index: usize) {
        match self {
            Self::V4 { .. } => {
                if let Some(place) = self.place(host) {
                    *place = index as u32;
                }
            }
            Self::V6(live) => {
                live.insert(host, index as u32);
            }
        }
    }

    /// The address with this host part means no session of ours.
    fn forget(&mut self, host: u64) {
        match self {
            Self::V4 { .. } => {
                if let Some(place) = self.place(host) {
                    *place = NOBODY;
                }
            }
            Self::V6(live) => {
                live.remove(&host);
            }
        }
    }

    /// The index of the session with this host part.
    fn index(&mut self, host: u64) -> Option<usize> {
        let index = *self.place(host)?;
        (index != NOBODY).then_some(index as usize)
    }

    /// Where the index of the session with this host part stands.
    fn place(&mut self, host: u64) -> Option<&mut u32> {
        match self {
            Self::V4 { table, low, high } => {
                let host = host as usize;
                // Numbers with an identity are all below those without.
                if host <= low.len() {
                    low.get_mut(host.checked_sub(1)?)
                } else {
                    high.get_mut((table.capacity() as usize).checked_sub(host)?)
                }
            }
            Self::V6(live) => live.get_mut(&host),
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
