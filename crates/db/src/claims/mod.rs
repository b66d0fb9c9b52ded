//! The database's side of a claim: lease, then confirm, bind, release or abandon, each one statement, also
//! for a caller who gave an idempotency key. No transaction is held while an agent is called, and
//! nothing here sends a notification, which would make claims wait for one another.

mod expiry;
mod idempotency;
mod lease;
mod settle;

pub use expiry::expire;
pub use idempotency::{Answer, KeyedRequest, Known, look, prune};
pub use lease::{Lease, Leased, NextIdle, idle_exists, lease_idle, next_idle};
pub use settle::{Confirmation, Confirmed, abandon, bind, confirm, release};
