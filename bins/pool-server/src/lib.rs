#![doc = include_str!("../README.md")]

mod config;
mod connections;
pub mod failpoints;
mod flags;
mod log;
mod reader;
pub mod serve;
pub mod telemetry;
mod wiring;

pub use config::{Config, LogFormat};
pub use flags::Flags;
pub use log::Log;
pub use reader::{BadSetting, BadSettings};
pub use wiring::{Surroundings, Suspend};
