//! What Lockgate costs, side by side with references in the same run. `docs/performance.md` says what each figure means.
#![expect(
    clippy::cast_precision_loss,
    reason = "figures are rounded anyway when they are printed"
)]

pub mod counting;
pub mod devices;
pub mod echo;
pub mod epoll;
pub mod flood;
pub mod growth;
pub mod handshakes;
pub mod hostile;
pub mod loopback;
pub mod machine;
pub mod memory;
#[cfg(feature = "peer-openssl")]
pub mod openssl;
pub mod papers;
pub mod parts;
pub mod peer;
pub mod peers;
pub mod plain_relay;
pub mod plot;
pub mod process;
pub mod relay;
pub mod report;
pub mod servers;
pub mod shake;
pub mod timing;
pub mod visitor;
pub mod work;
