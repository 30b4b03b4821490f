//! Who must not come in, and what they and the log learn of it.

use std::time::{Duration, Instant};

use lockgate_interop::{Direction, Echo, IDENTITY, Link, Proxy, Relay, peers};

/// What a client with `flags` gets to see, and the proxy's log of it.
struct Refused {
    printed: String,
    /// Length and type of what the server sent, without repetitions.
    answers: Vec<(usize, u8)>,
    log: String,
}

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

fn refused(flags: &[&str], log: &str) -> Refused {
    let backend = Echo::start();
    let mut proxy = Proxy::start(backend.address(), &["--handshake-timeout", "3s"]);
    let relay = Relay::start(proxy.address(), Link::default());
    let mut client = peers::s_client(relay.address(), flags);
    let begun = Instant::now();
    client.type_line("this must not arrive");
    proxy.wait_for_log(log);
    // Both hear the same in the end, at the same time: when the handshake times out.
    client.wait_for("alert handshake failure");
    client.wait();
    assert!(
        begun.elapsed() >= HANDSHAKE_TIMEOUT,
        "not before the time-out"
    );
    assert_eq!(backend.datagrams(), 0, "nothing reaches the backend");
    let mut answers = Vec::new();
    for seen in relay.seen() {
        let answer = (seen.bytes.len(), seen.content_type());
        if seen.direction == Direction::Down && !answers.contains(&answer) {
            answers.push(answer);
        }
    }
    Refused {
        printed: client.output(),
        answers,
        log: proxy.stop(),
    }
}

/// Its lines in the order of the alphabet, without what is random or a time: long numbers. The peer's errors and its
/// findings come through two pipes, so where one stands among the other is chance.
fn told(text: &str) -> Vec<String> {
    let is_number = |word: &str| {
        word.len() >= 4 && word.chars().all(|c| c.is_ascii_hexdigit())
            || word.parse::<u64>().is_ok()
    };
    let mut lines: Vec<_> = text
        .lines()
        .map(|line| {
            let words = line.split([' ', ':']);
            words
                .map(|w| if is_number(w) { "#" } else { w })
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn an_unknown_identity_and_a_wrong_key_look_alike_from_outside() {
    if !peers::openssl() {
        return;
    }
    let unknown = refused(&["-psk_identity", "nobody"], "unknown identity");
    let wrong_key = refused(&["-psk", "0badc0de"], "wrong key");
    // s_client repeats the identity that it was given.
    let printed = wrong_key.printed.replace(IDENTITY, "nobody");
    assert_eq!(told(&unknown.printed), told(&printed));
    assert_eq!(unknown.answers, wrong_key.answers);
    assert!(unknown.log.contains("nobody"), "the log tells who it was");
    assert!(wrong_key.log.contains("wrong key likely"));
    for log in [unknown.log, wrong_key.log] {
        assert!(!log.contains("0badc0de"), "keys never appear in the log");
        assert!(!log.contains("73656372657450534b"));
    }
}

#[test]
fn an_unknown_identity_is_told_so_when_the_operator_wants_it() {
    if !peers::openssl() {
        return;
    }
    let backend = Echo::start();
    let mut proxy = Proxy::start(backend.address(), &["--reveal-unknown-identity"]);
    let mut client = peers::s_client(proxy.address(), &["-psk_identity", "nobody"]);
    client.wait_for("alert unknown psk identity");
    proxy.wait_for_log("unknown identity");
}

#[test]
fn a_client_without_extended_master_secret_is_refused_and_the_log_says_why() {
    if !peers::gnutls() {
        return;
    }
    let backend = Echo::start();
    let mut proxy = Proxy::start(backend.address(), &[]);
    // GnuTLS's word for "no extended master secret".
    let priority = format!(
        "{}:%NO_SESSION_HASH",
        peers::gnutls_priority("AES-128-CCM-8")
    );
    let mut client = peers::gnutls_cli(proxy.address(), &priority, &[]);
    assert!(!client.wait().success());
    proxy.wait_for_log("extended master secret");
}

#[test]
fn garbage_does_not_disturb_a_live_session() {
    if !peers::openssl() {
        return;
    }
    let backend = Echo::start();
    let proxy = Proxy::start(backend.address(), &[]);
    let relay = Relay::start(proxy.address(), Link::default());
    // The proxy answers repeated ClientHellos, and on a blocking socket s_client would hang over such an answer.
    let mut client = peers::s_client(relay.address(), &["-nbio"]);
    client.wait_for("Extended master secret: yes");
    peers::echo(&mut client, "before");
    // In the client's name and from its address: noise, an alert in clear text, everything it said itself once more,
    // cut short, and with each of the first bytes changed.
    relay.inject(&[]);
    relay.inject(&[0xFF; 1400]);
    relay.inject(&[21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40]);
    for seen in relay.seen() {
        if seen.direction == Direction::Up {
            relay.inject(&seen.bytes);
            relay.inject(&seen.bytes[..seen.bytes.len() / 2]);
            for at in 0..seen.bytes.len().min(40) {
                let mut changed = seen.bytes.clone();
                changed[at] ^= 0x55;
                relay.inject(&changed);
            }
        }
    }
    peers::echo(&mut client, "after");
    assert_eq!(backend.datagrams(), 2, "no record arrives twice");
    proxy.stop();
}
