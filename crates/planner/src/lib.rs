#![doc = include_str!("../README.md")]

mod actions;
pub mod adoption;
mod commits;
mod destroy;
pub mod enrich;
mod evidence;
mod fuse;
mod halting;
mod history;
mod leftovers;
mod open;
mod plan;
mod probing;
mod promoting;
mod replenish;
mod resume;
mod rounds;
mod snapshot;
pub mod sweep;
mod transition;

pub use actions::{Destruction, Plan, Removal, Resume};
pub use commits::{Refused, batches, is_commit_due, is_more_wanted, refused};
pub use evidence::{ProbeBook, Said};
pub use halting::Halted;
pub use history::History;
pub use leftovers::leftovers;
pub use plan::plan;
pub use probing::{Candidate, Lane, LastProbe, ProbeTarget, conversations_to_ask, probes, turns};
pub use promoting::promotions;
pub use rounds::{
    Movement, Occasion, may_look_again, moves, sweep_is_due, try_creating_in, watches_in,
};
pub use snapshot::{Accounts, Evidence, Identity, InFlight, Index, Snapshot};
