mod certificates;

use std::{fs, path::Path};

use clap::{Args, Command};

use super::{values::parse_bind, *};
use crate::keys::RestFormat;

fn command() -> Command {
    ProxyArgs::augment_args(Command::new("proxy").no_binary_name(true))
}

/// Options of a command line, given as words between blanks.
fn parse(line: &str) -> Result<ProxyOptions, String> {
    let words = line.split_ascii_whitespace();
    let matches = command()
        .try_get_matches_from(words)
        .map_err(|e| one_line(&e))?;
    ProxyOptions::from_matches(&matches).map_err(|e| e.to_string())
}

/// As [`parse`], with what every command line needs.
fn with(line: &str) -> Result<ProxyOptions, String> {
    parse(&format!("--connect b:1 --psk dev:0011 {line}"))
}

/// As [`parse`], with a file of this content.
fn with_file(text: &str, line: &str) -> Result<ProxyOptions, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gate.toml");
    fs::write(&file, text).unwrap();
    parse(&format!("--config {} {line}", file.display()))
        .map_err(|e| e.replace(&format!("{}/", dir.path().display()), ""))
}

fn minutes(n: u64) -> Duration {
    Duration::from_mins(n)
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let o = with("").unwrap();
    assert_eq!(o.bind, ["0.0.0.0:14881".parse().unwrap()]);
    assert_eq!(o.connect.to_string(), "b:1");
    assert_eq!(o.idle_timeout, Some(minutes(24 * 60)));
    assert_eq!(o.handshake_timeout, minutes(1));
    assert_eq!(o.max_sessions, None);
    assert_eq!(
        (o.max_half_open, o.max_half_open_per_address),
        (10_000, 1_024)
    );
    assert_eq!((o.cid_length, o.mtu), (8, 1200));
    assert!(o.replace_same_identity && o.require_extended_master_secret);
    assert!(!o.reveal_unknown_identity);
    assert_eq!(o.cipher_suites.len(), 22);
    assert_eq!(o.cipher_suites.first(), Some(&0xD001));
    assert_eq!(o.cipher_suites.last(), Some(&0xC0AF));
    let limits = o.keys.limits;
    assert_eq!(
        (limits.ttl, limits.timeout),
        (minutes(1), Duration::from_secs(5))
    );
    assert_eq!(limits.concurrency, 32);
    assert_eq!(o.log, LogOptions::default());
}

/// The help states defaults in words, because the parser must not know them: it could not tell them
/// from flags that were given, and those win over the file.
#[test]
fn the_help_states_the_same_defaults() {
    let help = command().render_help().to_string();
    let help = help.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let suites = default_suites();
    let suites: Vec<_> = suites
        .iter()
        .map(|&suite| &suite_name(suite).unwrap()["TLS_".len()..])
        .collect();
    for default in [
        format!("[default: 0.0.0.0:{DEFAULT_PORT}]"),
        format!(
            "silence, 0 for never [default: {}h]",
            DEFAULT_IDLE_TIMEOUT.as_secs() / 3600
        ),
        format!(
            "one handshake [default: {}m]",
            DEFAULT_HANDSHAKE_TIMEOUT.as_secs() / 60
        ),
        format!("handshakes at once [default: {DEFAULT_MAX_HALF_OPEN}]"),
        format!("[default: {DEFAULT_MAX_HALF_OPEN_PER_ADDRESS}]"),
        format!("none [default: {DEFAULT_CID_LENGTH}]"),
        format!("[default: {DEFAULT_MTU}]"),
        format!("[default: {DEFAULT_SESSION_CACHE}]"),
        format!(
            "gone on with [default: {}h]",
            DEFAULT_SESSION_LIFETIME.as_secs() / 3600
        ),
        format!("[default: {}]", suites.join(", ")),
    ] {
        assert!(help.contains(&default), "{default} is not in {help}");
    }
}

#[test]
fn every_flag_arrives() {
    let line = "--bind 127.0.0.1:1 --bind [::1]:2 --connect [2001:db8::1]:5683 \
        --psk-csv k.csv --psk-rest https://h/k?t=1 --psk-rest-format hex --rest-headers A:b \
        --rest-headers C:d --rest-ca ca.pem --id-query-key id --id-query-val-prefix p- \
        --shell-kms-cmd /bin/kms --psk urn:dev:1:00ff --psk b:01 --idle-timeout 90m \
        --max-sessions 7 --max-half-open 8 --max-half-open-per-address 9 --kms-timeout 250ms \
        --kms-cache-ttl 0 --kms-concurrency 3 --cid-length 20 \
        --cipher-suites psk_with_aes_128_ccm_8,TLS_PSK_WITH_AES_128_GCM_SHA256 --mtu 512 \
        --resumption off --session-cache 5 --session-lifetime 2h \
        --handshake-timeout 30 --require-extended-master-secret=false --reveal-unknown-identity \
        --keylog k.log --log-format json --log-level warn --replace-same-identity false";
    let o = parse(line).unwrap();
    assert_eq!(
        o.bind,
        ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]
    );
    assert_eq!(
        (o.connect.host.as_str(), o.connect.port),
        ("2001:db8::1", 5683)
    );
    assert_eq!(o.connect.to_string(), "[2001:db8::1]:5683");
    assert_eq!(o.keys.csv.as_deref(), Some(Path::new("k.csv")));
    assert_eq!(o.keys.program.as_deref(), Some(Path::new("/bin/kms")));
    assert_eq!(o.keys.static_keys.len(), 2);
    let key = o.keys.static_keys.get(b"urn:dev:1").unwrap();
    assert_eq!(key.as_bytes(), [0, 0xff]);
    let rest = o.keys.rest.as_ref().unwrap();
    assert_eq!(rest.url.as_str(), "https://h/k?t=1");
    assert_eq!(rest.format, RestFormat::Hex);
    assert_eq!(
        (&rest.headers["a"], &rest.headers["c"]),
        (&"b".parse().unwrap(), &"d".parse().unwrap())
    );
    assert_eq!(rest.ca_file.as_deref(), Some(Path::new("ca.pem")));
    assert_eq!(
        (
            rest.id_query_key.as_str(),
            rest.id_query_val_prefix.as_str()
        ),
        ("id", "p-")
    );
    assert_eq!(rest.timeout, Duration::from_millis(250));
    let limits = o.keys.limits;
    assert_eq!(
        (limits.timeout, limits.ttl),
        (Duration::from_millis(250), Duration::ZERO)
    );
    assert_eq!(limits.concurrency, 3);
    assert_eq!(o.idle_timeout, Some(minutes(90)));
    assert_eq!(o.max_sessions, Some(7));
    assert_eq!((o.max_half_open, o.max_half_open_per_address), (8, 9));
    assert_eq!(o.handshake_timeout, Duration::from_secs(30));
    assert_eq!((o.cid_length, o.mtu), (20, 512));
    assert_eq!(o.cipher_suites, [0xC0A8, 0x00A8]);
    assert!(!o.require_extended_master_secret && !o.replace_same_identity);
    assert!(o.reveal_unknown_identity && !o.resumption);
    assert_eq!(
        (o.session_cache, o.session_lifetime),
        (5, Duration::from_hours(2))
    );
    assert_eq!(o.keylog.as_deref(), Some(Path::new("k.log")));
    assert_eq!(o.log.format, LogFormat::Json);
    assert_eq!(o.log.filter.as_deref(), Some("warn"));
}

#[test]
fn edges_of_values() {
    assert_eq!(with("--idle-timeout 0").unwrap().idle_timeout, None);
    assert_eq!(with("--idle-timeout 0s").unwrap().idle_timeout, None);
    assert_eq!(with("--cid-length 0").unwrap().cid_length, 0);
    assert_eq!(with("--mtu 256").unwrap().mtu, 256);
    assert_eq!(with("--mtu 16384").unwrap().mtu, 16384);
    let suites = "--cipher-suites PSK_WITH_AES_256_CCM,PSK_WITH_AES_256_CCM";
    assert_eq!(with(suites).unwrap().cipher_suites, [0xC0A5]);
    let bind = with("--bind :5684").unwrap().bind;
    assert_eq!(bind, ["0.0.0.0:5684".parse().unwrap()]);
    assert!(parse_bind("localhost:7").unwrap().ip().is_loopback());
    let debug = Some("info,lockgate=debug");
    assert_eq!(with("-v").unwrap().log.filter.as_deref(), debug);
    assert_eq!(
        with("--log-level debug").unwrap().log.filter.as_deref(),
        debug
    );
    let trace = Some("info,lockgate=trace");
    assert_eq!(with("-vv").unwrap().log.filter.as_deref(), trace);
}

#[test]
fn mistakes_get_one_clear_line() {
    for (line, what) in [
        ("--mtu 255", "--mtu"),
        ("--mtu 16385", "--mtu"),
        ("--cid-length 7", "expected 0 or 8 to 20"),
        ("--cid-length 21", "expected 0 or 8 to 20"),
        ("--idle-timeout soon", "expected a duration such as"),
        (
            "--handshake-timeout 0",
            "--handshake-timeout: must be more than 0",
        ),
        ("--kms-timeout 0", "--kms-timeout: must be more than 0"),
        ("--kms-concurrency 0", "--kms-concurrency"),
        ("--max-sessions 0", "--max-sessions"),
        ("--max-sessions 16777217", "--max-sessions"),
        ("--max-half-open 0", "--max-half-open"),
        ("--bind nonsense", "expected ADDRESS:PORT"),
        ("--bind 1.2.3.4", "expected ADDRESS:PORT"),
        ("--connect b", "expected HOST:PORT"),
        ("--connect b:0", "port 0"),
        ("--connect ::1:5", "expected HOST:PORT"),
        ("--connect :5", "expected HOST:PORT"),
        ("--connect [b]:5", "expected HOST:PORT"),
        ("--connect http://b:5", "expected HOST:PORT"),
        (
            "--cipher-suites TLS_AES_128_GCM_SHA256",
            "expected names of cipher suites as --help lists them",
        ),
        ("--psk-rest /k", "--psk-rest: expected an http or https URL"),
        (
            "--psk-rest ftp://h/k",
            "--psk-rest: expected an http or https URL",
        ),
        (
            "--psk-rest http://h/k?pskId=x",
            "query parameter \"pskId\" already",
        ),
        (
            "--psk-rest http://h/k --rest-headers x",
            "--rest-headers: expected Name:value",
        ),
        ("--psk dev:00", "--psk: two keys for dev"),
        (
            "--reveal-unknown-identity maybe",
            "--reveal-unknown-identity",
        ),
        ("--log-format xml", "--log-format"),
        ("--log-level info -v", "cannot be used with"),
        ("--frob", "'--frob'"),
    ] {
        // `--connect` may not be given twice.
        let error = if line.starts_with("--connect") {
            parse(&format!("--psk dev:0011 {line}"))
        } else {
            with(line)
        };
        let error = error.unwrap_err();
        assert!(error.contains(what), "{line}: {error}");
        assert!(!error.contains('\n'), "{line}: {error}");
    }
}

#[test]
fn values_may_begin_with_a_dash() {
    let line = "--psk --dev:0011 --psk-csv -k.csv --psk-rest http://h/k --rest-headers -a:-b \
        --rest-ca -ca.pem --id-query-key -id --id-query-val-prefix -p- --shell-kms-cmd -kms \
        --keylog --connect --connect b:1";
    let o = parse(line).unwrap();
    assert!(o.keys.static_keys.get(b"--dev").is_some());
    assert_eq!(o.keys.csv.as_deref(), Some(Path::new("-k.csv")));
    assert_eq!(o.keys.program.as_deref(), Some(Path::new("-kms")));
    assert_eq!(o.keylog.as_deref(), Some(Path::new("--connect")));
    let rest = o.keys.rest.as_ref().unwrap();
    assert_eq!(rest.headers["-a"], "-b");
    assert_eq!(rest.ca_file.as_deref(), Some(Path::new("-ca.pem")));
    assert_eq!(rest.id_query_key, "-id");
    assert_eq!(rest.id_query_val_prefix, "-p-");
}

#[test]
fn a_key_source_and_a_backend_are_needed() {
    let error = parse("--connect b:1").unwrap_err();
    assert!(
        error.starts_with("no key source: give --psk-csv"),
        "{error}"
    );
    let error = parse("--psk a:00").unwrap_err();
    assert_eq!(error, "no backend: give --connect HOST:PORT");
}

#[test]
fn secrets_stay_out_of_errors_and_debug() {
    for line in [
        "--psk deadbee5x",
        "--psk dev:deadbee5x",
        "--psk dev:deadbee5x --psk dev:0",
        "dev:deadbee5",
        "--psk=a:00 dev:deadbee5",
        "--dev:deadbee5",
        "--psk --dev:deadbee5x",
        "--psk-rest http://u:deadbee5@h:x/?k=deadbee5",
        "--psk-rest http://h --rest-headers deadbee5",
        "--psk-rest http://h --rest-headers a@b:deadbee5",
    ] {
        let error = parse(&format!("--connect b:1 {line}")).unwrap_err();
        assert!(!error.contains("deadbee5"), "{error}");
    }
    let line =
        "--psk b:deadbee5 --psk-rest http://u:deadbee5@h/?k=deadbee5 --rest-headers a:deadbee5";
    let words = line.split_ascii_whitespace();
    let matches = command().try_get_matches_from(words).unwrap();
    let args = <ProxyArgs as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
    let options = with(line).unwrap();
    for debug in [format!("{args:?}"), format!("{options:?}")] {
        assert!(!debug.contains("deadbee5"), "{debug}");
        assert!(!debug.contains("222, 173, 190"), "{debug}");
    }
}

#[test]
fn a_file_gives_options_of_every_type() {
    let text = r#"
        bind = ["127.0.0.1:1", "[::1]:2"]
        connect = "b:1"
        psk = "dev:0011"
        idle-timeout = "1h"
        handshake-timeout = 30
        max-sessions = 1_000
        reveal-unknown-identity = true
        require-extended-master-secret = false
        cipher-suites = ["PSK_WITH_AES_128_CCM", "PSK_WITH_AES_128_CCM_8"]
        log-format = "json"
    "#;
    let o = with_file(text, "").unwrap();
    assert_eq!(o.bind.len(), 2);
    assert_eq!(o.keys.static_keys.len(), 1);
    assert_eq!(o.idle_timeout, Some(minutes(60)));
    assert_eq!(o.handshake_timeout, Duration::from_secs(30));
    assert_eq!(o.max_sessions, Some(1_000));
    assert!(o.reveal_unknown_identity && !o.require_extended_master_secret);
    assert_eq!(o.cipher_suites, [0xC0A4, 0xC0A8]);
    assert_eq!(o.log.format, LogFormat::Json);
}

#[test]
fn flags_win_over_the_file_and_replace_its_lists() {
    let text = "bind = ['127.0.0.1:1', '127.0.0.1:2']\nconnect = 'b:1'\npsk = ['a:00', 'b:01']\n\
        mtu = 300\ncid-length = 9\nlog-level = 'error'\nreplace-same-identity = false\n";
    let o = with_file(text, "--bind 127.0.0.1:3 --mtu 400 --psk c:02 -v").unwrap();
    assert_eq!(o.bind, ["127.0.0.1:3".parse().unwrap()]);
    assert_eq!((o.mtu, o.cid_length), (400, 9));
    assert_eq!(o.keys.static_keys.len(), 1);
    assert_eq!(o.log.filter.as_deref(), Some("info,lockgate=debug"));
    assert!(!o.replace_same_identity);
    let o = with_file(text, "--replace-same-identity").unwrap();
    assert!(o.replace_same_identity);
}

#[test]
fn paths_in_a_file_are_relative_to_it() {
    let file = Path::new("/etc/gate/gate.toml");
    let text = "psk-csv = 'k.csv'\nkeylog = '/var/log/k'\nshell-kms-cmd = 'kms'\n";
    let matches = file::parse(file, text).unwrap();
    let path = |name: &str| matches.get_one::<PathBuf>(name).unwrap().clone();
    assert_eq!(path("psk_csv"), Path::new("/etc/gate/k.csv"));
    assert_eq!(path("keylog"), Path::new("/var/log/k"));
    assert_eq!(path("shell_kms_cmd"), Path::new("kms"));
    let matches = file::parse(file, "shell-kms-cmd = './kms'").unwrap();
    let path = matches.get_one::<PathBuf>("shell_kms_cmd").unwrap();
    assert_eq!(path, Path::new("/etc/gate/./kms"));
}

#[test]
fn mistakes_in_a_file_name_key_and_line_and_no_secret() {
    for (text, start, what) in [
        (
            "mtu = 400\n\nmut = 1\n",
            "gate.toml:3: ",
            "unknown key \"mut\"",
        ),
        ("config = 'x'\n", "gate.toml:1: ", "unknown key \"config\""),
        ("help = true\n", "gate.toml:1: ", "unknown key \"help\""),
        ("verbose = 1\n", "gate.toml:1: ", "unknown key \"verbose\""),
        (
            "[keys]\npsk = 'a:deadbee5'\n",
            "gate.toml:1: ",
            "unknown key \"keys\"",
        ),
        ("# c\nmtu = 'big'\n", "gate.toml:2: ", "--mtu"),
        (
            "mtu = 400\nbind = []\n",
            "gate.toml:2: ",
            "bind: the list is empty",
        ),
        (
            "cipher-suites = []\n",
            "gate.toml:1: ",
            "cipher-suites: the list is empty",
        ),
        ("mtu = [400]\n", "gate.toml:1: ", "mtu: expected one text"),
        ("mtu = 4.5\n", "gate.toml:1: ", "mtu: expected one text"),
        (
            "psk = [['deadbee5']]\n",
            "gate.toml:1: ",
            "psk: expected a text or a list",
        ),
        ("psk-csv = ''\n", "gate.toml:1: ", "--psk-csv"),
        ("mtu = 400\nmtu = 500\n", "gate.toml:2: ", "duplicate key"),
        ("mtu = 400\npsk = 'a:deadbee5\n", "gate.toml:2: ", ""),
        ("psk = deadbee5\n", "gate.toml:1: ", ""),
        ("psk = 'a:deadbee5x'\n", "--psk: ", "place 9"),
    ] {
        let error = with_file(text, "--connect b:1").unwrap_err();
        assert!(error.starts_with(start), "{text}: {error}");
        assert!(error.contains(what), "{text}: {error}");
        assert!(!error.contains("deadbee5"), "{text}: {error}");
        assert!(!error.contains('\n'), "{text}: {error}");
    }
    let error = parse("--config /nonexistent/gate.toml").unwrap_err();
    assert!(
        error.starts_with("/nonexistent/gate.toml: cannot be read"),
        "{error}"
    );
}

#[test]
fn suites_have_names() {
    assert_eq!(suite_name(0xC0A8), Some("TLS_PSK_WITH_AES_128_CCM_8"));
    assert_eq!(suite_name(0x1301), None);
    assert_eq!(parse_suite("psk_with_aes_128_ccm_8"), Ok(0xC0A8));
    assert_eq!(
        parse_suite("TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"),
        Ok(0xC0AE)
    );
}

#[tokio::test]
async fn names_and_addresses_resolve() {
    let resolved = |text: &str| text.parse::<HostPort>().unwrap();
    let found = resolved("[::1]:7").resolve().await.unwrap();
    assert_eq!(found, ["[::1]:7".parse().unwrap()]);
    let found = resolved("localhost:7").resolve().await.unwrap();
    assert!(found.iter().all(|a| a.ip().is_loopback() && a.port() == 7));
    assert!(
        resolved("does-not-exist.invalid:7")
            .resolve()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn keys_of_the_command_line_open() {
    let options = with("").unwrap();
    let keys = crate::keys::open(&options.keys).await.unwrap();
    let key = keys.lookup(b"dev").await.unwrap().unwrap();
    assert_eq!(key.as_bytes(), [0x00, 0x11]);
}

#[test]
fn a_pool_is_a_network_and_its_table_a_file() {
    let none = with("").unwrap();
    assert_eq!((none.upstream_pool, none.upstream_pool_table), (None, None));
    let o = with("--upstream-pool 127.64.0.0/10:5000 --upstream-pool-table t").unwrap();
    assert_eq!(o.upstream_pool.unwrap().to_string(), "127.64.0.0/10:5000");
    assert_eq!(o.upstream_pool_table, Some("t".into()));
    for (line, said) in [
        (
            "--upstream-pool 127.64.0.1/10",
            "the network is 127.64.0.0/10",
        ),
        ("--upstream-pool 127.64.0.0", "--upstream-pool"),
        ("--upstream-pool-table t", "needs --upstream-pool"),
        (
            "--upstream-pool fd12::/64 --upstream-pool-table t",
            "without a table",
        ),
    ] {
        let error = with(line).unwrap_err();
        assert!(error.contains(said), "{line}: {error}");
    }
    let text = "connect = 'b:1'\npsk = 'dev:0011'\nupstream-pool = '127.64.0.0/10'\n";
    let o = with_file(&format!("{text}upstream-pool-table = 't'\n"), "").unwrap();
    let table = o.upstream_pool_table.unwrap();
    assert!(
        table.is_absolute() && table.ends_with("t"),
        "{}",
        table.display()
    );
    let error = with_file(&text.replace("127.64.0.0/10", "127.64.0.0"), "").unwrap_err();
    assert!(error.contains("gate.toml:3"), "{error}");
}

#[test]
fn systemd_says_where_state_is_kept() {
    let file = |value: &str| build::state_directory(value.as_bytes());
    assert_eq!(
        file("/var/lib/lockgate"),
        Some("/var/lib/lockgate/upstream-pool.redb".into())
    );
    assert_eq!(file("/a:/b"), Some("/a/upstream-pool.redb".into()));
    assert_eq!(file(""), None);
}
