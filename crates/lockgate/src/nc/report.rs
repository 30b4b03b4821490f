//! What `-v` tells, as a person would read it.

use std::fmt::Write as _;
use std::time::Duration;

use lockgate_dtls::ConnectionInfo;
use lockgate_tokio::webpki::{Date, Identity};
use lockgate_tokio::{Connection, HandshakeDatagram, IoCounters, Path, ShownCertificate};

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
/// RFC 9146. The length of its header is known to the two ends alone.
const WITH_CID: u8 = 25;

/// One datagram of a handshake: `  0.3 ms > 127.0.0.1:5684  148 bytes: ClientHello`.
pub(super) fn flight(since: Duration, seen: &HandshakeDatagram<'_>) -> String {
    let mut line = format!(
        "{:9.1} ms {} {} {:5} bytes:",
        since.as_secs_f64() * 1000.0,
        if seen.sent { ">" } else { "<" },
        seen.peer,
        seen.bytes.len()
    );
    if seen.bytes.first() == Some(&WITH_CID) {
        line.push_str(" encrypted, with connection ID");
        return line;
    }
    let mut rest = seen.bytes;
    let mut last = String::new();
    while let [
        kind,
        _,
        _,
        epoch_high,
        epoch_low,
        _,
        _,
        _,
        _,
        _,
        _,
        high,
        low,
        after @ ..,
    ] = rest
    {
        if *kind == WITH_CID {
            line.push_str(" Finished (encrypted, with connection ID)");
            break;
        }
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((record, next)) = after.split_at_checked(len) else {
            break;
        };
        rest = next;
        let name = record_name(*kind, u16::from_be_bytes([*epoch_high, *epoch_low]), record);
        if name != last {
            let _ = write!(line, " {name}");
        }
        last = name;
    }
    line
}

fn record_name(kind: u8, epoch: u16, record: &[u8]) -> String {
    match (kind, epoch) {
        (HANDSHAKE, 0) => record.first().map_or("?".into(), |kind| message(*kind)),
        (HANDSHAKE, _) => "Finished (encrypted)".into(),
        (CHANGE_CIPHER_SPEC, _) => "ChangeCipherSpec".into(),
        (ALERT, 0) => match record {
            [_, alert, ..] => {
                let alert = lockgate_dtls::wire::AlertDescription(*alert);
                format!("Alert ({alert})")
            }
            _ => "Alert".into(),
        },
        (ALERT, _) => "Alert (encrypted)".into(),
        _ => "encrypted".into(),
    }
}

fn message(kind: u8) -> String {
    match kind {
        0 => "HelloRequest",
        1 => "ClientHello",
        2 => "ServerHello",
        3 => "HelloVerifyRequest (cookie)",
        4 => "NewSessionTicket",
        11 => "Certificate",
        12 => "ServerKeyExchange",
        13 => "CertificateRequest",
        14 => "ServerHelloDone",
        15 => "CertificateVerify",
        16 => "ClientKeyExchange",
        20 => "Finished",
        other => return format!("message {other}"),
    }
    .into()
}

/// What went through the socket.
pub(super) fn counters(io: &IoCounters) -> String {
    let mut line = format!(
        "received {} datagrams ({} bytes), sent {} ({} bytes), {} cookies asked for",
        io.received, io.received_bytes, io.sent, io.sent_bytes, io.stateless_replies
    );
    let dropped = io.dropped.to_string();
    if !dropped.is_empty() {
        let _ = write!(line, "; records that led nowhere: {dropped}");
    }
    line
}

/// What was agreed and who the peer is, a line each.
pub(super) fn established(connection: &Connection, took: Option<Duration>) -> Vec<String> {
    let info = connection.info();
    let mut lines = vec![first_line(connection, &info, took)];
    let cid = |bytes: &[u8]| match bytes.len() {
        0 => "none".into(),
        len => format!("{len} bytes"),
    };
    lines.push(format!(
        "  connection IDs: ours {}, the peer's {}; largest datagram {} bytes, {} more around it",
        cid(info.own_cid.as_slice()),
        cid(info.peer_cid.as_slice()),
        info.max_payload,
        info.record_overhead
    ));
    if let Some(protocol) = connection.protocol() {
        lines.push(format!(
            "  application protocol: {}",
            protocol.escape_ascii()
        ));
    }
    if let Some(shown) = connection.peer_certificate() {
        lines.extend(certificate(shown));
    } else if let Some(name) = connection.peer_name() {
        lines.push(format!("  the peer is {name}, by the earlier session"));
    }
    lines
}

fn first_line(
    connection: &Connection,
    info: &ConnectionInfo<Path>,
    took: Option<Duration>,
) -> String {
    let mut line = format!("{}: DTLS 1.2, {}", info.path.peer(), info.cipher_suite);
    if let Some(group) = info.group {
        let _ = write!(line, ", {group}");
    }
    if !connection.identity().is_empty() {
        let _ = write!(line, ", identity {}", connection.identity().escape_ascii());
    }
    if info.resumed {
        line.push_str(", resumed");
    }
    if let Some(took) = took {
        let _ = write!(line, ", in {:.1} ms", took.as_secs_f64() * 1000.0);
    }
    line
}

fn certificate(shown: &ShownCertificate) -> Vec<String> {
    let identity = &shown.identity;
    let mut lines = Vec::new();
    match &identity.subject {
        None => lines.push("  raw public key".to_owned()),
        Some(subject) => {
            lines.push(format!("  certificate: {subject}"));
            if !identity.alternative_names.is_empty() {
                lines.push(format!("  for: {}", identity.alternative_names.join(" ")));
            }
            if let Some(issuer) = shown.chain.first().and_then(|own| issuer(own)) {
                lines.push(format!("  issuer: {issuer}"));
            }
            if let Some(validity) = identity.validity {
                lines.push(format!(
                    "  valid: {} to {}",
                    Date(validity.not_before),
                    Date(validity.not_after)
                ));
            }
        }
    }
    lines.push(format!("  SHA-256 of its key: {}", identity.key_hash));
    if !shown.verified {
        lines.push("  NOT VERIFIED: --insecure believes anybody".into());
    }
    lines
}

/// The issuer's name in one line of printable text.
fn issuer(certificate: &[u8]) -> Option<String> {
    Identity::of_certificate(certificate).ok()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = parsed.issuer().to_string();
    Some(name.escape_debug().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_names() {
        assert_eq!(record_name(22, 0, &[1]), "ClientHello");
        assert_eq!(record_name(22, 1, &[1]), "Finished (encrypted)");
        assert_eq!(record_name(22, 0, &[77]), "message 77");
        assert_eq!(record_name(21, 0, &[2]), "Alert");
        assert!(record_name(21, 0, &[2, 40]).contains("handshake_failure"));
    }
}
