#![doc = include_str!("../README.md")]

mod backfill;
mod contraction;
mod drop;
mod generations;
mod progress;
mod tables;

pub use drop::LegacyTable;
pub use generations::{
    Contraction, Generations, backfill, contract, contract_telling, drop_tables, status,
};
pub use progress::{Forecast, Moved, Progress, Tell};
