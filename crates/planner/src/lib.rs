#![doc = include_str!("../README.md")]

mod actions;
pub mod adoption;
mod destroy;
pub mod enrich;
mod fuse;
mod history;
mod open;
mod plan;
mod probing;
mod replenish;
mod resume;
mod snapshot;
pub mod sweep;
mod transition;

pub use actions::{Destruction, Plan, Removal, Resume};
pub use history::History;
pub use plan::plan;
pub use probing::{ProbeTarget, conversations_to_ask, probes};
pub use snapshot::{Accounts, Evidence, Identity, Index, Snapshot};
