//! What stands on the command line of `lockgate nc`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use lockgate_dtls::certificate::ClientAuth;
use lockgate_dtls::config::CidConfig;

use crate::Failure;
use crate::proof::ProofArgs;

/// How the input is cut into datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// As it is read.
    Datagram,
    /// Line by line.
    Line,
}

#[derive(clap::Args, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "flags are on or off")]
pub(super) struct NcArgs {
    /// HOST and PORT in either order, or HOST:PORT; a listener may omit both
    #[arg(value_name = "HOST PORT", num_args = 0..=2)]
    pub(super) place: Vec<String>,

    /// Wait for peers instead of connecting to one; input goes to all of them
    #[arg(short, long)]
    pub(super) listen: bool,
    /// Datagrams, which it always is; for fingers that know netcat
    #[arg(short, long, hide = true)]
    pub(super) udp: bool,
    /// The local port
    #[arg(short = 'p', long, value_name = "PORT")]
    pub(super) source_port: Option<u16>,
    /// The local address
    #[arg(short, long, value_name = "ADDRESS")]
    pub(super) source: Option<IpAddr>,
    /// IPv4 only
    #[arg(short = '4', conflicts_with = "ipv6")]
    pub(super) ipv4: bool,
    /// IPv6 only
    #[arg(short = '6')]
    pub(super) ipv6: bool,
    /// Accepted and without effect, as in `nc_dtls`
    #[arg(short = 'g', hide = true)]
    pub(super) g: bool,

    /// How long the handshake may take
    #[arg(short = 'w', long, alias = "wait", value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub(super) timeout: Duration,
    /// End when nothing was sent or received for so long
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(super) idle_timeout: Option<Duration>,
    /// How long to wait for more answers after the end of input
    #[arg(short, long, value_name = "TIME", default_value = "500ms", value_parser = duration)]
    pub(super) quit_after: Duration,
    /// Do not receive
    #[arg(long, conflicts_with = "recv_only")]
    pub(super) send_only: bool,
    /// Do not read standard input
    #[arg(long)]
    pub(super) recv_only: bool,
    /// Each line of the input is one datagram
    #[arg(long)]
    pub(super) line: bool,
    /// Each read of the input is one datagram (the default)
    #[arg(long, conflicts_with = "line")]
    pub(super) datagram: bool,
    /// Write all data of both directions to a file
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// The same in hexadecimal
    #[arg(short = 'x', long, value_name = "FILE")]
    pub(super) hex_dump: Option<PathBuf>,
    /// Tell what happens; twice: every datagram of the handshake
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Tell nothing but failures
    #[arg(long)]
    pub(super) quiet: bool,

    /// The pre-shared key in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = hex)]
    pub(super) psk: Option<Key>,
    /// Its identity; a listener without this lets in every identity that has the key
    #[arg(long, alias = "pskidentity", value_name = "NAME")]
    pub(super) psk_identity: Option<String>,
    #[command(flatten)]
    pub(super) proof: ProofArgs,
    /// Whether a listener asks clients for certificates: none, optional, required
    #[arg(long, value_name = "WHETHER", value_parser = client_auth)]
    pub(super) client_auth: Option<ClientAuth>,
    /// Application protocols, best first, with commas between (RFC 7301)
    #[arg(long, alias = "ssl-alpn", value_name = "NAMES", value_delimiter = ',')]
    pub(super) alpn: Vec<String>,

    /// Ask the peer to mark our records with a connection ID of so many bytes; "off" for none at all
    #[arg(long, value_name = "LEN", num_args = 0..=1, require_equals = true, default_missing_value = "8", value_parser = cid)]
    pub(super) cid: Option<CidConfig>,
    /// Change the local port before each datagram but the first, as a NAT does
    #[arg(long, conflicts_with = "listen")]
    pub(super) rebind: bool,
    /// The UDP payload that handshakes and input are cut to, in bytes
    #[arg(long, value_name = "BYTES")]
    pub(super) mtu: Option<usize>,
    /// Go on with the session in this file, if the server lets
    #[arg(long, value_name = "FILE", conflicts_with = "listen")]
    pub(super) sess_in: Option<PathBuf>,
    /// Keep the session in this file, for --sess-in
    #[arg(long, value_name = "FILE", conflicts_with = "listen")]
    pub(super) sess_out: Option<PathBuf>,
    /// Append the session's secrets to this file, for Wireshark
    #[arg(long, alias = "keylog", value_name = "FILE")]
    pub(super) keylogfile: Option<PathBuf>,
}

/// Where to connect to or to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
}

impl NcArgs {
    pub(super) fn framing(&self) -> Framing {
        if self.line {
            Framing::Line
        } else {
            Framing::Datagram
        }
    }

    /// How much is told.
    pub(super) fn verbosity(&self) -> u8 {
        if self.quiet { 0 } else { self.verbose }
    }

    pub(super) fn place(&self) -> Result<Place, Failure> {
        place(&self.place)
    }
}

/// All digits, at most five: a port. Anything else is a host.
fn place(words: &[String]) -> Result<Place, Failure> {
    let (mut host, mut port) = (None, None);
    let is_port = |word: &str| {
        !word.is_empty() && word.len() <= 5 && word.bytes().all(|b| b.is_ascii_digit())
    };
    let parse = |word: &str| {
        word.parse::<u16>()
            .map_err(|_| format!("{word} is no port: the highest is 65535"))
    };
    for word in words {
        if is_port(word) && port.is_none() {
            port = Some(parse(word)?);
        } else if host.is_some() {
            return Err(format!(
                "{word}: there is a host already, and this is no port"
            ));
        } else if let Some((name, number)) = word.rsplit_once(':').filter(|(name, number)| {
            is_port(number) && (!name.contains(':') || name.ends_with(']'))
        }) {
            host = Some(name.trim_matches(['[', ']']).to_owned());
            port = Some(parse(number)?);
        } else {
            host = Some(word.trim_matches(['[', ']']).to_owned());
        }
    }
    Ok(Place { host, port })
}

/// A key, which is never shown.
#[derive(Clone)]
pub(super) struct Key(pub(super) zeroize::Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// The text never stands in an error: it is a key.
fn hex(text: &str) -> Result<Key, String> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0);
    let digits = digits.ok_or("not an even number of hexadecimal digits")?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap_or_default())
        .collect();
    if bytes.is_empty() || bytes.len() > lockgate_dtls::config::MAX_PSK_LEN {
        return Err("a key is 1 to 64 bytes long".into());
    }
    Ok(Key(bytes.into()))
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("write 500ms, 30s, 5m or 1h".into()),
    };
    let seconds: f64 = number
        .parse()
        .map_err(|_| "write 500ms, 30s, 5m or 1h".to_owned())?;
    Duration::try_from_secs_f64(seconds * unit)
        .ok()
        .filter(|time| *time <= Duration::from_hours(24 * 365))
        .ok_or_else(|| "out of range".into())
}

fn client_auth(text: &str) -> Result<ClientAuth, String> {
    match text {
        "none" => Ok(ClientAuth::None),
        "optional" => Ok(ClientAuth::Optional),
        "required" => Ok(ClientAuth::Required),
        _ => Err("none, optional or required".into()),
    }
}

pub(crate) fn cid(text: &str) -> Result<CidConfig, String> {
    if text == "off" {
        return Ok(CidConfig::Off);
    }
    match text.parse() {
        Ok(len @ (0 | 8..=20)) => Ok(CidConfig::Length(len)),
        _ => Err("a connection ID is 0 or 8 to 20 bytes long, or off".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(Into::into).collect()
    }

    #[test]
    fn host_and_port_come_in_either_order() {
        let at = |host: Option<&str>, port| Place {
            host: host.map(Into::into),
            port,
        };
        for (text, expected) in [
            ("", at(None, None)),
            ("5684", at(None, Some(5684))),
            ("example 5684", at(Some("example"), Some(5684))),
            ("5684 example", at(Some("example"), Some(5684))),
            ("::1 5684", at(Some("::1"), Some(5684))),
            ("[::1]:5684", at(Some("::1"), Some(5684))),
            ("192.0.2.1:5684", at(Some("192.0.2.1"), Some(5684))),
            ("5684 123456", at(Some("123456"), Some(5684))),
        ] {
            assert_eq!(place(&words(text)).unwrap(), expected, "{text}");
        }
        assert!(place(&words("99999")).is_err());
        assert!(place(&words("one two")).is_err());
    }

    #[test]
    fn values_are_read() {
        assert_eq!(*hex("00fF").unwrap().0, [0, 255]);
        assert!(hex("0").is_err() && hex("").is_err() && hex("zz").is_err());
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("20ms"), Ok(Duration::from_millis(20)));
        assert!(duration("-1").is_err() && duration("1d").is_err());
        assert_eq!(cid("off"), Ok(CidConfig::Off));
        assert!(cid("4").is_err());
    }
}
