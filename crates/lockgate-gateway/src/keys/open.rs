//! From options to a source.

use std::{path::PathBuf, sync::Arc};

use super::{
    CacheLimits, CachedKeys, Chain, CsvKeys, KeyError, KeySource, ProgramKeys, RestKeys,
    RestOptions, StaticKeys,
};

/// Which sources there are. `Debug` shows no secret.
#[derive(Debug, Clone, Default)]
pub struct KeyOptions {
    /// Keys given one by one (`--psk`).
    pub static_keys: StaticKeys,
    /// A CSV file (`--psk-csv`).
    pub csv: Option<PathBuf>,
    /// An HTTP service (`--psk-rest` and what belongs to it).
    pub rest: Option<RestOptions>,
    /// A program (`--shell-kms-cmd`).
    pub program: Option<PathBuf>,
    /// How the service and the program are asked. Each has these limits for itself, so that one
    /// that hangs does not stop the other.
    pub limits: CacheLimits,
}

impl KeyOptions {
    /// Whether no source is named at all; then nobody could ever connect.
    pub fn is_empty(&self) -> bool {
        self.static_keys.is_empty()
            && self.csv.is_none()
            && self.rest.is_none()
            && self.program.is_none()
    }
}

/// Opens the sources: static keys first, then the CSV file, the service and the program.
///
/// Must be called within a tokio runtime. Fails when the CSV or CA file is broken or the program is
/// missing; the service is not asked yet.
pub async fn open(options: &KeyOptions) -> Result<Arc<dyn KeySource>, KeyError> {
    let mut sources: Vec<Box<dyn KeySource>> = Vec::new();
    if !options.static_keys.is_empty() {
        sources.push(Box::new(options.static_keys.clone()));
    }
    if let Some(file) = &options.csv {
        sources.push(Box::new(CsvKeys::open(file).await?));
    }
    if let Some(rest) = &options.rest {
        let rest = Box::new(RestKeys::new(rest.clone())?);
        sources.push(Box::new(CachedKeys::new(rest, options.limits)));
    }
    if let Some(path) = &options.program {
        let program = Box::new(ProgramKeys::new(path)?);
        sources.push(Box::new(CachedKeys::new(program, options.limits)));
    }
    Ok(Arc::new(Chain::new(sources)))
}
