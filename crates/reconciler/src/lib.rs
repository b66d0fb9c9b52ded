#![doc = include_str!("../README.md")]

mod blueprint;
mod budget;
mod create;
mod destroy;
mod driver;
mod error;
mod execute;
mod observe;
mod outside;
mod phase;
mod sweep;
mod tick;

pub use blueprint::Blueprint;
pub use driver::{Driver, DriverSettings};
pub use error::Error;
pub use outside::Outside;
pub use tick::{Reconciler, Ticked};
