#![doc = include_str!("../README.md")]

mod answer;
mod batches;
pub mod belongings;
pub mod budget;
pub mod claims;
pub mod commands;
mod connection;
mod db;
mod error;
pub mod events;
mod fencing;
pub mod fuse;
pub mod instances;
pub mod leadership;
pub mod managers;
pub mod migrations;
mod pool;
pub mod provisions;
pub mod record;
mod room;
mod schema;
mod scope;
mod seen;
pub mod set_aside;
mod statement;
mod text;
pub mod ticks;

pub use connection::{AddressError, DbSettings, Dialer};
pub use db::Db;
pub use error::Error;
pub use room::Room;
pub use text::storable;
