#![doc = include_str!("../README.md")]

mod answer;
mod classify;
mod client;
mod endpoint;
mod environment;
mod error;
mod fallback;
mod governor;
mod headers;
mod limits;
mod listing;
mod operations;
mod patch;
mod retry;
mod schema;
mod settings;
mod wire;

pub use client::{Environment, EnvironmentRef, Railway};
pub use environment::EnvironmentClient;
pub use error::{Error, ErrorClass};
pub use limits::Limits;
pub use patch::ServicePatch;
pub use settings::{Settings, Token};
