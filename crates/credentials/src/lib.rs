#![doc = include_str!("../README.md")]

mod account;
mod agentmail;
mod client;
mod error;
mod openrouter;

pub use account::Deleted;
pub use client::{AgentMailSettings, Credentials, OpenRouterSettings, Settings};
pub use error::{Error, ErrorClass};
pub use openrouter::MadeKey;
