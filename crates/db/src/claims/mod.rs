//! The database's side of a claim: lease, then confirm, bind, release or abandon, each one statement for all
//! who ask at once, also for callers who gave an idempotency key. No transaction is held while an agent is called, and
//! nothing here sends a notification, which would make claims wait for one another.

mod asks;
mod expiry;
mod idempotency;
mod lease;
mod settle;

pub(crate) use asks::Asks;
pub use asks::{Confirmation, Confirmed, KeyedRequest, Lease, Leased};
pub use expiry::expire;
pub use idempotency::{Answer, Known, look, prune};
pub use lease::{NextIdle, idle_exists, lease_idle, next_idle};
pub use settle::{abandon, bind, confirm, release};
