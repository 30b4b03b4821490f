//! What a subcommand that connects shows, and whom it believes: flags that `nc` and `bench` share.

use std::path::PathBuf;

use lockgate_aws_lc::PrivateKey;
use lockgate_tokio::Credentials;
use lockgate_tokio::webpki::{Source, Verifier, algorithms};

use crate::Failure;

#[derive(clap::Args, Debug)]
pub(crate) struct ProofArgs {
    /// Our certificate and what comes between it and its authority, PEM or DER
    #[arg(
        short = 'c',
        long = "certificate",
        visible_alias = "cert",
        alias = "ssl-cert",
        value_name = "FILE",
        requires = "pkey"
    )]
    pub(crate) certificate: Option<PathBuf>,
    /// Our private key; without --cert it is shown as a raw public key
    #[arg(
        short = 'k',
        long,
        visible_alias = "key",
        aliases = ["ssl-key", "rpk"],
        value_name = "FILE"
    )]
    pub(crate) pkey: Option<PathBuf>,
    /// The authorities that peers must be vouched for by
    #[arg(
        long,
        visible_alias = "ca",
        alias = "ssl-trustfile",
        value_name = "FILE"
    )]
    pub(crate) cafile: Option<PathBuf>,
    /// The raw public keys that peers may have, PEM or SHA-256 fingerprints
    #[arg(long, alias = "rpk-allow", value_name = "FILE")]
    pub(crate) peer_keys: Option<PathBuf>,
    /// Check the peer, which is always done; for fingers that know netcat
    #[arg(long, hide = true)]
    ssl_verify: bool,
    /// Believe any peer; a listener without a key makes up a certificate
    #[arg(long)]
    pub(crate) insecure: bool,
    /// The name that the server's certificate has to be for [default: the host]
    #[arg(long, alias = "ssl-servername", value_name = "NAME")]
    pub(crate) servername: Option<String>,
}

impl ProofArgs {
    /// Whether there is somebody to believe, by name.
    pub(crate) fn trusts(&self) -> bool {
        self.cafile.is_some() || self.peer_keys.is_some()
    }

    /// Adds what is shown, if there is anything.
    pub(crate) fn shown(&self, credentials: Credentials) -> Result<Credentials, Failure> {
        match (&self.certificate, &self.pkey) {
            (Some(certificate), Some(key)) => credentials
                .with_x509_files(certificate, key)
                .map_err(|e| e.to_string()),
            (None, Some(key)) => {
                let key = Source::read(key).and_then(|source| {
                    source.private_key(PrivateKey::from_pem, PrivateKey::from_der)
                });
                Ok(credentials.with_raw_public_key(key.map_err(|e| e.to_string())?))
            }
            _ => Ok(credentials),
        }
    }

    /// Adds who is believed, if there is anybody.
    pub(crate) fn believed(&self, credentials: Credentials) -> Result<Credentials, Failure> {
        if self.insecure {
            return Ok(credentials.trusting_anybody_insecurely());
        }
        if !self.trusts() {
            return Ok(credentials);
        }
        let mut verifier = Verifier::builder(algorithms::AWS_LC);
        if let Some(path) = &self.cafile {
            verifier = Source::read(path)
                .and_then(|source| verifier.anchors(&source))
                .map_err(|e| e.to_string())?;
        }
        if let Some(path) = &self.peer_keys {
            verifier = Source::read(path)
                .and_then(|source| verifier.keys(&source))
                .map_err(|e| e.to_string())?;
        }
        Ok(credentials.trusting(verifier.build()))
    }

    /// What a client shows and whom it believes; `psk` says whether it has a pre-shared key.
    pub(crate) fn of_client(&self, psk: bool) -> Result<Credentials, Failure> {
        if !psk && !self.insecure && !self.trusts() {
            return Err(
                "nothing to know the server by: give --psk, --cafile or --peer-keys, or --insecure to \
                 believe anybody"
                    .into(),
            );
        }
        self.believed(self.shown(Credentials::new())?)
    }
}
