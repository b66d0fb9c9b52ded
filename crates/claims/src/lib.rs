#![doc = include_str!("../README.md")]

mod admission;
mod attempts;
mod breaker;
mod claim;
mod claims;
mod ending;
mod error;
mod idempotency;
mod lease;
mod looking;
mod request;
mod settings;
mod settle;
mod shared;
mod tasks;

pub use claims::Claims;
pub use error::ClaimError;
/// What [`Claims::new`] takes; those who only claim need no other crate for it.
pub use pool_agent::AgentClient;
pub use request::{ClaimRequest, Claimed};
pub use settings::ClaimSettings;
