//! Why a pool of addresses cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use super::PoolNet;

/// Why a pool of addresses (`--upstream-pool`) cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The backend cannot be reached from there.
    #[error("--upstream-pool {net}: {why}")]
    Backend {
        /// The network.
        net: PoolNet,
        /// Why not.
        why: &'static str,
    },
    /// The network does not belong to this machine.
    #[error(
        "--upstream-pool {net}: its addresses are not local; run: ip {}route add local {} dev lo",
        if net.is_ipv6() { "-6 " } else { "" },
        net.network()
    )]
    NotLocal {
        /// The network.
        net: PoolNet,
    },
    /// The socket cannot be had.
    #[error("--upstream-pool {net}: cannot bind the port: {error}")]
    Bind {
        /// The network.
        net: PoolNet,
        /// Why not.
        error: io::Error,
    },
    /// The file of the table cannot be used.
    #[error("--upstream-pool-table {}: {fault}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Why not.
        fault: TableFault,
    },
    /// The machine gave us no thread.
    #[error("cannot start: {0}")]
    Start(io::Error),
}

/// Why the file of a table of addresses cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableFault {
    /// Another process has it open.
    #[error("another process is using it; each proxy needs a table and a network of its own")]
    Taken,
    /// Its addresses are of another network.
    #[error("it holds addresses of another network than {}; give the network back or name another file", net.network())]
    OtherNetwork {
        /// The network that was asked for.
        net: PoolNet,
    },
    /// A later version wrote it.
    #[error("it is of another version of Lockgate")]
    Format,
    /// It cannot be read or written.
    #[error("{0}")]
    Other(String),
}

impl PoolError {
    pub(super) fn table(path: &Path, error: &redb::Error) -> Self {
        Self::Table {
            path: path.into(),
            fault: TableFault::Other(error.to_string()),
        }
    }
}
