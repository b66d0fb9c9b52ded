#![doc = include_str!("../README.md")]

mod answer;
mod auth;
mod body;
mod cache;
mod error;
mod guards;
mod page;
mod router;
mod routes;
mod state;
mod views;

pub use router::router;
pub use state::{App, LiveLoops};
