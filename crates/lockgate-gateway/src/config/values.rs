//! Forms of single values: addresses, durations, keys.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use zeroize::Zeroizing;

use lockgate_dtls::certificate::ClientAuth;

use crate::{certificates::CertificateFiles, keys::Psk};

/// A host, by name or address, and a port: `backend.local:5683`, `192.0.2.1:5683`, `[2001:db8::1]:5683`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address; an IPv6 address stands here without brackets.
    pub host: String,
    /// The port, never 0.
    pub port: u16,
}

impl HostPort {
    /// Asks the system's resolver. Never returns an empty list.
    pub async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        let found: Vec<_> = found.collect();
        if found.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            ));
        }
        Ok(found)
    }
}

impl FromStr for HostPort {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected HOST:PORT, an IPv6 address in brackets";
        let (host, port) = text.rsplit_once(':').ok_or(EXPECTED)?;
        let port = port.parse().map_err(|_| EXPECTED)?;
        if port == 0 {
            return Err("port 0 is no destination");
        }
        let host = match host.strip_prefix('[') {
            Some(v6) => {
                let v6 = v6.strip_suffix(']').ok_or(EXPECTED)?;
                // A zone such as fe80::1%eth0 is the resolver's business.
                let address = v6.split('%').next().unwrap_or(v6);
                address
                    .parse::<std::net::Ipv6Addr>()
                    .map_err(|_| EXPECTED)?;
                v6
            }
            None if host.is_empty() || host.contains([':', ' ', '/']) => return Err(EXPECTED),
            None => host,
        };
        Ok(Self {
            host: host.into(),
            port,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A local address: `0.0.0.0:14881`, `[::]:14881`, `:14881` (every IPv4 address) or
/// `localhost:14881` (a name's first address).
pub(super) fn parse_bind(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Some(port) = text.strip_prefix(':').and_then(|p| p.parse().ok()) {
        return Ok((IpAddr::from(Ipv4Addr::UNSPECIFIED), port).into());
    }
    let expected = "expected ADDRESS:PORT, an IPv6 address in brackets";
    // The resolver would take "1.2.3" for an old way of writing an address.
    let name: HostPort = text.parse().map_err(|_| expected)?;
    let found = (name.host.as_str(), name.port).to_socket_addrs();
    let found = found.map_err(|e| format!("{expected}; as a name it does not resolve: {e}"))?;
    found.into_iter().next().ok_or_else(|| expected.into())
}

/// A duration: `24h`, `1m 30s`, `500ms`; a bare number counts seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text)
        .map_err(|_| "expected a duration such as 500ms, 30s, 5m or 24h".into())
}

/// `on` or `off`.
pub(super) fn parse_on_off(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err("expected on or off"),
    }
}

/// Whether clients are asked who they are, beside pre-shared keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum AskClients {
    None,
    Optional,
    Required,
}

impl From<AskClients> for ClientAuth {
    fn from(ask: AskClients) -> Self {
        match ask {
            AskClients::None => Self::None,
            AskClients::Optional => Self::Optional,
            AskClients::Required => Self::Required,
        }
    }
}

/// `NAME=CERT,KEY`. The certificate's path may have commas, the key's may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedFiles {
    pub(super) name: String,
    pub(super) files: CertificateFiles,
}

impl NamedFiles {
    /// The same with paths that are relative to `directory`, as text.
    pub(super) fn beside(text: &str, directory: &Path) -> Option<String> {
        let Self { name, files } = text.parse().ok()?;
        let certificate = directory.join(files.certificate);
        let key = directory.join(files.key);
        Some(format!(
            "{name}={},{}",
            certificate.to_str()?,
            key.to_str()?
        ))
    }
}

impl FromStr for NamedFiles {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected NAME=CERT,KEY";
        let (name, files) = text.split_once('=').ok_or(EXPECTED)?;
        let (certificate, key) = files.rsplit_once(',').ok_or(EXPECTED)?;
        if name.is_empty() || certificate.is_empty() || key.is_empty() {
            return Err(EXPECTED);
        }
        Ok(Self {
            name: name.into(),
            files: CertificateFiles {
                certificate: PathBuf::from(certificate),
                key: PathBuf::from(key),
            },
        })
    }
}

/// Text that may be a secret: parsed later, so that no error of the command line parser shows it.
#[derive(Clone)]
pub struct HiddenText(Zeroizing<String>);

impl HiddenText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for HiddenText {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for HiddenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// `IDENTITY:HEX`, parted at the last colon, since identities such as `urn:imei:1` have some.
pub fn parse_psk(text: &str) -> Result<(&str, Psk), String> {
    let (identity, hex) = text.rsplit_once(':').ok_or("expected IDENTITY:HEX")?;
    if identity.is_empty() {
        return Err("expected IDENTITY:HEX, found an empty identity".into());
    }
    let key =
        Psk::from_hex(hex.as_bytes()).map_err(|e| format!("expected IDENTITY:HEX, but {e}"))?;
    Ok((identity, key))
}
