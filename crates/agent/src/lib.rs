#![doc = include_str!("../README.md")]

mod client;
mod conversation;
mod error;
mod health;
mod provision;
mod readiness;

pub use client::AgentClient;
pub use error::{Error, Heard, NotReady, ProvisionFailure};
pub use health::Health;
pub use provision::{ProvisionRequest, Provisioned};
