#![doc = include_str!("../README.md")]

mod attempts;
mod breaker;
mod claims;
mod door;
mod error;
mod lease;
mod request;
mod settings;
mod settle;

pub use claims::Claims;
pub use error::ClaimError;
pub use request::{ClaimRequest, Claimed};
pub use settings::ClaimSettings;
