//! What must hold in a real database. Each test has one of its own.
#![expect(
    clippy::unwrap_used,
    reason = "a test has nothing else to do with an error"
)]

mod batches;
mod belongings;
mod budget;
mod changes;
mod claiming;
mod encryption;
mod fencing;
mod fixture;
mod fuse;
mod keys;
mod leading;
mod migrating;
mod parting;
mod people;
mod plans;
mod pooler;
mod probing;
mod provisioning;
mod record;
mod records;
mod replicated;
mod session;
mod trigger;
