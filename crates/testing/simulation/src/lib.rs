#![doc = include_str!("../README.md")]

mod character;
mod check;
mod database;
mod ledger;
mod many;
mod outside;
mod place;
mod run;
mod scheduler;
mod server;
mod sim;
mod story;
mod trouble;
mod weather;

pub use ledger::Violation;
pub use many::{Summary, run_many};
pub use run::{Options, Outcome, TROUBLE_TICKS, run};
pub use sim::Counts;
pub use story::{Kind, Line};
