#![doc = include_str!("../README.md")]
#![expect(
    missing_docs,
    reason = "a name that says it all, such as the database's own, needs no more"
)]

pub mod action;
mod claiming;
pub mod explore;
mod leading;
pub mod protocol;
pub mod rules;
pub mod state;
pub mod world;
