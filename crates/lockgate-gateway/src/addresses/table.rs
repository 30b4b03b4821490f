//! Who has which address of an IPv4 network.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::store::{self, Change, Store};
use super::{PoolError, PoolNet, TableKey};

/// As long as there are others, an address of a device without an identity rests until so many more were given back, so
/// that a late datagram does not reach a stranger.
const RESTING: u32 = 1024;
/// Of a small network, not more than this part rests: a device that comes and goes needs no more.
const RESTING_PART: u32 = 8;
/// How many numbers are claimed ahead at most: what a process that is killed costs.
const BLOCK: u32 = 4096;
/// Of a small network, not more than this part of what is left.
const PART: u32 = 32;

/// Why nothing can be claimed any more.
const ENDED: &str = "the thread that writes it has ended";

/// What came of asking for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Assigned {
    /// This is it: the number behind the network's prefix.
    Host(u32),
    /// All are given out.
    Full,
    /// The file is slower than devices come: it will be told when to ask again.
    Wait,
    /// The file cannot be written, and no claimed address is left.
    Failed(String),
}

/// All addresses of an IPv4 network. One for all workers; asked when sessions begin and end, never for a datagram, and
/// it never waits for a disk.
///
/// Devices with an identity get numbers from the bottom up, for ever; those without from the top down, for a session.
pub(crate) struct AddressTable {
    capacity: u32,
    state: Arc<Mutex<State>>,
    writer: Option<JoinHandle<()>>,
}

pub(super) struct State {
    /// A bucket takes 21 bytes: 24 to 48 for each identity, with the spare ones.
    known: HashMap<TableKey, u32>,
    /// The lowest number that nobody has had.
    next: u32,
    /// The numbers of devices without identity begin behind this one.
    ceiling: u32,
    /// Of those, the ones that are free, the one that has rested longest first.
    resting: VecDeque<u32>,
    /// What the file lets us use, if there is one.
    claims: Option<Claims>,
}

struct Claims {
    changes: Sender<Change>,
    /// Numbers below are ours: the file says so.
    claimed: u32,
    /// Numbers below have been asked for.
    asked: u32,
    /// Why the file could not be written when that was tried last.
    failure: Option<String>,
    /// Somebody was told to wait.
    awaited: bool,
    /// Whom to tell when that is over.
    wake: Vec<Box<dyn Fn() + Send>>,
}

/// Dropped when the thread that writes ends, however it does: nobody waits for it in vain.
pub(super) struct Farewell(Arc<Mutex<State>>);

impl Drop for Farewell {
    fn drop(&mut self) {
        lock(&self.0).written(Err(ENDED.into()));
    }
}

impl AddressTable {
    /// A table that lives as long as the process.
    pub(crate) fn in_memory(net: PoolNet) -> Self {
        let capacity = net.capacity().unwrap_or(0);
        Self {
            capacity,
            state: Arc::new(Mutex::new(State {
                known: HashMap::new(),
                next: 1,
                ceiling: capacity,
                resting: VecDeque::new(),
                claims: None,
            })),
            writer: None,
        }
    }

    /// The table in a file, which is made when there is none. The first new device waits until addresses
    /// are claimed.
    pub(crate) fn open(net: PoolNet, path: &Path) -> Result<Self, PoolError> {
        let (mut table, store, changes) = Self::load(net, path)?;
        let claimed = table.claimed();
        let state = Farewell(Arc::clone(&table.state));
        let write = move || {
            store::write_on(store, &changes, claimed, |result| {
                lock(&state.0).written(result);
            });
        };
        let writer = thread::Builder::new().name("address-table".into());
        table.writer = Some(writer.spawn(write).map_err(PoolError::Start)?);
        Ok(table)
    }

    /// All of [`open`](Self::open) but the thread that writes.
    pub(super) fn load(
        net: PoolNet,
        path: &Path,
    ) -> Result<(Self, Store, Receiver<Change>), PoolError> {
        let (mut store, loaded) = Store::open(path, net)?;
        let table = Self::in_memory(net);
        let (changes, receiver) = mpsc::channel();
        {
            let mut state = table.lock();
            state.known = loaded.known;
            state.next = loaded.claimed.min(table.capacity + 1);
            // What is claimed is lost when the process is killed, so nothing is before somebody needs it. The write
            // tells now whether the file can be written.
            let claimed = state.next;
            store
                .write(&[], claimed)
                .map_err(|error| PoolError::table(path, &error))?;
            state.claims = Some(Claims {
                changes,
                claimed,
                asked: claimed,
                failure: None,
                awaited: false,
                wake: Vec::new(),
            });
        }
        Ok((table, store, receiver))
    }

    /// How many addresses there are.
    pub(crate) const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// How many devices have one.
    pub(crate) fn known(&self) -> usize {
        self.lock().known.len()
    }

    /// Calls `wake` when it is worth while to ask again, after [`Assigned::Wait`].
    pub(crate) fn on_progress(&self, wake: impl Fn() + Send + 'static) {
        if let Some(claims) = &mut self.lock().claims {
            claims.wake.push(Box::new(wake));
        }
    }

    /// The address of a device with an identity.
    pub(crate) fn assign(&self, key: TableKey) -> Assigned {
        let mut state = self.lock();
        if let Some(&host) = state.known.get(&key) {
            return Assigned::Host(host);
        }
        if state.next > state.ceiling {
            // What nobody without an identity has any more is anybody's again.
            if !state.take_back() {
                return Assigned::Full;
            }
        }
        let host = state.next;
        if let Some(refusal) = state.ask_ahead() {
            return refusal;
        }
        state.next += 1;
        state.known.insert(key, host);
        if let Some(claims) = &state.claims {
            // Without the thread no further claim is granted either.
            let _ = claims.changes.send(Change::Given(key, host));
        }
        Assigned::Host(host)
    }

    /// An address for one session of a device without an identity, until it is given back.
    pub(crate) fn lend(&self) -> Assigned {
        let mut state = self.lock();
        let floor = state.claims.as_ref().map_or(state.next, |c| c.asked);
        let fresh = state.ceiling >= floor;
        let enough = RESTING.min(self.capacity / RESTING_PART) as usize;
        if (state.resting.len() > enough || !fresh)
            && let Some(host) = state.resting.pop_front()
        {
            return Assigned::Host(host);
        }
        if !fresh {
            return Assigned::Full;
        }
        let host = state.ceiling;
        state.ceiling -= 1;
        Assigned::Host(host)
    }

    /// Takes an address back that was [lent](Self::lend).
    pub(crate) fn give_back(&self, host: u32) {
        self.lock().resting.push_back(host);
    }

    /// What the thread holds, in tests without it.
    #[cfg(test)]
    pub(super) fn farewell(&self) -> Farewell {
        Farewell(Arc::clone(&self.state))
    }

    /// Behind which number those are lent.
    #[cfg(test)]
    pub(super) fn lent_from(&self) -> u32 {
        self.lock().ceiling
    }

    /// What the thread says, in tests without it.
    #[cfg(test)]
    pub(super) fn written(&self, result: Result<u32, String>) {
        self.lock().written(result);
    }

    fn claimed(&self) -> u32 {
        self.lock().claims.as_ref().map_or(0, |c| c.claimed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for AddressTable {
    fn drop(&mut self) {
        {
            let state = self.lock();
            if let Some(claims) = &state.claims {
                let _ = claims.changes.send(Change::Close(state.next));
            }
        }
        if let Some(writer) = self.writer.take() {
            // It has been told to end, and has nothing to say.
            let _ = writer.join();
        }
    }
}

impl State {
    /// Makes the lowest number of those without an identity one for those with; says whether it is free.
    fn take_back(&mut self) -> bool {
        let lowest = self.ceiling + 1;
        let Some(place) = self.resting.iter().position(|&host| host == lowest) else {
            return false;
        };
        self.resting.remove(place);
        self.ceiling = lowest;
        true
    }

    /// How many numbers to claim now.
    fn block(&self) -> u32 {
        let left = (self.ceiling + 1).saturating_sub(self.next);
        (left / PART).clamp(1, BLOCK).min(left)
    }

    /// Sees to it that numbers are claimed before they are needed; says so if the next one may not be used.
    fn ask_ahead(&mut self) -> Option<Assigned> {
        let (next, block, end) = (self.next, self.block(), self.ceiling + 1);
        let claims = self.claims.as_mut()?;
        let wanted = (next + block).min(end);
        // By quarters of a block: the file is written a few times for each, and long before the rest is used.
        let runs_out = claims.claimed - next <= block - block / 4;
        if runs_out && claims.asked == claims.claimed && wanted > claims.claimed {
            claims.asked = wanted;
            if claims.changes.send(Change::Claim(wanted)).is_err() {
                claims.failure = Some(ENDED.into());
            }
        }
        if next < claims.claimed {
            return None;
        }
        if let Some(failure) = &claims.failure {
            return Some(Assigned::Failed(failure.clone()));
        }
        claims.awaited = true;
        Some(Assigned::Wait)
    }

    /// The file was written, up to a claim, or could not be.
    fn written(&mut self, result: Result<u32, String>) {
        let Some(claims) = &mut self.claims else {
            return;
        };
        match result {
            Ok(claimed) => {
                claims.claimed = claimed;
                claims.failure = None;
            }
            Err(failure) => claims.failure = Some(failure),
        }
        if std::mem::take(&mut claims.awaited) {
            claims.wake.iter().for_each(|wake| wake());
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing is left half done in it.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
