#![doc = include_str!("../README.md")]

mod budget;
mod context;
mod driver;
mod error;
mod leading;
mod limits;
mod promoting;
mod reconciling;
mod sweeping;
mod working;

pub use context::{AgentsAnswer, Context};
pub use driver::{Driver, DriverSettings};
pub use error::Error;
pub use leading::Loops;
pub use working::Blueprint;
