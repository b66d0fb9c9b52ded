//! What every task stands on that runs the whole product on this machine: where the checkout is,
//! PostgreSQL's programs, a database of its own, programs that are found again when the task was killed,
//! and Ctrl-C. It knows nothing of what the task is for.
#![expect(
    clippy::missing_errors_doc,
    reason = "every error is a sentence for whoever runs the task, and nothing is decided by it"
)]

pub mod checkout;
pub mod database;
pub mod interrupt;
pub mod postgresql;
pub mod programs;
pub mod running;
pub mod stopwatch;
