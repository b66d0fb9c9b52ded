//! The simulator over real sockets, as a client of Railway and of its agents meets it.

mod accounts;
mod agents;
mod faults;
mod limits;
mod lists;
mod railway;
mod schema;
mod statuses;
mod support;
