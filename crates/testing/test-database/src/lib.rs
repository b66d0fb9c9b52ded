#![doc = include_str!("../README.md")]

mod database;
mod error;
mod leftovers;
mod server;
mod template;

pub use database::{TestDatabase, connect};
pub use error::Error;
