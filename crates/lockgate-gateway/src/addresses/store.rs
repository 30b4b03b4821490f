//! The file of an address table, and the thread that writes it.
//!
//! What is given out is used at once and written soon after. So that an address which was in use when the process died,
//! and had not been written, never goes to somebody else, numbers are claimed before: the file says up to where, and
//! whoever opens it next begins behind that.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use super::error::TableFault;
use super::{PoolError, PoolNet, TableKey};

/// Which number an identity has.
const NUMBERS: TableDefinition<&TableKey, u32> = TableDefinition::new("numbers");
/// What else there is to know.
const ABOUT: TableDefinition<&str, u128> = TableDefinition::new("about");
/// In `ABOUT`: the version of the file's form.
const FORMAT: &str = "format";
const THIS_FORMAT: u128 = 1;
/// In `ABOUT`: the network.
const BASE: &str = "base";
const LENGTH: &str = "length";
/// In `ABOUT`: the lowest number that may not be used yet.
const CLAIMED: &str = "claimed";

/// The file is written once and read at start; its library would take a gigabyte for it.
const CACHE: usize = 1 << 20;
/// After how long a failed write is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// In tests, the disk is slow where this file is.
#[cfg(test)]
pub(crate) const SLOW: &str = "slow-disk";

/// An open file. Nobody else has it open.
pub(super) struct Store {
    path: PathBuf,
    net: PoolNet,
    /// `None` after an error: it must be opened again.
    database: Option<Database>,
}

/// What a file holds.
pub(super) struct Loaded {
    pub(super) known: HashMap<TableKey, u32>,
    /// The lowest number that nobody can have used.
    pub(super) claimed: u32,
}

/// What there is to be written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    /// An identity has got a number.
    Given(TableKey, u32),
    /// Numbers below this one are about to be used.
    Claim(u32),
    /// The table is closed, and numbers from this one on have not been used.
    Close(u32),
}

impl Store {
    /// Opens a file, or makes one for `net`.
    pub(super) fn open(path: &Path, net: PoolNet) -> Result<(Self, Loaded), PoolError> {
        let fail = |fault| PoolError::Table {
            path: path.into(),
            fault,
        };
        let failed = |error: redb::Error| fail(TableFault::Other(error.to_string()));
        let database = builder().create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => fail(TableFault::Taken),
            error => failed(error.into()),
        })?;
        let loaded = load(&database).map_err(failed)?;
        let mut found = Loaded {
            known: HashMap::new(),
            claimed: 1,
        };
        if let Some((about, loaded)) = loaded {
            if about.format != THIS_FORMAT {
                return Err(fail(TableFault::Format));
            }
            if about.net != identify(net) {
                return Err(fail(TableFault::OtherNetwork { net }));
            }
            found = loaded;
        }
        let store = Self {
            path: path.into(),
            net,
            database: Some(database),
        };
        Ok((store, found))
    }

    /// Writes numbers that were given, and up to where numbers are claimed; it is on the disk when this returns.
    pub(super) fn write(
        &mut self,
        given: &[(TableKey, u32)],
        claimed: u32,
    ) -> Result<(), redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            // It was there, and a new one would not know who has what.
            None => builder().open(&self.path)?,
        };
        commit(&database, self.net, given, claimed)?;
        self.database = Some(database);
        Ok(())
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

struct About {
    format: u128,
    net: (u128, u128),
}

/// What a network is known by in a file.
fn identify(net: PoolNet) -> (u128, u128) {
    let (base, length) = net.to_bits();
    (base, u128::from(length))
}

/// `None` when the file is new.
fn load(database: &Database) -> Result<Option<(About, Loaded)>, redb::Error> {
    let read = database.begin_read()?;
    let about = match read.open_table(ABOUT) {
        Ok(about) => about,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let value = |name| Ok::<_, redb::Error>(about.get(name)?.map_or(0, |value| value.value()));
    let what = About {
        format: value(FORMAT)?,
        net: (value(BASE)?, value(LENGTH)?),
    };
    let numbers = read.open_table(NUMBERS)?;
    let count = redb::ReadableTableMetadata::len(&numbers)?;
    let mut known = HashMap::with_capacity(count as usize);
    let mut claimed = u32::try_from(value(CLAIMED)?).unwrap_or(u32::MAX).max(1);
    for entry in numbers.iter()? {
        let (key, number) = entry?;
        let number = number.value();
        claimed = claimed.max(number.saturating_add(1));
        known.insert(*key.value(), number);
    }
    Ok(Some((what, Loaded { known, claimed })))
}

fn commit(
    database: &Database,
    net: PoolNet,
    given: &[(TableKey, u32)],
    claimed: u32,
) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut about = write.open_table(ABOUT)?;
        let (base, length) = identify(net);
        for (name, value) in [
            (FORMAT, THIS_FORMAT),
            (BASE, base),
            (LENGTH, length),
            (CLAIMED, claimed.into()),
        ] {
            about.insert(name, value)?;
        }
        let mut numbers = write.open_table(NUMBERS)?;
        for (key, number) in given {
            numbers.insert(key, number)?;
        }
    }
    write.commit()?;
    Ok(())
}

/// Writes until told to close, many changes at a time when many come. `written` hears what came of each write: up to
/// where numbers are claimed now, or why that could not be written.
pub(super) fn write_on(
    mut store: Store,
    changes: &Receiver<Change>,
    mut claimed: u32,
    mut written: impl FnMut(Result<u32, String>),
) {
    let mut given = Vec::new();
    let mut wanted = claimed;
    let mut open = true;
    let mut fails = false;
    while open {
        let first = if given.is_empty() && wanted == claimed {
            changes.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            changes.recv_timeout(AGAIN)
        };
        match first {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => open = false,
            Ok(first) => {
                for change in std::iter::once(first).chain(changes.try_iter()) {
                    match change {
                        Change::Given(key, number) => given.push((key, number)),
                        Change::Claim(end) => wanted = end,
                        Change::Close(end) => {
                            wanted = end;
                            open = false;
                        }
                    }
                }
            }
        }
        if given.is_empty() && wanted == claimed {
            continue;
        }
        #[cfg(test)]
        if store.path.ends_with(SLOW) {
            std::thread::sleep(AGAIN);
        }
        match store.write(&given, wanted) {
            Ok(()) => {
                given.clear();
                claimed = wanted;
                if std::mem::take(&mut fails) {
                    let file = store.path.display();
                    tracing::info!(%file, "the table of addresses can be written again");
                }
                written(Ok(claimed));
            }
            Err(error) => {
                if !std::mem::replace(&mut fails, true) {
                    let file = store.path.display();
                    tracing::error!(%file, %error, "the table of addresses cannot be written; trying again");
                }
                written(Err(error.to_string()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_write_that_failed_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (
            directory.path().join("addresses"),
            directory.path().join("elsewhere"),
        );
        let net: PoolNet = "127.64.0.0/10".parse().unwrap();
        let (mut store, loaded) = Store::open(&path, net).unwrap();
        store.write(&[], 10).unwrap();
        // As after an error of the disk, and now the file is gone.
        store.database = None;
        std::fs::rename(&path, &elsewhere).unwrap();
        let (changes, receiver) = mpsc::channel();
        let (heard, hear) = mpsc::channel();
        let writer = thread::spawn(move || {
            write_on(store, &receiver, loaded.claimed, |result| {
                heard.send(result).unwrap();
            });
        });
        changes.send(Change::Given([7; 16], 1)).unwrap();
        changes.send(Change::Claim(20)).unwrap();
        let failed = hear.recv_timeout(10 * AGAIN).unwrap().unwrap_err();
        assert!(failed.contains("No such file"), "{failed}");
        std::fs::rename(&elsewhere, &path).unwrap();
        let claimed = || hear.recv_timeout(10 * AGAIN).unwrap();
        let claimed = std::iter::repeat_with(claimed).find_map(Result::ok);
        assert_eq!(claimed, Some(20));
        drop(changes);
        writer.join().unwrap();
        let (_, loaded) = Store::open(&path, net).unwrap();
        assert_eq!((loaded.known[&[7; 16]], loaded.claimed), (1, 20));
    }
}
