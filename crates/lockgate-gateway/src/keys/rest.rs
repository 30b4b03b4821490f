//! Keys from an HTTP service: `GET URL?pskId=IDENTITY`.

use std::{error::Error, fmt, path::PathBuf, sync::Arc, time::Duration};

use reqwest::{
    Client, Response, StatusCode, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use super::{KeyError, KeyFuture, KeySource, Psk};

const ORIGIN: &str = "rest";

/// A longer answer is refused after this many bytes, without reading the rest: the longest key is
/// 128 digits.
pub const MAX_BODY_LEN: usize = 1024;

/// How a key stands in the body of an answer (`--psk-rest-format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
#[non_exhaustive]
pub enum RestFormat {
    /// Hexadecimal when the whole body, white space around it removed, is an even number of 16 to
    /// 128 hexadecimal digits; otherwise the raw bytes
    #[default]
    Auto,
    /// The key's bytes themselves, all of them: a line feed at the end belongs to the key
    Raw,
    /// Hexadecimal digits, white space around them ignored
    Hex,
}

impl RestFormat {
    fn decode(self, body: &[u8]) -> Result<Psk, KeyError> {
        let hex = match self {
            Self::Hex => true,
            Self::Raw => false,
            Self::Auto => {
                let text = body.trim_ascii();
                (16..=128).contains(&text.len())
                    && text.len().is_multiple_of(2)
                    && text.iter().all(u8::is_ascii_hexdigit)
            }
        };
        let key = if hex {
            Psk::from_hex(body)
        } else {
            Psk::new(body)
        };
        key.map_err(|e| bad_answer(e.to_string()))
    }
}

/// Where and how to ask. `Debug` shows neither headers nor the URL's query and password.
#[derive(Clone)]
pub struct RestOptions {
    /// The service (`--psk-rest`), `http` or `https`. Query parameters in it are kept; a user name
    /// and password in it become HTTP basic authentication.
    pub url: Url,
    /// How the key stands in the body (`--psk-rest-format`).
    pub format: RestFormat,
    /// Sent with every request (`--rest-headers`).
    pub headers: HeaderMap,
    /// The name of the query parameter with the identity (`--id-query-key`), `pskId` by default.
    pub id_query_key: String,
    /// Stands before the identity in that parameter (`--id-query-val-prefix`), empty by default.
    pub id_query_val_prefix: String,
    /// A PEM file with certificate authorities that are trusted besides the built-in ones
    /// (`--rest-ca`).
    pub ca_file: Option<PathBuf>,
    /// The time for connecting and answering.
    pub timeout: Duration,
}

impl RestOptions {
    /// Everything but the URL as it is by default.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            format: RestFormat::Auto,
            headers: HeaderMap::new(),
            id_query_key: "pskId".into(),
            id_query_val_prefix: String::new(),
            ca_file: None,
            timeout: Duration::from_secs(5),
        }
    }

    /// Adds a header from its `Name:value` form and marks it as sensitive, since this is where
    /// access tokens go. Returns what is wrong otherwise, without the value.
    pub fn add_header(&mut self, text: &str) -> Result<(), &'static str> {
        let (name, value) = text.split_once(':').ok_or("expected Name:value")?;
        let name = HeaderName::from_bytes(name.trim().as_bytes())
            .map_err(|_| "the name of the header has a character that is not allowed")?;
        let mut value = HeaderValue::from_bytes(value.trim().as_bytes())
            .map_err(|_| "the value of the header has a character that is not allowed")?;
        value.set_sensitive(true);
        self.headers.append(name, value);
        Ok(())
    }

    /// Whether keys would cross a network in the clear: plain `http` to another host.
    pub fn is_exposed(&self) -> bool {
        let local = match self.url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        self.url.scheme() == "http" && !local
    }

    /// The URL as it may be logged: without user, query and fragment, which may hold secrets.
    fn endpoint(&self) -> String {
        let url = &self.url;
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
        format!("{}://{host}{port}{}", url.scheme(), url.path())
    }

    /// The URL to get for `identity`.
    fn request_url(&self, identity: &[u8]) -> Url {
        // `form_urlencoded` takes bytes, not only text, and every server understands its output;
        // only its '+' for a blank is not understood everywhere, while "%20" is.
        let encode = |bytes: &[u8]| {
            byte_serialize(bytes)
                .collect::<String>()
                .replace('+', "%20")
        };
        let mut value = self.id_query_val_prefix.clone().into_bytes();
        value.extend_from_slice(identity);
        let mut query = match self.url.query() {
            Some(kept) if !kept.is_empty() => format!("{kept}&"),
            _ => String::new(),
        };
        query.push_str(&encode(self.id_query_key.as_bytes()));
        query.push('=');
        query.push_str(&encode(&value));
        let mut url = self.url.clone();
        url.set_fragment(None);
        url.set_query(Some(&query));
        url
    }
}

/// Keys that an HTTP service knows.
///
/// 200 with a key is the key, 404 is an unknown identity, and everything else is an error:
/// redirections are not followed, since they would take the headers and the keys elsewhere, and for
/// the same reason the environment's proxy settings are not used.
///
/// It holds no cache: put it into a [`CachedKeys`](super::CachedKeys).
pub struct RestKeys {
    client: Client,
    options: RestOptions,
}

impl RestKeys {
    /// Prepares the client; asks nobody yet, so the service may start later.
    ///
    /// Fails with [`KeyError::File`] when the CA file cannot be used. Logs a warning when keys
    /// would cross a network in the clear.
    pub fn new(options: RestOptions) -> Result<Self, KeyError> {
        if options.is_exposed() {
            tracing::warn!(
                url = options.endpoint(),
                "keys from this service are not encrypted on their way, use https"
            );
        }
        let client = Client::builder()
            .tls_backend_preconfigured(tls_config(&options)?)
            .user_agent(concat!("lockgate/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(options.timeout)
            .build()
            .map_err(|e| unavailable(format!("cannot set up HTTP: {}", root_cause(&e))))?;
        Ok(Self { client, options })
    }

    async fn ask(&self, identity: &[u8]) -> Result<Option<Psk>, KeyError> {
        let request = self.client.get(self.options.request_url(identity));
        // Not as the client's default headers: of a name given twice they keep only one.
        let request = request.headers(self.options.headers.clone());
        let response = request.send().await.map_err(|e| self.failed(&e))?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => {
                let body = self.read(response).await?;
                self.options.format.decode(&body).map(Some)
            }
            status => Err(bad_answer(format!(
                "{} answers with status {}, expected 200 or 404",
                self.options.endpoint(),
                status.as_u16()
            ))),
        }
    }

    async fn read(&self, mut response: Response) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let too_long = || bad_answer(format!("the answer is longer than {MAX_BODY_LEN} bytes"));
        if response
            .content_length()
            .is_some_and(|n| n > MAX_BODY_LEN as u64)
        {
            return Err(too_long());
        }
        // Never grows, so no copy of a key is left behind by a reallocation.
        let mut body = Zeroizing::new(Vec::with_capacity(MAX_BODY_LEN));
        while let Some(chunk) = response.chunk().await.map_err(|e| self.failed(&e))? {
            if body.len() + chunk.len() > MAX_BODY_LEN {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn failed(&self, error: &reqwest::Error) -> KeyError {
        if error.is_timeout() {
            return KeyError::Timeout {
                origin: ORIGIN,
                after: self.options.timeout,
            };
        }
        unavailable(format!(
            "cannot ask {}: {}",
            self.options.endpoint(),
            root_cause(error)
        ))
    }
}

impl KeySource for RestKeys {
    fn name(&self) -> &'static str {
        ORIGIN
    }

    fn lookup<'a>(&'a self, identity: &'a [u8]) -> KeyFuture<'a, Option<Psk>> {
        Box::pin(self.ask(identity))
    }
}

fn tls_config(options: &RestOptions) -> Result<ClientConfig, KeyError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(file) = &options.ca_file {
        let refused = |reason: String| KeyError::file(file, reason);
        let certificates = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| refused(format!("cannot be read as PEM certificates: {e}")))?;
        if certificates.is_empty() {
            return Err(refused("holds no PEM certificate".into()));
        }
        for certificate in certificates {
            let added = roots.add(certificate);
            added.map_err(|e| refused(format!("holds a certificate that is no CA: {e}")))?;
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| unavailable(format!("cannot set up TLS: {e}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The innermost reason: the outer ones only repeat "error sending request", and with the URL.
fn root_cause(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else {
        // Without a cause the text may be all there is, but it must not show the URL.
        return if error.is_decode() || error.is_body() {
            "the answer broke off".into()
        } else {
            "the request failed".into()
        };
    };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn unavailable(reason: String) -> KeyError {
    KeyError::Unavailable {
        origin: ORIGIN,
        reason,
    }
}

fn bad_answer(reason: String) -> KeyError {
    KeyError::BadAnswer {
        origin: ORIGIN,
        reason,
    }
}

impl fmt::Debug for RestOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestOptions")
            .field("url", &self.endpoint())
            .field("format", &self.format)
            .field("id_query_key", &self.id_query_key)
            .field("ca_file", &self.ca_file)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RestKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RestKeys({:?})", self.options)
    }
}
