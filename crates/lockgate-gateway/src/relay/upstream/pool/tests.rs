//! Which session an address leads to.

use super::*;

fn pool(net: &str, table: Option<AddressTable>) -> io::Result<Pool> {
    pool_with(net, table.map(Arc::new), None)
}

/// Those of two workers that share a port.
fn two_pools(net: &str, table: Option<AddressTable>) -> io::Result<[Pool; 2]> {
    let table = table.map(Arc::new);
    let mut fellows = Fellows::between(2).into_iter();
    let mut pool = || pool_with(net, table.clone(), fellows.next());
    let mut pools = [pool()?, pool()?];
    for pool in &mut pools {
        pool.follow_sender = true;
    }
    Ok(pools)
}

fn pool_with(
    net: &str,
    table: Option<Arc<AddressTable>>,
    fellows: Option<Fellows>,
) -> io::Result<Pool> {
    let net: PoolNet = net.parse().unwrap();
    let backend = "127.0.0.1:9".parse().unwrap();
    let setup = PoolSetup {
        net,
        socket: pool_socket::bind(net.is_ipv6(), 0, Sharing::Nothing, backend)?,
        table,
        fellows,
    };
    Pool::new(setup, backend, false)
}

fn attach(pool: &mut Pool, index: usize, identity: &Identity, same: bool) -> Option<u64> {
    pool.attach(index, identity, |_| same).ok()
}

#[tokio::test]
async fn two_identities_never_share_an_ipv6_address() {
    let Ok(mut pool) = pool("fd12::/64", None) else {
        return; // a machine without IPv6
    };
    let device = Identity::psk(b"device");
    let host = attach(&mut pool, 1, &device, false).unwrap();
    // Nobody can make two that meet, so another one is played by the same.
    let refused = pool.attach(2, &device, |other| {
        assert_eq!(other, 1);
        false
    });
    let Err(NoUpstream::TurnedAway { reason, why }) = refused else {
        panic!("it has got the same address")
    };
    assert_eq!(reason, EndReason::NoAddress);
    assert!(why.starts_with("another identity has the same address, fd12::"));
    assert_eq!(pool.live.place(host), Some(&mut 1));
    // A newer session of the same.
    assert_eq!(attach(&mut pool, 3, &device, true), Some(host));
    pool.detach(host, 1, &device);
    assert_eq!(pool.live.place(host), Some(&mut 3));
    pool.detach(host, 3, &device);
    assert_eq!(pool.live.place(host), None);
    assert!(attach(&mut pool, 2, &device, false).is_some());
    // An older session that goes on after the newest has ended.
    pool.detach(host, 2, &device);
    pool.live.take(host, 1);
    assert_eq!(pool.live.place(host), Some(&mut 1));
    let nobody = Identity::default();
    let lent = attach(&mut pool, 4, &nobody, false).unwrap();
    let other = attach(&mut pool, 5, &nobody, false).unwrap();
    assert_ne!(lent, other);
    pool.detach(lent, 4, &nobody);
    assert_eq!(pool.live.place(lent), None);
    assert_eq!(pool.live.place(other), Some(&mut 5));
}

#[tokio::test]
async fn answers_go_to_the_worker_with_the_newest_session() {
    let table = AddressTable::in_memory("127.64.0.0/29".parse().unwrap());
    let device = Identity::psk(b"device");
    for (net, table) in [("127.64.0.0/29", Some(table)), ("fd12::/64", None)] {
        let Ok([mut zero, mut one]) = two_pools(net, table) else {
            continue; // a machine without IPv6
        };
        let host = attach(&mut zero, 3, &device, true).unwrap();
        assert_eq!(attach(&mut one, 5, &device, true), Some(host));
        let places = |zero: &mut Pool, one: &mut Pool| {
            // As before each batch.
            zero.forget_lost();
            one.forget_lost();
            (zero.live.index(host), one.live.index(host))
        };
        assert_eq!(places(&mut zero, &mut one), (None, Some(5)));
        // The older one sends, twice; then the newer one.
        zero.follow(host, 3, &device);
        zero.follow(host, 3, &device);
        assert_eq!(places(&mut zero, &mut one), (Some(3), None));
        one.follow(host, 5, &device);
        // And it comes back before anybody looks.
        zero.follow(host, 3, &device);
        assert_eq!(places(&mut zero, &mut one), (Some(3), None));
        // What is over and was not the newest takes nothing away.
        one.detach(host, 5, &device);
        assert_eq!(places(&mut zero, &mut one), (Some(3), None));
        let fellows = one.fellows.as_ref().unwrap();
        assert_eq!(fellows.pass(host, b"x"), Passed::On);
        zero.detach(host, 3, &device);
        let fellows = one.fellows.as_ref().unwrap();
        assert_eq!(fellows.pass(host, b"x"), Passed::Nowhere);
    }
}

#[tokio::test]
async fn two_identities_at_two_workers_never_share_an_ipv6_address() {
    let Ok([mut zero, mut one]) = two_pools("fd12::/64", None) else {
        return; // a machine without IPv6
    };
    let device = Identity::psk(b"device");
    let host = device.hash().unwrap().interface();
    // Nobody has time to make one that meets it, so somebody is played who has.
    assert!(zero.claim(host, Some([7; 16])));
    zero.live.take(host, 3);
    let refused = one.attach(5, &device, |_| true);
    let Err(NoUpstream::TurnedAway { reason, why }) = refused else {
        panic!("it has got the same address")
    };
    assert_eq!(reason, EndReason::NoAddress);
    assert!(why.starts_with("another identity has the same address, fd12::"));
    assert_eq!(one.live.index(host), None);
    one.follow(host, 5, &device);
    zero.forget_lost();
    assert_eq!(
        (zero.live.index(host), one.live.index(host)),
        (Some(3), None)
    );
}

#[tokio::test]
async fn an_ipv4_address_leads_to_its_session() {
    let table = AddressTable::in_memory("127.64.0.0/29".parse().unwrap());
    let mut pool = pool("127.64.0.0/29", Some(table)).unwrap();
    let (one, two, nobody) = (
        Identity::psk(b"one"),
        Identity::psk(b"two"),
        Identity::default(),
    );
    for (index, identity, host) in [(7, &one, 1), (8, &nobody, 6), (9, &two, 2), (5, &nobody, 5)] {
        assert_eq!(attach(&mut pool, index, identity, false), Some(host));
        assert_eq!(pool.live.place(host), Some(&mut (index as u32)));
    }
    let mut at = |host| pool.live.place(host).map(|index| *index);
    assert_eq!([at(0), at(3), at(4), at(7)], [None; 4]);
    pool.detach(6, 8, &nobody);
    pool.detach(5, 5, &nobody);
    pool.detach(1, 7, &one);
    let mut at = |host| pool.live.place(host).map(|index| *index);
    assert_eq!([at(1), at(2), at(5)], [Some(NOBODY), Some(9), Some(NOBODY)]);
    // Numbers change sides when all that were lent are back.
    for (name, host) in [(b"a", 3), (b"b", 4), (b"c", 5), (b"d", 6)] {
        let identity = Identity::psk(name);
        assert_eq!(
            attach(&mut pool, host as usize, &identity, false),
            Some(host)
        );
        assert_eq!(pool.live.place(host), Some(&mut (host as u32)));
    }
    assert_eq!(attach(&mut pool, 1, &nobody, false), None);
}
