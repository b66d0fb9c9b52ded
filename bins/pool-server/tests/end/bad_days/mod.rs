//! Bad days of programs like this one, as others told of them in public, played on this one. Where
//! each comes from is in `docs/BAD-DAYS.md`.

mod defaults;
mod files;
mod log;
mod process;
mod provider;
mod schema;
