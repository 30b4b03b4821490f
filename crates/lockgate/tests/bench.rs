//! `lockgate bench` as a program, against `lockgate proxy` with an echo behind it.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);
const KEY: &str = "73656372657450534b";

/// Identities `d0` to `d599`, and a proxy with an echo behind it.
struct Proxy {
    process: Child,
    address: String,
    keys: tempfile::TempDir,
}

impl Proxy {
    fn start(flags: &[&str]) -> Self {
        let backend = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let behind = backend.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let mut buf = [0; 2048];
            // Until the test process ends.
            while let Ok((len, from)) = backend.recv_from(&mut buf) {
                let _ = backend.send_to(&buf[..len], from);
            }
        });
        let keys = tempfile::tempdir().unwrap();
        let lines: Vec<_> = (0..600).map(|n| format!("d{n},{KEY}\n")).collect();
        std::fs::write(keys.path().join("keys.csv"), lines.concat()).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_lockgate"))
            .args(["proxy", "--bind=127.0.0.1:0", "--connect", &behind])
            .arg("--psk-csv")
            .arg(keys.path().join("keys.csv"))
            .args(flags)
            .env_remove("RUST_LOG")
            .env_remove("NOTIFY_SOCKET")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, address) = line.split_once("address=")?;
                Some(address.split(' ').next()?.to_owned())
            })
            .expect("it says where it listens");
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            address,
            keys,
        }
    }

    fn command(&self, flags: &[&str]) -> Command {
        self.command_as("d{n}", flags)
    }

    fn command_as(&self, identity: &str, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
        command
            .args(["bench", &self.address, "--json", "-"])
            .arg(format!("--psk={identity}:{KEY}"))
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn bench(&self, flags: &[&str]) -> Value {
        figures(&ended(self.command(flags).spawn().unwrap()))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ended(mut child: Child) -> Output {
    let until = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            let _ = child.kill();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

fn figures(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"))
}

fn count(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value}: no count"))
}

/// All sessions were made, and every answer was the right one.
fn assert_fine(figures: &Value, sessions: u64) {
    assert_eq!(figures["sessions"]["connected"], sessions, "{figures:#}");
    assert_eq!(figures["sessions"]["at_end"], sessions, "{figures:#}");
    assert_eq!(figures["handshakes"]["failed"], serde_json::json!({}));
    assert_eq!(figures["traffic"]["altered"], 0, "{figures:#}");
    assert_eq!(figures["stopped"], false);
}

#[test]
fn paced_traffic_of_devices_with_addresses_of_their_own_is_echoed() {
    let proxy = Proxy::start(&[]);
    let figures = proxy.bench(&[
        "-n",
        "600",
        "--rate",
        "1000",
        "-d",
        "1s",
        "--probe",
        "--size",
        "20,100-200",
    ]);
    assert_fine(&figures, 600);
    assert_eq!(figures["source"], "127.128.0.0/9");
    let suite = "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256";
    assert_eq!(figures["cipher_suite"], suite);
    assert_eq!(figures["connection_id"], 8);
    assert_eq!(figures["handshakes"]["time_us"]["count"], 600);
    let traffic = &figures["traffic"];
    let sent = count(&traffic["sent"]);
    assert!((900..=1000).contains(&sent), "{traffic:#}");
    assert_eq!(count(&traffic["answered"]), sent, "{traffic:#}");
    assert_eq!(traffic["lost"], 0);
    let bytes = count(&traffic["sent_bytes"]);
    assert!(bytes > sent * 40 && bytes < sent * 160, "{traffic:#}");
    let trip = &traffic["round_trip_us"];
    let probe = &figures["probe"];
    assert_eq!(
        (count(&probe["asked"]), count(&probe["answered"])),
        (600, 600)
    );
    let percentile = |name: &str| trip[name].as_f64().unwrap();
    assert_eq!(count(&trip["count"]), sent);
    let all = ["min", "p50", "p90", "p99", "p99_9", "max"].map(percentile);
    assert!(all[0] > 0.0 && all.is_sorted(), "{trip:#}");
}

#[test]
fn devices_that_move_keep_their_sessions() {
    for source in ["127.0.0.1", "127.40.0.0/16"] {
        let proxy = Proxy::start(&[]);
        let flags = ["-n", "40", "--think", "20ms", "--rebind", "200", "-d", "1s"];
        let figures = proxy.bench(&[&flags[..], &["--source", source]].concat());
        assert_fine(&figures, 40);
        let traffic = &figures["traffic"];
        assert!(count(&traffic["rebinds"]) > 100, "{traffic:#}");
        assert!(count(&traffic["sent"]) > 200, "{traffic:#}");
        assert_eq!(traffic["lost"], 0, "{source}: {traffic:#}");
    }
}

#[test]
fn what_is_lost_is_counted_and_handshakes_survive_it() {
    let proxy = Proxy::start(&[]);
    let flags = [
        "-n",
        "20",
        "--loss",
        "2",
        "--lost-after",
        "100ms",
        "-d",
        "1s",
    ];
    let figures = proxy.bench(&flags);
    assert_fine(&figures, 20);
    let traffic = &figures["traffic"];
    let [sent, lost, dropped] =
        ["sent", "lost", "simulated_loss"].map(|name| count(&traffic[name]));
    assert!(dropped > 0 && lost > 0, "{traffic:#}");
    // All that was lost was lost on purpose.
    assert!(lost <= dropped, "{traffic:#}");
    assert_eq!(count(&traffic["answered"]), sent - lost);
}

#[test]
fn a_storm_comes_back_from_the_same_addresses() {
    let proxy = Proxy::start(&[]);
    for resume in [false, true] {
        let flags = [
            "-n",
            "50",
            "--storm",
            "-d",
            "500ms",
            "--source",
            "127.41.0.0/16",
        ];
        let more: &[&str] = if resume { &["--resume"] } else { &[] };
        let figures = proxy.bench(&[&flags, more].concat());
        let storm = &figures["storm"];
        let rounds = count(&storm["rounds"]);
        let handshakes = &storm["handshakes"];
        assert!(rounds > 0, "{figures:#}");
        assert_eq!(count(&handshakes["completed"]), 50 * rounds, "{storm:#}");
        let resumed = if resume { 50 * rounds } else { 0 };
        assert_eq!(count(&handshakes["resumed"]), resumed, "{storm:#}");
        assert_eq!(figures["sessions"]["at_end"], 50);
    }
}

#[test]
fn an_interrupt_ends_it_early_with_a_summary() {
    let proxy = Proxy::start(&[]);
    let bench = proxy.command(&["-n", "5", "-d", "60s"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    kill_process(Pid::from_child(&bench), Signal::INT).unwrap();
    let figures = figures(&ended(bench));
    assert_eq!(figures["stopped"], true);
    assert!(count(&figures["traffic"]["answered"]) > 0, "{figures:#}");
}

#[test]
fn keys_come_from_a_file_and_the_summary_is_for_people() {
    let proxy = Proxy::start(&[]);
    let json = proxy.keys.path().join("figures.json");
    let output = Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .args(["bench", &proxy.address, "-n", "30", "-d", "200ms"])
        .args(["--cipher-suites", "PSK_WITH_AES_128_CCM_8", "--cid", "off"])
        .arg("--psk-csv")
        .arg(proxy.keys.path().join("keys.csv"))
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(
        said.contains("TLS_PSK_WITH_AES_128_CCM_8, no connection ID"),
        "{said}"
    );
    assert!(said.contains("30 connected"), "{said}");
    assert!(said.contains("p99.9"), "{said}");
    let figures: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_fine(&figures, 30);
}

#[test]
fn some_that_are_turned_away_are_told_and_none_is_a_failure() {
    let proxy = Proxy::start(&[]);
    // There is no d5910.
    let flags = ["-n", "30", "--timeout", "1s", "-d", "200ms"];
    let output = ended(proxy.command_as("d59{n}", &flags).spawn().unwrap());
    let some = figures(&output);
    assert_eq!(some["sessions"]["connected"], 10, "{some:#}");
    let failed: u64 = some["handshakes"]["failed"]
        .as_object()
        .unwrap()
        .values()
        .map(count)
        .sum();
    assert_eq!(failed, 20, "{some:#}");
    assert_eq!(some["traffic"]["lost"], 0, "{some:#}");

    // RFC 5737: nobody's.
    let foreign = "--source=192.0.2.0/24";
    for (server, source, why) in [
        (proxy.address.as_str(), "--loss=0", "do the keys differ"),
        (proxy.address.as_str(), foreign, "does not send from there"),
        ("127.0.0.1:9", "--loss=0", "nobody listens there"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_lockgate"))
            .args([
                "bench",
                server,
                "--psk=nobody:00ff",
                "-n=3",
                "--timeout=1s",
                source,
                "--quiet",
            ])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(server) && said.contains(why), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn certificates_and_raw_public_keys_of_both_ends_are_shown_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let keygen = |words: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_lockgate"))
            .arg("keygen")
            .args(words.split_whitespace())
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{words}: {output:?}");
        output.stdout
    };
    keygen("ca --out .");
    keygen("server --ca . --out . 127.0.0.1");
    keygen("device --ca . --out . device-7");
    let allowed = keygen("raw --out . device-8 gateway");
    std::fs::write(file("allowed.csv"), allowed).unwrap();
    let options = |options: &[(&str, &str)]| -> Vec<String> {
        options
            .iter()
            .flat_map(|(flag, name)| [(*flag).to_owned(), file(name)])
            .collect()
    };
    let flags = options(&[
        ("--cert", "server.pem"),
        ("--key", "server-key.pem"),
        ("--rpk", "gateway-key.pem"),
        ("--ca", "ca.pem"),
        ("--rpk-allow", "allowed.csv"),
    ]);
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    flags.extend(["--replace-same-identity", "false"]);
    let proxy = Proxy::start(&flags);
    let bench = |flags: &[(&str, &str)]| {
        let command = Command::new(env!("CARGO_BIN_EXE_lockgate"))
            .args(["bench", &proxy.address, "-n", "20", "-d", "200ms"])
            .args(["--timeout", "10s", "--json", "-"])
            .args(options(flags))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        ended(command.unwrap())
    };
    let device = [("--cert", "device-7.pem"), ("--key", "device-7-key.pem")];
    for flags in [
        &[("--ca", "ca.pem"), device[0], device[1]][..],
        &[
            ("--peer-keys", "gateway-pub.pem"),
            ("--rpk", "device-8-key.pem"),
        ],
    ] {
        let figures = figures(&bench(flags));
        assert_fine(&figures, 20);
        let suite = figures["cipher_suite"].as_str().unwrap();
        assert!(suite.starts_with("TLS_ECDHE_ECDSA"), "{suite}");
    }
    for (flags, why) in [
        (&[("--ca", "ca.pem")][..], "give --cert and --key"),
        (&[("--ca", "device-7.pem"), device[0], device[1]], "issuer"),
        (&[], "nothing to know the server by"),
    ] {
        let output = bench(flags);
        assert_eq!(output.status.code(), Some(1), "{flags:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(why), "{flags:?}: {said}");
    }
}
