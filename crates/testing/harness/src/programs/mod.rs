//! Programs that a task runs: each with an environment of its own, all in a directory that is theirs
//! alone, and found again when the task was killed.

mod free;
mod processes;
mod program;
mod simulated;
mod slot;

pub use free::{free_port, new_key};
pub use program::Program;
pub use simulated::Simulated;
pub use slot::Slot;
