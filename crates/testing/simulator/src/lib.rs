#![doc = include_str!("../README.md")]

pub mod accounts;
mod error;
pub mod faults;
pub mod invariants;
pub mod operations;
mod options;
pub mod server;
pub mod world;

pub use error::SimulatorError;
pub use faults::{AgentFault, Fault, FaultRule};
pub use options::Options;
pub use server::{InProcess, SeedServices, SeededService, Simulator, WorldView, sdl};
pub use world::{Caller, RateLimits, Refusal, Settings, World};
