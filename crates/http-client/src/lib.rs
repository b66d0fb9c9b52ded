#![doc = include_str!("../README.md")]

mod body;
mod client;
mod error;
mod excerpt;
mod in_process;
mod tls;

pub use body::{BodyError, read_body};
pub use client::{HttpClient, Request, Transport, is_loopback};
pub use error::SendError;
pub use excerpt::excerpt;
