//! From files to one set of what we show and whom we trust.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lockgate_aws_lc::PrivateKey;
use lockgate_dtls::certificate::{CertificateType, PeerCertificate};
use lockgate_webpki::{
    Credential, CredentialLoader, CredentialStore, Date, Fault, Identity, KeyHash, LoadError,
    MAX_FILE_LEN, Source, Time, Verifier, algorithms,
};

use super::{CertificateFileError, CertificateFiles, CertificateOptions, allowed};
use crate::files;

/// A certificate of ours that ends within this time is warned about.
const SOON: Duration = Duration::from_hours(30 * 24);
/// Longest list of authorities that a request for a certificate names, each with its length, in bytes.
const MAX_AUTHORITIES_LEN: usize = 4096;

/// What we show: a chain or raw public key with its private key.
pub(crate) type Own = Credential<PrivateKey>;

/// Everything that was read, at one time.
pub(crate) struct Set {
    /// What we show.
    pub(crate) own: CredentialStore<PrivateKey>,
    /// Whom we trust.
    pub(crate) verifier: Verifier,
    /// The names of the authorities that clients are asked for; none when there are too many to name.
    pub(crate) authorities: Vec<Vec<u8>>,
    /// Changes whenever somebody else is trusted than before: sessions that were made under another one are not resumed.
    pub(crate) trust: TrustId,
    /// What allow lists call their keys.
    names: HashMap<KeyHash, Box<str>>,
    /// The hashes of the files with our certificates.
    pub(super) certificate_files: HashSet<KeyHash>,
    pub(super) warnings: Vec<String>,
}

/// Names what is trusted.
pub(crate) type TrustId = [u8; 16];

impl Set {
    /// Reads every file. Certificates of ours that have expired are refused, unless `before` has them too: while nobody
    /// replaces them, lists of revoked certificates must still be able to change.
    pub(super) fn read(
        options: &CertificateOptions,
        before: Option<&Self>,
    ) -> Result<Self, CertificateFileError> {
        let mut reading = Reading {
            time: Time::now(),
            before,
            certificate_files: HashSet::new(),
            warnings: Vec::new(),
        };
        let mut own = CredentialStore::new();
        for files in &options.own {
            own.add(reading.chain(files)?);
        }
        for (name, files) in &options.for_names {
            own.add_for_names("--sni-cert", &[name], reading.chain(files)?)?;
        }
        for path in &options.raw_keys {
            own.add(Credential::raw_public_key(private_key(path)?));
        }
        let mut verifier = Verifier::builder(algorithms::AWS_LC);
        let mut names = HashMap::new();
        // Whatever makes a difference for who comes in, each kind and file apart.
        let mut trusted = vec![options.client_auth as u8];
        let mut trusts = |kind: u8, source: &Source| {
            trusted.push(kind);
            trusted.extend(KeyHash::of(source.bytes()).0);
        };
        for path in &options.authorities {
            let source = source(path)?;
            verifier = verifier.anchors(&source)?;
            trusts(b'a', &source);
        }
        for path in &options.revocation_lists {
            let source = source(path)?;
            verifier = verifier.revocation_lists(&source)?;
            trusts(b'r', &source);
        }
        for path in &options.allowed_keys {
            let source = source(path)?;
            verifier = verifier.keys(&source)?;
            allowed::names(source.bytes(), &mut names);
            trusts(b'k', &source);
        }
        let verifier = verifier.build();
        let mut authorities: Vec<_> = verifier.authorities().collect();
        if authorities.iter().map(|name| 2 + name.len()).sum::<usize>() > MAX_AUTHORITIES_LEN {
            authorities.clear();
        }
        let mut trust = TrustId::default();
        let len = trust.len();
        trust.copy_from_slice(&KeyHash::of(&trusted).0[..len]);
        Ok(Self {
            own,
            verifier,
            authorities,
            trust,
            names,
            certificate_files: reading.certificate_files,
            warnings: reading.warnings,
        })
    }

    /// What a peer is called: by its certificate, or what an allow list calls its key, or `spki:` and the key's hash.
    pub(crate) fn name_of(&self, identity: &Identity<'_>) -> String {
        let listed = (identity.certificate_type() == CertificateType::RawPublicKey)
            .then(|| self.names.get(&identity.key_hash()))
            .flatten();
        listed.map_or_else(|| identity.name().to_string(), ToString::to_string)
    }

    /// Tells the log what was read.
    pub(super) fn tell(&self, what: &str) {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        for own in self.own.credentials() {
            let identity = own.identity();
            let until = identity.validity().map(|v| Date(v.not_after));
            tracing::info!(
                name = %identity.name(),
                spki = %super::short(&identity.key_hash().0),
                until = until.map(tracing::field::display),
                "{what}"
            );
        }
    }
}

/// Until when all that a peer has shown is valid, in seconds since 1970.
pub(crate) fn expires(shown: &PeerCertificate<'_>) -> u64 {
    if shown.certificate_type() == CertificateType::RawPublicKey {
        return u64::MAX;
    }
    let ends = shown.chain().filter_map(|certificate| {
        let identity = Identity::of_certificate(certificate).ok()?;
        Some(identity.validity()?.not_after)
    });
    ends.min().unwrap_or(0)
}

struct Reading<'a> {
    time: Time,
    before: Option<&'a Set>,
    certificate_files: HashSet<KeyHash>,
    warnings: Vec<String>,
}

impl Reading<'_> {
    fn chain(&mut self, files: &CertificateFiles) -> Result<Arc<Own>, CertificateFileError> {
        let certificates = source(&files.certificate)?;
        let key = private_key(&files.key)?;
        let key_name = files.key.display().to_string();
        let hash = KeyHash::of(certificates.bytes());
        let load = |time| {
            let loader = CredentialLoader {
                algorithms: algorithms::AWS_LC,
                time,
            };
            loader.x509(&certificates, &key_name, key.clone())
        };
        let own = match load(self.time) {
            Err(error) if self.was_there(hash, &error) => {
                self.warnings.push(error.to_string());
                load(Time::Unknown)?
            }
            loaded => loaded?,
        };
        self.certificate_files.insert(hash);
        if let (Time::Unix(now), Some(validity)) = (self.time, own.identity().validity())
            && validity.not_after >= now
            && validity.not_after - now < SOON.as_secs()
        {
            self.warnings.push(format!(
                "{}: the certificate expires on {}",
                certificates.name(),
                Date(validity.not_after)
            ));
        }
        Ok(Arc::new(own))
    }

    /// Whether a certificate that has expired is nothing new.
    fn was_there(&self, file: KeyHash, error: &LoadError) -> bool {
        matches!(error.fault(), Fault::Expired { .. })
            && self
                .before
                .is_some_and(|before| before.certificate_files.contains(&file))
    }
}

fn private_key(path: &Path) -> Result<PrivateKey, CertificateFileError> {
    Ok(source(path)?.private_key(PrivateKey::from_pem, PrivateKey::from_der)?)
}

fn source(path: &Path) -> Result<Source, CertificateFileError> {
    let mut bytes = files::read(path, MAX_FILE_LEN)
        .map_err(|reason| CertificateFileError::file(path, reason))?;
    // Moved, so that it is wiped where it ends up.
    let bytes = std::mem::take(&mut *bytes);
    Ok(Source::new(path.display().to_string(), bytes))
}
