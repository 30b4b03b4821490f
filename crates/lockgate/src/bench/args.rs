//! What stands on the command line of `lockgate bench`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use lockgate_dtls::CipherSuite;
use lockgate_dtls::config::CidConfig;
use lockgate_gateway::config::{HiddenText, HostPort, parse_duration, parse_suite};
use lockgate_load::{CoapGet, Expect, SourceNet, Sources};

use crate::proof::ProofArgs;

const DEVICES: &str = "Devices";
const KEYS: &str = "Pre-shared keys";
const CERTIFICATES: &str = "Certificates and raw public keys (the same of all devices)";
const TRAFFIC: &str = "Traffic";
const HANDSHAKES: &str = "Handshakes";
const OUTPUT: &str = "Output";

#[derive(clap::Args, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "flags are on or off")]
pub(super) struct BenchArgs {
    /// The server
    #[arg(value_name = "HOST:PORT")]
    pub(super) server: HostPort,

    /// How many devices, each with a session of its own
    #[arg(short = 'n', long, value_name = "NUMBER", default_value = "10", value_parser = RangedU64ValueParser::<u32>::new().range(1..=1 << 24), help_heading = DEVICES)]
    pub(super) sessions: u32,
    /// Where datagrams come from: an IPv4 network of which each device has one address (the server must have a route
    /// back; 127.0.0.0/8 always does on this machine), or one address for all, with a socket and a port for each device
    /// [default: a socket each; 127.128.0.0/9 for more than 256 devices and a server on 127.0.0.0/8]
    #[arg(long, value_name = "NET|ADDRESS", value_parser = sources, help_heading = DEVICES)]
    pub(super) source: Option<Sources>,
    /// So many devices in a second move to another source port before they send again, as behind a NAT
    #[arg(long, value_name = "NUMBER", default_value = "0", value_parser = rate, hide_default_value = true, help_heading = DEVICES)]
    pub(super) rebind: f64,
    /// Lose so many of 100 datagrams, in each direction
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent, hide_default_value = true, help_heading = DEVICES)]
    pub(super) loss: f64,
    /// Another number, other datagrams that are lost
    #[arg(long, value_name = "NUMBER", default_value = "1", help_heading = DEVICES)]
    pub(super) seed: u64,

    /// The pre-shared key; {} in the identity stands for the number of the device, from 0. Every user of this machine can
    /// see it in the list of processes
    #[arg(long, allow_hyphen_values = true, value_name = "IDENTITY:HEX", conflicts_with = "psk_csv", help_heading = KEYS)]
    pub(super) psk: Option<HiddenText>,
    /// CSV file with lines of identity,hexkey: each device has one of them
    #[arg(long, allow_hyphen_values = true, value_name = "FILE", help_heading = KEYS)]
    pub(super) psk_csv: Option<PathBuf>,

    #[command(flatten, next_help_heading = CERTIFICATES)]
    pub(super) proof: ProofArgs,

    /// How many handshakes at once
    #[arg(long, value_name = "NUMBER", default_value = "100", value_parser = RangedU64ValueParser::<u32>::new().range(1..), help_heading = HANDSHAKES)]
    pub(super) handshakes_at_once: u32,
    /// How many handshakes are begun in a second [default: as many as --handshakes-at-once lets]
    #[arg(long, value_name = "NUMBER", value_parser = rate, help_heading = HANDSHAKES)]
    pub(super) connect_rate: Option<f64>,
    /// How long a handshake may take
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = parse_duration, help_heading = HANDSHAKES)]
    pub(super) timeout: Duration,
    /// Comma-separated IANA names, the most preferred first, TLS_ may be left out [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = suite, help_heading = HANDSHAKES)]
    pub(super) cipher_suites: Vec<CipherSuite>,
    /// Ask the server to mark its records with a connection ID of so many bytes, 0 to take its own only, "off" for none
    #[arg(long, value_name = "LEN", default_value = "0", value_parser = crate::nc::cid, help_heading = HANDSHAKES)]
    pub(super) cid: CidConfig,

    /// No datagrams: drop all sessions without a word, make them again, so many --handshakes-at-once, and so on
    #[arg(long, conflicts_with_all = ["rate", "think", "rebind"], help_heading = HANDSHAKES)]
    pub(super) storm: bool,
    /// In a storm, go on with earlier sessions, if the server lets
    #[arg(long, requires = "storm", help_heading = HANDSHAKES)]
    pub(super) resume: bool,

    /// Datagrams in a second, of all devices together, whether answers come or not
    #[arg(long, value_name = "NUMBER", value_parser = rate, conflicts_with = "think", help_heading = TRAFFIC)]
    pub(super) rate: Option<f64>,
    /// How long a device waits after an answer before it sends again [default: not at all]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = TRAFFIC)]
    pub(super) think: Option<Duration>,
    /// By how many percent it waits longer or shorter, at random
    #[arg(long, value_name = "PERCENT", default_value = "20", value_parser = percent, requires = "think", help_heading = TRAFFIC)]
    pub(super) jitter: f64,
    /// How long to go on; 0 to connect only
    #[arg(short, long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration, help_heading = TRAFFIC)]
    pub(super) duration: Duration,
    /// Bytes in a datagram: lengths and ranges with commas between, such as 64,100-200
    #[arg(long, value_name = "BYTES", default_value = "64", value_delimiter = ',', value_parser = size, help_heading = TRAFFIC)]
    pub(super) size: Vec<(u16, u16)>,
    /// Confirmable GET requests of CoAP for this resource instead; what is expected is a response that is a success
    #[arg(long, value_name = "PATH", value_parser = coap, conflicts_with_all = ["size", "expect"], help_heading = TRAFFIC)]
    pub(super) coap: Option<CoapGet>,
    /// What the server does with a datagram: echo, answer (send something back), none
    #[arg(long, value_name = "WHAT", default_value = "echo", value_parser = expect, help_heading = TRAFFIC)]
    pub(super) expect: Expect,
    /// After how long without an answer a datagram counts as lost
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration, help_heading = TRAFFIC)]
    pub(super) lost_after: Duration,

    /// At the end have every session echo once, and tell how many did
    #[arg(long, help_heading = TRAFFIC)]
    pub(super) probe: bool,

    /// Write the figures as JSON, "-" to standard output instead of the summary
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub(super) json: Option<PathBuf>,
    /// No progress, and no summary
    #[arg(short, long, help_heading = OUTPUT)]
    pub(super) quiet: bool,
}

fn sources(text: &str) -> Result<Sources, &'static str> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Sources::Sockets(Some(address)));
    }
    let net: Result<SourceNet, _> = text.parse();
    net.map(Sources::Net)
        .map_err(|_| "expected an IPv4 network such as 127.16.0.0/12, or an address")
}

fn suite(text: &str) -> Result<CipherSuite, &'static str> {
    parse_suite(text).map(CipherSuite)
}

fn rate(text: &str) -> Result<f64, &'static str> {
    let rate: Result<f64, _> = text.parse();
    rate.ok()
        .filter(|rate| (0.001..=1e8).contains(rate) || *rate == 0.0)
        .ok_or("expected a number in a second")
}

/// As a share of 1.
fn percent(text: &str) -> Result<f64, &'static str> {
    let percent: Result<f64, _> = text.trim_end_matches('%').parse();
    percent
        .ok()
        .filter(|percent| (0.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or("expected 0 to 100")
}

fn size(text: &str) -> Result<(u16, u16), &'static str> {
    const EXPECTED: &str = "expected bytes such as 64, or a range such as 100-200, up to 16384";
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let parse = |text: &str| text.parse().ok().filter(|&len| len <= 16_384);
    match (parse(from), parse(to)) {
        (Some(from), Some(to)) if from <= to => Ok((from, to)),
        _ => Err(EXPECTED),
    }
}

fn coap(text: &str) -> Result<CoapGet, &'static str> {
    CoapGet::new(text).ok_or("each part of a path is at most 255 bytes long")
}

fn expect(text: &str) -> Result<Expect, &'static str> {
    match text {
        "echo" => Ok(Expect::Echo),
        "answer" => Ok(Expect::Answer),
        "none" => Ok(Expect::Nothing),
        _ => Err("expected echo, answer or none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        assert_eq!(size("64"), Ok((64, 64)));
        assert_eq!(size("10-20"), Ok((10, 20)));
        for text in ["20-10", "x", "16385", "-5", ""] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(percent("12.5%"), Ok(0.125));
        assert!(percent("101").is_err() && percent("-1").is_err());
        assert_eq!(rate("2.5"), Ok(2.5));
        for text in ["-1", "NaN", "inf", "0.0000001"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert!(matches!(sources("127.16.0.0/12"), Ok(Sources::Net(_))));
        assert!(matches!(sources("::1"), Ok(Sources::Sockets(Some(_)))));
        assert!(sources("here").is_err());
    }
}
