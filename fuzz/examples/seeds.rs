//! Writes the seeds of the fuzz targets, from handshakes that it plays: `cargo run --example seeds` in `fuzz/`.
//!
//! Seeds that are there and not written here are left alone.

use std::fs;
use std::path::Path;

use lockgate_fuzz::{PARSERS, Reached, Side, clear_messages, import, play, wire};

/// Options of a script: suite, cookies, connection IDs, fragments; leniency; papers; the rest. See `Options`.
struct Case {
    name: &'static str,
    options: [u8; 4],
    /// Whether the client's certificate comes along.
    named: bool,
}

const fn case(name: &'static str, options: [u8; 4], named: bool) -> Case {
    Case {
        name,
        options,
        named,
    }
}

/// Kinds: X.509 0, raw public keys 1, ECDHE_PSK 2, all of them 3; client authentication optional with one 4, required 8,
/// optional without 12; tickets 0x10, IDs 0x20, IDs and a hint 0x30; ALPN 0x40.
const CASES: [Case; 14] = [
    case("x509", [0x80, 0, 0x00, 0], false),
    case("x509-chain-fragments", [0xC1, 0, 0x08, 0x02], true),
    case("x509-mutual-no-cid", [0x9D, 0, 0x48, 0], true),
    case("x509-optional-empty", [0x82, 0, 0x0C, 0x04], false),
    case("raw-mutual-gcm256", [0x93, 0, 0x09, 0], true),
    case("raw-no-cookie-alpn", [0x84, 0, 0x41, 0x08], false),
    case("ecdhe-psk", [0x80, 0, 0x02, 0], false),
    case("ecdhe-psk-hint-ids", [0x81, 0, 0x32, 0], false),
    case("all-kinds-tickets", [0x8B, 0, 0x5B, 0x40], true),
    case("raw-tickets", [0x80, 0, 0x19, 0], true),
    case("x509-ids-no-cookie", [0x9E, 0, 0x28, 0], true),
    case("long-hello-fragments", [0xC0, 0, 0x00, 0x40], false),
    case("lenient-keys", [0x80, 4, 0x08, 0], true),
    case("lenient-macs", [0x80, 8, 0x18, 0], true),
];

/// Lets a handshake run: both ends are delivered what is there and answer what they are asked.
const ROUND: [u8; 6] = [0, 2, 12, 0, 12, 1];
/// The client talks, and what it says arrives.
const TALK: [u8; 8] = [13, 0, 9, 0, 14, 0, 9, 2];

fn main() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    scripts(&seeds);
    messages(&seeds);
    for (name, mode, choice, changes) in [
        ("ticket", 4, 0, &[][..]),
        ("ticket-changed", 4, 0, &[0, 90, 1]),
        ("session-id", 4, 1, &[]),
        ("session-id-changed-by-client", 4, 5, &[0, 10, 1]),
        ("session-id-changed-by-server", 4, 3, &[0, 3, 1]),
    ] {
        let seed = [&[mode, choice][..], &[0; 10], changes].concat();
        import(&seed);
        write(&seeds.join("import"), name, &seed);
    }
    let made_up = [&[5, 0][..], &[0; 10], &session()].concat();
    import(&made_up);
    write(&seeds.join("import"), "session-made-up", &made_up);
}

fn scripts(seeds: &Path) {
    for case in &CASES {
        let mut script = case.options.to_vec();
        // Small datagrams are many.
        let rounds = if case.options[0] & 0x40 == 0 { 9 } else { 30 };
        for _ in 0..rounds {
            script.extend(ROUND);
        }
        script.extend(TALK);
        let resumes = case.options[2] & 0x30 != 0;
        if resumes {
            // Both forget the connection, and the client comes again with its session.
            script.extend([21, 0, 21, 1, 18]);
            for _ in 0..rounds {
                script.extend(ROUND);
            }
            script.extend(TALK);
        }
        for (side, folder) in [(Side::Server, "server"), (Side::Client, "client")] {
            let reached = play(side, &script);
            let connections = 1 + u32::from(resumes);
            let expected = Reached {
                client_connected: connections,
                server_connected: connections,
                resumed: u32::from(resumes),
                named: if case.named { connections } else { 0 },
            };
            assert_eq!(reached, expected, "{}", case.name);
            write(&seeds.join(folder), case.name, &script);
            // The same with every kind of wrong answer on the way.
            for (name, answer) in [
                ("refused", &[12, 6, 12, 7][..]),
                ("wrong", &[12, 0x84, 0, 12, 0x85, 0]),
                ("other", &[12, 0x82, 0x16, 12, 0x83, 0x25]),
            ] {
                let mut script = case.options.to_vec();
                for round in 0..10 {
                    script.extend(&ROUND[..2]);
                    script.extend(if round == 4 { answer } else { &ROUND[2..] });
                }
                let _ = play(side, &script);
                if case.options[2] & 3 != 2 && case.options[2] & 12 == 8 {
                    let name = format!("{}-{name}", case.name);
                    write(&seeds.join(folder), &name, &script);
                }
            }
        }
    }
}

/// A seed of each parser that reads a handshake message, out of the handshakes above.
fn messages(seeds: &Path) {
    for case in &CASES {
        let raw = case.options[2] & 3 == 1;
        let with_psk = case.options[2] & 3 == 2;
        for (msg_type, body) in clear_messages(&case.options) {
            let names: &[&str] = match msg_type {
                1 => &["client-hello"],
                2 => &["server-hello"],
                3 => &["hello-verify-request"],
                4 => &["new-session-ticket"],
                11 if raw => &["certificate-raw"],
                11 => &["certificate-x509"],
                12 if !with_psk => &["ecdhe-params"],
                13 => &["certificate-request"],
                15 => &["signed"],
                16 if with_psk => &["ecdhe-psk-client-key-exchange"],
                16 => &["ecdhe-client-key-exchange"],
                _ => &[],
            };
            for name in names {
                parser(seeds, name, &format!("{name}-{}", case.name), &body);
            }
            if msg_type == 11 && body.len() > 6 {
                let key = if raw { &body[3..] } else { &body[6..] };
                parser(
                    seeds,
                    "public-key",
                    &format!("public-key-{}", case.name),
                    key,
                );
            }
        }
    }
    parser(seeds, "session", "session", &session());
    let record = b"\x00\x16\xfe\xfd\x00\x00\x00\x00\x00\x00\x00\x01\x00\x02\x01\x00";
    parser(seeds, "record", "record", record);
    let mut with_cid = b"\x08\x19\xfe\xfd\x00\x01\x00\x00\x00\x00\x00\x01".to_vec();
    with_cid.extend([7; 8]);
    with_cid.extend([0, 3, 1, 2, 3]);
    parser(seeds, "record", "record-cid", &with_cid);
}

/// A session by hand: version 1, a suite, a secret, an ID, a name, a certificate, a ticket.
fn session() -> Vec<u8> {
    let mut bytes = vec![1, 0xC0, 0x2B, 1];
    bytes.extend([0x77; 48]);
    bytes.extend(b"\x04abcd\x04name\x02\x04peer\x20");
    bytes.extend([0x88; 32]);
    bytes.extend(b"\x00\x00\x0e\x10\x00\x06ticket");
    bytes
}

fn parser(seeds: &Path, parser: &str, name: &str, body: &[u8]) {
    let which = PARSERS.iter().position(|(known, _)| *known == parser);
    let seed = [&[which.expect("a parser") as u8], body].concat();
    wire(&seed);
    write(&seeds.join("wire"), name, &seed);
}

fn write(folder: &Path, name: &str, seed: &[u8]) {
    assert!(seed.len() < 2048, "{name} is too long");
    fs::write(folder.join(name), seed).expect("the folder is there");
}
