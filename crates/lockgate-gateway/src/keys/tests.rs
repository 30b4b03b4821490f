//! Parts that need no network, no program and no clock.

use std::path::Path;

use super::{csv::parse, *};

fn key(bytes: &[u8]) -> Psk {
    Psk::new(bytes).unwrap()
}

// Psk

#[test]
fn a_key_is_never_empty_and_has_a_bound() {
    assert_eq!(Psk::new(b"").unwrap_err(), PskError::Empty);
    assert_eq!(Psk::from_hex(b" \n").unwrap_err(), PskError::Empty);
    assert_eq!(key(&[7; MAX_PSK_LEN]).as_bytes(), [7; MAX_PSK_LEN]);
    let long = [7; MAX_PSK_LEN + 1];
    assert_eq!(Psk::new(&long).unwrap_err(), PskError::TooLong(65));
    let long = "ab".repeat(MAX_PSK_LEN + 1);
    let error = Psk::from_hex(long.as_bytes()).unwrap_err();
    assert_eq!(error, PskError::TooLong(65));
}

#[test]
fn hex_is_read_in_either_case() {
    let read = Psk::from_hex(b"\t00fFA9c3\r\n").unwrap();
    assert_eq!(read.as_bytes(), [0x00, 0xff, 0xa9, 0xc3]);
    let longest = "5a".repeat(MAX_PSK_LEN);
    assert_eq!(
        Psk::from_hex(longest.as_bytes()).unwrap().as_bytes(),
        [0x5a; 64]
    );
}

#[test]
fn what_is_no_hex_is_named_but_not_shown() {
    assert_eq!(Psk::from_hex(b"abc").unwrap_err(), PskError::OddHex(3));
    assert_eq!(Psk::from_hex(b"0x12").unwrap_err(), PskError::NotHex(2));
    assert_eq!(Psk::from_hex(b"ab:cd").unwrap_err(), PskError::NotHex(3));
    let error = Psk::from_hex(b"feedfacegg").unwrap_err().to_string();
    assert!(!error.contains("feedface"), "{error}");
}

#[test]
fn nothing_that_holds_a_key_shows_it() {
    let key = Psk::new(b"0123456789abcdef").unwrap();
    assert_eq!(format!("{key:?}"), "Psk(hidden)");
    let keys = StaticKeys::from_iter([("dev", key)]);
    assert_eq!(format!("{keys:?}"), "StaticKeys(1 keys)");
}

// Identities in logs

#[test]
fn identities_are_escaped_and_cut() {
    assert_eq!(escaped(b"dev-1").to_string(), "dev-1");
    assert_eq!(
        escaped(b"a\n\x1b[31m\xff\"").to_string(),
        r#"a\n\x1b[31m\xff\""#
    );
    assert_eq!(
        escaped(b"a peer=192.0.2.1:1 \\'").to_string(),
        r"a\x20peer\x3d192.0.2.1:1\x20\\\'"
    );
    let long = escaped(&[b'x'; 1000]).to_string();
    assert_eq!(long, format!("{}... (1000 bytes)", "x".repeat(128)));
}

// CSV

fn csv(text: &[u8]) -> Result<StaticKeys, String> {
    parse(Path::new("keys.csv"), text).map_err(|e| e.to_string())
}

fn csv_key(text: &[u8], identity: &[u8]) -> Vec<u8> {
    let keys = csv(text).unwrap();
    keys.get(identity)
        .expect("identity is there")
        .as_bytes()
        .into()
}

#[test]
fn csv_of_every_clean_form_is_read() {
    let text = b"# fleet\n\ndev-1,00ff\n#dev-1,11\ndev-2, A0 \n   \n\"a,\"\"b\"\"\",01\n\"#c\",02";
    assert_eq!(csv(text).unwrap().len(), 4);
    assert_eq!(csv_key(text, b"dev-1"), [0x00, 0xff]);
    assert_eq!(csv_key(text, b"dev-2"), [0xa0]);
    assert_eq!(csv_key(text, b"a,\"b\""), [1]);
    assert_eq!(csv_key(text, b"#c"), [2]);
}

#[test]
fn csv_may_have_a_byte_order_mark_and_crlf() {
    let text = b"\xef\xbb\xbfdev-1,00ff\r\ndev-2,a0\r\n";
    assert_eq!(csv(text).unwrap().len(), 2);
    assert_eq!(csv_key(text, b"dev-1"), [0x00, 0xff]);
    assert_eq!(csv_key(text, b"dev-2"), [0xa0]);
    let text = b"\xef\xbb\xbf# comment\r\ndev-1,00ff\r\n";
    assert_eq!(csv(text).unwrap().len(), 1);
}

#[test]
fn csv_identities_are_bytes_and_blanks_belong_to_them() {
    assert_eq!(csv_key(b"\xff\x00,01\n\xfa b ,02", b"\xfa b "), [2]);
}

#[test]
fn csv_last_duplicate_wins() {
    assert_eq!(csv_key(b"a,01\nb,02\na,03\n", b"a"), [3]);
}

#[test]
fn csv_mistakes_name_file_line_and_expectation() {
    let cases: [(&[u8], &str, &str); 11] = [
        (
            b"a,01\nb,0g\n",
            "keys.csv:2: ",
            "hexadecimal digit at place 2",
        ),
        (b"# c\n\n# d\na,011\n", "keys.csv:4: ", "odd number"),
        (
            b"a,01\r\n\r\n# c\r\nb\r\n",
            "keys.csv:4: ",
            "found one column",
        ),
        (b"a,01\nb,02,x\n", "keys.csv:2: ", "found 3 columns"),
        (b"a,01\nb,\n", "keys.csv:2: ", "key is empty"),
        (b",01\n", "keys.csv:1: ", "empty identity"),
        (b"\xef\xbb\xbf\na;01\n", "keys.csv:2: ", "found one column"),
        (
            b"\"a\nb\",01\n\"c,02\nd,03\n",
            "keys.csv:3: ",
            "found one column",
        ),
        (
            b"a,01\n\"b\",zz",
            "keys.csv:2: ",
            "hexadecimal digit at place 1",
        ),
        (b"", "keys.csv: ", "holds no key"),
        (b"\xff\xfea\0,\0", "keys.csv: ", "UTF-16"),
    ];
    for (text, place, what) in cases {
        let error = csv(text).unwrap_err();
        assert!(
            error.starts_with(place),
            "{error} of {}",
            text.escape_ascii()
        );
        assert!(error.contains(what), "{error} of {}", text.escape_ascii());
        assert!(!error.contains('\n'), "{error}");
    }
    let long = format!("a,{}\n", "00".repeat(65));
    assert!(csv(long.as_bytes()).unwrap_err().contains("65 bytes"));
    for blank in [&b"\n\r\n  \n"[..], b"# only\n# comments", b"\xef\xbb\xbf"] {
        assert!(csv(blank).unwrap_err().contains("holds no key"));
    }
}

#[test]
fn csv_mistakes_do_not_show_keys() {
    for text in [
        &b"a,deadbeefx\n"[..],
        b"a,deadbee\n",
        b"deadbeef\n",
        b"a,b,deadbeef\n",
    ] {
        let error = csv(text).unwrap_err();
        assert!(!error.contains("deadbee"), "{error}");
    }
}

// Chain

/// Answers everything alike.
struct Fixed(Result<Option<Psk>, KeyError>);

impl KeySource for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn lookup<'a>(&'a self, _: &'a [u8]) -> KeyFuture<'a, Option<Psk>> {
        Box::pin(async { self.0.clone() })
    }

    fn reload(&self) -> KeyFuture<'_, ()> {
        Box::pin(async { self.0.clone().map(drop) })
    }
}

fn known(byte: u8) -> Box<dyn KeySource> {
    Box::new(Fixed(Ok(Some(key(&[byte])))))
}

fn unknown() -> Box<dyn KeySource> {
    Box::new(Fixed(Ok(None)))
}

fn failing() -> Box<dyn KeySource> {
    Box::new(Fixed(Err(KeyError::Busy { origin: "fixed" })))
}

async fn ask(sources: Vec<Box<dyn KeySource>>) -> Result<Option<Vec<u8>>, KeyError> {
    let found = Chain::new(sources).lookup(b"dev").await?;
    Ok(found.map(|k| k.as_bytes().to_vec()))
}

#[tokio::test]
async fn the_first_source_that_knows_wins() {
    assert_eq!(ask(vec![known(1), known(2)]).await, Ok(Some(vec![1])));
    assert_eq!(ask(vec![unknown(), known(2)]).await, Ok(Some(vec![2])));
    assert_eq!(ask(vec![unknown(), unknown()]).await, Ok(None));
    assert_eq!(ask(vec![]).await, Ok(None));
}

#[tokio::test]
async fn a_failing_source_is_passed_over_but_not_forgotten() {
    assert_eq!(ask(vec![failing(), known(2)]).await, Ok(Some(vec![2])));
    let error = ask(vec![failing(), unknown()]).await.unwrap_err();
    assert!(matches!(error, KeyError::Incomplete { .. }), "{error}");
    let other = Fixed(Err(KeyError::Busy { origin: "other" }));
    let error = ask(vec![failing(), unknown(), Box::new(other)]).await;
    let error = error.unwrap_err().to_string();
    for failure in ["fixed: too many", "other: too many"] {
        assert!(error.contains(failure), "{error}");
    }
    let error = ask(vec![failing()]).await.unwrap_err();
    assert_eq!(error, KeyError::Busy { origin: "fixed" });
}

#[tokio::test]
async fn reload_reaches_all_and_tells_of_failure() {
    let ok = Chain::new(vec![known(1), unknown()]);
    assert_eq!(ok.reload().await, Ok(()));
    let bad = Chain::new(vec![known(1), failing(), known(2)]);
    assert_eq!(bad.reload().await, Err(KeyError::Busy { origin: "fixed" }));
}

#[tokio::test]
async fn open_asks_given_keys_before_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("keys.csv");
    std::fs::write(&csv, "a,01\nb,02\n").unwrap();
    let options = KeyOptions {
        static_keys: StaticKeys::from_iter([("a", key(&[9]))]),
        csv: Some(csv),
        ..KeyOptions::default()
    };
    let keys = open(&options).await.unwrap();
    for (identity, expected) in [("a", Some(9)), ("b", Some(2)), ("c", None)] {
        let found = keys.lookup(identity.as_bytes()).await.unwrap();
        assert_eq!(found.map(|k| k.as_bytes()[0]), expected, "{identity}");
    }
}

// The bounded map behind the cache

#[tokio::test(start_paused = true)]
async fn the_map_forgets_the_oldest_and_the_expired() {
    use std::time::Duration;
    let second = Duration::from_secs(1);
    let mut map = cache::TtlMap::new(10 * second, 2);
    map.insert(b"a", 1);
    tokio::time::advance(second).await;
    map.insert(b"b", 2);
    map.insert(b"c", 3);
    assert_eq!((map.get(b"a").copied(), map.len()), (None, 2));
    tokio::time::advance(9 * second).await;
    assert_eq!(map.get(b"b"), Some(&2));
    tokio::time::advance(second).await;
    assert_eq!((map.get(b"b").copied(), map.len()), (None, 0));
    let mut none = cache::TtlMap::new(Duration::ZERO, 2);
    none.insert(b"a", 1);
    assert_eq!(none.get(b"a"), None);
}

#[tokio::test(start_paused = true)]
async fn replacing_does_not_shorten_the_new_entrys_life() {
    use std::time::Duration;
    let mut map = cache::TtlMap::new(Duration::from_secs(10), 8);
    map.insert(b"a", 1);
    tokio::time::advance(Duration::from_secs(9)).await;
    map.insert(b"a", 2);
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(map.get(b"a"), Some(&2));
}

#[tokio::test(start_paused = true)]
async fn one_call_drops_a_bounded_number_and_never_shows_an_expired_one() {
    use std::time::Duration;
    let mut map = cache::TtlMap::new(Duration::from_secs(10), 1000);
    for n in 0..1000_u32 {
        map.insert(&n.to_be_bytes(), n);
    }
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(map.get(&999_u32.to_be_bytes()), None);
    assert!((900..1000).contains(&map.len()), "{}", map.len());
    for _ in 0..20 {
        assert_eq!(map.get(b""), None);
    }
    assert_eq!(map.len(), 0);
}
