//! What the fuzz targets share: a provider that repeats itself, scripts, and a world of two endpoints.
#![forbid(unsafe_code)]

mod end;
mod import;
mod options;
mod provider;
mod script;
mod sessions;
mod wire;
mod world;

pub use import::import;
pub use provider::{FuzzProvider, Lenient, Seeded, sha256, sign};
pub use script::Script;
pub use wire::{PARSERS, wire};
pub use world::{Reached, clear_messages, play};

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that connects.
    Client,
    /// The one that answers.
    Server,
}

impl Side {
    /// The one at the other side.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}
