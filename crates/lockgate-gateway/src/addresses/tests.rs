//! Tables that are filled, closed, killed and opened again.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use super::store::{Change, Store};
use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn net(text: &str) -> PoolNet {
    text.parse().unwrap()
}

fn key(number: u32) -> TableKey {
    IdentityHash::of(0, &number.to_be_bytes()).table_key()
}

fn host(table: &AddressTable, number: u32) -> u32 {
    match table.assign(key(number)) {
        Assigned::Host(host) => host,
        other => panic!("{number}: {other:?}"),
    }
}

/// As [`host`], however slow the disk is.
fn host_at_last(table: &AddressTable, number: u32) -> u32 {
    let (wake, woken) = mpsc::channel();
    table.on_progress(move || wake.send(()).unwrap_or(()));
    loop {
        match table.assign(key(number)) {
            Assigned::Host(host) => return host,
            Assigned::Wait => woken.recv_timeout(PATIENCE).unwrap(),
            other => panic!("{number}: {other:?}"),
        }
    }
}

/// Asks for the first claim, and does for it what the thread does.
fn claim(table: &AddressTable, store: &mut Store, changes: &mpsc::Receiver<Change>) {
    assert_eq!(table.assign(key(u32::MAX)), Assigned::Wait);
    let Ok(Change::Claim(end)) = changes.try_recv() else {
        panic!("nothing was asked for")
    };
    store.write(&[], end).unwrap();
    table.written(Ok(end));
}

struct File {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

fn file() -> File {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("addresses");
    File {
        _directory: directory,
        path,
    }
}

fn open(network: &str, path: &Path) -> AddressTable {
    AddressTable::open(net(network), path).unwrap()
}

#[test]
fn hashes_are_those_of_the_documentation() {
    // printf 'lockgate upstream pool\0\0pump-1' | sha256sum
    let hash = IdentityHash::of(0, b"pump-1");
    assert_eq!(format!("{:016x}", hash.interface()), "fd4df4ddcf60c68e");
    assert_ne!(IdentityHash::of(1, b"pump-1"), hash);
    assert_eq!(hash.table_key()[..8], hash.interface().to_be_bytes());
}

#[test]
fn everybody_has_one_address_until_all_are_given_out() {
    let table = AddressTable::in_memory(net("127.64.0.0/29"));
    assert_eq!(table.capacity(), 6);
    let lent = [table.lend(), table.lend()];
    assert_eq!(lent, [Assigned::Host(6), Assigned::Host(5)]);
    let hosts: Vec<_> = (0..4).map(|n| host(&table, n)).collect();
    assert_eq!(hosts, [1, 2, 3, 4]);
    assert_eq!(table.assign(key(4)), Assigned::Full);
    assert_eq!(table.lend(), Assigned::Full);
    assert_eq!(host(&table, 2), 3, "it has one already");
    table.give_back(6);
    assert_eq!(table.assign(key(4)), Assigned::Full, "5 is in use");
    assert_eq!(table.lend(), Assigned::Host(6));
    table.give_back(6);
    table.give_back(5);
    // Nobody without an identity is there any more.
    assert_eq!((host(&table, 4), host(&table, 5)), (5, 6));
    assert_eq!(table.assign(key(6)), Assigned::Full);
    assert_eq!(table.lend(), Assigned::Full);
    assert_eq!(table.known(), 6);
}

#[test]
fn an_address_that_was_given_back_rests() {
    let table = AddressTable::in_memory(net("127.64.0.0/16"));
    let Assigned::Host(first) = table.lend() else {
        panic!("the net is empty")
    };
    table.give_back(first);
    let mut before = 0;
    loop {
        match table.lend() {
            Assigned::Host(host) if host == first => break,
            Assigned::Host(host) => table.give_back(host),
            other => panic!("{other:?}"),
        }
        before += 1;
    }
    assert_eq!(before, 1024);
}

#[test]
fn devices_without_an_identity_that_come_and_go_keep_nobody_out() {
    let table = AddressTable::in_memory(net("127.64.0.0/24"));
    assert_eq!(host(&table, 0), 1);
    // One that stays, and one that comes and goes.
    assert_eq!(table.lend(), Assigned::Host(254));
    for _ in 0..1000 {
        match table.lend() {
            Assigned::Host(host) => table.give_back(host),
            other => panic!("{other:?}"),
        }
    }
    // All but the one in use are for those who stay for ever.
    for n in 1..253 {
        assert_eq!(host(&table, n), n + 1);
    }
    assert_eq!(table.assign(key(253)), Assigned::Full);
    assert_eq!(table.lend(), Assigned::Full);
    table.give_back(254);
    assert_eq!(host(&table, 253), 254);
}

#[test]
fn a_small_network_lets_few_addresses_rest() {
    let table = AddressTable::in_memory(net("127.64.0.0/24"));
    for _ in 0..1000 {
        match table.lend() {
            Assigned::Host(host) => table.give_back(host),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(table.lent_from(), 254 - 32);
}

#[test]
fn a_file_remembers_everybody() {
    let file = file();
    let table = open("127.64.0.0/10", &file.path);
    let hosts: Vec<_> = (0..100).map(|n| host_at_last(&table, n)).collect();
    drop(table);
    for _ in 0..2 {
        let table = open("127.64.0.0/10", &file.path);
        assert_eq!(table.known(), 100);
        assert!((0..100).rev().all(|n| host(&table, n) == hosts[n as usize]));
    }
    // Closed as it should be, it wastes nothing.
    let table = open("127.64.0.0/10", &file.path);
    assert_eq!(host_at_last(&table, 100), 101);
}

#[test]
fn what_was_given_out_and_not_written_is_never_given_to_another() {
    let file = file();
    let table = open("127.64.0.0/10", &file.path);
    let kept: Vec<_> = (0..10).map(|n| host_at_last(&table, n)).collect();
    drop(table);
    // A table whose thread never runs but for one claim: as if the process had died before it could write more.
    let (table, mut store, changes) = AddressTable::load(net("127.64.0.0/10"), &file.path).unwrap();
    claim(&table, &mut store, &changes);
    let lost = (10..5000).map_while(|n| match table.assign(key(n)) {
        Assigned::Host(host) => Some(host),
        _ => None,
    });
    let lost: Vec<_> = lost.collect();
    assert_eq!(lost.len(), 4096, "as many as are claimed, and no more");
    assert_eq!(table.assign(key(9999)), Assigned::Wait);
    drop((table, store, changes));
    let table = open("127.64.0.0/10", &file.path);
    assert_eq!(table.known(), 10);
    // Others first, and then those who had one.
    for n in (20_000..20_100).chain(10..20) {
        let host = host_at_last(&table, n);
        assert!(!lost.contains(&host) && !kept.contains(&host), "{host}");
    }
    assert!((0..10).all(|n| host(&table, n) == kept[n as usize]));
}

#[test]
fn a_process_that_is_killed_before_a_new_device_comes_costs_nothing() {
    let file = file();
    let table = open("127.64.0.0/24", &file.path);
    assert_eq!(host_at_last(&table, 0), 1);
    drop(table);
    for _ in 0..300 {
        let (table, store, changes) = AddressTable::load(net("127.64.0.0/24"), &file.path).unwrap();
        assert_eq!(host(&table, 0), 1, "it has one, and need not wait");
        drop((store, changes, table));
    }
    let table = open("127.64.0.0/24", &file.path);
    assert_eq!(table.assign(key(1)), Assigned::Wait, "nothing is claimed");
    assert_eq!(host_at_last(&table, 1), 2);
}

#[test]
fn a_claim_is_renewed_before_and_when_it_is_used_up() {
    let file = file();
    // Seven at a time.
    let table = open("127.64.0.0/24", &file.path);
    let hosts: Vec<_> = (0..254).map(|n| host_at_last(&table, n)).collect();
    assert_eq!(hosts, (1..255).collect::<Vec<_>>());
    assert_eq!(table.assign(key(254)), Assigned::Full);
    drop(table);
    let table = open("127.64.0.0/24", &file.path);
    assert_eq!(table.known(), 254);
    assert_eq!(table.assign(key(254)), Assigned::Full);
    assert_eq!(host(&table, 253), 254);
}

#[test]
fn numbers_that_are_claimed_are_not_lent() {
    let file = file();
    let table = open("127.64.0.0/29", &file.path);
    assert_eq!(table.assign(key(0)), Assigned::Wait);
    let lent = std::iter::from_fn(|| match table.lend() {
        Assigned::Host(host) => Some(host),
        _ => None,
    });
    assert_eq!(lent.collect::<Vec<_>>(), [6, 5, 4, 3, 2], "1 is claimed");
    assert_eq!(host_at_last(&table, 0), 1);
    assert_eq!(table.assign(key(1)), Assigned::Full);
}

#[test]
fn a_file_has_one_user_and_one_network() {
    let file = file();
    let table = open("127.64.0.0/10", &file.path);
    let again = || AddressTable::open(net("127.64.0.0/10"), &file.path);
    let error = again().err().unwrap().to_string();
    assert!(error.contains("another process is using it"), "{error}");
    drop(table);
    for other in ["127.64.0.0/11", "127.128.0.0/10"] {
        let error = AddressTable::open(net(other), &file.path).err().unwrap();
        let error = error.to_string();
        assert!(error.contains("of another network than"), "{error}");
    }
    assert!(again().is_ok());
    std::fs::write(&file.path, b"name,address\n").unwrap();
    let error = again().err().unwrap();
    assert!(
        error.to_string().contains("--upstream-pool-table"),
        "{error}"
    );
    let missing = AddressTable::open(net("127.64.0.0/10"), Path::new("no/such/directory/file"));
    assert!(missing.err().unwrap().to_string().contains("No such file"));
}

#[test]
fn a_file_that_cannot_be_written_costs_new_devices_only() {
    let file = file();
    let (table, mut store, changes) = AddressTable::load(net("127.64.0.0/24"), &file.path).unwrap();
    claim(&table, &mut store, &changes);
    for n in 0..7 {
        host(&table, n);
    }
    assert_eq!(table.assign(key(7)), Assigned::Wait);
    let (wake, woken) = mpsc::channel();
    table.on_progress(move || wake.send(()).unwrap());
    // The disk says no; the thread would pass that on.
    table.written(Err("disk full".into()));
    woken.try_recv().unwrap();
    assert_eq!(table.assign(key(7)), Assigned::Failed("disk full".into()));
    assert_eq!(host(&table, 3), 4, "others go on");
    table.written(Ok(14));
    assert_eq!(host(&table, 7), 8);
    drop((table, store, changes));
}

#[test]
fn nobody_waits_for_a_thread_that_has_ended() {
    let file = file();
    let (table, store, changes) = AddressTable::load(net("127.64.0.0/24"), &file.path).unwrap();
    let (wake, woken) = mpsc::channel();
    table.on_progress(move || wake.send(()).unwrap());
    assert_eq!(table.assign(key(0)), Assigned::Wait);
    let farewell = table.farewell();
    let thread = std::thread::spawn(move || {
        let _state = farewell;
        drop((store, changes));
        panic!("as if it had found an error of its own");
    });
    assert!(thread.join().is_err());
    woken.try_recv().unwrap();
    let failed = Assigned::Failed("the thread that writes it has ended".into());
    assert_eq!(table.assign(key(0)), failed);
}
