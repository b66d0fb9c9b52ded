//! The record of what was made, or set out to be made, outside: written by the leader before and
//! after each call outside.

mod cancel;
mod create;
mod destroy;
mod load;

pub(crate) use cancel::{cancel, step};
pub use create::{Made, NewProvision, advance, begin_step, failed, held, intend};
pub use destroy::{begin_destruction, mark_destroyed, remove};
pub use load::load;
