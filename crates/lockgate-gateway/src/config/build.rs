//! From arguments to checked options.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{ArgMatches, FromArgMatches};
use lockgate_dtls::certificate::ClientAuth;

use super::{ConfigError, ProxyArgs, ProxyOptions, error::one_line, file, values::parse_psk};
use crate::{
    certificates::{CertificateFiles, CertificateOptions},
    keys::{KeyOptions, RestOptions, escaped},
};

impl ProxyOptions {
    /// Options from a parsed command line of [`ProxyArgs`] and the file that its `--config` names.
    ///
    /// Reads that file and resolves names of `--bind`; touches nothing else.
    pub fn from_matches(flags: &ArgMatches) -> Result<Self, ConfigError> {
        let usage = |e: clap::Error| ConfigError::Usage(one_line(&e));
        let mut args = ProxyArgs::from_arg_matches(flags).map_err(usage)?;
        if let Some(path) = args.config.clone() {
            let from_file = file::read(&path)?;
            args = ProxyArgs::from_arg_matches(&from_file).map_err(usage)?;
            args.update_from_arg_matches(flags).map_err(usage)?;
        }
        args.build()
    }
}

impl ProxyArgs {
    /// Checks what belongs together and fills in the defaults.
    fn build(self) -> Result<ProxyOptions, ConfigError> {
        let keys = self.key_options()?;
        let certificates = self.certificate_options()?;
        let upstream_pool_table = self.pool_table()?;
        if keys.is_empty() && certificates.is_empty() {
            return Err(usage(
                "no key source: give --psk-csv, --psk-rest, --shell-kms-cmd or --psk, or a certificate \
                 (--cert and --key) or raw public key (--rpk) of the proxy's own",
            ));
        }
        let connect = self
            .connect
            .ok_or_else(|| usage("no backend: give --connect HOST:PORT"))?;
        let defaults = ProxyOptions::new(connect);
        Ok(ProxyOptions {
            bind: unless_empty(self.bind, defaults.bind),
            upstream_pool: self.upstream_pool,
            upstream_pool_table,
            psk: !keys.is_empty(),
            keys,
            certificates,
            idle_timeout: match self.idle_timeout {
                None => defaults.idle_timeout,
                Some(Duration::ZERO) => None,
                given => given,
            },
            max_sessions: self.max_sessions,
            max_half_open: self.max_half_open.unwrap_or(defaults.max_half_open),
            max_half_open_per_address: self
                .max_half_open_per_address
                .unwrap_or(defaults.max_half_open_per_address),
            handshake_timeout: not_zero("handshake-timeout", self.handshake_timeout)?
                .unwrap_or(defaults.handshake_timeout),
            replace_same_identity: self
                .replace_same_identity
                .unwrap_or(defaults.replace_same_identity),
            resumption: self.resumption.unwrap_or(defaults.resumption),
            session_cache: self.session_cache.unwrap_or(defaults.session_cache),
            session_lifetime: not_zero("session-lifetime", self.session_lifetime)?
                .unwrap_or(defaults.session_lifetime),
            cid_length: self.cid_length.unwrap_or(defaults.cid_length),
            cipher_suites: unless_empty(
                without_repeats(self.cipher_suites),
                defaults.cipher_suites,
            ),
            mtu: self.mtu.unwrap_or(defaults.mtu),
            require_extended_master_secret: self
                .require_extended_master_secret
                .unwrap_or(defaults.require_extended_master_secret),
            reveal_unknown_identity: self
                .reveal_unknown_identity
                .unwrap_or(defaults.reveal_unknown_identity),
            keylog: self.keylog,
            log: self.log.options(),
            connect: defaults.connect,
        })
    }

    fn key_options(&self) -> Result<KeyOptions, ConfigError> {
        let mut keys = KeyOptions {
            csv: self.psk_csv.clone(),
            program: self.shell_kms_cmd.clone(),
            ..KeyOptions::default()
        };
        for text in &self.psk {
            let (identity, key) =
                parse_psk(text.as_str()).map_err(|e| usage(format!("--psk: {e}")))?;
            if keys.static_keys.get(identity.as_bytes()).is_some() {
                let identity = escaped(identity.as_bytes());
                return Err(usage(format!("--psk: two keys for {identity}")));
            }
            keys.static_keys.insert(identity, key);
        }
        let limits = &mut keys.limits;
        limits.timeout = not_zero("kms-timeout", self.kms_timeout)?.unwrap_or(limits.timeout);
        limits.ttl = self.kms_cache_ttl.unwrap_or(limits.ttl);
        limits.concurrency = self.kms_concurrency.unwrap_or(limits.concurrency);
        keys.rest = self.rest_options(limits.timeout)?;
        Ok(keys)
    }

    /// Where the addresses of the pool are remembered.
    fn pool_table(&self) -> Result<Option<PathBuf>, ConfigError> {
        let table = &self.upstream_pool_table;
        match self.upstream_pool {
            None if table.is_some() => Err(usage("--upstream-pool-table needs --upstream-pool")),
            None => Ok(None),
            Some(net) if net.is_ipv6() && table.is_some() => Err(usage(
                "--upstream-pool-table: addresses of an IPv6 network are made from identities, without a table",
            )),
            Some(net) if net.is_ipv6() => Ok(None),
            Some(_) => Ok(table
                .clone()
                .or_else(|| state_directory(std::env::var_os("STATE_DIRECTORY")?.as_bytes()))),
        }
    }

    fn certificate_options(&self) -> Result<CertificateOptions, ConfigError> {
        if self.cert.len() != self.key.len() {
            return Err(usage(format!(
                "--cert and --key belong together, but {} and {} are given",
                counted(self.cert.len(), "certificate file"),
                counted(self.key.len(), "key file")
            )));
        }
        let pairs = self.cert.iter().zip(&self.key);
        let trusts = !(self.ca.is_empty() && self.rpk_allow.is_empty());
        let options = CertificateOptions {
            own: pairs
                .map(|(certificate, key)| CertificateFiles {
                    certificate: certificate.clone(),
                    key: key.clone(),
                })
                .collect(),
            for_names: self
                .sni_cert
                .iter()
                .map(|named| (named.name.clone(), named.files.clone()))
                .collect(),
            raw_keys: self.rpk.clone(),
            authorities: self.ca.clone(),
            revocation_lists: self.crl.clone(),
            allowed_keys: self.rpk_allow.clone(),
            client_auth: match self.client_auth {
                Some(ask) => ask.into(),
                None if trusts => ClientAuth::Required,
                None => ClientAuth::None,
            },
        };
        if options.client_auth != ClientAuth::None && !trusts {
            return Err(usage(
                "--client-auth: nobody is known; give --ca or --rpk-allow",
            ));
        }
        if trusts && options.is_empty() {
            return Err(usage(
                "--ca and --rpk-allow need a certificate (--cert and --key) or raw public key (--rpk) of the \
                 proxy's own",
            ));
        }
        if self.ca.is_empty() && !self.crl.is_empty() {
            return Err(usage("--crl needs --ca"));
        }
        Ok(options)
    }

    fn rest_options(&self, timeout: Duration) -> Result<Option<RestOptions>, ConfigError> {
        let Some(url) = &self.psk_rest else {
            return Ok(None);
        };
        let wrong = |e: &str| usage(format!("--psk-rest: expected an http or https URL: {e}"));
        let url = url::Url::parse(url.as_str()).map_err(|e| wrong(&e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("the scheme is another one"));
        }
        let mut rest = RestOptions::new(url);
        rest.timeout = timeout;
        rest.format = self.psk_rest_format.unwrap_or_default();
        rest.ca_file.clone_from(&self.rest_ca);
        if let Some(name) = &self.id_query_key {
            rest.id_query_key.clone_from(name);
        }
        if let Some(prefix) = &self.id_query_val_prefix {
            rest.id_query_val_prefix.clone_from(prefix);
        }
        for header in &self.rest_headers {
            rest.add_header(header.as_str())
                .map_err(|e| usage(format!("--rest-headers: {e}")))?;
        }
        // Which of the two would the service take?
        if rest.url.query_pairs().any(|(k, _)| k == rest.id_query_key) {
            return Err(usage(format!(
                "--psk-rest: the URL has a query parameter {:?} already, which is where the \
                 identity goes (see --id-query-key)",
                rest.id_query_key
            )));
        }
        Ok(Some(rest))
    }
}

/// The file in the directory that systemd gives, in the first one of several.
pub(super) fn state_directory(value: &[u8]) -> Option<PathBuf> {
    let first = value.split(|&byte| byte == b':').next()?;
    let directory = Path::new(OsStr::from_bytes(first));
    (!first.is_empty()).then(|| directory.join("upstream-pool.redb"))
}

fn usage(message: impl Into<String>) -> ConfigError {
    ConfigError::Usage(message.into())
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn unless_empty<T>(given: Vec<T>, default: Vec<T>) -> Vec<T> {
    if given.is_empty() { default } else { given }
}

/// A suite named twice is offered once, at its first place.
fn without_repeats(given: Vec<u16>) -> Vec<u16> {
    let mut kept = Vec::with_capacity(given.len());
    for suite in given {
        if !kept.contains(&suite) {
            kept.push(suite);
        }
    }
    kept
}

/// No time at all would fail everything, and "for ever" is not on offer here.
fn not_zero(flag: &str, given: Option<Duration>) -> Result<Option<Duration>, ConfigError> {
    if given == Some(Duration::ZERO) {
        return Err(usage(format!("--{flag}: must be more than 0")));
    }
    Ok(given)
}
