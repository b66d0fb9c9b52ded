#![doc = include_str!("../README.md")]
#![expect(
    missing_docs,
    reason = "a name that says it all, such as Railway's own, needs no more"
)]

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
