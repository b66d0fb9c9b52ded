#![doc = include_str!("../README.md")]

mod budget;
mod driver;
mod error;
mod leading;
mod limits;
mod outside;
mod promoting;
mod reconciling;
mod sweeping;
mod working;

pub use driver::{Driver, DriverSettings};
pub use error::Error;
pub use leading::Loops;
pub use outside::Outside;
pub use working::Blueprint;
