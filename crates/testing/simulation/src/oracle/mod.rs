//! What must hold, checked from outside: by the event log of the database, by the rows, by what the
//! world shows, and by what callers were told.

mod bad_day;
mod circles;
mod exact;
mod known;
mod limits;
mod progress;
mod promises;
mod removals;
mod watched;

pub(crate) use self::known::Promise;
pub(crate) use self::watched::Oracle;
