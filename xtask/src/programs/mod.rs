//! Programs that a task runs: each with an environment of its own, all in a directory that is theirs
//! alone, and found again when the task was killed.

mod free;
mod processes;
mod program;
mod simulated;
mod slot;

pub(crate) use free::{free_port, new_key};
pub(crate) use program::Program;
pub(crate) use simulated::Simulated;
pub(crate) use slot::Slot;
