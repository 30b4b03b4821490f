use super::*;

const PORTS: u32 = 28_232;

#[test]
fn the_default_range_has_both_its_ends() {
    assert_eq!(parse_range("32768\t60999\n").map(count), Some(PORTS));
    assert_eq!(parse_range("5 5").map(count), Some(1));
    assert_eq!(parse_range("6 5"), None);
    assert_eq!(parse_range("1"), None);
    assert_eq!(parse_range("a b"), None);
}

#[test]
fn few_descriptors_bind_and_are_named() {
    let limits = Limits {
        descriptors: 20_000,
        ports: PORTS,
    };
    let budget = limits.budget(None);
    assert_eq!(budget.sessions, 20_000 - RESERVED);
    assert!(!budget.exceeded);
    assert!(budget.sentence.contains("20000 open files"), "{budget:?}");
}

#[test]
fn many_descriptors_leave_the_ports_to_bind() {
    let limits = Limits {
        descriptors: u64::MAX,
        ports: PORTS,
    };
    let budget = limits.budget(None);
    assert_eq!(budget.sessions, PORTS - RESERVED);
    assert!(budget.sentence.contains("28232 local ports"), "{budget:?}");
}

#[test]
fn a_request_is_granted_and_judged() {
    let limits = Limits {
        descriptors: 1_256,
        ports: PORTS,
    };
    let fits = limits.budget(Some(1_000));
    assert_eq!((fits.sessions, fits.exceeded), (1_000, false));
    let too_many = limits.budget(Some(1_001));
    assert_eq!((too_many.sessions, too_many.exceeded), (1_001, true));
    assert!(too_many.sentence.contains("only 1000 fit"), "{too_many:?}");
}

#[test]
fn look_ups_need_descriptors_too() {
    let limits = Limits {
        descriptors: 20_000,
        ports: PORTS,
    };
    let budget = limits.budget_beside(1024, None);
    assert_eq!(budget.sessions, 20_000 - RESERVED - 3 * 1024);
    assert!(budget.sentence.contains("less 3328 for"), "{budget:?}");
}

#[test]
fn a_pool_is_bound_by_its_network_alone() {
    let budget = |net: &str, requested| pool_budget(&net.parse().unwrap(), requested);
    let all = budget("127.64.0.0/10", None);
    assert_eq!((all.sessions, all.exceeded), (4_194_302, false));
    let devices =
        "at most 4194302 sessions: the pool 127.64.0.0/10 has addresses for 4194302 devices";
    assert_eq!(all.sentence, devices);
    let fewer = budget("127.64.0.0/24", Some(254));
    assert_eq!((fewer.sessions, fewer.exceeded), (254, false));
    let more = budget("127.64.0.0/24", Some(255));
    assert_eq!((more.sessions, more.exceeded), (255, true));
    assert!(more.sentence.contains("for 254 devices"), "{more:?}");
    assert_eq!(budget("fd12::/64", None).sessions, MAX_SESSIONS);
}

#[test]
fn there_is_always_room_for_one() {
    let limits = Limits {
        descriptors: 3,
        ports: 3,
    };
    assert_eq!(limits.budget(None).sessions, 1);
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    let limits = Limits::raise_and_read();
    let now = getrlimit(Resource::Nofile);
    assert_eq!(now.current, now.maximum);
    assert_eq!(limits.descriptors, now.current.unwrap_or(u64::MAX));
    assert!(limits.ports >= 1);
}
