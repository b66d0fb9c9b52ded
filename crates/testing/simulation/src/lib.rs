#![doc = include_str!("../README.md")]

mod bad_day;
mod day;
mod life;
mod log;
mod many;
mod nemesis;
mod node;
mod oracle;
mod pool;
mod postgres;
mod refill;
mod run;
mod scenario;
mod server;
mod stage;
mod time;
mod trace;
mod troubles;
mod wire;
mod workload;

pub use day::BadDay;
pub use many::{Summary, run_many, run_one};
pub use refill::{Refill, Refilled, quiet, refill};
pub use run::{Options, Outcome, TROUBLE_TICKS};
pub use scenario::{Person, Rates, Scenario};
pub use trace::{Counts, Kind, Line, Violation};
