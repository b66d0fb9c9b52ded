#![doc = include_str!("../README.md")]

mod account;
mod cluster;
mod error;
mod guard;
mod lock;
mod options;
mod place;
mod postmaster;
mod programs;
mod server;
mod start;
mod waiting;

pub use error::Error;
pub use options::{Certificate, Options};
pub use place::state_dir;
pub use postmaster::Halt;
pub use programs::Programs;
pub use server::Server;
