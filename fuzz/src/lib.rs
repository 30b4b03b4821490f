//! What the fuzz targets share: a provider that repeats itself, scripts, and a world of two endpoints.
#![forbid(unsafe_code)]

mod import;
mod provider;
mod script;
mod world;

pub use import::import;
pub use provider::{FuzzProvider, Seeded};
pub use script::Script;
pub use world::{Side, World, play};
